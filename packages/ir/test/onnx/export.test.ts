/** Exported files: read back the same, and onnxruntime computes the same from them. */
import { describe, expect, it } from 'vitest';
import { type Graph, graph } from '../../src/graph.ts';
import { decodeModel } from '../../src/onnx/decode.ts';
import { fromOnnx, toOnnx } from '../../src/onnx/index.ts';
import { evaluate } from '../../src/reference/index.ts';
import type { Tensor } from '../../src/types.ts';
import { elements, reals, refusal, t } from '../run.ts';
import { runtime } from './runtime.ts';

const opsetOf = (bytes: Uint8Array) => decodeModel(bytes).opsetImport[0]?.version;

/** The graph, its export read back, and the export in onnxruntime give the same. */
async function agrees(g: Graph, inputs: Readonly<Record<string, Tensor>>, options = {}): Promise<Graph> {
  const bytes = toOnnx(g, options);
  const back = fromOnnx(bytes);
  const [here, again, there] = [evaluate(g, inputs), evaluate(back, inputs), await runtime(bytes, inputs)];
  expect([...back.outputs.keys()]).toEqual([...g.outputs.keys()]);
  for (const [name, expected] of Object.entries(here)) {
    expect(elements(again[name])).toEqual(elements(expected));
    expect(there.get(name)?.shape).toEqual(expected.shape);
    for (const [i, value] of reals(there.get(name)).entries())
      expect(value).toBeCloseTo(reals(expected)[i] ?? Number.NaN, 5);
  }
  return back;
}

const x = t('float32', [2], [1, -2]);

describe('outputs', () => {
  it('may be inputs, weights, share a value, and have names that other values had', async () => {
    const g = graph('outputs', (b) => {
      const input = b.input('x', 'float32', [2]);
      const w = b.weight('w', t('float32', [2], [5, 6]));
      const neg = b.add('Neg', [input], {}, { output: 'clash' });
      const abs = b.add('Abs', [neg], {}, { output: 'v' });
      b.output('first', neg);
      b.output('second', neg);
      b.output('clash', abs);
      b.output('copy', input);
      b.output('w', w);
    });
    await agrees(g, { x });
  });

  it('an output that is the input of the same name is one', () => {
    const g = graph('through', (b) => b.output('x', b.input('x', 'float32', [2])));
    expect(fromOnnx(toOnnx(g))).toEqual({ ...g, name: 'through' });
  });

  it('an output with the name of an input that it is not is refused', () => {
    const g = graph('swap', (b) => {
      b.output('x', b.add('Neg', [b.input('x', 'float32', [2])]));
    });
    expect(refusal(() => toOnnx(g)).code).toBe('GRIM_ONNX_EXPORT');
  });

  it('G21: strange names come back', () => {
    const g = graph('', (b) => {
      b.output('constructor', b.add('Neg', [b.input('__proto__', 'float32', ['toString'])], {}, { output: '../y' }));
    });
    const back = fromOnnx(toOnnx(g));
    expect([...back.inputs]).toEqual([['__proto__', { dtype: 'float32', shape: ['toString'] }]]);
    expect([...back.outputs.keys()]).toEqual(['constructor']);
  });
});

describe('bodies', () => {
  it('may end in a value of the graph around them, in a weight, or twice in one value', async () => {
    const branch = (name: string, value: string) =>
      graph(name, (b) => {
        const w = b.weight(`${name}_w`, t('float32', [2], [7, 8]));
        b.output('p', value);
        b.output('q', w);
        const neg = b.add('Neg', [w], {}, { output: `${name}_n` });
        b.output('r', neg);
        b.output('s', neg);
      });
    const g = graph('if', (b) => {
      const input = b.input('x', 'float32', [2]);
      const abs = b.add('Abs', [input], {}, { output: 'abs' });
      const attributes = { then_branch: branch('yes', abs), else_branch: branch('no', input) };
      const results = b.addMany('If', [b.input('c', 'bool', [])], 4, attributes);
      results.forEach((value, i) => {
        b.output(`y${i}`, value);
      });
      // The public name of an output that a body uses under its own.
      b.output('renamed', abs);
    });
    for (const c of [0, 1]) await agrees(g, { x, c: t('bool', [], [c]) });
  });

  it('a Loop with carried and scanned values', async () => {
    const body = graph('body', (b) => {
      b.input('i', 'int64', []);
      b.input('go', 'bool', []);
      const v = b.add('Add', [b.input('v', 'float32', [2]), 'x'], {}, { output: 'next' });
      b.output('go_on', 'go');
      b.output('v_out', v);
      b.output('each', v);
    });
    const g = graph('loop', (b) => {
      const input = b.input('x', 'float32', [2]);
      const trips = b.weight('trips', t('int64', [], [3]));
      const [last = '', each = ''] = b.addMany('Loop', [trips, '', input], 2, { body });
      b.output('last', last);
      b.output('each', each);
    });
    await agrees(g, { x });
  });
});

