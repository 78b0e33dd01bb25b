/** What the importer makes of graphs: names, order, what is refused. Operators of older opsets: upgrade.test.ts. */
import { describe, expect, it } from 'vitest';
import type { GrimError } from '../../src/errors.ts';
import { fromOnnx, scanOnnx } from '../../src/onnx/index.ts';
import type { ModelProto, NodeProto, TensorProto } from '../../src/onnx/model.ts';
import { writeSparseTensor } from '../../src/onnx/tensor.ts';
import { evaluate } from '../../src/reference/index.ts';
import { elements, reals, refusal, t } from '../run.ts';
import { body, float, graphProto, type ModelParts, modelFile, node, tensorValue, value } from './model-file.ts';

const x = [value('x', [2])];
const one = t('float32', [2], [1, 1]);

function importing(parts: ModelParts) {
  return refusal(() => fromOnnx(modelFile(parts)));
}

function caught(run: () => unknown): GrimError {
  try {
    run();
  } catch (error) {
    return error as GrimError;
  }
  throw new Error('nothing was thrown');
}

describe('versions', () => {
  const parts: ModelParts = { nodes: [node('Relu', ['x'], ['y'])], inputs: x, outputs: ['y'] };
  const versions = (model: Partial<ModelProto>) => importing({ ...parts, model });

  it('P17: every opset from 1 to 27 is read', () => {
    for (let opset = 1; opset <= 27; opset++) expect(fromOnnx(modelFile({ ...parts, opset })).nodes).toHaveLength(1);
  });

  it('P17: an opset of 0 or above 27 is refused with the range', () => {
    expect(importing({ ...parts, opset: 0 })).toMatchObject({ code: 'GRIM_ONNX_BAD_VERSION' });
    const { code, message } = importing({ ...parts, opset: 28 });
    expect(code).toBe('GRIM_ONNX_BAD_VERSION');
    expect(message).toMatch(/28.*1 to 27/);
  });

  it('P17: an ir_version of 0 or 999 is refused with the range', () => {
    for (const irVersion of [0, 999]) {
      const { code, message } = versions({ irVersion });
      expect(code).toBe('GRIM_ONNX_BAD_VERSION');
      expect(message).toContain('1 to 13');
    }
  });

  it('P17: a missing or doubled opset is refused; "ai.onnx" is the default domain', () => {
    const id = (domain: string, version = 21) => ({ domain, version });
    expect(versions({ opsetImport: [] }).code).toBe('GRIM_ONNX_BAD_VERSION');
    expect(versions({ opsetImport: [id(''), id('ai.onnx')] }).code).toBe('GRIM_ONNX_BAD_VERSION');
    expect(fromOnnx(modelFile({ ...parts, model: { opsetImport: [id('ai.onnx')] } })).nodes).toHaveLength(1);
  });

  it('P17: an unknown domain may be imported, but a node of a domain that is not imported is refused', () => {
    const opsetImport = [
      { domain: '', version: 21 },
      { domain: 'com.example', version: 1 },
    ];
    expect(fromOnnx(modelFile({ ...parts, model: { opsetImport } })).nodes).toHaveLength(1);
    const foreign = { ...parts, nodes: [node('Foo', ['x'], ['y'], {}, { domain: 'com.example' })] };
    expect(importing(foreign).code).toBe('GRIM_ONNX_BAD_VERSION');
    expect(importing({ ...foreign, model: { opsetImport } }).code).toBe('GRIM_IR_UNSUPPORTED_OP');
  });
});

