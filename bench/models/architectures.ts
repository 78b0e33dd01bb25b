/**
 * Standard networks with their published shapes and He-initialised weights from a seed: for speed, not for accuracy.
 * Batch norms are folded, as every runtime does before it runs one.
 * @see He et al. 2016 (ResNet-18), Simonyan & Zisserman 2015 (VGG-16, configuration D), Sandler et al. 2018 (MobileNetV2)
 */
import { applyPattern, blockGrid, projectBcr } from '@grim/bcr';
import { type Graph, type GraphBuilder, graph, type Weight } from '@grim/ir';

export interface Pruning {
  /** Survivors / weights of every pruned layer. */
  readonly density: number;
  /** Infinity takes the whole side. */
  readonly blockRows: number;
  readonly blockCols: number;
  /** Classifiers are pruned as well. Default false. */
  readonly classifiers?: boolean;
  /** Share of its rows that every block keeps. Default: as the weights are, which in random ones is as often one row as both. */
  readonly keepRows?: number;
}

/** `32x128` or `2xK`, as a command line has it. */
export function blockOf(text: string): Pick<Pruning, 'blockRows' | 'blockCols'> {
  const match = /^(\d+)x(\d+|K)$/.exec(text);
  if (!match) throw new Error(`--block ${text}: ROWSxCOLS or ROWSxK is needed, as 32x128 or 2xK`);
  return { blockRows: Number(match[1]), blockCols: match[2] === 'K' ? Number.POSITIVE_INFINITY : Number(match[2]) };
}

export interface ArchitectureOptions {
  readonly seed: number;
  /** Absent: dense. First and depthwise layers stay dense, classifiers unless the pruning says otherwise. */
  readonly pruning?: Pruning;
}

/** Normal deviates of a seed: mulberry32 and Box–Muller. */
function normals(seed: number): () => number {
  let state = seed | 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 1) / (2 ** 32 + 1);
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

class Net {
  readonly #b: GraphBuilder;
  readonly #next: () => number;
  readonly #pruning: Pruning | undefined;
  #count = 0;

  constructor(b: GraphBuilder, { seed, pruning }: ArchitectureOptions) {
    this.#b = b;
    this.#next = normals(seed);
    this.#pruning = pruning;
  }

  /** @param variance  of the values, as a share of He's */
  weight(shape: readonly number[], prune: boolean, variance = 1): string {
    // A leading axis of one is the direction of a recurrent layer.
    const matrix = shape[0] === 1 && shape.length === 3 ? shape.slice(1) : shape;
    const [rows = 1] = matrix;
    const cols = matrix.slice(1).reduce((a, b) => a * b, 1);
    const scale = Math.sqrt((2 * variance) / cols);
    const data = Float32Array.from({ length: rows * cols }, () => scale * this.#next());
    let weight: Weight = { dtype: 'float32', shape, data };
    if (prune && this.#pruning) {
      const { blockRows, blockCols, density, keepRows } = this.#pruning;
      const grid = blockGrid(rows, cols, Math.min(blockRows, rows), Math.min(blockCols, cols));
      const pattern = projectBcr({ rows, cols, data }, grid, { density, ...(keepRows && { keepRows }) });
      weight = { dtype: 'float32', shape, data: applyPattern({ rows, cols, data }, pattern).data, pattern };
    }
    return this.#b.weight(`w${this.#count++}`, weight);
  }

  bias(length: number, shape: readonly number[] = [length]): string {
    const data = Float32Array.from({ length }, () => 0.1 * this.#next());
    return this.#b.weight(`b${this.#count++}`, { dtype: 'float32', shape, data });
  }

  conv(
    x: string,
    inputs: number,
    outputs: number,
    kernel: number,
    stride = 1,
    options: { group?: number; prune?: boolean } = {},
  ): string {
    const { group = 1, prune = true } = options;
    const pad = (kernel - 1) >> 1;
    const w = this.weight([outputs, inputs / group, kernel, kernel], prune && group === 1);
    return this.#b.add('Conv', [x, w, this.bias(outputs)], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
      group,
    });
  }

  relu(x: string): string {
    return this.#b.add('Relu', [x]);
  }

  relu6(x: string): string {
    const bound = (value: number) =>
      this.#b.weight(`clip${this.#count++}`, { dtype: 'float32', shape: [], data: Float32Array.of(value) });
    return this.#b.add('Clip', [x, bound(0), bound(6)]);
  }

