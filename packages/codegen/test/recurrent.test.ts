import { type BcrPattern, type Graph, graph, patternMask, RECURRENT, type Tensor, type Weight } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile, link } from '../src/compile.ts';
import { rowsOf } from '../src/lower/pattern-rows.ts';
import { lowerGraph } from '../src/lower/session.ts';
import { simplify } from '../src/passes/simplify.ts';
import { check, random } from './check.ts';
import { randomPattern } from './matrices.ts';

type Kind = keyof typeof RECURRENT;
const KINDS = ['RNN', 'GRU', 'LSTM'] as const;

interface Variant {
  readonly kind: Kind;
  readonly steps: number;
  readonly batch: number;
  readonly inputs: number;
  readonly hidden: number;
  readonly direction: 'forward' | 'reverse' | 'bidirectional';
  readonly layout: 0 | 1;
  readonly attributes: object;
  /** What is given, and whether only the run knows it. */
  readonly bias: 'none' | 'constant' | 'input';
  readonly weights: 'constant' | 'input';
  readonly states: boolean;
  readonly lengths: 'none' | 'constant' | 'input';
  readonly peepholes: boolean;
  readonly outputs: readonly boolean[];
  readonly density: number;
}

/** Weights of a size that keeps states near 1, whatever the functions. */
function weight(shape: readonly number[], scale: number, next: () => number, pattern?: BcrPattern): Weight {
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (next() - 0.5) * 2 * scale);
  if (!pattern) return { dtype: 'float32', shape, data };
  const mask = patternMask(pattern);
  return { dtype: 'float32', shape, data: data.map((value, i) => (mask[i] ? value : 0)), pattern };
}

function build(v: Variant, seed: number): { readonly g: Graph; readonly inputs: Record<string, Tensor> } {
  const next = random(seed);
  const { gates } = RECURRENT[v.kind];
  const directions = v.direction === 'bidirectional' ? 2 : 1;
  const rows = gates * v.hidden;
  const given: Record<string, Tensor> = Object.create(null);
  const order = (steps: number, batch: number, rest: readonly number[]) =>
    v.layout === 0 ? [steps, batch, ...rest] : [batch, steps, ...rest];
  const g = graph(`${v.kind} ${seed}`, (b) => {
    const put = (name: string, how: 'constant' | 'input', value: Weight): string => {
      if (how === 'constant') return b.weight(name, value);
      const { dtype, shape, data } = value;
      given[name] = { dtype, shape, data } as Tensor;
      return b.input(name, dtype, shape);
    };
    const sparse = (cols: number) =>
      v.density < 1 && v.weights === 'constant'
        ? randomPattern(
            directions * rows,
            cols,
            1 + Math.floor(next() * 12),
            1 + Math.floor(next() * 9),
            v.density,
            next,
          )
        : undefined;
    const state = order(directions, v.batch, [v.hidden]);
    const list = [
      put('x', 'input', weight(order(v.steps, v.batch, [v.inputs]), 1.5, next)),
      put('w', v.weights, weight([directions, rows, v.inputs], 2 / Math.sqrt(v.inputs), next, sparse(v.inputs))),
      put('r', v.weights, weight([directions, rows, v.hidden], 1 / Math.sqrt(v.hidden), next, sparse(v.hidden))),
      v.bias === 'none' ? '' : put('b', v.bias, weight([directions, 2 * rows], 0.5, next)),
      v.lengths === 'none'
        ? ''
        : put('lengths', v.lengths, {
            dtype: 'int32',
            shape: [v.batch],
            data: Int32Array.from({ length: v.batch }, () => Math.floor(next() * (v.steps + 1))),
          }),
      v.states ? put('h0', 'input', weight(state, 1, next)) : '',
    ];
    if (v.kind === 'LSTM') {
      list.push(v.states ? put('c0', next() < 0.5 ? 'input' : 'constant', weight(state, 1, next)) : '');
      list.push(
        v.peepholes ? put('p', next() < 0.5 ? 'input' : 'constant', weight([directions, 3 * v.hidden], 0.5, next)) : '',
      );
    }
    while (list.at(-1) === '') list.pop();
    const wanted: string[] = (v.kind === 'LSTM' ? ['y', 'yh', 'yc'] : ['y', 'yh']).map((name, i) =>
      v.outputs[i] ? name : '',
    );
    if (!wanted.some((name) => name !== '')) wanted[0] = 'y';
    for (const name of b.addMany(v.kind, list, wanted, {
      direction: v.direction,
      layout: v.layout,
      ...v.attributes,
    } as never))
      if (name !== '') b.output(name);
  });
  return { g, inputs: given };
}

