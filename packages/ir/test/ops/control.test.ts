import { describe, expect, it } from 'vitest';
import { type Graph, type GraphBuilder, graph } from '../../src/graph.ts';
import { inferTypes } from '../../src/infer.ts';
import type { Limits } from '../../src/limits.ts';
import { toReals } from '../../src/numeric.ts';
import { evaluate } from '../../src/reference/index.ts';
import type { Tensor } from '../../src/types.ts';
import { refusal, t } from '../run.ts';

const f32 = (shape: readonly number[], values: readonly number[]) => t('float32', shape, values);
const truth = (value: boolean) => t('bool', [], [value ? 1 : 0]);
const count = (value: number | bigint) => t('int64', [], [value]);
const values = (tensor: Tensor | undefined) => Array.from(toReals(tensor as Tensor));

/** A body that gives one value, made by `build`. */
const branch = (build: (b: GraphBuilder) => string): Graph => graph('branch', (b) => b.output('out', build(b)));

describe('If', () => {
  const outer = (thenBranch: Graph, elseBranch: Graph) =>
    graph('if', (b) => {
      b.input('cond', 'bool', []);
      b.input('x', 'float32', ['N']);
      b.output('y', b.add('If', ['cond'], { then_branch: thenBranch, else_branch: elseBranch }));
    });
  const double = branch((b) => b.add('Add', ['x', 'x']));
  const constant = branch((b) => b.weight('w', f32([1, 2], [7, 8])));

  it('runs the branch that the condition names, which sees the values around it', () => {
    const g = outer(double, constant);
    const x = f32([2], [1, 2]);
    expect(values(evaluate(g, { cond: truth(true), x })['y'])).toEqual([2, 4]);
    const no = evaluate(g, { cond: truth(false), x })['y'];
    expect(no?.shape).toEqual([1, 2]);
    expect(values(no)).toEqual([7, 8]);
  });

  it('has the lengths in which both branches agree, and no rank when they differ in it', () => {
    const type = (a: Graph, b: Graph) => Array.from(inferTypes(outer(a, b)).entries()).at(-1)?.[1];
    expect(type(double, double)).toEqual({ dtype: 'float32', shape: ['N'] });
    expect(type(double, constant)).toEqual({ dtype: 'float32', shape: null });
    const other = branch((b) => b.weight('v', f32([1, 3], [0, 0, 0])));
    const mixed = type(constant, other)?.shape;
    expect(mixed?.[0]).toBe(1);
    expect(mixed?.[1]).toMatch(/^\?/);
  });

  it('does not look at the branch that is not taken: it may be there for other shapes', () => {
    // x has 2 elements; the other branch adds 3.
    const unfit = branch((b) => b.add('Add', ['x', b.weight('w', f32([3], [1, 2, 3]))]));
    const g = outer(unfit, double);
    expect(values(evaluate(g, { cond: truth(false), x: f32([2], [1, 2]) })['y'])).toEqual([2, 4]);
    expect(refusal(() => evaluate(g, { cond: truth(true), x: f32([2], [1, 2]) })).code).toBe('GRIM_IR_SHAPE_MISMATCH');
  });

  it.each([
    ['branches of different types', branch((b) => b.weight('w', count(1))), /int64 in then_branch/],
    ['branches with different numbers of outputs', graph('none', () => {}), /then_branch has 0 outputs/],
    ['a branch with inputs', graph('in', (b) => b.output('o', b.input('i', 'float32', []))), /takes 1 inputs/],
    ['a branch whose output does not exist', graph('lost', (b) => b.output('o', 'nowhere')), /nowhere/],
  ])('refuses %s', (_, thenBranch, message) => {
    expect(refusal(() => inferTypes(outer(thenBranch, constant))).message).toMatch(message);
  });

  it('refuses a condition of two elements, and more outputs than the branches give', () => {
    const g = graph('if', (b) => {
      b.input('cond', 'bool', [2]);
      b.output('y', b.add('If', ['cond'], { then_branch: constant, else_branch: constant }));
    });
    expect(refusal(() => inferTypes(g)).message).toMatch(/exactly one element/);
    const many = graph('if', (b) => {
      b.addMany('If', [b.input('cond', 'bool', [])], 2, { then_branch: constant, else_branch: constant });
    });
    expect(refusal(() => inferTypes(many)).code).toBe('GRIM_IR_ARITY');
  });
});

