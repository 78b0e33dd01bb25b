import { type DType, fromReals, type Graph, graph, OPS, type OpName } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { check, random, randomInputs, randomTensor } from './check.ts';

/** Pairs of shapes that broadcast to each other, and tails of every length. */
const SHAPES: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[17], [17]],
  [
    [3, 4, 5],
    [3, 4, 5],
  ],
  [[3, 4, 5], []],
  [[], [2, 7]],
  [
    [2, 3, 9],
    [3, 1],
  ],
  [
    [2, 1, 5],
    [4, 1],
  ],
  [
    [5, 1],
    [1, 6],
  ],
  [
    [1, 3, 1, 1],
    [2, 3, 4, 8],
  ],
  [[0, 3], [3]],
  [[1], [1, 1]],
];

const dtypesOf = (op: OpName, key = 'T'): readonly DType[] => OPS[op].types[key as never] as readonly DType[];

function one(op: OpName, dtype: DType, shape: readonly number[], attributes: object = {}): Graph {
  return graph(`${op} ${dtype}`, (b) => {
    b.output('y', b.add(op, [b.input('x', dtype, shape)], attributes as never));
  });
}

function two(
  op: OpName,
  types: readonly [DType, DType],
  shapes: readonly (readonly number[])[],
  attributes: object = {},
): Graph {
  return graph(`${op} ${types.join()} [${shapes.join('] [')}]`, (b) => {
    const inputs = shapes.map((shape, i) => b.input(`x${i}`, types[i] ?? types[0], shape));
    b.output('z', b.add(op, inputs, attributes as never));
  });
}

/** What narrow floats may differ by: results are rounded once, from float32 instead of from float64. */
function toleranceOf(dtype: DType, functions = false) {
  if (dtype === 'float16') return { relative: 2 ** -9, absolute: 2 ** -20 };
  if (dtype === 'bfloat16') return { relative: 2 ** -6, absolute: 2 ** -20 };
  if (dtype === 'float32') return { relative: functions ? 2e-6 : 2 ** -22, absolute: functions ? 3e-7 : 0 };
  return { relative: functions ? 1e-12 : 0 };
}

const formulas = (dtype: DType) => ({ relative: toleranceOf(dtype).relative });

const EXACT: readonly OpName[] = [
  'Abs',
  'Ceil',
  'Floor',
  'Neg',
  'Relu',
  'Round',
  'Sign',
  'IsNaN',
  'IsInf',
  'Not',
  'BitwiseNot',
];
const FORMULAS: readonly (readonly [OpName, object])[] = [
  ['HardSigmoid', { alpha: 0.3, beta: 0.4 }],
  ['HardSwish', {}],
  ['LeakyRelu', { alpha: 0.1 }],
  ['Reciprocal', {}],
  ['Shrink', { bias: 0.25, lambd: 1.5 }],
  ['Softsign', {}],
  ['Sqrt', {}],
  ['ThresholdedRelu', { alpha: 1.5 }],
];
const FUNCTIONS: readonly (readonly [OpName, object])[] = [
  ['Acos', {}],
  ['Acosh', {}],
  ['Asin', {}],
  ['Asinh', {}],
  ['Atan', {}],
  ['Atanh', {}],
  ['Cos', {}],
  ['Cosh', {}],
  ['Celu', { alpha: 1.5 }],
  ['Elu', { alpha: 0.7 }],
  ['Erf', {}],
  ['Exp', {}],
  ['Gelu', {}],
  ['Gelu', { approximate: 'tanh' }],
  ['Log', {}],
  ['Mish', {}],
  ['Selu', {}],
  ['Sigmoid', {}],
  ['Sin', {}],
  ['Sinh', {}],
  ['Softplus', {}],
  ['Swish', { alpha: 1.3 }],
  ['Tan', {}],
  ['Tanh', {}],
];

