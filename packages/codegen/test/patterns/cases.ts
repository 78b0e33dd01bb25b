/**
 * Layers with random BCR patterns, compiled and run in both instruction families, against a plain float64 sum written here:
 * the n-th case is a convolution or a product of random shape, blocks, density, strides and fused operators.
 *
 * Each case runs twice: on small integers, where every order of summation is exact (N0), and on real numbers of one of four
 * kinds, whose errors are measured in units of u·D, D = Σ|a·b| + |c| (N1 theorem, N2 per element, N3 root mean square).
 */
import { type BcrPattern, type Graph, graph, patternMask, type Tensor } from '@grim/ir';
import { compile } from '../../src/compile.ts';
import { execute } from '../execute.ts';
import { type Random, random, randomPattern } from '../matrices.ts';

const U = 2 ** -24;

interface Layer {
  readonly kind: 'Conv' | 'Gemm';
  /** [N, C, H, W] of the input and [M, C, kH, kW] of the weight; products are convolutions of 1 × 1 over one place. */
  readonly input: readonly [number, number, number, number];
  readonly weight: readonly [number, number, number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  readonly pads: readonly [number, number, number, number];
  readonly pattern: BcrPattern;
  readonly bias: boolean;
  readonly residual: boolean;
  readonly activation: 'none' | 'relu' | 'clip';
}

const pick = <T>(next: Random, list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
const between = (next: Random, low: number, high: number) => low + Math.floor(next() * (high - low + 1));

function layerOf(next: Random): Layer {
  const conv = next() < 0.65;
  const m = pick(next, [1, 2, 3, 5, 6, 7, 8, 12, 16, 17, 24, 33, 40, 64]);
  const kernel = conv ? [pick(next, [1, 1, 2, 3]), pick(next, [1, 2, 3, 3])] : [1, 1];
  const channels = conv ? between(next, 1, 20) : pick(next, [1, 3, 8, 17, 64, 65, 130, 256, 300]);
  const [kh = 1, kw = 1] = kernel;
  const dilations = [kh, kw].map((k) => (k > 1 ? pick(next, [1, 1, 2]) : 1)) as [number, number];
  const strides = [0, 0].map(() => (conv ? pick(next, [1, 1, 1, 2, 3]) : 1)) as [number, number];
  const reach = [kh, kw].map((k, i) => (k - 1) * (dilations[i] ?? 1) + 1);
  const pads = [...reach, ...reach].map((r) => (conv ? between(next, 0, r - 1) : 0)) as Layer['pads'] & number[];
  const [h = 1, w = 1] = reach.map((r) => (conv ? r + between(next, 0, 12) : 1));
  const k = channels * kh * kw;
  const pattern = randomPattern(
    m,
    k,
    pick(next, [1, 2, 3, 4, 6, 8, 12, 16, 32, 64]),
    pick(next, [1, 2, 5, 9, 16, 33, 64, 128, 65_535]),
    pick(next, [0.05, 0.15, 0.3, 0.5, 0.8, 1]),
    next,
  );
  return {
    kind: conv ? 'Conv' : 'Gemm',
    input: [conv ? between(next, 1, 2) : pick(next, [1, 1, 2, 5, 16]), channels, h, w],
    weight: [m, channels, kh, kw],
    strides,
    dilations,
    pads,
    pattern,
    bias: next() < 0.7,
    residual: next() < 0.3,
    activation: pick(next, ['none', 'relu', 'clip']),
  };
}

const CLIP = { min: -20, max: 30 };

function outputShape({ input, weight, strides, dilations, pads }: Layer): [number, number, number, number] {
  const length = (axis: 0 | 1) =>
    Math.floor(
      (input[2 + axis] as number) +
        (pads[axis] as number) +
        (pads[2 + axis] as number) -
        ((weight[2 + axis] as number) - 1) * dilations[axis] -
        1,
    ) /
      strides[axis] +
    1;
  return [input[0], weight[0], Math.floor(length(0)), Math.floor(length(1))];
}

function graphOf(layer: Layer, values: Values): Graph {
  const { kind, input, weight, strides, dilations, pads, pattern, activation } = layer;
  const flat = (shape: readonly number[]) => (kind === 'Gemm' ? shape.slice(0, 2) : shape);
  return graph('layer', (b) => {
    const x = b.input('x', 'float32', flat(input));
    const w = b.weight('w', { dtype: 'float32', shape: flat(weight), data: values.w, pattern });
    const bias = values.bias ? [b.weight('bias', { dtype: 'float32', shape: [weight[0]], data: values.bias })] : [];
    let y =
      kind === 'Gemm'
        ? b.add('Gemm', [x, w, ...bias], { transB: 1 })
        : b.add('Conv', [x, w, ...bias], { strides: [...strides], dilations: [...dilations], pads: [...pads] });
    if (values.residual) y = b.add('Add', [y, b.input('residual', 'float32', flat(outputShape(layer)))]);
    if (activation === 'relu') y = b.add('Relu', [y]);
    if (activation === 'clip') {
      const bound = (name: string, value: number) =>
        b.weight(name, { dtype: 'float32', shape: [], data: Float32Array.of(value) });
      y = b.add('Clip', [y, bound('min', CLIP.min), bound('max', CLIP.max)]);
    }
    b.output('y', y);
  });
}

interface Values {
  readonly x: Float32Array;
  /** With zeros where the pattern has none. */
  readonly w: Float32Array;
  readonly bias: Float32Array | undefined;
  readonly residual: Float32Array | undefined;
}

const sizeOf = (shape: readonly number[]) => shape.reduce((all, dim) => all * dim, 1);

function valuesOf(layer: Layer, draw: () => number): Values {
  const fill = (length: number) => Float32Array.from({ length }, draw);
  const mask = patternMask(layer.pattern);
  return {
    x: fill(sizeOf(layer.input)),
    w: fill(sizeOf(layer.weight)).map((value, i) => (mask[i] ? value : 0)),
    bias: layer.bias ? fill(layer.weight[0]) : undefined,
    residual: layer.residual ? fill(sizeOf(outputShape(layer))) : undefined,
  };
}

/** y in float64, and D of each. */
function oracle(layer: Layer, { x, w, bias, residual }: Values): { value: Float64Array; scale: Float64Array } {
  const [batch, channels, height, width] = layer.input;
  const [, , kh, kw] = layer.weight;
  const [, m, oh, ow] = outputShape(layer);
  const value = new Float64Array(batch * m * oh * ow);
  const scale = new Float64Array(value.length);
  let at = 0;
  for (let n = 0; n < batch; n++)
    for (let row = 0; row < m; row++)
      for (let oy = 0; oy < oh; oy++)
        for (let ox = 0; ox < ow; ox++, at++) {
          let sum = bias?.[row] ?? 0;
          let absolute = Math.abs(sum);
          for (let c = 0; c < channels; c++)
            for (let ky = 0; ky < kh; ky++)
              for (let kx = 0; kx < kw; kx++) {
                const iy = oy * layer.strides[0] + ky * layer.dilations[0] - layer.pads[0];
                const ix = ox * layer.strides[1] + kx * layer.dilations[1] - layer.pads[1];
                if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
                const product =
                  (w[((row * channels + c) * kh + ky) * kw + kx] as number) *
                  (x[((n * channels + c) * height + iy) * width + ix] as number);
                sum += product;
                absolute += Math.abs(product);
              }
          const added = residual?.[at] ?? 0;
          const y = sum + added;
          scale[at] = absolute + Math.abs(added);
          if (layer.activation === 'relu') value[at] = Math.max(y, 0);
          else if (layer.activation === 'clip') value[at] = Math.min(Math.max(y, CLIP.min), CLIP.max);
          else value[at] = y;
        }
  return { value, scale };
}

const normal = (next: Random) => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
const REALS: readonly ((next: Random) => number)[] = [
  normal,
  (next) => next(),
  (next) => normal(next) * 2 ** Math.floor(next() * 41 - 20),
  (next) => (next() < 0.5 ? 1000 : -1000) + next(),
];

/** The largest error of a case as a share of what each gate allows; N0 counts outputs that are not exact. */
interface Ratios {
  readonly n0: number;
  readonly n1: number;
  readonly n2: number;
  /** Of cases with 256 outputs and more. */
  readonly n3: number;
  readonly outputs: number;
  readonly sparse: boolean;
}

function caseOf(seed: number) {
  const next = random(seed * 2654435761);
  for (let i = 0; i < 8; i++) next();
  const layer = layerOf(next);
  const whole = valuesOf(layer, () => Math.floor(next() * 15) - 7);
  const draw = pick(next, REALS);
  const real = valuesOf(layer, () => draw(next));
  // The chain of roundings: a product or sum for each of K, the bias, the residual.
  const n = sizeOf(layer.weight.slice(1)) + 3;
  return { layer, whole, real, n };
}

type TestInputs = Readonly<Record<string, Tensor['data']>>;

/** A case on real numbers, for other devices: what it must give, and how far from it rounding may lead (N1). */
export function realCase(seed: number): {
  readonly graph: Graph;
  readonly inputs: TestInputs;
  readonly value: Float64Array;
  readonly bound: Float64Array;
} {
  const { layer, real, n } = caseOf(seed);
  const { value, scale } = oracle(layer, real);
  const inputs = { x: real.x, ...(real.residual && { residual: real.residual }) };
  // A GPU may round to either neighbour, and may flush subnormal numbers.
  const bound = scale.map((d) => ((n * 2 * U) / (1 - n * 2 * U)) * d + n * 2 ** -126);
  return { graph: graphOf(layer, real), inputs, value, bound };
}

/** Both families, over NaN and over 0xAA as garbage. */
function runCase(seed: number): Ratios {
  const { layer, whole, real, n } = caseOf(seed);
  let [n0, n1, n2, n3, outputs, sparse] = [0, 0, 0, 0, 0, false];
  for (const values of [whole, real]) {
    const { value, scale } = oracle(layer, values);
    const model = compile(graphOf(layer, values));
    sparse ||= model.manifest.layers.some(({ kernel }) => !kernel.includes('gemm'));
    const inputs = { x: values.x, ...(values.residual && { residual: values.residual }) } as Record<
      string,
      Tensor['data']
    >;
    for (const family of ['relaxed', 'plain'] as const) {
      const found = execute(model, inputs, { family, poison: family === 'relaxed' ? 0xff : 0xaa })['y']
        ?.data as Float32Array;
      if (found.length !== value.length)
        throw new Error(`seed ${seed}: ${found.length} outputs, ${value.length} are right`);
      outputs += found.length;
      let squares = 0;
      for (const [i, y] of found.entries()) {
        const d = scale[i] as number;
        // Written so that NaN counts as infinitely wrong.
        const difference = Math.abs(y - (value[i] as number));
        const error = Number.isNaN(difference) ? Infinity : Math.max(0, difference - n * 2 ** -149);
        if (values === whole) {
          if (difference !== 0) n0++;
        } else if (error > 0) {
          const units = error / (U * d);
          n1 = Math.max(n1, units / (n / (1 - n * U)));
          n2 = Math.max(n2, units / (8 + 2 * Math.sqrt(n)));
          squares += units ** 2;
        }
      }
      if (values === real && found.length >= 256)
        n3 = Math.max(n3, Math.sqrt(squares / found.length) / (1 + 0.35 * Math.sqrt(n)));
    }
  }
  return { n0, n1, n2, n3, outputs, sparse };
}

interface Summary {
  readonly cases: number;
  readonly sparse: number;
  readonly outputs: number;
  /** Seeds at which a gate did not hold. */
  readonly failed: readonly number[];
  readonly worst: { readonly n1: number; readonly n2: number; readonly n3: number };
}

export function runCases(first: number, count: number, onCase: (done: number) => void = () => {}): Summary {
  let [sparse, outputs] = [0, 0];
  const failed: number[] = [];
  const worst = { n1: 0, n2: 0, n3: 0 };
  for (let seed = first; seed < first + count; seed++) {
    const ratios = runCase(seed);
    if (ratios.n0 > 0 || ratios.n1 > 1 || ratios.n2 > 1 || ratios.n3 > 1) failed.push(seed);
    for (const gate of ['n1', 'n2', 'n3'] as const) worst[gate] = Math.max(worst[gate], ratios[gate]);
    sparse += Number(ratios.sparse);
    outputs += ratios.outputs;
    onCase(seed - first + 1);
  }
  return { cases: count, sparse, outputs, failed, worst };
}