describe('order', () => {
  it('G1: cycles of one, two and twelve nodes are refused, naming up to eight of them', () => {
    const ring = (length: number) =>
      Array.from({ length }, (_, i) => node('Relu', [`v${(i + length - 1) % length}`], [`v${i}`]));
    for (const length of [1, 2, 12]) {
      const error = caught(() => fromOnnx(modelFile({ nodes: ring(length), outputs: ['v0'] })));
      expect(error.code).toBe('GRIM_IR_CYCLE');
      expect(error.details['nodes']).toHaveLength(Math.min(length, 8));
      expect(error.details['length']).toBe(length);
    }
  });

  it('G1: a cycle through what a body captures is refused', () => {
    const branch = graphProto({ nodes: [node('Relu', ['late'], ['inner'])], outputs: ['inner'] });
    const nodes = [
      node('If', ['cond'], ['y'], { then_branch: body(branch), else_branch: body({ ...branch, name: 'other' }) }),
      node('Relu', ['y'], ['late']),
    ];
    expect(importing({ nodes, inputs: [value('cond', [], 'bool')], outputs: ['y'] }).code).toBe('GRIM_IR_CYCLE');
  });

  it('G3: nodes in any order give the same result', () => {
    const nodes = [node('Add', ['x', 'w'], ['a']), node('Mul', ['a', 'a'], ['b']), node('Sub', ['b', 'a'], ['y'])];
    const orders = [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
      [2, 0, 1],
    ];
    for (const order of orders) {
      const shuffled = order.map((i) => nodes[i] as NodeProto);
      const graph = fromOnnx(modelFile({ nodes: shuffled, inputs: x, outputs: ['y'], weights: { w: one } }));
      expect(graph.nodes.map(({ op }) => op)).toEqual(['Add', 'Mul', 'Sub']);
      expect(reals(evaluate(graph, { x: t('float32', [2], [1, 2]) })['y'])).toEqual([2, 6]);
    }
  });

  it('G3: a name that nothing defines, or only a sibling body, is refused with the node', () => {
    const undefinedName = importing({ nodes: [node('Relu', ['nowhere'], ['y'])], outputs: ['y'] });
    expect(undefinedName).toMatchObject({ code: 'GRIM_IR_UNKNOWN_VALUE' });
    expect(undefinedName.message).toContain('"nowhere"');
    const inner = graphProto({ nodes: [node('Relu', ['x'], ['hidden'])], outputs: ['hidden'] });
    const other = graphProto({ nodes: [node('Neg', ['hidden'], ['out'])], outputs: ['out'] });
    const nodes = [node('If', ['cond'], ['y'], { then_branch: body(inner), else_branch: body(other) })];
    const sibling = importing({ nodes, inputs: [...x, value('cond', [], 'bool')], outputs: ['y'] });
    expect(sibling.code).toBe('GRIM_IR_UNKNOWN_VALUE');
    expect(sibling.message).toMatch(/"hidden".*body of another node/);
    expect(importing({ nodes: [], inputs: x, outputs: ['nothing'] }).code).toBe('GRIM_IR_UNKNOWN_VALUE');
  });
});

describe('names', () => {
  it('G2: a name defined twice is refused, whoever defines it', () => {
    const relu = node('Relu', ['x'], ['y']);
    const twice: ModelParts[] = [
      { nodes: [relu, node('Neg', ['x'], ['y'])], inputs: x },
      { nodes: [node('Relu', ['x'], ['x'])], inputs: x, outputs: ['x'] },
      { nodes: [relu], inputs: x, weights: { y: one } },
      { nodes: [relu], inputs: [...x, ...x] },
      { nodes: [node('Split', ['x'], ['y', 'y'], { num_outputs: 2 })], inputs: x },
    ];
    for (const parts of twice) expect(importing({ outputs: ['y'], ...parts }).code).toBe('GRIM_IR_DUPLICATE_NAME');
    expect(importing({ nodes: [relu], inputs: x, outputs: ['y', 'y'] }).code).toBe('GRIM_IR_DUPLICATE_NAME');
    expect(fromOnnx(modelFile({ nodes: [relu], inputs: x, outputs: ['y'] })).nodes).toHaveLength(1);
  });

  it('G2: a body may not define a name of the graph around it', () => {
    const inner = (name: string) => graphProto({ nodes: [node('Relu', ['x'], [name])], outputs: [name] });
    const make = (name: string) => ({
      nodes: [node('If', ['cond'], ['y'], { then_branch: body(inner(name)), else_branch: body(inner('b')) })],
      inputs: [...x, value('cond', [], 'bool')],
      outputs: ['y'],
    });
    expect(importing(make('x')).code).toBe('GRIM_IR_DUPLICATE_NAME');
    expect(fromOnnx(modelFile(make('b'))).nodes).toHaveLength(1);
  });

  it('nodes without a name, or with one that is taken, get names of their own', () => {
    const nodes = [
      node('Relu', ['x'], ['a'], {}, { name: '' }),
      node('Relu', ['a'], ['b'], {}, { name: 'same' }),
      node('Relu', ['b'], ['y'], {}, { name: 'same' }),
    ];
    const names = fromOnnx(modelFile({ nodes, inputs: x, outputs: ['y'] })).nodes.map(({ name }) => name);
    expect(new Set(names).size).toBe(3);
    expect(names).not.toContain('');
  });

  it('G21: strange names are ordinary; an input or output without a name is refused', () => {
    const strange = [
      '__proto__',
      'constructor',
      'hasOwnProperty',
      'toString',
      '   ',
      '\u202eabc',
      '../x',
      '😀'.repeat(200),
    ];
    for (const name of strange) {
      const nodes = [
        node('Relu', [name], [`${name}!`], {}, { name }),
        node('Add', [`${name}!`, `${name}w`], [`${name}o`]),
      ];
      const weights = { [`${name}w`]: one };
      const graph = fromOnnx(modelFile({ nodes, inputs: [value(name, [2])], outputs: [`${name}o`], weights }));
      expect([...graph.inputs.keys()]).toEqual([name]);
      expect([...graph.outputs.keys()]).toEqual([`${name}o`]);
      expect(graph.nodes[0]?.name).toBe(name);
    }
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(importing({ nodes: [node('Relu', ['x'], [''])], inputs: x, outputs: [''] }).code).toBe('GRIM_IR_BAD_NAME');
  });

  it('G22: names that differ in case or in Unicode normal form only are different', () => {
    const [composed, decomposed] = ['\u00e9', 'e\u0301'];
    const nodes = [node('Sub', [composed, decomposed], ['y']), node('Sub', ['A', 'a'], ['z'])];
    const inputs = [composed, decomposed, 'A', 'a'].map((name) => value(name, [1]));
    const graph = fromOnnx(modelFile({ nodes, inputs, outputs: ['y', 'z'] }));
    const [a, b] = [t('float32', [1], [5]), t('float32', [1], [3])];
    const results = evaluate(graph, { [composed]: a, [decomposed]: b, A: b, a });
    expect([reals(results['y']), reals(results['z'])]).toEqual([[2], [-2]]);
  });
});

