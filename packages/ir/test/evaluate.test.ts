import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Graph, graph } from '../src/graph.ts';
import { evaluate } from '../src/reference/index.ts';
import type { Tensor } from '../src/types.ts';
import { refusal, runOp, t } from './run.ts';

const f32 = (shape: readonly number[], values: readonly number[]) => t('float32', shape, values);

/** v ← v + one, `length` times. */
function chain(length: number): Graph {
  return graph('chain', (b) => {
    let value = b.input('x', 'float32', [1]);
    const one = b.weight('one', f32([1], [1]));
    for (let i = 0; i < length; i++) value = b.add('Add', [value, one]);
    b.output('y', value);
  });
}

describe('evaluate', () => {
  const g = graph('add', (b) => {
    const x = b.input('x', 'float32', ['N', 2]);
    const z = b.input('z', 'float32', ['N', 1]);
    b.output('y', b.add('Add', [x, z], {}, { output: 'sum' }));
    b.output('same', 'sum');
    b.output('given', 'x');
  });
  const x = f32([2, 2], [1, 2, 3, 4]);
  const z = f32([2, 1], [10, 20]);

  it('gives every output by its public name, in an object without a prototype', () => {
    const results = evaluate(g, { x, z });
    expect(Object.getPrototypeOf(results)).toBeNull();
    expect(Object.keys(results)).toEqual(['y', 'same', 'given']);
    expect(results['y']).toEqual(f32([2, 2], [11, 12, 23, 24]));
    expect(results['same']).toBe(results['y']);
    expect(results['given']).toBe(x);
  });

  it('takes a bare array where the declared shape is static', () => {
    const h = graph('bare', (b) => b.output('y', b.add('Add', [b.input('x', 'float32', [2]), 'x'])));
    expect(evaluate(h, { x: Float32Array.of(1, 2) })['y']).toEqual(f32([2], [2, 4]));
    expect(refusal(() => evaluate(h, { x: Float32Array.of(1) })).code).toBe('GRIM_IR_BAD_INPUT');
    expect(refusal(() => evaluate(h, { x: Float64Array.of(1, 2) })).code).toBe('GRIM_IR_BAD_INPUT');
    expect(refusal(() => evaluate(g, { x: Float32Array.of(1), z })).message).toMatch(/open lengths/);
  });

  it.each([
    ['an input that is missing', { x }, /"z" is missing/],
    ['an input that does not exist', { x, z, w: x }, /"w" is not one/],
    ['G21: an input named __proto__', { x, z, ['__proto__']: x }, /"__proto__" is not one/],
    ['another type', { x, z: t('float64', [2, 1], [1, 2]) }, /float32/],
    ['another rank', { x, z: f32([2], [1, 2]) }, /is needed/],
    ['another length', { x: f32([2, 3], [1, 2, 3, 4, 5, 6]), z }, /is needed/],
    ['one name with two lengths', { x, z: f32([3, 1], [1, 2, 3]) }, /"N" = 3/],
    ['fewer elements than the shape says', { x, z: { ...z, data: Float32Array.of(1) } }, /1 elements/],
    ['an array of another kind', { x, z: { ...z, data: Float64Array.of(1, 2) } }, /is needed/],
    ['no tensor at all', { x, z: null }, /is needed/],
    ['a tensor without a shape', { x, z: { dtype: 'float32', data: Float32Array.of(1) } }, /is needed/],
    ['a negative length', { x, z: { ...z, shape: [-2, -1] } }, /not an integer/],
  ])('refuses %s', (_, inputs, message) => {
    const { code, message: found } = refusal(() => evaluate(g, inputs as Record<string, Tensor>));
    expect(['GRIM_IR_BAD_INPUT', 'GRIM_IR_SHAPE_OVERFLOW']).toContain(code);
    expect(found).toMatch(message);
  });

  it('refuses a bool that is neither 0 nor 1', () => {
    const h = graph('bool', (b) => b.output('y', b.input('x', 'bool', [2])));
    expect(evaluate(h, { x: Uint8Array.of(0, 1) })['y']?.data).toEqual(Uint8Array.of(0, 1));
    expect(refusal(() => evaluate(h, { x: Uint8Array.of(0, 2) })).message).toMatch(/other than 0 and 1/);
  });

  it('names a value that is used before it is made, and an output that is never made', () => {
    const node = { op: 'Add', name: 'n', inputs: ['later', 'later'], outputs: ['y'], attributes: {} } as const;
    const empty = { name: 'g', inputs: new Map(), outputs: new Map([['y', 'y']]), weights: new Map() };
    expect(refusal(() => evaluate({ ...empty, nodes: [node] }, {})).message).toMatch(/"later" is not defined/);
    expect(refusal(() => evaluate({ ...empty, nodes: [] }, {})).message).toMatch(/"y" is not defined/);
  });

  it('shows each computed value while it is there', () => {
    const seen: string[] = [];
    evaluate(
      chain(3),
      { x: f32([1], [0]) },
      { onValue: (name, value, node) => seen.push(`${node.op} ${name} ${value.data[0]}`) },
    );
    expect(seen).toEqual(['Add Add_0_2 1', 'Add Add_1_3 2', 'Add Add_2_4 3']);
  });

  it('G19: evaluates a chain of 20,000 nodes, without recursion', () => {
    expect(evaluate(chain(20_000), { x: f32([1], [0.5]) })['y']).toEqual(f32([1], [20_000.5]));
  });

  it('G20: evaluates a value that 100,000 nodes use', () => {
    const wide = graph('wide', (b) => {
      b.input('x', 'float32', [1]);
      let value = 'x';
      for (let i = 0; i < 100_000; i++) value = b.add('Add', ['x', 'x']);
      b.output('y', value);
    });
    expect(evaluate(wide, { x: f32([1], [2]) })['y']).toEqual(f32([1], [4]));
  });

  it('G20: evaluates a ladder of 2^40 paths once per rung', () => {
    let runs = 0;
    const ladder = graph('ladder', (b) => {
      let value = b.input('x', 'float32', [1]);
      for (let i = 0; i < 40; i++) value = b.add('Add', [value, value]);
      b.output('y', value);
    });
    const { y } = evaluate(ladder, { x: f32([1], [1]) }, { onValue: () => runs++ });
    expect(y).toEqual(f32([1], [2 ** 40]));
    expect(runs).toBe(40);
  });

  it('drops a value after its last use: a long chain needs room for two', () => {
    // Each value has 4 bytes; the node's result is there before its input is dropped.
    expect(evaluate(chain(100), { x: f32([1], [0]) }, { limits: { evaluateBytes: 8 } })['y']?.data[0]).toBe(100);
    expect(refusal(() => evaluate(chain(100), { x: f32([1], [0]) }, { limits: { evaluateBytes: 7 } })).code).toBe(
      'GRIM_IR_LIMIT',
    );
  });

  it('keeps what a body captures until the node that holds the body, and no longer', () => {
    const body = graph('body', (b) => b.output('out', b.add('Add', ['early', 'early'], {}, { output: 'twice' })));
    const inner = graph('outer body', (b) =>
      b.output('o', b.add('If', ['cond'], { then_branch: body, else_branch: body }, { output: 'from_inner' })),
    );
    const build = (after: number) =>
      graph('capture', (b) => {
        b.input('cond', 'bool', []);
        let value = b.add('Add', [b.input('x', 'float32', [1]), 'x'], {}, { output: 'early' });
        for (let i = 0; i < 5; i++) value = b.add('Add', [value, 'x']);
        let last = b.add('If', ['cond'], { then_branch: inner, else_branch: inner });
        for (let i = 0; i < after; i++) last = b.add('Add', [last, 'x']);
        b.output('y', last);
      });
    const run = (evaluateBytes: number) =>
      evaluate(build(20), { cond: t('bool', [], [1]), x: f32([1], [3]) }, { limits: { evaluateBytes } });
    // early, and two values of the chain; nothing of it is left behind the If.
    expect(run(12)['y']).toEqual(f32([1], [12 + 60]));
    expect(refusal(() => run(11)).code).toBe('GRIM_IR_LIMIT');
  });

  it('G13: refuses a result that does not fit before computing it', () => {
    const h = graph('outer sum', (b) => {
      b.input('x', 'float32', [30_000, 1]);
      b.input('z', 'float32', [1, 10_000]);
      b.output('y', b.add('Add', ['x', 'z']));
    });
    const inputs = { x: new Float32Array(30_000), z: new Float32Array(10_000) };
    const before = process.memoryUsage().arrayBuffers;
    expect(refusal(() => evaluate(h, inputs, { limits: { evaluateBytes: 1e9 } })).message).toMatch(/evaluateBytes/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e8);
  });

  it('P14: does work in proportion to the nodes, whatever else is alive', () => {
    // Bodies make the rules look names up in the values around them; those are not gone through one by one.
    const body = graph('body', (b) => b.output('out', b.add('Add', ['x', 'x'], {}, { output: 'twice' })));
    const many = (nodes: number) =>
      graph('many', (b) => {
        b.input('cond', 'bool', []);
        b.input('x', 'float32', [1]);
        for (let i = 0; i < nodes; i++) {
          const y = b.add('If', ['cond'], { then_branch: body, else_branch: body });
          b.output(`y${i}`, y);
        }
      });
    const time = (nodes: number) => {
      const g2 = many(nodes);
      const runs = Array.from({ length: 3 }, () => {
        const start = performance.now();
        evaluate(g2, { cond: t('bool', [], [1]), x: f32([1], [1]) });
        return performance.now() - start;
      });
      return Math.min(...runs);
    };
    time(2_000);
    // 8 times the nodes: linear work takes about 8 times as long, quadratic 64.
    expect(time(16_000) / time(2_000)).toBeLessThan(30);
  });

  it('G7: a length of 0 lets the others be of any size, and nothing walks them', () => {
    const huge = 2 ** 31 - 1;
    const empty = { dtype: 'float32', shape: [huge, huge, 0], data: new Float32Array(0) } as const;
    const g2 = graph('empty', (b) => {
      const x = b.input('x', 'float32', empty.shape);
      b.output('softmax', b.add('Softmax', [x]));
      b.output('sum', b.add('CumSum', [x, b.weight('axis', t('int64', [], [2]))]));
      b.output('greatest', b.add('ArgMax', [x], { axis: 1, keepdims: 0 }));
    });
    const results = evaluate(g2, { x: empty });
    expect(results['softmax']).toMatchObject({ dtype: 'float32', shape: [huge, huge, 0] });
    expect(results['sum']?.data).toHaveLength(0);
    expect(results['greatest']).toMatchObject({ dtype: 'int64', shape: [huge, 0] });
    const boxes = { dtype: 'float32', shape: [huge, 0, 4], data: new Float32Array(0) } as const;
    const scores = { dtype: 'float32', shape: [huge, huge, 0], data: new Float32Array(0) } as const;
    const [kept] = runOp('NonMaxSuppression', [boxes, scores, t('int64', [], [5])]);
    expect(kept?.shape).toEqual([0, 3]);
  });

  it('adds exactly in any order that float64 allows, then rounds once', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), fc.float({ noNaN: true }), (a, b) => {
        expect(evaluate(chain2, { a: Float32Array.of(a), b: Float32Array.of(b) })['y']?.data[0]).toBe(
          Math.fround(a + b),
        );
      }),
      { seed: 7, numRuns: 50 },
    );
  });
});

const chain2 = graph('sum', (b) => {
  b.output('y', b.add('Add', [b.input('a', 'float32', [1]), b.input('b', 'float32', [1])]));
});
