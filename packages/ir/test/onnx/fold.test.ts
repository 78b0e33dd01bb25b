/** Constant folding: what vanishes, what stays, and that nothing changes its meaning. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fold } from '../../src/fold.ts';
import { type Graph, type GraphBuilder, graph } from '../../src/graph.ts';
import { withLimits } from '../../src/limits.ts';
import { evaluate } from '../../src/reference/index.ts';
import type { Shape, Tensor } from '../../src/types.ts';
import { elements, reals, refusal, t } from '../run.ts';

const int64 = (...values: number[]) => t('int64', [values.length], values);
const ops = (g: Graph) => g.nodes.map(({ op }) => op);

/** x → Shape → Gather → Concat with −1 → Reshape, as exporters write `x.view(x.shape[0], -1)`. */
function flattening(b: GraphBuilder, shape: Shape): void {
  const x = b.input('x', 'float32', shape);
  const batch = b.add('Gather', [b.add('Shape', [x]), b.weight('zero', int64(0))]);
  const target = b.add('Concat', [batch, b.weight('rest', int64(-1))], { axis: 0 });
  b.output('y', b.add('Reshape', [x, target]));
}

describe('shape arithmetic', () => {
  it('a chain of Shape, Gather, Concat and Reshape leaves the Reshape alone', () => {
    const folded = fold(graph('view', (b) => flattening(b, [2, 3, 4])));
    expect(ops(folded)).toEqual(['Reshape']);
    expect(elements(folded.weights.get(folded.nodes[0]?.inputs[1] ?? ''))).toEqual([2n, -1n]);
  });

  it('it does so with a length that is only known at run time', () => {
    const folded = fold(graph('view', (b) => flattening(b, ['N', 3, 4])));
    expect(ops(folded)).toEqual(['Reshape']);
    const x = t(
      'float32',
      [5, 3, 4],
      Array.from({ length: 60 }, (_, i) => i),
    );
    expect(evaluate(folded, { x })['y']?.shape).toEqual([5, 12]);
  });

  it('a symbolic length that is not the one copied becomes −1, and two of them stay as they are', () => {
    const swap = (rest: Shape) =>
      graph('swap', (b) => {
        const x = b.input('x', 'float32', ['N', ...rest]);
        const lengths = b.add('Gather', [b.add('Shape', [x]), b.weight('order', int64(1, 0))]);
        b.output('y', b.add('Reshape', [x, lengths]));
      });
    expect(ops(fold(swap([3])))).toEqual(['Reshape']);
    expect(evaluate(fold(swap([3])), { x: t('float32', [2, 3], [1, 2, 3, 4, 5, 6]) })['y']?.shape).toEqual([3, 2]);
    expect(ops(fold(swap(['M'])))).toEqual(['Shape', 'Gather', 'Reshape']);
  });
});