describe('versions', () => {
  const one = (op: 'Relu' | 'Swish', dtype: 'float32' | 'bfloat16' = 'float32') =>
    graph('g', (b) => b.output('y', b.add(op, [b.input('x', dtype, [2])])));

  it('the oldest opset from 21 on that has what is used', () => {
    expect(opsetOf(toOnnx(one('Relu')))).toBe(21);
    expect(opsetOf(toOnnx(one('Relu', 'bfloat16')))).toBe(22);
    expect(opsetOf(toOnnx(one('Swish')))).toBe(24);
    const inside = graph('g', (b) => {
      const swish = (name: string) => graph(name, (i) => i.output('y', i.add('Swish', ['x'], {}, { output: name })));
      b.input('x', 'float32', [2]);
      b.output('y', b.add('If', [b.input('c', 'bool', [])], { then_branch: swish('p'), else_branch: swish('q') }));
    });
    expect(opsetOf(toOnnx(inside))).toBe(24);
  });

  it('another opset may be asked for, if it has what is used', () => {
    expect(opsetOf(toOnnx(one('Relu'), { opset: 23 }))).toBe(23);
    for (const opset of [20, 28, 21.5])
      expect(refusal(() => toOnnx(one('Relu'), { opset })).code).toBe('GRIM_ONNX_EXPORT');
    expect(refusal(() => toOnnx(one('Swish'), { opset: 23 })).code).toBe('GRIM_ONNX_EXPORT');
  });

  it('a graph without nodes, and the name of the producer', () => {
    expect(fromOnnx(toOnnx(graph('empty', () => {}))).nodes).toEqual([]);
    expect(decodeModel(toOnnx(one('Relu'), { producer: 'me' })).producerName).toBe('me');
  });
});

describe('weights', () => {
  const sparse = graph('sparse', (b) => {
    const few = b.weight('few', t('float32', [2, 4], [0, 0, 3, 0, 0, 0, 0, -0]));
    const many = b.weight('many', t('float32', [4], [1, 2, 3, 4]));
    b.output('y', b.add('Add', [b.add('Mul', [b.input('x', 'float32', [4]), few]), many]));
  });

  it('are written sparse on request, those below the density', async () => {
    const input = { x: t('float32', [4], [1, 2, 3, 4]) };
    const stored = (options: object) =>
      decodeModel(toOnnx(sparse, options)).graph.sparseInitializers.map((s) => s.values.name);
    expect(stored({})).toEqual([]);
    expect(stored({ sparse: true })).toEqual(['few']);
    expect(stored({ sparse: 0.1 })).toEqual([]);
    expect(stored({ sparse: 1.1 })).toEqual(['few', 'many']);
    const back = await agrees(sparse, input, { sparse: true });
    // The sign of zero, too.
    expect(Object.is(reals(back.weights.get('few')).at(-1), -0)).toBe(true);
  });

  it('every element type comes back bit for bit', () => {
    const g = graph('types', (b) => {
      const all = [
        t('float16', [2], [1.5, Number.NaN]),
        t('bfloat16', [2], [1.5, -0]),
        t('float64', [2], [0.1, Number.POSITIVE_INFINITY]),
        t('int64', [2], [2n ** 63n - 1n, -(2n ** 63n)]),
        t('uint64', [1], [2n ** 64n - 1n]),
        t('int8', [2], [-128, 127]),
        t('uint16', [1], [65535]),
        t('bool', [2], [0, 1]),
      ];
      for (const w of all) b.output(`o_${w.dtype}`, b.weight(w.dtype, w));
    });
    const back = fromOnnx(toOnnx(g));
    for (const [name, value] of back.outputs)
      expect(elements(back.weights.get(value))).toEqual(elements(g.weights.get(name.slice(2))));
  });
});
