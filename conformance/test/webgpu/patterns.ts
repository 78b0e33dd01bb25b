/**
 * Layers with random BCR patterns on a device: the n-th case is a convolution (strides, dilations, paddings, groups), a
 * product of many columns or of one, or a recurrent layer of random shape; blocks rarely divide the matrix, and lose rows and
 * columns. Runs in Node and in a page alike.
 *
 * What must come out is what the reference computes in float64. Sums may differ from it by the bound of rounding: a chain of n
 * operations is within n·2u of D = Σ|a·b| + |c|, which the reference gives for the magnitudes of all values.
 */
import { blockGrid, blocksOf } from '@grim/bcr';
import { compile, pack } from '@grim/codegen';
import { type BcrPattern, type Graph, graph, patternMask, type Tensor, type TensorArray, type Weight } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import type { Model } from '@grim/runtime';

const U = 2 ** -24;
/** Of states, which are within ±1: functions of a GPU are right to some units in the last place. */
const RECURRENT_TOLERANCE = 2e-5;

type Random = () => number;

/** Uniform in (0, 1). */
function random(seed: number): Random {
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 8) + 0.5) / 2 ** 24;
  };
  for (let i = 0; i < 8; i++) next();
  return next;
}

const pick = <T>(next: Random, list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
const between = (next: Random, low: number, high: number) => low + Math.floor(next() * (high - low + 1));
const sizeOf = (shape: readonly number[]) => shape.reduce((all, dim) => all * dim, 1);

/** Each block keeps a share of its rows and columns; now and then all or none. */
function patternOf(rows: number, cols: number, next: Random): BcrPattern {
  const height = pick(next, [1, 2, 3, 4, 6, 8, 12, 16, 32, 64]);
  const width = pick(next, [1, 2, 5, 9, 16, 33, 64, 128, 65_535]);
  const keep = pick(next, [0.1, 0.2, 0.4, 0.6, 0.9]);
  const grid = blockGrid(rows, cols, height, width);
  const keptRows: Uint16Array[] = [];
  const keptCols: Uint16Array[] = [];
  for (const block of blocksOf(grid)) {
    const mood = next();
    const share = mood < 0.05 ? 0 : mood < 0.15 ? 1 : keep;
    const some = (length: number) => Uint16Array.from({ length }, (_, i) => i).filter(() => next() < share);
    // Of low blocks whole ones are what pruning makes; of higher ones rows go too.
    keptRows.push(next() < 0.3 ? Uint16Array.from({ length: block.height }, (_, i) => i) : some(block.height));
    keptCols.push(some(block.width));
  }
  return { grid, keptRows, keptCols };
}

interface Values {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly graph: Graph;
}

interface PatternCase extends Values {
  readonly seed: number;
  readonly kind: 'conv' | 'groups' | 'gemm' | 'gemv' | 'gru' | 'lstm';
  /** Of each output: how far from the reference it may be, element by element. */
  readonly bounds: Readonly<Record<string, (i: number) => number>>;
}

const KINDS = ['conv', 'groups', 'gemm', 'gemv', 'gru', 'lstm'] as const;

export function patternCase(seed: number): PatternCase {
  const kind = KINDS[seed % KINDS.length] as PatternCase['kind'];
  const next = random(seed);
  return kind === 'gru' || kind === 'lstm' ? recurrent(seed, kind, next) : product(seed, kind, next);
}

function values(shape: readonly number[], next: Random, pattern?: BcrPattern) {
  const mask = pattern && patternMask(pattern);
  const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => (mask && !mask[i] ? 0 : 2 * next() - 1));
  return { dtype: 'float32' as const, shape, data, ...(pattern && { pattern }) };
}