  gemm(x: string, inputs: number, outputs: number, prune: boolean): string {
    const w = this.weight([outputs, inputs], prune || this.#pruning?.classifiers === true);
    return this.#b.add('Gemm', [x, w, this.bias(outputs)], { transB: 1 });
  }
}

function resnet18(options: ArchitectureOptions): Graph {
  return graph('resnet18', (b) => {
    const net = new Net(b, options);
    let x = net.relu(net.conv(b.input('image', 'float32', [1, 3, 224, 224]), 3, 64, 7, 2, { prune: false }));
    x = b.add('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
    let channels = 64;
    for (const [stage, outputs] of [64, 128, 256, 512].entries())
      for (let block = 0; block < 2; block++) {
        const stride = stage > 0 && block === 0 ? 2 : 1;
        const short = stride === 2 ? net.conv(x, channels, outputs, 1, 2) : x;
        const inner = net.relu(net.conv(x, channels, outputs, 3, stride));
        x = net.relu(b.add('Add', [net.conv(inner, outputs, outputs, 3), short]));
        channels = outputs;
      }
    b.output('logits', net.gemm(b.add('Flatten', [b.add('GlobalAveragePool', [x])]), 512, 1000, false));
  });
}

/** @param part  `conv`: the 13 convolutions and their pools alone */
function vgg16(size: 224 | 32, part: 'whole' | 'conv' = 'whole'): (options: ArchitectureOptions) => Graph {
  return (options) =>
    graph(`vgg16-${part === 'conv' ? part : size}`, (b) => {
      const net = new Net(b, options);
      let x = b.input('image', 'float32', [1, 3, size, size]);
      let channels = 3;
      for (const [outputs, layers] of [
        [64, 2],
        [128, 2],
        [256, 3],
        [512, 3],
        [512, 3],
      ] as const) {
        for (let layer = 0; layer < layers; layer++) {
          x = net.relu(net.conv(x, channels, outputs, 3, 1, { prune: channels > 3 }));
          channels = outputs;
        }
        x = b.add('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
      }
      if (part === 'conv') {
        b.output('features', x);
        return;
      }
      const features = 512 * (size / 32) ** 2;
      x = b.add('Flatten', [x]);
      if (size === 224) {
        x = net.relu(net.gemm(x, features, 4096, true));
        x = net.relu(net.gemm(x, 4096, 4096, true));
        x = net.gemm(x, 4096, 1000, false);
      } else x = net.gemm(x, features, 10, false);
      b.output('logits', x);
    });
}

function mobilenetV2(options: ArchitectureOptions): Graph {
  return graph('mobilenet-v2', (b) => {
    const net = new Net(b, options);
    let x = net.relu6(net.conv(b.input('image', 'float32', [1, 3, 224, 224]), 3, 32, 3, 2, { prune: false }));
    let channels = 32;
    // Expansion, output channels, repeats, first stride.
    for (const [t, c, n, s] of [
      [1, 16, 1, 1],
      [6, 24, 2, 2],
      [6, 32, 3, 2],
      [6, 64, 4, 2],
      [6, 96, 3, 1],
      [6, 160, 3, 2],
      [6, 320, 1, 1],
    ] as const)
      for (let i = 0; i < n; i++) {
        const wide = channels * t;
        const stride = i === 0 ? s : 1;
        const inner = t === 1 ? x : net.relu6(net.conv(x, channels, wide, 1));
        const out = net.conv(net.relu6(net.conv(inner, wide, wide, 3, stride, { group: wide })), wide, c, 1);
        x = stride === 1 && channels === c ? b.add('Add', [x, out]) : out;
        channels = c;
      }
    x = net.relu6(net.conv(x, channels, 1280, 1));
    b.output('logits', net.gemm(b.add('Flatten', [b.add('GlobalAveragePool', [x])]), 1280, 1000, false));
  });
}

function resnet20(options: ArchitectureOptions): Graph {
  return graph('resnet20-32', (b) => {
    const net = new Net(b, options);
    let x = net.relu(net.conv(b.input('image', 'float32', [1, 3, 32, 32]), 3, 16, 3, 1, { prune: false }));
    let channels = 16;
    for (const outputs of [16, 32, 64])
      for (let block = 0; block < 3; block++) {
        const stride = outputs !== channels ? 2 : 1;
        const short = stride === 2 ? net.conv(x, channels, outputs, 1, 2) : x;
        const inner = net.relu(net.conv(x, channels, outputs, 3, stride));
        x = net.relu(b.add('Add', [net.conv(inner, outputs, outputs, 3), short]));
        channels = outputs;
      }
    b.output('logits', net.gemm(b.add('Flatten', [b.add('GlobalAveragePool', [x])]), 64, 10, false));
  });
}

function mlp(options: ArchitectureOptions): Graph {
  return graph('mlp', (b) => {
    const net = new Net(b, options);
    let x = b.input('x', 'float32', [1, 1024]);
    for (let layer = 0; layer < 3; layer++) x = net.relu(net.gemm(x, 1024, 1024, true));
    b.output('logits', net.gemm(x, 1024, 10, false));
  });
}

/** Two layers, 39 inputs: the network of RTMobile (Dong et al. 2020). */
function gru(steps: number): (options: ArchitectureOptions) => Graph {
  return (options) =>
    graph(`gru2x1024-t${steps}`, (b) => {
      const net = new Net(b, options);
      let x = b.input('x', 'float32', [steps, 1, 39]);
      for (const inputs of [39, 1024]) {
        // Variance 1 / hidden, so that gates do not saturate.
        const w = net.weight([1, 3072, inputs], inputs > 39, inputs / (2 * 1024));
        const r = net.weight([1, 3072, 1024], true, 1 / 2);
        const y = b.add('GRU', [x, w, r, net.bias(6144, [1, 6144])], { hidden_size: 1024, linear_before_reset: 1 });
        const axes = b.weight(`axes${inputs}`, { dtype: 'int64', shape: [1], data: BigInt64Array.of(1n) });
        x = b.add('Squeeze', [y, axes]);
      }
      b.output('y', x);
    });
}

export const ARCHITECTURES: Readonly<Record<string, (options: ArchitectureOptions) => Graph>> = {
  resnet18,
  'vgg16-224': vgg16(224),
  'vgg16-conv': vgg16(224, 'conv'),
  'vgg16-32': vgg16(32),
  'mobilenet-v2': mobilenetV2,
  'resnet20-32': resnet20,
  mlp,
  'gru2x1024-t100': gru(100),
  'gru2x1024-t1': gru(1),
};
