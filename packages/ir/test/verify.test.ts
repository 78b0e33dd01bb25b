/** verify(): every kind of mistake, all at once, in linear time. */
import { describe, expect, it } from 'vitest';
import { type Graph, type GraphBuilder, graph, type Node, type Weight, withDefaults } from '../src/graph.ts';
import { LIMITS } from '../src/limits.ts';
import { isOpName } from '../src/ops.ts';
import type { BcrPattern } from '../src/pattern.ts';
import type { TensorType } from '../src/types.ts';
import { type Diagnostic, verify } from '../src/verify.ts';
import { HOSTILE_NAMES } from './random-graph.ts';

const errors = (g: Graph, limits = {}) => verify(g, limits).filter(({ severity }) => severity === 'error');
const warnings = (g: Graph) => verify(g).filter(({ severity }) => severity === 'warning');
const codes = (found: readonly Diagnostic[]) => found.map(({ code }) => code);

/** A node written by hand, past the builder's checks. */
const node = (op: string, name: string, inputs: readonly string[], outputs: readonly string[], attributes = {}): Node =>
  ({ op, name, inputs, outputs, attributes: isOpName(op) ? withDefaults(op, attributes) : attributes }) as Node;

function raw(nodes: readonly Node[], more: Partial<Graph> = {}): Graph {
  return {
    name: 'raw',
    inputs: new Map<string, TensorType>([['x', { dtype: 'float32', shape: [2, 3] }]]),
    outputs: new Map([['y', nodes.at(-1)?.outputs[0] ?? 'x']]),
    nodes,
    weights: new Map(),
    ...more,
  };
}

const body = (build: (b: GraphBuilder) => void, name = 'body') => graph(name, build);
const constant = (
  b: GraphBuilder,
  name: string,
  values: readonly number[],
  shape: readonly number[] = [values.length],
) => b.weight(name, { dtype: 'float32', shape, data: Float32Array.from(values) });