/** sum ← sum + x, and each partial sum is scanned out; goes on while `cond`. */
const sumBody = (step?: (b: GraphBuilder) => string): Graph =>
  graph('body', (b) => {
    b.input('i', 'int64', []);
    b.input('going', 'bool', []);
    b.input('before', 'float32', [2]);
    b.output('going_on', step?.(b) ?? 'going');
    b.output('after', b.add('Add', ['before', 'x'], {}, { output: 'after' }));
    b.output('partial', 'after');
  });

/** Trips and condition are left out when undefined. */
function loop(body: Graph, trips: Tensor | undefined, cond: Tensor | undefined, initial = f32([2], [0, 0])): Graph {
  return graph('loop', (b) => {
    b.input('x', 'float32', [2]);
    const names = [
      trips ? b.weight('M', trips) : '',
      cond ? b.weight('start', cond) : '',
      b.weight('initial', initial),
    ];
    const [last = '', all = ''] = b.addMany('Loop', names, 2, { body });
    b.output('last', last);
    b.output('all', all);
  });
}

describe('Loop', () => {
  const x = f32([2], [1, 10]);

  it.each([[truth(true)], [undefined]])('carries values and stacks scan outputs, M times', (cond) => {
    const { last, all } = evaluate(loop(sumBody(), count(3), cond), { x });
    expect(values(last)).toEqual([3, 30]);
    expect(all?.shape).toEqual([3, 2]);
    expect(values(all)).toEqual([1, 10, 2, 20, 3, 30]);
  });

  it.each([
    [count(0), truth(true)],
    [count(-3), undefined],
    [count(5), truth(false)],
    [undefined, truth(false)],
  ])('gives the initial values and an empty scan output when it takes no step', (trips, cond) => {
    const { last, all } = evaluate(loop(sumBody(), trips, cond), { x });
    expect(values(last)).toEqual([0, 0]);
    expect(all).toMatchObject({ dtype: 'float32', shape: [0, 2] });
  });

  it('knows the lengths of scan outputs from those of carried values that no iteration changes', () => {
    const body = graph('body', (b) => {
      b.input('i', 'int64', []);
      b.input('going', 'bool', []);
      b.input('kept', 'float32', ['a', 'b']);
      b.input('grown', 'float32', ['c']);
      b.output('going_on', 'going');
      b.output('kept_on', b.add('Neg', ['kept']));
      b.output('more', b.add('Concat', ['grown', 'grown'], { axis: 0 }));
      b.output('swapped', b.add('Transpose', ['kept']));
      b.output('seen', b.add('Neg', ['grown']));
    });
    const g = graph('loop', (b) => {
      b.input('M', 'int64', []);
      const names = ['M', '', b.weight('k', f32([2, 3], [1, 2, 3, 4, 5, 6])), b.weight('v', f32([1], [7]))];
      for (const name of b.addMany('Loop', names, 4, { body })) b.output(name, name);
    });
    const [kept, grown, swapped, seen] = Array.from(g.outputs.values(), (name) => inferTypes(g).get(name)?.shape);
    expect(kept).toEqual([2, 3]);
    expect(grown).toEqual([expect.any(String)]);
    expect(swapped).toEqual([expect.any(String), 3, 2]);
    expect(seen).toEqual([expect.any(String), expect.any(String)]);
    const none = Object.values(evaluate(g, { M: count(0) })).map(({ shape }) => shape);
    expect(none).toEqual([[2, 3], [1], [0, 3, 2], [0, 0]]);
  });

  it('counts its steps, and ends when the body says so though M is absent', () => {
    const body = graph('body', (b) => {
      b.input('i', 'int64', []);
      b.input('going', 'bool', []);
      b.input('before', 'int64', []);
      const sum = b.add('Add', ['before', 'i']);
      b.output('going_on', b.add('Less', ['i', 'limit']));
      b.output('sum', sum);
      b.output('i_out', 'i');
    });
    const g = graph('loop', (b) => {
      b.weight('limit', count(2));
      const names = ['', '', b.weight('initial', count(5))];
      const [sum = '', steps = ''] = b.addMany('Loop', names, 2, { body });
      b.output('sum', sum);
      b.output('steps', steps);
    });
    const { sum, steps } = evaluate(g, {});
    expect(values(sum)).toEqual([5 + 0 + 1 + 2]);
    expect(values(steps)).toEqual([0, 1, 2]);
  });

  it('lets a carried value grow from step to step', () => {
    const body = graph('body', (b) => {
      b.input('i', 'int64', []);
      b.input('going', 'bool', []);
      b.input('before', 'float32', ['n']);
      b.output('going_on', 'going');
      b.output('after', b.add('Concat', ['before', 'before'], { axis: 0 }));
    });
    const g = graph('loop', (b) => {
      const names = [b.weight('M', count(3)), '', b.weight('initial', f32([1], [4]))];
      b.output('y', b.add('Loop', names, { body }));
    });
    expect(evaluate(g, {})['y']).toEqual(f32([8], new Array(8).fill(4)));
    expect(inferTypes(g).get(g.outputs.get('y') ?? '')?.shape?.[0]).toMatch(/^\?/);
  });

  it('knows that a carried value keeps lengths that the body does not change', () => {
    const g = loop(sumBody(), count(3), undefined);
    const types = inferTypes(g);
    expect(types.get(g.outputs.get('last') ?? '')?.shape).toEqual([2]);
    expect(types.get(g.outputs.get('all') ?? '')?.shape?.[1]).toBe(2);
  });

  it('gives iteration and condition the one axis that a body declares for them', () => {
    const body = graph('body', (b) => {
      b.input('i', 'int64', [1]);
      b.input('going', 'bool', [1]);
      b.output('going_on', 'going');
      b.output('steps', 'i');
    });
    const g = graph('loop', (b) => b.output('y', b.add('Loop', [b.weight('M', count(2))], { body })));
    const { y } = evaluate(g, {});
    expect(y?.shape).toEqual([2, 1]);
    expect(values(y)).toEqual([0, 1]);
  });

  it('ends an endless loop at the limit loopSteps, one past it and not before', () => {
    const run = (trips: Tensor | undefined, loopSteps: number) =>
      evaluate(loop(sumBody(), trips, undefined), { x }, { limits: { loopSteps } });
    expect(values(run(count(50), 50)['last'])).toEqual([50, 500]);
    for (const trips of [undefined, count(51), count(2n ** 63n - 1n)]) {
      const { code, message } = refusal(() => run(trips, 50));
      expect(code).toBe('GRIM_IR_LIMIT');
      expect(message).toMatch(/loopSteps/);
    }
  });

  it('counts the steps of loops in loops together', () => {
    const inner = sumBody();
    const middle = graph('middle', (b) => {
      b.input('j', 'int64', []);
      b.input('again', 'bool', []);
      b.input('sum', 'float32', [2]);
      b.output('again_out', 'again');
      const [last = ''] = b.addMany('Loop', ['M', '', 'sum'], 2, { body: inner });
      b.output('sum_out', last);
    });
    const g = graph('nested', (b) => {
      b.input('x', 'float32', [2]);
      const trips = b.weight('M', count(10));
      b.output('y', b.add('Loop', [trips, '', b.weight('zero', f32([2], [0, 0]))], { body: middle }));
    });
    expect(values(evaluate(g, { x }, { limits: { loopSteps: 110 } })['y'])).toEqual([100, 1000]);
    expect(refusal(() => evaluate(g, { x }, { limits: { loopSteps: 109 } })).code).toBe('GRIM_IR_LIMIT');
  });

  it('stops scan outputs at the limit evaluateBytes', () => {
    const run = (evaluateBytes: number) =>
      evaluate(loop(sumBody(), count(1000), undefined), { x }, { limits: { evaluateBytes } });
    expect(run(20_000)['all']?.shape).toEqual([1000, 2]);
    expect(refusal(() => run(7_999)).code).toBe('GRIM_IR_LIMIT');
  });

  it('refuses scan outputs whose shape changes', () => {
    const body = graph('body', (b) => {
      b.input('i', 'int64', []);
      b.input('going', 'bool', []);
      b.input('before', 'float32', ['n']);
      b.output('going_on', 'going');
      b.output('after', b.add('Concat', ['before', 'before'], { axis: 0 }));
      b.output('partial', 'before');
    });
    const { code, message } = refusal(() => evaluate(loop(body, count(2), undefined), { x }));
    expect(code).toBe('GRIM_IR_BAD_VALUE');
    expect(message).toMatch(/\[2\] to \[4\]/);
  });

  const bodyOf = (build: (b: GraphBuilder) => void) => graph('body', build);
  it.each([
    ['a body without the carried value', bodyOf((b) => b.output('c', b.input('c0', 'bool', []))), /takes 1 inputs/],
    [
      'a body without outputs for it',
      bodyOf((b) => {
        for (const [name, type] of [
          ['i', 'int64'],
          ['c', 'bool'],
          ['v', 'float32'],
        ] as const)
          b.input(name, type, []);
        b.output('c_out', 'c');
      }),
      /at least 2 are needed/,
    ],
    [
      'a body that gives the value back as another type',
      bodyOf((b) => {
        for (const [name, type] of [
          ['i', 'int64'],
          ['c', 'bool'],
          ['v', 'float32'],
        ] as const)
          b.input(name, type, null);
        b.output('c_out', 'c');
        b.output('v_out', 'i');
        b.output('scan', 'i');
      }),
      /comes out as int64/,
    ],
    [
      'a body that declares the value as another type',
      bodyOf((b) => {
        for (const [name, type] of [
          ['i', 'int64'],
          ['c', 'bool'],
          ['v', 'int32'],
        ] as const)
          b.input(name, type, null);
        b.output('c_out', 'c');
        b.output('v_out', 'v');
        b.output('scan', 'i');
      }),
      /declared int32 and is given float32/,
    ],
    [
      'a condition that is not boolean',
      bodyOf((b) => {
        for (const [name, type] of [
          ['i', 'int64'],
          ['c', 'bool'],
          ['v', 'float32'],
        ] as const)
          b.input(name, type, null);
        b.output('c_out', 'i');
        b.output('v_out', 'v');
        b.output('scan', 'i');
      }),
      /the condition, is int64/,
    ],
  ])('refuses %s', (_, body, message) => {
    expect(refusal(() => inferTypes(loop(body, count(1), undefined))).message).toMatch(message);
  });

  it('refuses two trip counts', () => {
    expect(refusal(() => inferTypes(loop(sumBody(), t('int64', [2], [1, 2]), undefined))).message).toMatch(
      /exactly one/,
    );
  });
});