describe('what is not supported', () => {
  const unknown: ModelParts = {
    nodes: [
      ...Array.from({ length: 10 }, (_, i) => node('Foo', ['x'], [`f${i}`])),
      node('Bar', ['f0'], ['b']),
      node('Relu', ['b'], ['y']),
      node('NonMaxSupression', ['x'], ['z']),
    ],
    inputs: x,
    outputs: ['y', 'z'],
  };

  it('G6: all operators that are not supported are named at once, with counts and up to eight nodes', () => {
    const error = caught(() => fromOnnx(modelFile(unknown)));
    expect(error.code).toBe('GRIM_IR_UNSUPPORTED_OP');
    expect(error.details['operators']).toMatchObject([
      { op: 'Foo', domain: '', count: 10, nodes: Array.from({ length: 8 }, (_, i) => `n_f${i}`) },
      { op: 'Bar', count: 1, nodes: ['n_b'] },
      { op: 'NonMaxSupression', count: 1 },
    ]);
  });

  it('G6: operators in bodies count, of a branch that is never taken they do not', () => {
    const foreign = graphProto({ nodes: [node('Foo', ['x'], ['inner'])], outputs: ['inner'] });
    const good = graphProto({ nodes: [node('Relu', ['x'], ['fine'])], outputs: ['fine'] });
    const parts: ModelParts = {
      nodes: [node('If', ['cond'], ['y'], { then_branch: body(foreign), else_branch: body(good) })],
      inputs: [...x, value('cond', [], 'bool')],
      outputs: ['y'],
    };
    expect(importing(parts).code).toBe('GRIM_IR_UNSUPPORTED_OP');
    const graph = fromOnnx(modelFile(parts), { constants: { cond: false } });
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Relu']);
  });

  it('G6: element types and attributes that are not supported are refused by name', () => {
    const text = { name: 'x', elemType: 8, dims: [1] };
    const strings = importing({ nodes: [node('Relu', ['x'], ['y'])], inputs: [text], outputs: ['y'] });
    expect(strings.code).toBe('GRIM_ONNX_UNSUPPORTED_TYPE');
    expect(strings.message).toContain('string');
    const attribute = importing({ nodes: [node('Relu', ['x'], ['y'], { slope: 1 })], inputs: x, outputs: ['y'] });
    expect(attribute.code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(attribute.message).toContain('"slope"');
  });

  it('G14: an attribute of another kind is refused with both kinds; a missing one, too', () => {
    const transpose = (perm: Parameters<typeof node>[3]) =>
      importing({ nodes: [node('Transpose', ['x'], ['y'], perm)], inputs: [value('x', [2, 3])], outputs: ['y'] });
    expect(transpose({ perm: 1 })).toMatchObject({ code: 'GRIM_IR_BAD_ATTRIBUTE' });
    expect(transpose({ perm: 1 }).message).toMatch(/int; ints/);
    expect(transpose({ perm: float(1) }).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(transpose({ perm: 'x' }).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    const concat = importing({ nodes: [node('Concat', ['x', 'x'], ['y'])], inputs: x, outputs: ['y'] });
    expect(concat.code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    const perm = { perm: [1, 0] };
    const good = { nodes: [node('Transpose', ['x'], ['y'], perm)], inputs: [value('x', [2, 3])], outputs: ['y'] };
    expect(fromOnnx(modelFile(good)).nodes).toHaveLength(1);
  });

  it('G14: a tensor attribute whose data is missing is refused', () => {
    const empty: TensorProto = { name: '', dims: [3], dataType: 1, payload: { form: 'raw', bytes: new Uint8Array(0) } };
    const constant = (attributes: Parameters<typeof node>[3]) =>
      importing({ nodes: [node('Constant', [], ['y'], attributes)], outputs: ['y'] }).code;
    expect(constant({ value: { kind: 'tensor', value: empty } })).toBe('GRIM_ONNX_BAD_TENSOR');
    expect(constant({ value: 1 })).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(constant({})).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });

  it('a gap in a list of inputs is refused', () => {
    const sum = (inputs: string[]) => ({ nodes: [node('Sum', inputs, ['y'])], inputs: x, outputs: ['y'] });
    expect(importing(sum(['x', '', 'x'])).code).toBe('GRIM_IR_ARITY');
    expect(fromOnnx(modelFile(sum(['x', 'x', 'x']))).nodes).toHaveLength(1);
  });

  it('a problem outside a body is not told again by the node that has the body', () => {
    const branch = body(graphProto({ nodes: [], outputs: ['bad'] }));
    const nodes = [
      node('Concat', ['x'], ['bad']),
      node('If', ['cond'], ['y'], { then_branch: branch, else_branch: branch }),
    ];
    const inputs = [...x, value('cond', [], 'bool')];
    for (const options of [{}, { constants: { cond: true } }])
      expect(scanOnnx(modelFile({ nodes, inputs, outputs: ['y'] }), options).problems).toHaveLength(1);
  });

  it('several problems are told at once', () => {
    const nodes = [node('Relu', ['nowhere'], ['a']), node('Concat', ['x'], ['b']), node('Relu', ['b'], ['y'])];
    const error = caught(() => fromOnnx(modelFile({ nodes, inputs: x, outputs: ['a', 'y'] })));
    expect(error.code).toBe('GRIM_IR_UNKNOWN_VALUE');
    expect(error.details['problems']).toMatchObject([{ code: 'GRIM_IR_BAD_ATTRIBUTE' }]);
  });

  it('scanOnnx tells everything about a model that cannot be imported, the cost of its unknown operators too', () => {
    const nodes = [node('Foo', ['x', 'w'], ['y']), node('Relu', ['y'], ['z'])];
    const weights = { w: t('float32', [2, 3], [1, 2, 3, 4, 5, 6]) };
    const metadataProps = [{ key: '__proto__', value: 'v' }];
    const file = modelFile({
      nodes,
      inputs: x,
      outputs: ['z'],
      weights,
      valueInfo: [value('y', [4, 3])],
      model: { metadataProps },
    });
    const summary = scanOnnx(file);
    expect(summary).toMatchObject({
      producer: 'test',
      irVersion: 10,
      opsets: [{ domain: '', version: 21 }],
      inputs: [{ name: 'x', dtype: 'float32', dims: [2] }],
      metadata: metadataProps,
      operators: [
        { op: 'Foo', count: 1 },
        { op: 'Relu', count: 1 },
      ],
      // 12 results of 2 products each.
      unsupported: [{ op: 'Foo', count: 1, nodes: ['n_y'], macs: 24 }],
    });
    expect(summary.problems).toHaveLength(1);
    expect(summary.graph).toBeUndefined();
    expect(scanOnnx(modelFile({ nodes: [], inputs: x, outputs: ['x'] })).graph?.inputs.size).toBe(1);
  });
});

describe('declared types', () => {
  const nodes = [node('Relu', ['x'], ['a']), node('Neg', ['a'], ['y'])];

  it('G15: value_info and outputs that contradict what the operators give are refused with both sources', () => {
    const contradicting = [value('a', [3]), value('a', [2, 1]), value('a', [2], 'float64')];
    for (const info of contradicting) {
      const { code, message } = importing({ nodes, inputs: x, outputs: ['y'], valueInfo: [info] });
      expect(code).toMatch(/GRIM_IR_(SHAPE|DTYPE)_MISMATCH/);
      expect(message).toMatch(/value_info declares .*"n_a" \(Relu\) gives float32 \[2\]/);
    }
    expect(importing({ nodes, inputs: x, outputs: [value('y', [3])] }).message).toContain('the graph output declares');
    const fitting = { nodes, inputs: x, outputs: [value('y', ['N'])], valueInfo: [value('a', [2])] };
    expect(fromOnnx(modelFile(fitting)).nodes).toHaveLength(2);
  });

  it('G7: lengths that are negative or too large are refused, and so are products that overflow', () => {
    const relu = { nodes: [node('Relu', ['x'], ['y'])], outputs: ['y'] };
    for (const dims of [[-1], [2 ** 31], [2 ** 53], [65537, 65536], [2 ** 20, 2 ** 20, 2 ** 20]])
      expect(importing({ ...relu, inputs: [value('x', dims)] }).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
    // As many elements as may be, but twice the bytes.
    expect(importing({ ...relu, inputs: [value('x', [2 ** 30], 'float64')] }).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
    for (const dims of [[0], [2 ** 29], [65537, 0]])
      expect(fromOnnx(modelFile({ ...relu, inputs: [value('x', dims)] })).nodes).toHaveLength(1);
  });

  it('G8: ranks 0 to 8 are read, 9 and 100 000 are refused', () => {
    const relu = { nodes: [node('Relu', ['x'], ['y'])], outputs: ['y'] };
    const ones = (rank: number) => [
      value(
        'x',
        Array.from({ length: rank }, () => 1),
      ),
    ];
    for (let rank = 0; rank <= 8; rank++)
      expect(fromOnnx(modelFile({ ...relu, inputs: ones(rank) })).nodes).toHaveLength(1);
    for (const rank of [9, 100_000])
      expect(importing({ ...relu, inputs: ones(rank) }).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });
});

describe('size', () => {
  it('G19: dead nodes and unused weights are dropped', () => {
    const nodes = [node('Relu', ['x'], ['y']), node('Add', ['x', 'w'], ['dead'])];
    const graph = fromOnnx(modelFile({ nodes, inputs: x, outputs: ['y'], weights: { w: one, unused: one } }));
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Relu']);
    expect(graph.weights.size).toBe(0);
  });

  it('G19: 100 000 identities in a row vanish', () => {
    const nodes = Array.from({ length: 99_999 }, (_, i) => node('Identity', [i === 0 ? 'x' : `v${i - 1}`], [`v${i}`]));
    const graph = fromOnnx(modelFile({ nodes, inputs: x, outputs: ['v99998'] }));
    expect(graph.nodes).toHaveLength(0);
    expect(graph.outputs.get('v99998')).toBe('x');
  });

  it('P12: a model that is wrong in 20 000 places is read up to 1000 of them; a message stays short', () => {
    const nodes = Array.from({ length: 20_000 }, (_, i) => node('MatMul', ['x'], [`v${i}`]));
    const { problems } = scanOnnx(modelFile({ nodes, inputs: x, outputs: ['v1'] }));
    expect(problems).toHaveLength(1001);
    expect(problems.at(-1)?.message).toContain('1000');
    const perm = Array.from({ length: 100_000 }, (_, i) => i);
    const listed = refusal(() =>
      fromOnnx(modelFile({ nodes: [node('Transpose', ['x'], ['y'], { perm })], inputs: x, outputs: ['y'] })),
    );
    expect(listed.code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(listed.message.length).toBeLessThan(20_000);
  });

  it('G20: one value used 50 000 times, and a ladder with 2^40 paths, are read', () => {
    const wide = [
      node('Relu', ['x'], ['r']),
      ...Array.from({ length: 50_000 }, (_, i) => node('Neg', ['r'], [`v${i}`])),
    ];
    expect(fromOnnx(modelFile({ nodes: wide, inputs: x, outputs: ['v49999'] })).nodes).toHaveLength(2);
    const ladder = Array.from({ length: 40 }, (_, i) =>
      node('Add', [i ? `v${i - 1}` : 'x', i ? `v${i - 1}` : 'x'], [`v${i}`]),
    );
    const graph = fromOnnx(modelFile({ nodes: ladder.reverse(), inputs: x, outputs: ['v39'] }));
    expect(reals(evaluate(graph, { x: one })['v39'])).toEqual([2 ** 40, 2 ** 40]);
  });

  it('G4: bodies 16 deep are read, 17 deep are refused', () => {
    const nested = (depth: number): NodeProto[] => {
      if (depth === 0) return [node('Relu', ['x'], ['v0'])];
      const inner = graphProto({ nodes: nested(depth - 1), outputs: [`v${depth - 1}`] });
      return [node('If', ['cond'], [`v${depth}`], { then_branch: body(inner), else_branch: body(inner) })];
    };
    const single = (depth: number): ModelParts => {
      let nodes = nested(0);
      for (let d = 1; d <= depth; d++) {
        const inner = graphProto({ nodes, outputs: [`v${d - 1}`] });
        const shallow = graphProto({ nodes: [node('Neg', ['x'], [`e${d}`])], outputs: [`e${d}`] });
        nodes = [node('If', ['cond'], [`v${d}`], { then_branch: body(inner), else_branch: body(shallow) })];
      }
      return { nodes, inputs: [...x, value('cond', [], 'bool')], outputs: [`v${depth}`] };
    };
    const graph = fromOnnx(modelFile(single(16)));
    expect(reals(evaluate(graph, { x: t('float32', [2], [-1, 2]), cond: t('bool', [], [1]) })['v16'])).toEqual([0, 2]);
    expect(importing(single(17)).code).toBe('GRIM_IR_LIMIT');
  });
});

describe('weights', () => {
  it('every form of Constant is a weight', () => {
    const forms: [Parameters<typeof node>[3], string, readonly (number | bigint)[]][] = [
      [{ value: tensorValue(t('uint8', [2], [1, 255])) }, 'uint8', [1, 255]],
      [{ value_float: float(0.5) }, 'float32', [0.5]],
      [{ value_floats: { kind: 'floats', value: [1, 2] } }, 'float32', [1, 2]],
      [{ value_int: 7 }, 'int64', [7n]],
      [{ value_ints: { kind: 'ints', value: [1, 2n ** 62n] } }, 'int64', [1n, 2n ** 62n]],
    ];
    for (const [attributes, dtype, expected] of forms) {
      const graph = fromOnnx(modelFile({ nodes: [node('Constant', [], ['c'], attributes)], outputs: ['c'] }));
      expect(graph.nodes).toHaveLength(0);
      expect(graph.weights.get('c')?.dtype).toBe(dtype);
      expect(elements(graph.weights.get('c'))).toEqual(expected);
    }
    const text = importing({ nodes: [node('Constant', [], ['c'], { value_string: 'x' })], outputs: ['c'] });
    expect(text.code).toBe('GRIM_ONNX_UNSUPPORTED_TYPE');
  });

  it('an input that is an initializer too is a weight', () => {
    const nodes = [node('Add', ['x', 'w'], ['y'])];
    const parts = { nodes, inputs: [...x, value('w', [2])], outputs: ['y'], weights: { w: one } };
    const graph = fromOnnx(modelFile({ ...parts, model: { irVersion: 3 } }));
    expect([...graph.inputs.keys()]).toEqual(['x']);
    expect(reals(evaluate(graph, { x: one })['y'])).toEqual([2, 2]);
  });

  it('sparse initializers become dense weights', () => {
    const sparse = writeSparseTensor(t('float32', [2, 3], [0, 0, 5, 0, -1, 0]), 'w');
    const nodes = [node('Add', ['x', 'w'], ['y'])];
    const graph = fromOnnx(
      modelFile({ nodes, inputs: [value('x', [2, 3])], outputs: ['y'], more: { sparseInitializers: [sparse] } }),
    );
    expect(reals(graph.weights.get('w'))).toEqual([0, 0, 5, 0, -1, 0]);
  });

  it('weights are views on the bytes of the file where those are aligned', () => {
    const w = t(
      'float32',
      [1000],
      Array.from({ length: 1000 }, (_, i) => i),
    );
    const nodes = [node('Add', ['x', 'w'], ['y'])];
    for (let pad = 0; pad < 4; pad++) {
      const file = modelFile({
        nodes,
        inputs: [value('x', [1000])],
        outputs: ['y'],
        weights: { w },
        model: { producerName: 'p'.repeat(pad) },
      });
      const weight = fromOnnx(file).weights.get('w');
      if (weight?.data.buffer === file.buffer) return;
    }
    throw new Error('no alignment gave a view');
  });
});