function product(seed: number, kind: 'conv' | 'groups' | 'gemm' | 'gemv', next: Random): PatternCase {
  const conv = kind === 'conv' || kind === 'groups';
  const group = kind === 'groups' ? pick(next, [2, 3, 4]) : 1;
  const m = group * (conv ? pick(next, [1, 3, 5, 8, 16, 17, 24]) : pick(next, [1, 7, 16, 33, 64, 100]));
  const channels = conv ? between(next, 1, 20) : pick(next, [3, 17, 64, 65, 130, 300]);
  const [kh, kw] = conv ? [pick(next, [1, 1, 2, 3]), pick(next, [1, 2, 3, 3])] : [1, 1];
  const batch = kind === 'gemv' ? 1 : conv ? pick(next, [1, 1, 2]) : pick(next, [2, 5, 16, 40]);
  const reach = (k: number, dilation: number) => (k - 1) * dilation + 1;
  const dilations = [kh, kw].map((k) => (k > 1 ? pick(next, [1, 1, 2]) : 1));
  const strides = [0, 0].map(() => pick(next, [1, 1, 2, 3]));
  const [high, wide] = [reach(kh, dilations[0] ?? 1), reach(kw, dilations[1] ?? 1)];
  const pads = [high, wide, high, wide].map((r) => between(next, 0, r - 1));
  const shapes = conv
    ? {
        x: [batch, group * channels, high + between(next, 0, 14), wide + between(next, 0, 14)],
        w: [m, channels, kh, kw],
      }
    : { x: [batch, channels], w: [m, channels] };
  const given = {
    x: values(shapes.x, next),
    w: values(shapes.w, next, patternOf(m, channels * kh * kw, next)),
    bias: next() < 0.7 ? values([m], next) : undefined,
  };
  const relu = next() < 0.5;
  const build = (magnitudes: boolean): Values => {
    const abs = <T extends { readonly data: Float32Array }>(value: T): T =>
      magnitudes ? { ...value, data: value.data.map(Math.abs) } : value;
    return {
      inputs: { x: abs(given.x) },
      graph: graph(`${kind} ${seed}`, (b) => {
        const list = [b.input('x', 'float32', shapes.x), b.weight('w', abs(given.w))];
        if (given.bias) list.push(b.weight('bias', abs(given.bias)));
        const y = conv ? b.add('Conv', list, { strides, dilations, pads, group }) : b.add('Gemm', list, { transB: 1 });
        b.output('y', relu && !magnitudes ? b.add('Relu', [y]) : y);
      }),
    };
  };
  const magnitudes = build(true);
  const d = evaluate(magnitudes.graph, magnitudes.inputs)['y']?.data as Float32Array;
  const n = channels * kh * kw + 3;
  const share = (n * 2 * U) / (1 - n * 2 * U);
  return { seed, kind, ...build(false), bounds: { y: (i) => share * (d[i] ?? 0) + n * 2 ** -126 } };
}

function recurrent(seed: number, kind: 'gru' | 'lstm', next: Random): PatternCase {
  const gates = kind === 'gru' ? 3 : 4;
  const direction = pick(next, ['forward', 'forward', 'reverse', 'bidirectional'] as const);
  const directions = direction === 'bidirectional' ? 2 : 1;
  const [steps, batch] = [between(next, 1, 5), pick(next, [1, 1, 1, 3])];
  const [size, hidden] = [pick(next, [3, 16, 40, 65]), pick(next, [5, 16, 33, 64])];
  const weight = (cols: number) => {
    const made = values([directions, gates * hidden, cols], next, patternOf(directions * gates * hidden, cols, next));
    return { ...made, data: made.data.map((value) => value / Math.sqrt(cols)) };
  };
  const given = { x: values([steps, batch, size], next), w: weight(size), r: weight(hidden) };
  const bias = next() < 0.7 ? values([directions, 2 * gates * hidden], next) : undefined;
  const names = kind === 'gru' ? ['y', 'h'] : ['y', 'h', 'c'];
  const attributes = {
    hidden_size: hidden,
    direction,
    ...(kind === 'gru' && { linear_before_reset: seed % 4 < 2 ? 1 : 0 }),
  };
  return {
    ...{ seed, kind, inputs: { x: given.x } },
    graph: graph(`${kind} ${seed}`, (b) => {
      const list = [b.input('x', 'float32', given.x.shape), b.weight('w', given.w), b.weight('r', given.r)];
      if (bias) list.push(b.weight('b', bias));
      for (const name of b.addMany(kind === 'gru' ? 'GRU' : 'LSTM', list, names, attributes as never)) b.output(name);
    }),
    bounds: Object.fromEntries(names.map((name) => [name, () => RECURRENT_TOLERANCE])),
  };
}