describe('structure', () => {
  it('a right graph has nothing to report', () => {
    const g = graph('ok', (b) => b.output('y', b.add('Relu', [b.input('x', 'float32', [2, 'N'])])));
    expect(verify(g)).toEqual([]);
  });

  it('reports everything at once, each problem with its node and value', () => {
    const g = raw([
      node('Relu', 'a', ['nothing'], ['u']),
      node('Nonsense', 'b', ['x'], ['v']),
      node('Relu', 'b', ['x', 'x'], ['x']),
      node('LeakyRelu', '', ['x'], ['w'], { alpha: 'steep', beta: 1 }),
      node('Transpose', 'd', ['x'], ['y'], { perm: [0, 0] }),
    ]);
    expect(errors(g).map((d) => [d.code, d.node, d.value])).toEqual([
      ['GRIM_IR_DUPLICATE_NAME', undefined, 'x'],
      ['GRIM_IR_UNKNOWN_VALUE', 'a', 'nothing'],
      ['GRIM_IR_UNSUPPORTED_OP', 'b', undefined],
      ['GRIM_IR_DUPLICATE_NAME', 'b', undefined],
      ['GRIM_IR_ARITY', 'b', undefined],
      ['GRIM_IR_BAD_NAME', undefined, undefined],
      ['GRIM_IR_BAD_ATTRIBUTE', '', undefined],
      ['GRIM_IR_BAD_ATTRIBUTE', '', undefined],
      [expect.stringMatching(/^GRIM_IR_/), 'd', undefined],
    ]);
  });

  it.each([1, 2, 3, 8, 9, 1000])('G1: a cycle of %i nodes is named, up to 8 of them', (length) => {
    const ring = Array.from({ length }, (_, i) => node('Relu', `n${i}`, [`v${(i + length - 1) % length}`], [`v${i}`]));
    const [only, ...rest] = errors(raw(ring));
    expect(rest).toEqual([]);
    expect(only?.code).toBe('GRIM_IR_CYCLE');
    expect(only?.message.match(/\(Relu\)/g)).toHaveLength(Math.min(length, 8));
    if (length > 8) expect(only?.message).toContain(`${length - 8} more`);
  });

  it('G1: the nodes of a cycle stand in the order of data, and nodes before, between and behind are not named', () => {
    const g = raw([
      node('Relu', 'before', ['x'], ['p']),
      node('Add', 'a', ['p', 'vb'], ['va']),
      node('Relu', 'b', ['va'], ['vb']),
      node('Add', 'between', ['vb', 'vb'], ['q']),
      node('Add', 'c', ['q', 'vd'], ['vc']),
      node('Relu', 'd', ['vc'], ['vd']),
      node('Relu', 'behind', ['vd'], ['y']),
    ]);
    const messages = errors(g).map(({ message }) => message);
    expect(messages).toEqual([
      'nodes wait for each other in a circle: "a" (Add) → "b" (Relu) → the first.',
      'nodes wait for each other in a circle: "c" (Add) → "d" (Relu) → the first.',
    ]);
  });

  it('G1: a cycle through what a body captures', () => {
    const inner = (output: string) => raw([node('Relu', 'r', ['z'], [output])], { inputs: new Map() });
    const g = raw([
      node('If', 'if', ['x'], ['y'], { then_branch: inner('r1'), else_branch: inner('r2') }),
      node('Relu', 'after', ['y'], ['z']),
    ]);
    expect(errors(g).find(({ code }) => code === 'GRIM_IR_CYCLE')?.message).toMatch(/"(if|after)".*"(if|after)"/);
  });

  it('G2: a value defined twice, by any two of input, weight and nodes', () => {
    const weight: Weight = { dtype: 'float32', shape: [], data: Float32Array.of(1) };
    const two = [node('Relu', 'a', ['x'], ['v']), node('Relu', 'b', ['x'], ['v'])];
    expect(codes(errors(raw(two)))).toEqual(['GRIM_IR_DUPLICATE_NAME']);
    expect(codes(errors(raw([node('Relu', 'a', ['x'], ['v', 'v'])])))).toContain('GRIM_IR_DUPLICATE_NAME');
    expect(codes(errors(raw([node('Relu', 'a', ['x'], ['x'])])))).toContain('GRIM_IR_DUPLICATE_NAME');
    expect(codes(errors(raw([node('Relu', 'a', ['x'], ['y'])], { weights: new Map([['x', weight]]) })))).toContain(
      'GRIM_IR_DUPLICATE_NAME',
    );
    expect(codes(errors(raw([node('Relu', 'a', ['x'], ['w'])], { weights: new Map([['w', weight]]) })))).toContain(
      'GRIM_IR_DUPLICATE_NAME',
    );
  });

  it('G2: a body that reuses a name of the graph around it; two sibling bodies may share names', () => {
    const make = (name: string) =>
      graph('g', (b) => {
        const c = b.input('c', 'bool', []);
        b.input('x', 'float32', [1]);
        const branch = () => body((i) => i.output('o', i.add('Relu', ['x'], {}, { output: name })));
        b.output('y', b.add('If', [c], { then_branch: branch(), else_branch: branch() }));
      });
    expect(errors(make('inner'))).toEqual([]);
    expect(codes(errors(make('x')))).toContain('GRIM_IR_DUPLICATE_NAME');
  });

  it('G3: a name that only a sibling body makes, or only a body inside, is unknown', () => {
    const g = graph('g', (b) => {
      const c = b.input('c', 'bool', []);
      const x = b.input('x', 'float32', [1]);
      const then_branch = body((i) => i.output('o', i.add('Relu', [x], {}, { output: 'inside' })));
      const else_branch = body((i) => i.output('o', i.add('Relu', ['inside'], {}, { output: 'other' })));
      b.output('y', b.add('If', [c], { then_branch, else_branch }, { name: 'if' }));
      b.output('z', b.add('Relu', ['inside']));
    });
    expect(errors(g).map(({ code, message }) => [code, message.includes('else_branch of "if" (If) › ')])).toEqual([
      ['GRIM_IR_UNKNOWN_VALUE', true],
      ['GRIM_IR_UNKNOWN_VALUE', false],
    ]);
  });

  it('G3: nodes out of order are one ORDER each, and the types are still checked', () => {
    const g = raw([
      node('Relu', 'last', ['b'], ['y']),
      node('Transpose', 'second', ['a'], ['b'], { perm: [0, 1, 2] }),
      node('Relu', 'first', ['x'], ['a']),
    ]);
    const found = errors({ ...g, outputs: new Map([['y', 'y']]) });
    expect(found.filter(({ code }) => code === 'GRIM_IR_ORDER').map((d) => [d.node, d.value])).toEqual([
      ['last', 'b'],
      ['second', 'a'],
    ]);
    expect(found.filter(({ code }) => code !== 'GRIM_IR_ORDER').map((d) => d.node)).toEqual(['second']);
  });

  it('an output that names nothing', () => {
    expect(errors(raw([], { outputs: new Map([['y', 'gone']]) }))).toMatchObject([
      { code: 'GRIM_IR_UNKNOWN_VALUE', value: 'gone' },
    ]);
  });

  it('G6: every unsupported operator is listed, in bodies too', () => {
    const g = graph('g', (b) => {
      const c = b.input('c', 'bool', []);
      const branch = () =>
        raw([node('Bessel', 'j', ['c'], ['o'])], { inputs: new Map(), outputs: new Map([['o', 'o']]) });
      b.output('y', b.add('If', [c], { then_branch: branch(), else_branch: branch() }));
    });
    const magic = { ...g, nodes: [...g.nodes, node('Magic', 'm', ['c'], ['z'])] };
    expect(codes(errors(magic))).toEqual(Array(3).fill('GRIM_IR_UNSUPPORTED_OP'));
  });

  it('G21: hostile names are names; only the empty one is refused', () => {
    const g = graph('g', (b) => {
      for (const name of HOSTILE_NAMES) b.output(name, b.add('Relu', [b.input(name, 'float32', [1])], {}, { name }));
    });
    expect(verify(g)).toEqual([]);
    expect(codes(errors(raw([node('Relu', '', ['x'], ['y'])])))).toEqual(['GRIM_IR_BAD_NAME']);
    expect(codes(errors(raw([], { outputs: new Map([['', 'x']]) })))).toEqual(['GRIM_IR_BAD_NAME']);
  });
});

