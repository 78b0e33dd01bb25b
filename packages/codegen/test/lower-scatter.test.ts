/** Selection, scattering and counting operators against the reference; indices that point nowhere touch no other memory. */
import { type DType, graph, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { check, random, randomInputs, randomTensor } from './check.ts';
import { execute } from './execute.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;
const shapeOf = (next: Next, rank: number) => Array.from({ length: rank }, () => 1 + whole(next, 4));

function indices(
  next: Next,
  shape: readonly number[],
  length: (i: number) => number,
  dtype: 'int32' | 'int64' = 'int64',
) {
  const count = shape.reduce((all, dim) => all * dim, 1);
  const values = Array.from({ length: count }, (_, i) => whole(next, 2 * length(i) - 1) - length(i));
  const data = dtype === 'int64' ? BigInt64Array.from(values, BigInt) : Int32Array.from(values);
  return { dtype, shape, data } as Tensor;
}

const TYPES: readonly DType[] = ['float32', 'int64', 'uint8', 'int16', 'float64'];
const REDUCTIONS = ['none', 'add', 'mul', 'max', 'min'] as const;
const close = { absolute: 1e-4, relative: 1e-5 };

describe('selection', () => {
  it('C4, C7: TopK of 150 random lines, ties and NaN among them, is in the order of the reference', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const next = random(seed);
      const shape = shapeOf(next, 1 + whole(next, 2));
      const axis = whole(next, shape.length - 1);
      const dtype = from(next, [...TYPES, 'float16'] as const);
      const k = whole(next, shape[axis] ?? 1);
      const g = graph(`top ${seed}`, (b) => {
        const x = b.input('x', dtype, shape);
        const count = b.weight('k', { dtype: 'int64', shape: [1], data: BigInt64Array.of(BigInt(k)) });
        const [values = '', places = ''] = b.addMany('TopK', [x, count], 2, { axis, largest: whole(next, 1) });
        b.output('values', values);
        b.output('places', places);
      });
      check(g, { inputs: randomInputs(g, seed) });
    }
  });

  it('one-hot codes, hard maxima, triangles and diagonals are those of the reference', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = random(seed);
      const shape = shapeOf(next, 2 + whole(next, 1));
      const dtype = from(next, TYPES);
      const g = graph(`counted ${seed}`, (b) => {
        const x = b.input('x', dtype, shape);
        const at = b.input('at', from(next, ['int64', 'int32', 'float32', 'uint8'] as const), shape);
        const values = b.input('values', dtype, [2]);
        const depth = b.weight('depth', {
          dtype: 'int64',
          shape: [],
          data: BigInt64Array.of(BigInt(1 + whole(next, 5))),
        });
        const k = b.input('k', 'int64', []);
        b.output('hot', b.add('OneHot', [at, depth, values], { axis: whole(next, shape.length) - 1 }));
        b.output('low', b.add('Trilu', [x, k], { upper: whole(next, 1) }));
        b.output('plain', b.add('Trilu', [x], { upper: whole(next, 1) }));
        const square = b.input('square', dtype, [1 + whole(next, 4), 1 + whole(next, 4)]);
        b.output('eye', b.add('EyeLike', [square], { k: whole(next, 6) - 3 }));
        const reals = b.input('reals', from(next, ['float32', 'float64'] as const), shape);
        b.output('most', b.add('Hardmax', [reals], { axis: whole(next, shape.length - 1) }));
      });
      check(g, { inputs: { ...randomInputs(g, seed), k: indices(next, [], () => 4) } });
    }
  });
});

describe('run-time indices', () => {
  it('C4, C7: 150 random gathers and scatters, with every reduction, are those of the reference', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const next = random(seed);
      const rank = 1 + whole(next, 2);
      const shape = shapeOf(next, rank);
      const dtype = from(next, TYPES);
      const reduction = from(next, REDUCTIONS);
      const axis = whole(next, rank - 1);
      const own = shape.map((dim, i) => (i === axis ? 1 + whole(next, 5) : 1 + whole(next, dim - 1)));
      const tuple = 1 + whole(next, rank - 1);
      const batch = whole(next, rank - tuple);
      const lead = shapeOf(next, 1 + whole(next, 1));
      const many = [...shape.slice(0, batch), ...lead, tuple];
      const wide = from(next, ['int32', 'int64'] as const);
      const g = graph(`indexed ${seed}`, (b) => {
        const x = b.input('x', dtype, shape);
        const at = b.input('at', wide, own);
        const updates = b.input('updates', dtype, own);
        b.output('elements', b.add('ScatterElements', [x, at, updates], { axis, reduction }));
        const tuples = b.input('tuples', 'int64', [...lead, tuple]);
        const pieces = b.input('pieces', dtype, [...lead, ...shape.slice(tuple)]);
        b.output('scattered', b.add('ScatterND', [x, tuples, pieces], { reduction }));
        const places = b.input('places', 'int64', many);
        b.output('gathered', b.add('GatherND', [x, places], { batch_dims: batch }));
      });
      const inputs = {
        ...randomInputs(g, seed, false),
        at: indices(next, own, () => shape[axis] ?? 1, wide),
        tuples: indices(next, [...lead, tuple], (i) => shape[i % tuple] ?? 1),
        places: indices(next, many, (i) => shape[batch + (i % tuple)] ?? 1),
      };
      check(g, { inputs, ...(dtype.startsWith('float') ? close : {}) });
    }
  });

  it('C4: an index far outside is brought inside: memory of exactly the planned size is enough for any of them', () => {
    const wild = BigInt64Array.of(2n ** 62n, -(2n ** 62n), 2n ** 31n, -(2n ** 31n) - 1n, 100n, -100n);
    const tame = BigInt64Array.of(2n, 0n, 2n, 0n, 2n, 0n);
    const g = graph('outside', (b) => {
      const x = b.input('x', 'float32', [3]);
      const at = b.input('at', 'int64', [6]);
      const updates = b.input('updates', 'float32', [6]);
      b.output('elements', b.add('ScatterElements', [x, at, updates], { reduction: 'add' }));
      const tuples = b.add('Reshape', [
        at,
        b.weight('s', { dtype: 'int64', shape: [2], data: BigInt64Array.of(6n, 1n) }),
      ]);
      b.output('scattered', b.add('ScatterND', [x, tuples, updates], {}));
      b.output('gathered', b.add('GatherND', [x, tuples], {}));
    });
    const model = compile(g);
    const others = {
      x: randomTensor('float32', [3], random(1), false),
      updates: randomTensor('float32', [6], random(2), false),
    };
    expect(execute(model, { ...others, at: wild })).toEqual(execute(model, { ...others, at: tame }));
  });
});