export interface PatternResult {
  readonly seed: number;
  readonly kind: PatternCase['kind'];
  /** The compiler took a sparse kernel. */
  readonly sparse: boolean;
  readonly outputs: number;
  /** The largest error as a share of what is allowed; above 1 is wrong, and so is Infinity for what is no number. */
  readonly worst: number;
  /** What went wrong, where it did not come to outputs. */
  readonly error?: string;
}

/** What is waited for a result, in milliseconds: a software adapter beside other work takes minutes to build a pipeline. */
export const PATIENCE = 900_000;

type Loader = (file: Uint8Array) => Promise<Pick<Model, 'run' | 'dispose'>>;

export async function runPattern(seed: number, load: Loader): Promise<PatternResult> {
  const { kind, graph: exact, inputs, bounds } = patternCase(seed);
  const weights = seed % 3 === 0 ? 'f16' : 'f32';
  const network = weights === 'f16' ? rounded(exact) : exact;
  const compiled = compile(network, { targets: ['wasm', 'webgpu'], weights });
  const wanted = evaluate(network, inputs);
  const sparse = compiled.manifest.layers.some(({ density, kernel }) => density < 1 && !kernel.includes('gemm'));
  let model: Awaited<ReturnType<Loader>> | undefined;
  try {
    model = await load(pack(compiled));
    const arrays = Object.entries(inputs).map(([name, { data }]) => [name, data] as const);
    const found = await model.run(Object.fromEntries(arrays));
    let [outputs, worst] = [0, 0];
    for (const [name, bound] of Object.entries(bounds)) {
      const [right, got] = [wanted[name]?.data as Float32Array, found[name] as Float32Array];
      worst = Math.max(worst, largestError(right, got, bound));
      outputs += got.length;
    }
    return { seed, kind, sparse, outputs, worst };
  } catch (error) {
    return { seed, kind, sparse, outputs: 0, worst: Number.POSITIVE_INFINITY, error: String(error) };
  } finally {
    model?.dispose();
  }
}

/** Weights that float16 holds as they are, sums of two of them too. */
function rounded(exact: Graph): Graph {
  const weights = Array.from(exact.weights, ([name, weight]) => {
    const { data, dtype } = weight;
    const own = dtype === 'float32' ? data.map((value) => (Math.round(128 * (value as number)) / 128) as never) : data;
    return [name, { ...weight, data: own } as Weight] as const;
  });
  return { ...exact, weights: new Map(weights) };
}

/** Of all elements, as a share of what is allowed. */
export function largestError(right: TensorArray, found: TensorArray, bound: (i: number) => number): number {
  if (right.length !== found.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < right.length; i++) {
    const error = Math.abs(Number(found[i]) - Number(right[i]));
    // Written so that NaN counts as infinitely wrong.
    if (!(error <= bound(i))) worst = Math.max(worst, Number.isNaN(error) ? Infinity : error / bound(i));
    else if (error > 0) worst = Math.max(worst, error / bound(i));
  }
  return worst;
}

interface Summary {
  readonly cases: number;
  readonly sparse: number;
  readonly outputs: number;
  readonly worst: number;
  readonly wrong: readonly PatternResult[];
}

export function summarizePatterns(results: readonly PatternResult[]): Summary {
  return {
    cases: results.length,
    sparse: results.filter(({ sparse }) => sparse).length,
    outputs: results.reduce((sum, { outputs }) => sum + outputs, 0),
    worst: Math.max(...results.map(({ worst }) => worst)),
    wrong: results.filter(({ worst }) => !(worst <= 1)),
  };
}