describe('types', () => {
  it('one mistake of shape is one error, whatever depends on it', () => {
    const g = graph('g', (b) => {
      const sum = b.add('Add', [b.input('x', 'float32', [2]), b.input('y', 'float32', [3])], {}, { name: 'sum' });
      b.output('z', b.add('Relu', [b.add('Relu', [sum])]));
    });
    expect(errors(g)).toMatchObject([{ code: 'GRIM_IR_SHAPE_MISMATCH', node: 'sum' }]);
  });

  it('a conflict of element types', () => {
    const g = graph('g', (b) =>
      b.output('z', b.add('Add', [b.input('x', 'float32', [2]), b.input('y', 'int32', [2])])),
    );
    expect(codes(errors(g))).toEqual(['GRIM_IR_DTYPE_MISMATCH']);
  });

  it('every problem inside the bodies is told with the way to it, and the operator around does not repeat them', () => {
    const g = graph('g', (b) => {
      const c = b.input('c', 'bool', []);
      const x = b.input('x', 'float32', [2]);
      const y = b.input('y', 'float32', [3]);
      const branch = () =>
        body((i) => {
          i.output('o', i.add('Add', [x, y], {}, { name: 'one' }));
          i.output('p', i.add('MatMul', [x, y], {}, { name: 'two' }));
        });
      b.addMany('If', [c], 2, { then_branch: branch(), else_branch: branch() }, { name: 'if' });
    });
    expect(errors(g).map(({ node: name, message }) => [name, message.split(' › ')[0]])).toEqual([
      ['one', 'then_branch of "if" (If)'],
      ['two', 'then_branch of "if" (If)'],
      ['one', 'else_branch of "if" (If)'],
      ['two', 'else_branch of "if" (If)'],
    ]);
  });

  it('G7, G8: inputs of impossible rank, length or element type', () => {
    for (const shape of [Array(9).fill(1), [-1], [2 ** 31], [0.5], [65536, 65536, 'N'], [Number.NaN]])
      expect(codes(errors(raw([], { inputs: new Map([['x', { dtype: 'float32', shape }]]) })))).toEqual([
        'GRIM_IR_SHAPE_OVERFLOW',
      ]);
    for (let rank = 0; rank <= 8; rank++)
      expect(errors(raw([], { inputs: new Map([['x', { dtype: 'float32', shape: Array(rank).fill(1) }]]) }))).toEqual(
        [],
      );
    expect(
      codes(errors(raw([], { inputs: new Map([['x', { dtype: 'complex64' as 'float32', shape: [] }]]) }))),
    ).toEqual(['GRIM_IR_UNSUPPORTED_DTYPE']);
  });

  it('G14: every bad attribute of a node is listed', () => {
    const g = raw([node('Conv', 'c', ['x', 'x'], ['y'], { group: '1', pads: 3, auto_pad: 'MAYBE', extra: null })]);
    expect(
      errors(g).map(({ message }) => /"(\w+)" (?:is|has)/.exec(message.split(': attribute ')[1] ?? '')?.[1]),
    ).toEqual(expect.arrayContaining(['group', 'pads', 'auto_pad', 'extra']));
    const broken = { then_branch: null, else_branch: { nodes: 3 } };
    expect(codes(errors(raw([node('If', 'i', ['x'], ['y'], broken)])))).toEqual([
      'GRIM_IR_BAD_ATTRIBUTE',
      'GRIM_IR_BAD_ATTRIBUTE',
    ]);
  });
});

