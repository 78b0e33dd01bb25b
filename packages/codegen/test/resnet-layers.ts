/** The products of ResNet-18 at 224 × 224, each as a graph of one convolution, dense or with random blocks of a density. */
import { type BcrPattern, type Graph, graph, patternMask } from '@grim/ir';
import { random } from './matrices.ts';

interface ConvShape {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  /** Of the window, and of the input. */
  readonly window: number;
  readonly side: number;
  readonly stride: number;
  /** A residual is added to what it gives. */
  readonly residual: boolean;
}

const conv = (
  name: string,
  [inputs, outputs]: readonly [number, number],
  [window, side, stride]: readonly [number, number, number],
  residual = false,
): ConvShape => ({ name, inputs, outputs, window, side, stride, residual });

export const RESNET18: readonly ConvShape[] = [
  conv('conv1', [3, 64], [7, 224, 2]),
  conv('64 at 56', [64, 64], [3, 56, 1], true),
  conv('64 to 128', [64, 128], [3, 56, 2]),
  conv('128 at 28', [128, 128], [3, 28, 1], true),
  conv('1×1 64 to 128', [64, 128], [1, 56, 2]),
  conv('128 to 256', [128, 256], [3, 28, 2]),
  conv('256 at 14', [256, 256], [3, 14, 1], true),
  conv('1×1 128 to 256', [128, 256], [1, 28, 2]),
  conv('256 to 512', [256, 512], [3, 14, 2]),
  conv('512 at 7', [512, 512], [3, 7, 1], true),
  conv('1×1 256 to 512', [256, 512], [1, 14, 2]),
];

/** Blocks of a density; low ones keep all their rows, others a random share of them. */
function blocks(
  rows: number,
  cols: number,
  [blockRows, blockCols]: readonly [number, number],
  density: number,
  seed: number,
): BcrPattern {
  const next = random(seed);
  const grid = { rows, cols, blockRows: Math.min(rows, blockRows), blockCols: Math.min(cols, blockCols) };
  const [down, across] = [Math.ceil(rows / grid.blockRows), Math.ceil(cols / grid.blockCols)];
  const some = (length: number, count: number) =>
    Uint16Array.from(
      Array.from({ length }, (_, i) => [next(), i] as const)
        .sort(([x], [y]) => x - y)
        .slice(0, count)
        .map(([, i]) => i)
        .sort((x, y) => x - y),
    );
  const keptRows: Uint16Array[] = [];
  const keptCols: Uint16Array[] = [];
  for (let i = 0; i < down * across; i++) {
    const height = Math.min(grid.blockRows, rows - Math.floor(i / across) * grid.blockRows);
    const width = Math.min(grid.blockCols, cols - (i % across) * grid.blockCols);
    const share = blockCols < cols ? 0.5 + 0.5 * next() : 1;
    const kept = Math.max(1, Math.round(share * height));
    keptRows.push(some(height, kept));
    keptCols.push(some(width, Math.min(width, Math.round((density * height * width) / kept))));
  }
  return { grid, keptRows, keptCols };
}

/** @param block  undefined: dense */
export function layerGraph(
  { name, inputs, outputs, window, side, stride, residual }: ConvShape,
  block: readonly [rows: number, cols: number] | undefined,
  density = 0.1,
): Graph {
  const next = random(5);
  const cols = inputs * window * window;
  const shape = [outputs, inputs, window, window];
  return graph(name, (b) => {
    const data = Float32Array.from({ length: outputs * cols }, () => next() - 0.5);
    const pattern = block && blocks(outputs, cols, block, density, 9);
    const mask = pattern && patternMask(pattern);
    const kept = mask ? data.map((value, i) => (mask[i] ? value : 0)) : data;
    const w = b.weight('w', { dtype: 'float32', shape, data: kept, ...(pattern && { pattern }) });
    const pad = (window - 1) / 2;
    const x = b.input('x', 'float32', [1, inputs, side, side]);
    const y = b.add('Conv', [x, w], { pads: [pad, pad, pad, pad], strides: [stride, stride] });
    const r = residual && b.input('r', 'float32', [1, outputs, side / stride, side / stride]);
    const sum = r ? b.add('Add', [y, b.add('Mul', [r, r])]) : y;
    b.output('y', b.add('Relu', [sum]));
  });
}