const FUNCTIONS = [
  'Sigmoid',
  'Tanh',
  'HardSigmoid',
  'Softsign',
  'Relu',
  'LeakyRelu',
  'ThresholdedRelu',
  'ScaledTanh',
  'Elu',
  'Softplus',
  'Affine',
];

/** Any variant that ONNX allows, lengths small. */
function variant(kind: Kind, seed: number): Variant {
  const next = random(seed ^ 0x5eed);
  const pick = <T>(...list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const direction = pick('forward', 'reverse', 'bidirectional');
  const count = RECURRENT[kind].activations.length * (direction === 'bidirectional' ? 2 : 1);
  const names = next() < 0.5 ? undefined : Array.from({ length: count }, () => pick(...FUNCTIONS));
  // Both lists hold as many values as there are functions that take one.
  const having = (list: readonly string[], value: () => number) =>
    names?.filter((name) => list.includes(name)).map(value) ?? [];
  const alpha = having(
    ['Affine', 'LeakyRelu', 'ThresholdedRelu', 'ScaledTanh', 'HardSigmoid', 'Elu'],
    () => 0.2 + 0.5 * next(),
  );
  const beta = having(['Affine', 'ScaledTanh', 'HardSigmoid'], () => 0.1 + 0.5 * next());
  return {
    kind,
    steps: pick(1, 2, 3, 5, 9),
    batch: pick(1, 1, 2, 3, 9),
    inputs: pick(1, 3, 8, 13),
    hidden: pick(1, 2, 5, 8, 19),
    direction,
    layout: pick(0, 1),
    attributes: {
      ...(names ? { activations: names, activation_alpha: alpha, activation_beta: beta } : {}),
      ...(next() < 0.3 ? { clip: 0.3 + next() } : {}),
      ...(kind === 'GRU' ? { linear_before_reset: pick(0, 1) } : {}),
      ...(kind === 'LSTM' ? { input_forget: pick(0, 0, 1) } : {}),
    },
    bias: pick('none', 'constant', 'constant', 'input'),
    weights: pick('constant', 'constant', 'input'),
    states: next() < 0.5,
    lengths: pick('none', 'none', 'constant', 'input'),
    peepholes: next() < 0.5,
    outputs: [next() < 0.7, next() < 0.7, next() < 0.7],
    density: pick(1, 1, 0.5),
  };
}

const PLAIN: Variant = {
  kind: 'GRU',
  steps: 7,
  batch: 1,
  inputs: 6,
  hidden: 12,
  direction: 'forward',
  layout: 0,
  attributes: {},
  bias: 'constant',
  weights: 'constant',
  states: false,
  lengths: 'none',
  peepholes: false,
  outputs: [true, true, true],
  density: 1,
};

describe('recurrent layers', () => {
  for (const kind of KINDS)
    for (let block = 0; block < 4; block++)
      it(`${kind}: random variants are close to the reference, part ${block}`, () => {
        for (let seed = 0; seed < 20; seed++) {
          const number = 1000 * (block + 1) + seed;
          const { g, inputs } = build(variant(kind, number), number);
          // With threads the steps of one sequence are spelled out, and with one they are a loop.
          const options = seed % 2 === 0 ? {} : { threads: 3, pieceCycles: 20 };
          check(g, { inputs, options, relative: 1e-4, absolute: 2e-5 });
        }
      });
  for (const name of FUNCTIONS)
    it(`${name} follows its formula, clipped or not, and lets NaN and infinities through`, () => {
      for (const clip of [undefined, 0.75]) {
        const attributes = {
          activations: [name],
          ...(['Sigmoid', 'Tanh', 'Relu', 'Softsign', 'Softplus'].includes(name) ? {} : { activation_alpha: [0.6] }),
          ...(['Affine', 'ScaledTanh', 'HardSigmoid'].includes(name) ? { activation_beta: [0.4] } : {}),
          ...(clip === undefined ? {} : { clip }),
        };
        const { g, inputs } = build({ ...PLAIN, kind: 'RNN', steps: 1, hidden: 23, bias: 'none', attributes }, 5);
        (inputs['x'] as Tensor & { data: Float32Array }).data.set([1e4, 0, -3e4]);
        check(g, { inputs, relative: 1e-5, absolute: 1e-6 });
        (inputs['x'] as Tensor & { data: Float32Array }).data.set([Number.NaN]);
        check(g, { inputs });
      }
    });
  it('a sequence of any length is the same number of calls', () => {
    const callsOf = (steps: number) => {
      const { g } = build({ ...PLAIN, steps }, 3);
      return compile(g).manifest.steps.length;
    };
    expect(callsOf(300)).toBe(callsOf(30));
  });
  it('large matrices are walked forth and back, in even and odd numbers of steps, both ways', () => {
    for (const kind of KINDS)
      for (const [steps, direction, linear] of [
        [4, 'reverse', 0],
        [5, 'forward', 1],
        [2, 'bidirectional', 0],
      ] as const) {
        const attributes = kind === 'GRU' ? { linear_before_reset: linear } : {};
        // The smallest product takes more than 256 kB: a gate of a GRU, all four of an LSTM.
        const hidden = kind === 'LSTM' ? 160 : 264;
        const { g, inputs } = build({ ...PLAIN, kind, steps, direction, hidden, attributes, states: true }, steps);
        const { calls } = check(g, { inputs, relative: 1e-4, absolute: 2e-5 });
        const [loop] = (calls ?? []).flatMap(({ kernel }) => (kernel.startsWith('repeat(') ? [kernel] : []));
        const products = kind === 'GRU' && linear === 0 ? 2 : 1;
        expect(loop?.match(/f32_lanes_gemv/g)).toHaveLength(2 * 4 * products);
      }
  });
  it('nothing but the kernels of the manifest is exported', () => {
    const { g } = build(PLAIN, 3);
    const { manifest, wasm } = compile(g);
    const exported = WebAssembly.Module.exports(new WebAssembly.Module(wasm.plain as Uint8Array<ArrayBuffer>));
    expect(exported.map(({ name }) => name)).toEqual(manifest.kernels.map(({ name }) => name));
  });
  it('weights that a pattern prunes are neither read nor stored', () => {
    const { g, inputs } = build({ ...PLAIN, inputs: 40, hidden: 64, density: 0.3 }, 8);
    const dense = build({ ...PLAIN, inputs: 40, hidden: 64 }, 8);
    const sparse = check(g, { inputs, relative: 1e-4, absolute: 2e-5 });
    expect(sparse.constants.length).toBeLessThan(0.6 * compile(dense.g).constants.length);
    const weights = new Map(g.weights);
    for (const [name, value] of weights) {
      if (!value.pattern) continue;
      const mask = patternMask(value.pattern);
      const data = (value.data as Float32Array).map((x, i) => (mask[i] ? x : Number.NaN));
      weights.set(name, { ...value, data } as Weight);
    }
    const poisoned = link(lowerGraph(simplify({ ...g, weights })), g.name);
    expect(poisoned.constants).toEqual(sparse.constants);
  });
  it('a sequence of no steps leaves the initial state', () => {
    for (const kind of KINDS) {
      const { g, inputs } = build({ ...PLAIN, kind, steps: 0, batch: 2, states: true }, 4);
      check(g, { inputs });
    }
  });
  it('other element types are refused with the node', () => {
    const g = graph('double', (b) => {
      const [x, w, r] = [
        [1, 1, 2],
        [1, 3, 2],
        [1, 3, 1],
      ].map((shape, i) => b.input(`x${i}`, 'float64', shape)) as [string, string, string];
      b.output('y', b.add('GRU', [x, w, r], {}, { name: 'the gru' }));
    });
    expect(() => compile(g)).toThrowError(/the gru.*float64.*float32/);
  });
});

describe('rows of a pattern', () => {
  it('are the rows of its mask, wherever blocks end', () => {
    const next = random(1);
    for (let n = 0; n < 200; n++) {
      const [rows, cols] = [1 + Math.floor(next() * 40), 1 + Math.floor(next() * 20)];
      const pattern = randomPattern(rows, cols, 1 + Math.floor(next() * 16), 1 + Math.floor(next() * 8), 0.5, next);
      const first = Math.floor(next() * rows);
      const count = 1 + Math.floor(next() * (rows - first));
      const found = patternMask(rowsOf(pattern, first, count));
      expect(found).toEqual(patternMask(pattern).slice(first * cols, (first + count) * cols));
    }
  });
});
