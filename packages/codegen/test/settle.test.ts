/** Shapes that constants decide. Loops are written out: what they compute stays the same, and what cannot be written out is refused by name. */
import { type AttributeInput, type Graph, type GraphBuilder, graph, type Tensor } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { settle } from '../src/passes/settle.ts';
import { check, random, randomInputs } from './check.ts';

const scalar = (b: GraphBuilder, name: string, value: number) =>
  b.weight(name, { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(value)) });
const truth = (b: GraphBuilder, name: string, value: boolean) =>
  b.weight(name, { dtype: 'bool', shape: [], data: Uint8Array.of(value ? 1 : 0) });
const close = { absolute: 1e-5, relative: 1e-5 };

/** A recurrent cell: h' = tanh(x W + h U), with its weights inside or around the body. */
function scan(next: () => number, attributes: AttributeInput<'Scan'>, steps: number, layout: number): Graph {
  const [inputs, hidden] = [1 + Math.floor(next() * 5), 1 + Math.floor(next() * 5)];
  const matrix = (rows: number) => ({
    dtype: 'float32' as const,
    shape: [rows, hidden],
    data: Float32Array.from({ length: rows * hidden }, () => next() - 0.5),
  });
  const body = graph('cell', (b) => {
    const h = b.input('h', 'float32', [2, hidden]);
    const x = b.input('x_t', 'float32', [2, inputs]);
    const w = b.weight('W', matrix(inputs));
    const sum = b.add('Add', [b.add('MatMul', [x, w]), b.add('MatMul', [h, 'U'])]);
    b.output('h_out', b.add('Tanh', [sum], {}, { output: 'h_out' }));
    b.output('twice', b.add('Add', ['h_out', 'h_out'], {}, { output: 'twice' }));
    b.output('x_out', b.add('Neg', [x], {}, { output: 'x_out' }));
  });
  return graph(`scan of ${steps}`, (b) => {
    const h = b.input('h0', 'float32', [2, hidden]);
    const x = b.input('x', 'float32', layout === 0 ? [steps, 2, inputs] : [2, steps, inputs]);
    b.weight('U', matrix(hidden));
    const outputs = b.addMany('Scan', [h, x], ['h_n', 'all', 'negated'], {
      body,
      num_scan_inputs: 1,
      scan_input_axes: [layout],
      ...attributes,
    });
    b.output('last', outputs[0]);
    b.output('all', outputs[1]);
    b.output('sum', b.add('Add', [outputs[2] ?? '', outputs[2] ?? '']));
  });
}

describe('Scan', () => {
  it('C4, C7: a recurrent cell in every direction, along either axis, of 0 to 7 steps', () => {
    for (let seed = 1; seed <= 24; seed++) {
      const next = random(seed);
      const g = scan(
        next,
        {
          scan_input_directions: [seed & 1],
          scan_output_directions: [(seed >> 1) & 1, 0],
          scan_output_axes: [(seed >> 2) & 1, -1],
        },
        seed % 8,
        (seed >> 3) & 1,
      );
      check(g, { inputs: randomInputs(g, seed, false), ...close });
    }
  });

  it('without a state it maps', () => {
    const body = graph('square', (b) => {
      const x = b.input('x', 'float32', [3]);
      b.output('y', b.add('Mul', [x, x]));
    });
    const g = graph('map', (b) => {
      b.output('y', b.add('Scan', [b.input('rows', 'float32', [5, 3])], { body, num_scan_inputs: 1 }));
    });
    check(g, { inputs: randomInputs(g, 3, false) });
  });

  it('has one copy of its weights, however many steps there are', () => {
    const sizes = [2, 40].map((steps) => {
      const model = check(scan(random(5), {}, steps, 0), close);
      return (model.segments ?? []).filter(({ kind }) => kind === 'weights').reduce((sum, { bytes }) => sum + bytes, 0);
    });
    expect(sizes[1]).toBe(sizes[0]);
  });

  it('of more nodes than there is room for, is refused', () => {
    expect(() => compile(scan(random(1), {}, 5000, 0))).toThrow(
      /"Scan_0" \(Scan\): 5000 iterations, 30000 nodes when written out; supported: loops of up to 20000 nodes/,
    );
  });
});