describe('weights', () => {
  const withWeight = (weight: unknown) =>
    raw([node('Relu', 'r', ['w'], ['y'])], { weights: new Map([['w', weight as Weight]]) });

  it.each([
    ['T1: too few elements', { dtype: 'float32', shape: [3], data: new Float32Array(2) }],
    ['T1: too many elements', { dtype: 'float32', shape: [], data: new Float32Array(2) }],
    ['T1: an array of another kind', { dtype: 'float32', shape: [2], data: new Float64Array(2) }],
    ['T1: no array', { dtype: 'float32', shape: [2], data: [1, 2] }],
    ['T3: no element type', { dtype: 'complex64', shape: [2], data: new Float32Array(2) }],
    ['G7: a shape that overflows', { dtype: 'float32', shape: [65536, 65536], data: new Float32Array(2) }],
    ['a bool that is neither 0 nor 1', { dtype: 'bool', shape: [2], data: Uint8Array.of(1, 2) }],
  ])('%s', (_, weight) => {
    expect(errors(withWeight(weight))).toMatchObject([{ code: 'GRIM_IR_BAD_WEIGHT', value: 'w' }]);
  });

  it('a bad weight in a body is told as well', () => {
    const g = graph('g', (b) => {
      const c = b.input('c', 'bool', []);
      const branch = () =>
        body((i) => i.output('o', i.weight('w', { dtype: 'int64', shape: [2], data: new BigInt64Array(1) })));
      b.output('y', b.add('If', [c], { then_branch: branch(), else_branch: branch() }));
    });
    expect(codes(errors(g))).toEqual(['GRIM_IR_BAD_WEIGHT', 'GRIM_IR_BAD_WEIGHT']);
  });

  it.each([
    ['float32', Float32Array.of(0, Number.NaN, Infinity, -Infinity)],
    ['float64', Float64Array.of(0, Number.NaN, Infinity, -Infinity)],
    ['float16', Uint16Array.of(0x7bff, 0xfe00, 0x7c00, 0xfc00)],
    ['bfloat16', Uint16Array.of(0x7f7f, 0xffc0, 0x7f80, 0xff80)],
  ] as const)('T4: NaN and infinities of %s are counted in a warning', (dtype, data) => {
    const g = graph('g', (b) => b.output('y', b.weight('w', { dtype, shape: [4], data })));
    expect(verify(g)).toMatchObject([{ code: 'GRIM_IR_NONFINITE', severity: 'warning', value: 'w' }]);
    expect(verify(g)[0]?.message).toContain('1 NaN and 2 infinite among 4');
  });

  it('T4: subnormals, negative zero and the largest numbers are not worth a warning', () => {
    const g = graph('g', (b) => b.output('y', constant(b, 'w', [1e-45, -0, 3.4028235e38, -3.4028235e38])));
    expect(verify(g)).toEqual([]);
  });

  it.each([
    [[1, -0.5], 1e-5, true],
    [[1, -1e-6], 1e-5, true],
    [[1, 0], 0, true],
    [[1, Number.NaN], 1e-5, true],
    [[1, 0], 1e-5, false],
    [[1, 1e-30], 0, false],
  ])('G18: BatchNormalization with variances %j and epsilon %d: warned %s', (variances, epsilon, expected) => {
    const g = graph('g', (b) => {
      const x = b.input('x', 'float32', [1, 2, 3]);
      const [scale, bias, mean] = ['s', 'b', 'm'].map((name) => constant(b, name, [1, 1]));
      const inputs = [x, scale ?? '', bias ?? '', mean ?? '', constant(b, 'v', variances)];
      b.output('y', b.add('BatchNormalization', inputs, { epsilon }, { name: 'bn' }));
    });
    expect(warnings(g).some((d) => d.code === 'GRIM_IR_NONFINITE' && d.node === 'bn')).toBe(expected);
    expect(errors(g)).toEqual([]);
  });

  it('G18: LayerNormalization with epsilon 0 is warned of', () => {
    const make = (epsilon: number) =>
      graph('g', (b) => {
        const x = b.input('x', 'float32', [4, 1]);
        b.output('y', b.add('LayerNormalization', [x, constant(b, 's', [1])], { epsilon }));
      });
    expect(codes(warnings(make(0)))).toEqual(['GRIM_IR_NONFINITE']);
    expect(warnings(make(1e-5))).toEqual([]);
  });

  it('G19: dead nodes and unused weights are warnings', () => {
    const g = graph('g', (b) => {
      const x = b.input('x', 'float32', [1]);
      constant(b, 'w', [1]);
      b.add('Relu', [x], {}, { name: 'dead' });
      b.output('y', x);
    });
    expect(verify(g).map((d) => [d.code, d.severity, d.node ?? d.value])).toEqual([
      ['GRIM_IR_UNUSED', 'warning', 'w'],
      ['GRIM_IR_UNUSED', 'warning', 'dead'],
    ]);
  });
});