describe('operators of one input', () => {
  for (const op of EXACT)
    it(`${op} is exact for all its types`, () => {
      const types = op === 'Not' ? (['bool'] as const) : dtypesOf(op);
      for (const dtype of types) for (const shape of [[37], [2, 0], []]) check(one(op, dtype, shape));
    });
  for (const [op, attributes] of FORMULAS)
    it(`${op} follows its formula`, () => {
      const types = dtypesOf(op).filter((dtype) => dtype.includes('float'));
      for (const dtype of types)
        check(one(op, dtype, [41], attributes), { absolute: dtype === 'float64' ? 1e-15 : 3e-7, ...formulas(dtype) });
    });
  for (const [op, attributes] of FUNCTIONS)
    it(`${op} ${JSON.stringify(attributes)} is close to the reference`, () => {
      const types = dtypesOf(op).filter((dtype) => dtype.includes('float') && dtype !== 'float64');
      for (const dtype of types) {
        const g = one(op, dtype, [203], attributes);
        const tame = op === 'Mish' || ['Sin', 'Cos', 'Tan'].includes(op);
        check(g, { ...toleranceOf(dtype, true), inputs: randomInputs(g, 5, !tame) });
      }
    });
});

describe('operators of two inputs', () => {
  for (const op of ['Add', 'Sub', 'Mul', 'Div'] as const)
    it(`${op} is right for all types and broadcasts`, () => {
      for (const dtype of dtypesOf(op))
        check(
          two(
            op,
            [dtype, dtype],
            [
              [2, 3, 9],
              [3, 1],
            ],
          ),
          toleranceOf(dtype),
        );
      for (const shapes of SHAPES) check(two(op, ['float32', 'float32'], shapes), toleranceOf('float32'));
    });
  for (const op of ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Min', 'Max'] as const)
    it(`${op} is exact for all types and broadcasts`, () => {
      for (const dtype of dtypesOf(op))
        check(
          two(
            op,
            [dtype, dtype],
            [
              [4, 1, 9],
              [3, 1],
            ],
          ),
        );
      for (const shapes of SHAPES) check(two(op, ['float32', 'float32'], shapes));
    });
  for (const op of ['And', 'Or', 'Xor'] as const)
    it(`${op} is exact`, () => {
      for (const shapes of SHAPES) check(two(op, ['bool', 'bool'], shapes));
    });
  for (const op of ['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'] as const)
    it(`${op} is exact`, () => {
      for (const dtype of dtypesOf(op))
        check(
          two(
            op,
            [dtype, dtype],
            [
              [4, 1, 9],
              [3, 1],
            ],
          ),
        );
    });
  it('BitShift shifts by the width and more to 0', () => {
    for (const direction of ['LEFT', 'RIGHT'])
      for (const dtype of dtypesOf('BitShift')) check(two('BitShift', [dtype, dtype], [[40], [40]], { direction }));
  });
  it('Mod has the sign of the divisor, and with fmod of the dividend', () => {
    for (const dtype of dtypesOf('Mod')) {
      check(two('Mod', [dtype, dtype], [[97], [97]], { fmod: 1 }), dtype.endsWith('16') ? toleranceOf(dtype) : {});
      if (!dtype.includes('float')) check(two('Mod', [dtype, dtype], [[97], [97]]));
    }
  });
  it('PRelu takes the slope of negative elements', () => {
    for (const dtype of dtypesOf('PRelu'))
      check(
        two(
          'PRelu',
          [dtype, dtype],
          [
            [2, 3, 9],
            [3, 1],
          ],
        ),
        toleranceOf(dtype),
      );
  });
  it('Pow multiplies constant whole exponents out', () => {
    for (const dtype of dtypesOf('Pow'))
      for (const exponent of [0, 1, 2, 3, 7, ...(dtype.includes('float') ? [-1, -2, 0.5] : [])])
        check(
          graph(`Pow ${dtype} ${exponent}`, (b) => {
            const type = dtype.includes('float') ? 'float32' : dtype;
            const y = b.weight('y', fromReals(type, [], [exponent]));
            b.output('z', b.add('Pow', [b.input('x', dtype, [41]), y]));
          }),
          {
            ...toleranceOf(dtype),
            relative: dtype.includes('float') ? Math.max(toleranceOf(dtype).relative, 1e-15) * 4 : 0,
          },
        );
  });
  it("Pow has C's special cases", () => {
    const values = [0, -0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 2.5, -2.5, Infinity, -Infinity, Number.NaN, 1e30];
    const x = Float32Array.from(values.flatMap((value) => values.map(() => value)));
    const y = Float32Array.from(values.flatMap(() => values));
    const tensor = (data: Float32Array) => ({ dtype: 'float32', shape: [256], data }) as const;
    check(two('Pow', ['float32', 'float32'], [[256], [256]]), {
      relative: 1e-5,
      inputs: { x0: tensor(x), x1: tensor(y) },
    });
    for (const type of ['int32', 'int64', 'uint8'] as const)
      check(two('Pow', ['float32', type], [[41], [41]]), {
        relative: 1e-5,
        inputs: randomInputs(two('Pow', ['float32', type], [[41], [41]]), 3, false),
      });
  });
  it('Sum and Mean add up any number of inputs', () => {
    for (const op of ['Sum', 'Mean'] as const)
      for (const count of [1, 2, 3, 9]) {
        const g = graph(`${op} of ${count}`, (b) => {
          const inputs = Array.from({ length: count }, (_, i) => b.input(`x${i}`, 'float32', i % 2 ? [5] : [3, 5]));
          b.output('y', b.add(op, inputs));
        });
        check(g, { relative: 1e-6, absolute: 1e-6, inputs: randomInputs(g, 3, false) });
      }
  });
  it('Where chooses between any types', () => {
    for (const dtype of dtypesOf('Where'))
      check(
        graph(`Where ${dtype}`, (b) => {
          const condition = b.input('c', 'bool', [3, 1]);
          b.output('y', b.add('Where', [condition, b.input('x', dtype, [7]), b.input('z', dtype, [2, 3, 7])]));
        }),
      );
  });
  it('Clip has either bound, both, or none, and lets NaN through', () => {
    for (const dtype of dtypesOf('Clip'))
      for (const bounds of [[], ['low'], ['', 'high'], ['low', 'high']])
        check(
          graph(`Clip ${dtype} ${bounds}`, (b) => {
            const x = b.input('x', dtype, [29]);
            const next = random(9);
            const names = bounds.map((name) =>
              name === '' ? '' : b.weight(name, randomTensor(dtype, [], next, false)),
            );
            b.output('y', b.add('Clip', [x, ...names]));
          }),
        );
  });
});

describe('casts', () => {
  const types: readonly DType[] = dtypesOf('Cast', 'T1');
  for (const from of types)
    it(`${from} becomes every other type`, () => {
      for (const to of types) {
        // What 64 bits cannot be rounded from once is left to the tolerance of the narrow float.
        const g = one('Cast', from, [61], { to });
        check(g, { ...(to.includes('float') ? toleranceOf(to) : {}), inputs: tame(g, from, to) });
      }
    });
  /** Floats beyond the range of an integer are not compared: what they become is nobody's definition. */
  function tame(g: Graph, from: DType, to: DType) {
    const floats = from.includes('float') && to !== 'bool' && !to.includes('float');
    return randomInputs(g, 4, !floats);
  }
});

describe('fusion', () => {
  it('a chain of element-wise operators is one kernel', () => {
    const g = graph('chain', (b) => {
      const x = b.input('x', 'float32', [3, 4, 5]);
      const y = b.input('y', 'float32', [5]);
      const sum = b.add('Add', [x, y]);
      b.output('z', b.add('Mul', [b.add('Relu', [sum]), b.add('Sigmoid', [y])]));
    });
    const model = check(g, { relative: 1e-6, absolute: 1e-7 });
    // The sigmoid has fewer elements than the sum: it is computed once for each of its own.
    expect(model.manifest.kernels).toHaveLength(2);
  });
  it('a value that two operators need is computed once', () => {
    const g = graph('twice', (b) => {
      const x = b.add('Abs', [b.input('x', 'float32', [31])]);
      b.output('y', b.add('Mul', [b.add('Add', [x, x]), b.add('Neg', [x])]));
    });
    check(g);
  });
  it('a long chain is cut where one kernel would need too many registers', () => {
    const g = graph('long', (b) => {
      let x = b.input('x', 'float32', [23]);
      for (let i = 0; i < 60; i++) x = b.add(i % 3 ? 'Tanh' : 'HardSwish', [x]);
      b.output('y', x);
    });
    check(g, { relative: 1e-5, absolute: 1e-6, inputs: randomInputs(g, 2, false) });
  });
  it('a wide expression is cut too', () => {
    const g = graph('wide', (b) => {
      const x = Array.from({ length: 32 }, (_, i) => b.input(`x${i}`, 'float32', [19]));
      let level = x;
      while (level.length > 1)
        level = Array.from({ length: level.length / 2 }, (_, i) =>
          b.add('Add', [level[2 * i] ?? '', b.add('Gelu', [level[2 * i + 1] ?? ''])]),
        );
      b.output('y', level[0] ?? '');
    });
    check(g, { relative: 1e-5, absolute: 1e-4, inputs: randomInputs(g, 2, false) });
  });
});