/** sum += x · i; also gives the sums of all iterations. */
function sums(build: (b: GraphBuilder, condition: string, sum: string) => string): Graph {
  return graph('body', (b) => {
    const i = b.input('i', 'int64', []);
    const condition = b.input('going', 'bool', []);
    const sum = b.input('sum', 'float32', [3]);
    const more = b.add('Mul', ['x', b.add('Cast', [i], { to: 'float32' })]);
    const total = b.add('Add', [sum, more], {}, { output: 'total' });
    b.output('going_out', build(b, condition, total));
    b.output('total', total);
  });
}

describe('Loop', () => {
  const x = (b: GraphBuilder) => b.input('x', 'float32', [3]);
  const start = (b: GraphBuilder) => b.input('start', 'float32', [3]);

  it('with a trip count runs that often, 0 and negative counts included, and numbers its iterations', () => {
    for (const trips of [-1, 0, 1, 5]) {
      const body = sums((_, condition) => condition);
      const scanned = { ...body, outputs: new Map([...body.outputs, ['each', 'total']]) };
      const g = graph(`${trips} trips`, (b) => {
        x(b);
        const outputs = b.addMany('Loop', [scalar(b, 'M', trips), '', start(b)], 2, { body: scanned });
        b.output('total', outputs[0]);
        if (trips > 0) b.output('each', outputs[1]);
      });
      check(g, { inputs: randomInputs(g, 2, false), ...close });
    }
  });

  it('ends when its condition does: constant, of the iteration, or of the data', () => {
    const conditions: Record<string, (b: GraphBuilder, condition: string, sum: string) => string> = {
      once: (b) => truth(b, 'no', false),
      always: (b) => b.add('Identity', [truth(b, 'yes', true)]),
      small: (b, _, sum) =>
        b.add('Less', [
          b.add('ReduceMax', [sum], { keepdims: 0 }),
          b.weight('limit', { dtype: 'float32', shape: [], data: Float32Array.of(4) }),
        ]),
      early: (b) => b.add('Less', ['i', scalar(b, 'two', 2)]),
    };
    for (const [name, condition] of Object.entries(conditions))
      for (const given of ['', 'true', 'false', 'input'])
        for (const first of [0.1, 3]) {
          const body = sums(condition);
          const g = graph(`${name} ${given}`, (b) => {
            x(b);
            const going =
              given === 'input' ? b.input('cond', 'bool', []) : given === '' ? '' : truth(b, 'cond', given === 'true');
            b.output('total', b.add('Loop', [scalar(b, 'M', 6), going, start(b)], { body }));
          });
          for (const cond of given === 'input' ? [0, 1] : [1]) {
            const inputs: Record<string, Tensor> = {
              x: { dtype: 'float32', shape: [3], data: Float32Array.of(first, first / 2, -1) },
              start: { dtype: 'float32', shape: [3], data: Float32Array.of(0, 1, 2) },
              ...(given === 'input' ? { cond: { dtype: 'bool', shape: [], data: Uint8Array.of(cond) } } : {}),
            };
            check(g, { inputs, ...close });
          }
        }
  });

  it('may carry a value that grows', () => {
    const body = graph('grow', (b) => {
      b.input('i', 'int64', []);
      const condition = b.input('going', 'bool', []);
      const list = b.input('list', 'float32', ['n']);
      b.output('going_out', condition);
      b.output('longer', b.add('Concat', [list, 'x'], { axis: 0 }));
    });
    const g = graph('growing', (b) => {
      x(b);
      const list = b.add('Loop', [scalar(b, 'M', 4), '', start(b)], { body });
      b.output('y', b.add('Relu', [list]));
    });
    const model = check(g, { inputs: randomInputs(g, 4, false) });
    expect(model.manifest.outputs[0]?.shape).toEqual([15]);
  });

  it('may stand inside another, and inside a branch', () => {
    const inner = graph('inner', (b) => {
      b.input('j', 'int64', []);
      const condition = b.input('inner_going', 'bool', []);
      const value = b.input('value', 'float32', [3]);
      b.output('inner_going_out', condition);
      b.output('inner_value', b.add('Add', [value, 'x'], {}, { output: 'inner_value' }));
    });
    const outer = graph('outer', (b) => {
      b.input('i', 'int64', []);
      const condition = b.input('going', 'bool', []);
      const value = b.input('outer_value', 'float32', [3]);
      b.output('going_out', condition);
      const count = scalar(b, 'inner_M', 3);
      const sum = b.add('Loop', [count, '', value], { body: inner }, { output: 'inner_sum' });
      b.output('scaled', b.add('Mul', [sum, 'x'], {}, { output: 'scaled' }));
    });
    const g = graph('nested', (b) => {
      x(b);
      const value = start(b);
      const cond = b.input('cond', 'bool', []);
      const then = graph('then', (t) => {
        t.output('a', t.add('Loop', [scalar(t, 'M', 2), '', value], { body: outer }, { output: 'then_result' }));
      });
      const otherwise = graph('else', (t) => {
        t.output('a', t.add('Neg', [value], {}, { output: 'else_result' }));
      });
      b.output('y', b.add('If', [cond], { then_branch: then, else_branch: otherwise }));
    });
    for (const cond of [0, 1])
      check(g, {
        inputs: { ...randomInputs(g, 6, false), cond: { dtype: 'bool', shape: [], data: Uint8Array.of(cond) } },
        ...close,
      });
    const written = settle(g);
    const inputs = randomInputs(g, 7, false);
    expect(evaluate(written, inputs)).toEqual(evaluate(g, inputs));
  });

  it('that only a run can count is refused, and why', () => {
    const body = sums((_, condition) => condition);
    const refused = (name: string, build: (b: GraphBuilder) => void, why: RegExp) =>
      expect(() => compile(graph(name, build)), name).toThrow(why);
    refused(
      'count',
      (b) => {
        x(b);
        b.output('y', b.add('Loop', [b.input('M', 'int64', []), '', start(b)], { body }));
      },
      /\(Loop\): a number of iterations that only a run can tell; supported: a constant trip count/,
    );
    const asking = sums((b, _, sum) =>
      b.add('Less', [b.add('ReduceMax', [sum], { keepdims: 0 }), b.add('ReduceMin', [sum], { keepdims: 0 })]),
    );
    refused(
      'scan outputs',
      (b) => {
        x(b);
        const each = { ...asking, outputs: new Map([...asking.outputs, ['each', 'total']]) };
        b.output('y', b.addMany('Loop', [scalar(b, 'M', 3), '', start(b)], 2, { body: each })[1]);
      },
      /scan outputs of a loop that a run may end early/,
    );
    refused(
      'no count',
      (b) => {
        x(b);
        b.output('y', b.add('Loop', ['', '', start(b)], { body: asking }));
      },
      /a number of iterations that only a run can tell/,
    );
  });
});