describe('patterns', () => {
  const pattern: BcrPattern = {
    grid: { rows: 2, cols: 3, blockRows: 2, blockCols: 2 },
    keptRows: [Uint16Array.of(0), Uint16Array.of(0, 1)],
    keptCols: [Uint16Array.of(1), Uint16Array.of(0)],
  };
  // Kept: (0, 1), (0, 2), (1, 2).
  const kept = [0, 5, 6, 0, 0, 7];
  const gemm = (
    values: readonly number[],
    more: Partial<BcrPattern> = {},
    transB: 0 | 1 = 1,
    uses: 'Gemm' | 'Relu' = 'Gemm',
  ) =>
    graph('g', (b) => {
      const shape = transB ? [2, 3] : [3, 2];
      const w = b.weight('w', {
        dtype: 'float32',
        shape,
        data: Float32Array.from(values),
        pattern: { ...pattern, ...more },
      });
      const x = b.input('x', 'float32', [4, 3]);
      b.output(
        'y',
        uses === 'Gemm' ? b.add('Gemm', [x, w], { transB }, { name: 'fc' }) : b.add('Relu', [w], {}, { name: 'fc' }),
      );
    });

  it('fit when the pruned positions are zero, in the layout of the operator', () => {
    expect(errors(gemm(kept))).toEqual([]);
    expect(errors(gemm([0, 0, 5, 0, 6, 7], {}, 0))).toEqual([]);
    expect(errors(gemm([-0, 5, 6, -0, 0, 7]))).toEqual([]);
  });

  it.each([
    ['a pruned position that is not zero', [0, 5, 6, 1e-45, 0, 7], {}, 'row 1, column 0'],
    ['a pruned position that is NaN', [Number.NaN, 5, 6, 0, 0, 7], {}, 'row 0, column 0'],
    ['a grid of another size', kept, { grid: { ...pattern.grid, cols: 4 } }, '2×4'],
    ['a block side of 0', kept, { grid: { ...pattern.grid, blockRows: 0 } }, 'blockRows is 0'],
    ['C6: too few blocks', kept, { keptRows: [] }, 'has 0 entries'],
    [
      'C6: an index outside its block',
      kept,
      { keptCols: [Uint16Array.of(2), Uint16Array.of(0)] },
      'column 2 is outside',
    ],
    ['C6: unsorted indices', kept, { keptRows: [Uint16Array.of(0), Uint16Array.of(1, 0)] }, 'ascending'],
  ])('%s', (_, values, more, part) => {
    const found = errors(gemm(values, more));
    expect(found).toMatchObject([{ code: 'GRIM_IR_PATTERN_MISMATCH', node: 'fc', value: 'w' }]);
    expect(found[0]?.message).toContain(part);
  });

  it('the same numbers in the transposed layout do not fit', () => {
    expect(codes(errors(gemm(kept, {}, 0)))).toEqual(['GRIM_IR_PATTERN_MISMATCH']);
  });

  it('an operator that takes no matrix', () => {
    expect(errors(gemm(kept, {}, 1, 'Relu'))[0]?.message).toContain('it is no matrix');
  });

  it('a weight of the main graph that a body multiplies by', () => {
    const make = (values: readonly number[]) =>
      graph('g', (b) => {
        const c = b.input('c', 'bool', []);
        const x = b.input('x', 'float32', [4, 3]);
        const w = b.weight('w', { dtype: 'float32', shape: [2, 3], data: Float32Array.from(values), pattern });
        const branch = () => body((i) => i.output('o', i.add('Gemm', [x, w], { transB: 1 })));
        b.output('y', b.add('If', [c], { then_branch: branch(), else_branch: branch() }));
      });
    expect(errors(make(kept))).toEqual([]);
    expect(codes(errors(make([1, ...kept.slice(1)])))).toEqual([
      'GRIM_IR_PATTERN_MISMATCH',
      'GRIM_IR_PATTERN_MISMATCH',
    ]);
  });
});

