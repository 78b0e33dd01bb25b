/**
 * Seeded random graphs whose shapes fit: a walk that applies one of a dozen operators to what it made so far. With
 * hostile names, odd weights, patterns, and bodies, where they are asked for.
 */
import { type Graph, type GraphBuilder, graph } from '../src/graph.ts';
import type { BcrPattern } from '../src/pattern.ts';
import { allocate, DTYPES, type DType, isBig, type Tensor } from '../src/types.ts';

/** Numbers in [0, 1): mulberry32, the same on every machine. */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const HOSTILE_NAMES: readonly string[] = [
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  ' ',
  '   ',
  '_',
  'as',
  'input',
  'weight',
  'output',
  'graph',
  '"',
  '\\',
  'a"b\\c',
  'two\nlines',
  'tab\t',
  '\r',
  '\0',
  '\u202egnp.exe',
  'e\u0301',
  '\u00e9',
  '../x',
  'a=b',
  '(a)',
  '[0]',
  '{',
  '}',
  ',',
  '|',
  '#no comment',
  '@00',
  '?',
  '-',
  '0',
  '1e5',
  'nan',
  'inf',
  '😀',
  '👩‍👩‍👧',
  '\ud83d',
  '\ude00',
  '\ud800x',
  '\ufeff',
  '\u2028',
  'имя',
  '名前',
  'x'.repeat(200),
  '//',
  'onnx::Conv_12',
  '/layer1/conv/Conv',
  'base64',
  'bcr',
];

interface Options {
  readonly nodes?: number;
  readonly hostileNames?: boolean;
  readonly bodies?: boolean;
}

/** The same graph for the same seed. */
export function randomGraph(seed: number, { nodes = 12, hostileNames = false, bodies = false }: Options = {}): Graph {
  const next = random(seed);
  const below = (n: number) => Math.floor(next() * n);
  const taken = new Set<string>();
  const name = (stem: string): string => {
    let wanted = hostileNames ? (HOSTILE_NAMES[below(HOSTILE_NAMES.length)] ?? stem) : `${stem}${taken.size}`;
    while (taken.has(wanted)) wanted += hostileNames && below(2) ? '\u200d' : taken.size;
    taken.add(wanted);
    return wanted;
  };
  return build(hostileNames ? name('g') : `random_${seed}`, nodes, []);

  function build(title: string, count: number, outer: readonly Value[]): Graph {
    return graph(title, (b) => {
      const walk: Walk = {
        b,
        values: [],
        next,
        below,
        name,
        bodies,
        inner: outer.length > 0,
        body: (values) => build(name('body'), 3, values),
      };
      if (outer.length === 0)
        walk.values.push(input(walk, [1 + below(2), 2 * (1 + below(3)), 5 + below(4), 5 + below(4)]));
      else walk.values.push(...outer);
      for (let i = 0; i < count; i++) {
        const x = walk.values[below(walk.values.length)] as Value;
        const step = STEPS[below(STEPS.length)] as Step;
        walk.values.push(...step(walk, x));
      }
      const last = walk.values.at(-1) as Value;
      b.output(name('out'), last.name);
      if (outer.length === 0) b.output(name('again'), last.name);
    });
  }
}

/** float32, known by its shape. */
interface Value {
  readonly name: string;
  readonly shape: readonly number[];
}

interface Walk {
  readonly b: GraphBuilder;
  readonly values: Value[];
  readonly next: () => number;
  readonly below: (n: number) => number;
  readonly name: (stem: string) => string;
  readonly bodies: boolean;
  /** In a body there is one output only, so that both branches of an `If` have as many. */
  readonly inner: boolean;
  readonly body: (values: readonly Value[]) => Graph;
}

type Step = (w: Walk, x: Value) => readonly Value[];

function input(w: Walk, shape: readonly number[]): Value {
  return { name: w.b.input(w.name('x'), 'float32', shape), shape };
}

function floats(w: Walk, shape: readonly number[]): string {
  const count = shape.reduce((all, d) => all * d, 1);
  return w.b.weight(w.name('w'), {
    dtype: 'float32',
    shape,
    data: Float32Array.from({ length: count }, () => w.next() * 2 - 1),
  });
}

function integers(w: Walk, values: readonly number[]): string {
  return w.b.weight(w.name('i'), { dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values, BigInt) });
}

function same(x: Value, output: string): readonly Value[] {
  return [{ name: output, shape: x.shape }];
}

function outputs(w: Walk): { name: string; output: string } {
  const output = w.name('v');
  return { name: w.below(2) ? output : w.name('n'), output };
}