describe('selection', () => {
  it('with a constant condition reads at known places', () => {
    for (const axis of [undefined, 0, -1])
      for (const kept of [[], [1], [0, 1], [1, 0, 1]]) {
        const g = graph(`compress ${axis} ${kept}`, (b) => {
          const given = b.input('x', 'float32', [3, 4]);
          const condition = b.weight('kept', { dtype: 'bool', shape: [kept.length], data: Uint8Array.from(kept) });
          b.output('y', b.add('Abs', [b.add('Compress', [given, condition], axis === undefined ? {} : { axis })]));
        });
        check(g, { inputs: randomInputs(g, 8, false) });
      }
  });

  it('of constants is done before a run', () => {
    const g = graph('non-zero', (b) => {
      const mask = b.weight('mask', { dtype: 'float32', shape: [4], data: Float32Array.of(0, 1, 0, 2) });
      const places = b.add('Reshape', [
        b.add('NonZero', [mask]),
        b.weight('flat', { dtype: 'int64', shape: [1], data: BigInt64Array.of(-1n) }),
      ]);
      b.output('y', b.add('Gather', [b.input('x', 'float32', [4]), places]));
    });
    expect(check(g).manifest.outputs[0]?.shape).toEqual([2]);
  });

  it('of what a run finds is refused by name, with what can be done', () => {
    const refused = (build: (b: GraphBuilder, x: string) => string, why: RegExp) =>
      expect(() =>
        compile(
          graph('open', (b) => {
            b.output('y', b.add('Abs', [build(b, b.input('x', 'float32', [1, 4, 4]))]));
          }),
        ),
      ).toThrow(why);
    refused(
      (b, x) => b.add('NonZero', [x]),
      /"NonZero_0" \(NonZero\): as many results as a run finds; supported: a constant input; or end the model before/,
    );
    refused((b, x) => b.add('Unique', [x]), /\(Unique\): as many/);
    refused((b, x) => b.add('Compress', [x, b.input('c', 'bool', [2])]), /\(Compress\): .* a constant condition/);
    refused((b, x) => b.add('NonMaxSuppression', [x, b.input('s', 'float32', [1, 2, 4])]), /\(NonMaxSuppression\)/);
  });
});