describe('limits', () => {
  const chain = (count: number) =>
    graph('g', (b) => {
      let x = b.input('x', 'float32', [1]);
      for (let i = 0; i < count; i++) x = b.add('Relu', [x]);
      b.output('y', x);
    });
  const weights = (count: number) =>
    graph('g', (b) => {
      for (let i = 0; i < count; i++) b.output(`y${i}`, constant(b, `w${i}`, [1]));
    });
  const sum = (count: number) =>
    graph('g', (b) => b.output('y', b.add('Sum', Array(count).fill(b.input('x', 'float32', [1])))));
  const named = (bytes: number) => graph('g', (b) => b.output('y', b.input('é'.repeat(bytes / 2), 'float32', [1])));
  const ranked = (rank: number) => graph('g', (b) => b.output('y', b.input('x', 'float32', Array(rank).fill(1))));

  it.each([
    ['nodes', chain, 'GRIM_IR_LIMIT'],
    ['initializers', weights, 'GRIM_IR_LIMIT'],
    ['valuesPerNode', sum, 'GRIM_IR_LIMIT'],
    ['nameBytes', named, 'GRIM_IR_LIMIT'],
    ['rank', ranked, 'GRIM_IR_SHAPE_OVERFLOW'],
  ] as const)('%s: at the limit and one past it', (limit, make, code) => {
    const step = limit === 'nameBytes' ? 2 : 1;
    expect(errors(make(6), { [limit]: 6 })).toEqual([]);
    expect(codes(errors(make(6 + step), { [limit]: 6 }))).toEqual([code]);
  });

  const nested = (depth: number): Graph => {
    let inner = graph('leaf', (b) => b.output('o', 'c'));
    const other = graph('other', (b) => b.output('o', 'c'));
    for (let i = 0; i < depth; i++) {
      const then_branch = inner;
      inner = graph(`d${i}`, (b) => {
        if (i === depth - 1) b.input('c', 'bool', []);
        b.output('y', b.add('If', ['c'], { then_branch, else_branch: other }, { output: `v${i}` }));
      });
    }
    return inner;
  };

  it('G4: bodies nest 16 deep, no deeper; 100,000 deep is the same error and no stack overflow', () => {
    expect(errors(nested(16))).toEqual([]);
    expect(codes(errors(nested(17)))).toEqual(['GRIM_IR_LIMIT']);
    expect(codes(errors(nested(100_000)))).toEqual(['GRIM_IR_LIMIT']);
  });

  it('G19, G20: 100,000 nodes in a row, and a value used 100,000 times, are verified', () => {
    expect(verify(chain(LIMITS.nodes))).toEqual([]);
    expect(verify(sum(LIMITS.valuesPerNode))).toEqual([]);
  });

  it('G20: a ladder of 2^10000 paths is verified', () => {
    const g = graph('g', (b) => {
      let x = b.input('x', 'float32', [1]);
      for (let i = 0; i < 10_000; i++) x = b.add('Add', [x, x]);
      b.output('y', x);
    });
    expect(verify(g)).toEqual([]);
  });

  it('G1: a cycle of 100,000 nodes, and nodes in reverse order', () => {
    const { nodes, ...rest } = chain(LIMITS.nodes);
    const last = nodes.at(-1)?.outputs[0] ?? '';
    const [first, ...others] = nodes;
    const ring = [{ ...(first as Node), inputs: [last] } as Node, ...others];
    expect(codes(errors({ ...rest, nodes: ring }))).toEqual(['GRIM_IR_CYCLE']);
    expect(errors({ ...rest, nodes: [...nodes].reverse() })).toHaveLength(LIMITS.nodes - 1);
  });
});