describe('Scan', () => {
  /** Running sums over slices of `x`, with whatever axes and directions. */
  const body = graph('body', (b) => {
    b.input('sum', 'float32', [2]);
    b.input('slice', 'float32', [2]);
    b.output('sum_out', b.add('Add', ['sum', 'slice'], {}, { output: 'next' }));
    b.output('scan', 'next');
  });
  const scan = (x: Tensor, attributes: object, of = body) =>
    graph('scan', (b) => {
      b.input('x', 'float32', x.shape);
      const names = [b.weight('zero', f32([2], [0, 0])), 'x'];
      const [last = '', all = ''] = b.addMany('Scan', names, 2, { body: of, num_scan_inputs: 1, ...attributes });
      b.output('last', last);
      b.output('all', all);
    });
  const run = (x: Tensor, attributes: object = {}, limits: Partial<Limits> = {}) =>
    evaluate(scan(x, attributes), { x }, { limits });
  const x = f32([3, 2], [1, 10, 2, 20, 3, 30]);
  const turned = f32([2, 3], [1, 2, 3, 10, 20, 30]);

  it('runs the body on each slice', () => {
    const { last, all } = run(x);
    expect(values(last)).toEqual([6, 60]);
    expect(all?.shape).toEqual([3, 2]);
    expect(values(all)).toEqual([1, 10, 3, 30, 6, 60]);
  });

  it('runs backward over its input, and stacks backward', () => {
    expect(values(run(x, { scan_input_directions: [1] })['all'])).toEqual([3, 30, 5, 50, 6, 60]);
    expect(values(run(x, { scan_output_directions: [1] })['all'])).toEqual([6, 60, 3, 30, 1, 10]);
  });

  it.each([1, -1])('takes slices along axis %s, and stacks along it', (axis) => {
    const { all } = run(turned, { scan_input_axes: [axis], scan_output_axes: [axis] });
    expect(all?.shape).toEqual([2, 3]);
    expect(values(all)).toEqual([1, 3, 6, 10, 30, 60]);
  });

  it('gives its state back and an empty stack for a sequence of length 0', () => {
    const { last, all } = run(f32([0, 2], []));
    expect(values(last)).toEqual([0, 0]);
    expect(all?.shape).toEqual([0, 2]);
    expect(run(f32([2, 0], []), { scan_input_axes: [1], scan_output_axes: [-1] })['all']?.shape).toEqual([2, 0]);
  });

  it('knows its shapes before it runs', () => {
    const g = scan(x, { scan_output_axes: [1] });
    const types = inferTypes(g);
    expect(Array.from(g.outputs.values(), (name) => types.get(name)?.shape)).toEqual([[2], [2, 3]]);
  });

  it('is bounded by the limit loopSteps', () => {
    expect(values(run(x, {}, { loopSteps: 3 })['last'])).toEqual([6, 60]);
    expect(refusal(() => run(x, {}, { loopSteps: 2 })).code).toBe('GRIM_IR_LIMIT');
  });

  it.each([
    ['G9: an input axis equal to the rank', { scan_input_axes: [2] }, /axis 2 is outside/],
    ['G9: an input axis below -rank', { scan_input_axes: [-3] }, /axis -3 is outside/],
    ['G9: an output axis past the rank of the stack', { scan_output_axes: [2] }, /axis 2 is outside/],
    ['two axes for one scan input', { scan_input_axes: [0, 0] }, /2 entries for 1/],
    ['a direction of 2', { scan_input_directions: [2] }, /0 \(forward\) or 1/],
    ['directions for more outputs', { scan_output_directions: [0, 0] }, /2 entries for 1/],
    ['more scan inputs than inputs', { num_scan_inputs: 3 }, /has 2 inputs/],
  ])('refuses %s', (_, attributes, message) => {
    expect(refusal(() => run(x, attributes)).message).toMatch(message);
  });

  it('refuses scan inputs of different lengths, and a state that changes', () => {
    const two = graph('two', (b) => {
      b.input('a', 'float32', []);
      b.input('b', 'float32', []);
      b.output('sum', b.add('Add', ['a', 'b']));
    });
    const g = graph('scan', (b) => {
      const names = [b.weight('p', f32([2], [1, 2])), b.weight('q', f32([3], [1, 2, 3]))];
      b.output('y', b.add('Scan', names, { body: two, num_scan_inputs: 2 }));
    });
    expect(refusal(() => inferTypes(g)).message).toMatch(/an earlier one 2/);
    const growing = graph('growing', (b) => {
      b.input('sum', 'float32', [2]);
      b.input('slice', 'float32', [2]);
      b.output('sum_out', b.add('Concat', ['sum', 'slice'], { axis: 0 }));
      b.output('scan', 'slice');
    });
    expect(refusal(() => inferTypes(scan(x, {}, growing))).message).toMatch(/A state keeps its shape/);
  });
});