describe('what is computed', () => {
  it('nodes on constants vanish, quantised weights become float ones', () => {
    const g = graph('quantised', (b) => {
      const w = b.add('DequantizeLinear', [
        b.weight('q', t('int8', [2], [-4, 6])),
        b.weight('scale', t('float32', [], [0.5])),
        b.weight('zero', t('int8', [], [2])),
      ]);
      b.output('y', b.add('Add', [b.input('x', 'float32', [2]), w]));
    });
    const folded = fold(g);
    expect(ops(folded)).toEqual(['Add']);
    expect(reals(folded.weights.get(folded.nodes[0]?.inputs[1] ?? ''))).toEqual([-3, 2]);
  });

  it('Identity, and Dropout outside training, vanish; a Dropout in training does not', () => {
    const dropout = (training: number) =>
      graph('dropout', (b) => {
        const x = b.add('Identity', [b.input('x', 'float32', [2])]);
        const ratio = b.weight('ratio', t('float32', [], [0.5]));
        const mode = b.weight('mode', t('bool', [], [training]));
        b.output('y', b.add('Identity', [b.add('Dropout', [x, ratio, mode])]));
      });
    expect(ops(fold(dropout(0)))).toEqual([]);
    expect(fold(dropout(0)).outputs.get('y')).toBe('x');
    // It would draw random numbers, which its rule refuses.
    expect(refusal(() => fold(dropout(1))).message).toContain('random');
  });

  it('G13: results of 10^12 elements from small constants are refused by their rule or stay, and take no memory', () => {
    const huge = int64(10000, 10000, 10000);
    const stays = graph('huge', (b) => {
      b.output('y', b.add('ConstantOfShape', [b.weight('shape', int64(2000, 2000))]));
      b.output('z', b.add('Expand', [b.weight('one', t('float32', [1], [1])), b.weight('to', int64(1000, 2000))]));
      b.output('t', b.add('Tile', [b.weight('two', t('float32', [2], [1, 2])), b.weight('times', int64(1_000_000))]));
      const [zero, many, step] = [0, 1_000_000, 1].map((n, i) => b.weight(`r${i}`, t('int64', [], [n])));
      b.output('r', b.add('Range', [zero ?? '', many ?? '', step ?? '']));
    });
    expect(ops(fold(stays))).toEqual(['ConstantOfShape', 'Expand', 'Tile', 'Range']);
    const refused = graph('huger', (b) => b.output('y', b.add('ConstantOfShape', [b.weight('shape', huge)])));
    expect(refusal(() => fold(refused)).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('G13: a result may be as large as the limit and no byte larger', () => {
    const g = graph('limit', (b) => {
      const w = b.weight('w', t('float32', [30_000], new Array(30_000).fill(1)));
      b.output('y', b.add('Neg', [w]));
    });
    expect(ops(fold(g, withLimits({ foldBytes: 120_000 })))).toEqual([]);
    expect(ops(fold(g, withLimits({ foldBytes: 119_999 })))).toEqual(['Neg']);
    const grow = (count: number) =>
      graph('grow', (b) => {
        const w = b.weight('w', t('float32', [10_000], new Array(10_000).fill(1)));
        b.output('y', b.add('Tile', [w, b.weight('n', int64(count))]));
      });
    // 8 bytes of the count are input, too.
    expect(ops(fold(grow(16)))).toEqual([]);
    expect(ops(fold(grow(17)))).toEqual(['Tile']);
  });

  it('a constant that no run could use is refused, but not in a branch that may never run', () => {
    const gather = (b: GraphBuilder, stem: string) =>
      b.add('Gather', [b.weight(`${stem}w`, t('float32', [2], [1, 2])), b.weight(`${stem}i`, int64(5))]);
    const certain = graph('certain', (b) => b.output('y', gather(b, 'a')));
    expect(refusal(() => fold(certain)).code).toMatch(/GRIM_IR_/);
  });
});

describe('bodies', () => {
  const branch = (name: string, op: 'Neg' | 'Abs') =>
    graph(name, (b) => {
      const inner = b.add('Add', ['x', b.weight('w', t('float32', [1], [1]))], {}, { output: 'inner' });
      b.output(`${name}_out`, b.add(op, [inner], {}, { output: 'result' }));
    });
  const choice = (constant: number | undefined) =>
    graph('choice', (b) => {
      b.input('x', 'float32', [1]);
      const cond = constant === undefined ? b.input('c', 'bool', []) : b.weight('c', t('bool', [], [constant]));
      const attributes = { then_branch: branch('yes', 'Neg'), else_branch: branch('no', 'Abs') };
      const [first = ''] = b.addMany('If', [cond], 1, attributes, { name: 'first' });
      const [second = ''] = b.addMany('If', [b.input('d', 'bool', [])], 1, attributes, { name: 'second' });
      b.output('y', b.add('Add', [first, second]));
    });

  it('an If with a constant condition becomes its branch, names kept apart from other bodies', () => {
    for (const [condition, op, expected] of [
      [1, 'Neg', 0],
      [0, 'Abs', 6],
    ] as const) {
      const folded = fold(choice(condition));
      expect(ops(folded)).toEqual(['Add', op, 'If', 'Add']);
      const given = { x: t('float32', [1], [2]), d: t('bool', [], [0]) };
      expect(reals(evaluate(folded, given)['y'])).toEqual([expected]);
      expect(reals(evaluate(choice(condition), given)['y'])).toEqual([expected]);
    }
  });

  it('an If with a condition of the run stays', () => {
    expect(ops(fold(choice(undefined)))).toEqual(['If', 'If', 'Add']);
  });

  it('bodies of loops are folded inside, with what is constant around them', () => {
    const body = graph('body', (b) => {
      b.input('i', 'int64', []);
      const go = b.input('go', 'bool', []);
      const v = b.input('v', 'float32', [2]);
      const two = b.add('Add', ['one', 'one'], {}, { output: 'two' });
      b.output('go_on', b.add('Identity', [go], {}, { output: 'going' }));
      b.output('v_out', b.add('Mul', [v, two], {}, { output: 'next' }));
    });
    const g = graph('loop', (b) => {
      b.weight('one', t('float32', [], [1]));
      const trips = b.weight('trips', t('int64', [], [3]));
      b.output('y', b.add('Loop', [trips, '', b.input('x', 'float32', [2])], { body }));
    });
    const folded = fold(g);
    const [loop] = folded.nodes;
    expect(loop?.op === 'Loop' && ops(loop.attributes.body)).toEqual(['Mul']);
    expect(folded.weights.has('one')).toBe(false);
    const x = t('float32', [2], [1, -1]);
    expect(reals(evaluate(folded, { x })['y'])).toEqual([8, -8]);
    expect(reals(evaluate(g, { x })['y'])).toEqual([8, -8]);
  });
});

describe('work', () => {
  it('P14, G13: what many nodes ask of one weight is bounded; shape arithmetic is still folded after that', () => {
    const sums = (count: number) =>
      graph('sums', (b) => {
        const w = b.weight('w', t('float32', [64, 1024], new Array(65536).fill(1)));
        for (let i = 0; i < count; i++) b.output(`y${i}`, b.add('ReduceSum', [w], { keepdims: 0 }));
        const x = b.input('x', 'float32', [2, 3]);
        b.output('lengths', b.add('Concat', [b.add('Shape', [x]), b.weight('rest', int64(-1))], { axis: 0 }));
      });
    expect(fold(sums(20)).nodes).toHaveLength(0);
    const many = fold(sums(2000));
    // 4 million elements, and 4 for each byte of the weight.
    expect(many.nodes.length).toBeGreaterThan(2000 - (4e6 + 4 * 4 * 65536) / 65536 - 1);
    expect(new Set(ops(many))).toEqual(new Set(['ReduceSum']));
    expect(elements(many.weights.get(many.outputs.get('lengths') ?? ''))).toEqual([2n, 3n, -1n]);
  });

  it('P14: operators whose work grows faster than their inputs stay nodes when the inputs are large', () => {
    const g = graph('steep', (b) => {
      const boxes = b.weight('boxes', t('float32', [1, 3000, 4], new Array(12000).fill(1)));
      const scores = b.weight('scores', t('float32', [1, 1, 3000], new Array(3000).fill(1)));
      b.output('kept', b.add('NonMaxSuppression', [boxes, scores, b.weight('most', t('int64', [], [3000]))]));
      b.output('det', b.add('Det', [b.weight('m', t('float32', [60, 60], new Array(3600).fill(1)))]));
      b.output('small', b.add('Det', [b.weight('s', t('float32', [2, 2], [1, 2, 3, 4]))]));
    });
    expect(ops(fold(g)).sort()).toEqual(['Det', 'NonMaxSuppression']);
  });

  it('P14: a large list of lengths is read for a few of the nodes that name it, not for each', () => {
    let reads = 0;
    const indices = t('int64', [100_000], new Array(100_000).fill(0));
    const data = new Proxy(indices.data, {
      get(target, key) {
        if (key === '0') reads++;
        const found = Reflect.get(target, key, target);
        return typeof found === 'function' ? found.bind(target) : found;
      },
    });
    const g = graph('gathers', (b) => {
      const x = b.input('x', 'float32', [4]);
      const i = b.weight('i', indices);
      for (let n = 0; n < 300; n++) b.output(`y${n}`, b.add('Gather', [x, i]));
    });
    const watched = { ...g, weights: new Map([['i', { ...indices, data } as Tensor]]) };
    expect(fold(watched).nodes).toHaveLength(300);
    expect(reads).toBeGreaterThan(0);
    expect(reads).toBeLessThan(60);
  });
});

describe('names', () => {
  it('G2, P14: nodes of one name get numbers, past those that the graph has already', () => {
    const base = graph('names', (b) => {
      let v = b.input('x', 'float32', [1]);
      for (let i = 0; i < 50_000; i++) v = b.add('Neg', [v]);
      b.output('y', v);
    });
    const name = (i: number) => (i % 2 ? 'n' : `n_${i / 2 + 1}`);
    const same = { ...base, nodes: base.nodes.map((node, i) => ({ ...node, name: name(i) })) } as Graph;
    const names = fold(same).nodes.map((node) => node.name);
    expect(new Set(names).size).toBe(50_000);
    expect(names.slice(0, 3)).toEqual(['n_1', 'n', 'n_2']);
  });
});

describe('the whole', () => {
  it('G19: a chain of 100 000 nodes is folded, dead ones dropped', () => {
    const g = graph('chain', (b) => {
      let v = b.input('x', 'float32', [1]);
      for (let i = 0; i < 100_000; i++) v = b.add('Neg', [v]);
      b.output('y', v);
      b.add('Exp', [v]);
    });
    expect(fold(g).nodes).toHaveLength(100_000);
  });

  it('folding never changes what is computed, and folding twice changes nothing', () => {
    const step = fc.record({
      op: fc.constantFrom('Add', 'Mul', 'Sub', 'Max', 'Neg', 'Abs', 'Identity', 'Concat', 'Shape'),
      a: fc.nat(),
      b: fc.nat(),
    });
    const property = fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), fc.boolean(), (steps, symbolic) => {
      const g = graph('random', (b) => {
        const values = [b.input('x', 'float32', [symbolic ? 'N' : 3]), b.weight('w', t('float32', [1], [2]))];
        const pick = (n: number) => values[n % values.length] ?? '';
        for (const s of steps) {
          const [p, q] = [pick(s.a), pick(s.b)];
          if (s.op === 'Concat') {
            // Parts of one length keep everything broadcastable.
            const summed = b.add('ReduceSum', [b.add('Concat', [p, q], { axis: 0 })], { keepdims: 1 });
            values.push(summed);
          } else if (s.op === 'Shape') values.push(b.add('Cast', [b.add('Shape', [p])], { to: 'float32' }));
          else if (s.op === 'Neg' || s.op === 'Abs' || s.op === 'Identity') values.push(b.add(s.op, [p]));
          else if (s.op === 'Max') values.push(b.add('Max', [p, q]));
          else values.push(b.add(s.op as 'Add', [p, q]));
        }
        values.slice(-3).forEach((v, i) => {
          b.output(`y${i}`, v);
        });
      });
      const x: Tensor = t('float32', [3], [1, -2, 0.5]);
      const folded = fold(g);
      const [before, after] = [evaluate(g, { x }), evaluate(folded, { x })];
      for (const name of Object.keys(before)) {
        expect(after[name]?.shape).toEqual(before[name]?.shape);
        expect(elements(after[name])).toEqual(elements(before[name]));
      }
      expect(fold(folded)).toEqual(folded);
    });
    fc.assert(property, { seed: 20, numRuns: 300 });
  });
});