const STEPS: readonly Step[] = [
  (w, x) => same(x, w.b.add('Relu', [x.name], {}, outputs(w))),
  (w, x) => same(x, w.b.add('Sigmoid', [x.name], {}, outputs(w))),
  (w, x) => same(x, w.b.add('LeakyRelu', [x.name], { alpha: w.below(2) ? 0.01 : w.next() }, outputs(w))),
  (w, x) => same(x, w.b.add('Add', [x.name, floats(w, [])], {}, outputs(w))),
  (w, x) => same(x, w.b.add('Mul', [x.name, x.name], {}, outputs(w))),
  (w, x) => same(x, w.b.add('Clip', [x.name, '', floats(w, [])], {}, outputs(w))),
  (w, x) => [
    {
      name: w.b.add('Transpose', [x.name], { perm: x.shape.map((_, i) => x.shape.length - 1 - i) }, outputs(w)),
      shape: [...x.shape].reverse(),
    },
  ],
  (w, x) => {
    const count = x.shape.reduce((all, d) => all * d, 1);
    return [{ name: w.b.add('Reshape', [x.name, integers(w, [1, -1])], {}, outputs(w)), shape: [1, count] }];
  },
  (w, x) => {
    const axis = w.below(x.shape.length);
    const shape = x.shape.map((d, i) => (i === axis ? 2 * d : d));
    return [{ name: w.b.add('Concat', [x.name, x.name], { axis }, outputs(w)), shape }];
  },
  (w, x) => {
    const axis = w.below(x.shape.length);
    const length = x.shape[axis] ?? 1;
    if (length < 2) return [];
    const names = w.b.addMany(
      'Split',
      [x.name, integers(w, [1, length - 1])],
      [w.below(4) ? w.name('s') : '', w.name('s')],
      { axis },
      { name: w.name('split') },
    );
    return names
      .map((name, i) => ({ name, shape: x.shape.map((d, a) => (a === axis ? (i === 0 ? 1 : length - 1) : d)) }))
      .filter(({ name }) => name !== '');
  },
  (w, x) => {
    if (x.shape.length !== 4 || (x.shape[2] ?? 0) < 3 || (x.shape[3] ?? 0) < 3) return [];
    const [n = 1, c = 1, height = 1, width = 1] = x.shape;
    const weight = w.name('conv');
    const filters = 4;
    const data = Float32Array.from({ length: filters * c * 9 }, () => w.next() - 0.5);
    w.b.weight(
      weight,
      w.below(2)
        ? { dtype: 'float32', shape: [filters, c, 3, 3], data }
        : prune(w, filters, c * 9, data, [filters, c, 3, 3]),
    );
    const pad = w.below(2);
    const inputs = w.below(2) ? [x.name, weight] : [x.name, weight, floats(w, [filters])];
    const name = w.b.add('Conv', inputs, { kernel_shape: [3, 3], pads: [pad, pad, pad, pad] }, outputs(w));
    return [{ name, shape: [n, filters, height - 2 + 2 * pad, width - 2 + 2 * pad] }];
  },
  (w, x) => {
    if (x.shape.length !== 2) return [];
    const k = x.shape[1] ?? 1;
    if (k > 4096) return [];
    return [
      {
        name: w.b.add('Gemm', [x.name, floats(w, [3, k])], { transB: 1, alpha: 0.5 }, outputs(w)),
        shape: [x.shape[0] ?? 1, 3],
      },
    ];
  },
  (w, x) => {
    if (!w.bodies) return [];
    const condition =
      w.inner || w.below(2)
        ? w.b.weight(w.name('c'), { dtype: 'bool', shape: [], data: Uint8Array.of(w.below(2)) })
        : w.b.input(w.name('c'), 'bool', []);
    const [then_branch, else_branch] = [w.body([x]), w.body([x])];
    const name = w.b.add('If', [condition], { then_branch, else_branch }, outputs(w));
    if (!w.inner) w.b.output(w.name('if'), name);
    return [];
  },
  (w) => {
    if (w.inner) return [];
    const dtype = DTYPES[w.below(DTYPES.length)] as DType;
    const name = w.b.weight(w.name('odd'), randomTensor(w.next, dtype, [1 + w.below(80)]));
    w.b.output(w.name('odd'), name);
    return [];
  },
];

/** Elements of any bit pattern (bool: 0 or 1): NaN payloads, infinities, subnormals and negative zeros among them. */
export function randomTensor(next: () => number, dtype: DType, shape: readonly number[]): Tensor {
  const data = allocate(
    dtype,
    shape.reduce((all, d) => all * d, 1),
  );
  const bytes = new Uint8Array(data.buffer);
  for (let i = 0; i < bytes.length; i++) bytes[i] = next() * 256;
  if (dtype === 'bool') for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] ?? 0) & 1;
  else if (data.length > 0 && next() < 0.3) data[0] = (isBig(dtype) ? 0n : -0) as never;
  return { dtype, shape, data } as Tensor;
}

function prune(w: Walk, rows: number, cols: number, data: Float32Array, shape: readonly number[]) {
  const grid = { rows, cols, blockRows: 1 + w.below(4), blockCols: 1 + w.below(cols) };
  const [down, across] = [Math.ceil(rows / grid.blockRows), Math.ceil(cols / grid.blockCols)];
  const keptRows: Uint16Array[] = [];
  const keptCols: Uint16Array[] = [];
  const keep = (length: number) => Uint16Array.from(Array.from({ length }, (_, i) => i).filter(() => w.below(2)));
  const masked = new Float32Array(data.length);
  for (let block = 0; block < down * across; block++) {
    const top = Math.floor(block / across) * grid.blockRows;
    const left = (block % across) * grid.blockCols;
    const kept = keep(Math.min(grid.blockRows, rows - top));
    const columns = keep(Math.min(grid.blockCols, cols - left));
    keptRows.push(kept);
    keptCols.push(columns);
    for (const r of kept)
      for (const c of columns) {
        const at = (top + r) * cols + left + c;
        masked[at] = data[at] ?? 0;
      }
  }
  const pattern: BcrPattern = { grid, keptRows, keptCols };
  return { dtype: 'float32' as const, shape, data: masked, pattern };
}
