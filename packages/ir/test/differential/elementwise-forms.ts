/** Operators that compute element by element, in the opsets where their forms changed. */
import type { DType } from '../../src/types.ts';
import { float } from '../onnx/model-file.ts';
import type { Form, Parts } from './case.ts';
import type { Generator } from './generator.ts';

const FLOATS = ['float32', 'float32', 'float64', 'float16'] as const;

/** A function of one float between `low` and `high`. */
const unary = (
  op: string,
  opsets: readonly number[],
  low = -3,
  high = 3,
  dtypes: readonly DType[] = ['float32'],
): Form => ({
  op,
  opsets,
  make: (g) => ({ inputs: [g.tensor(g.one(...dtypes), g.oneIn(6) ? [0, 2] : g.shape(0, 4), low, high)] }),
});

const activation = (
  op: string,
  opsets: readonly number[],
  names: readonly string[],
  extra: readonly DType[] = [],
): Form => ({
  op,
  opsets,
  make: (g) => ({
    inputs: [g.tensor(g.one('float32', ...extra), g.shape(0, 4))],
    attributes: Object.fromEntries(names.filter(() => g.oneIn(2)).map((name) => [name, float(g.between(1, 12) / 8)])),
  }),
});

/** Two operands; before opset 7 the second is stretched only on request, from `axis` on. */
function operands(g: Generator, opset: number, dtypes: readonly DType[], low = -4, high = 4): Parts {
  const dtype = g.one(...dtypes);
  const shape = g.shape(1, 4);
  const whole = g.tensor(dtype, shape, low, high);
  if (opset >= 7) {
    const inputs = [whole, g.tensor(dtype, g.narrower(shape), low, high)];
    return { inputs: g.oneIn(2) ? inputs.reverse() : inputs };
  }
  const start = g.below(shape.length);
  const length = g.between(1, shape.length - start);
  const part = g.tensor(dtype, shape.slice(start, start + length), low, high);
  const atEnd = start + length === shape.length;
  const aligned = { ...part, shape: [...part.shape, ...shape.slice(start + length).map(() => 1)] };
  return {
    inputs: [whole, part],
    attributes: { broadcast: 1, ...(atEnd && g.oneIn(2) ? {} : { axis: g.oneIn(2) ? start : start - shape.length }) },
    same: { opset: 13, inputs: [whole, aligned] },
  };
}

const binary = (op: string, opsets: readonly number[], dtypes: readonly DType[], low = -4, high = 4): Form => ({
  op,
  opsets,
  make: (g, opset) => operands(g, opset, dtypes, low, high),
});

/** Any number of operands, all of one shape before opset 8. */
const variadic = (op: string, dtypes: readonly DType[]): Form => ({
  op,
  opsets: [6, 8, 13],
  make: (g, opset) => {
    const dtype = g.one(...(opset < 12 ? (['float32'] as const) : dtypes));
    const shape = g.shape(1, 3);
    const rest = Array.from({ length: g.below(3) }, () => g.tensor(dtype, opset < 8 ? shape : g.narrower(shape)));
    return { inputs: [g.tensor(dtype, shape), ...rest] };
  },
});

const ALL = [
  'float32',
  'float64',
  'float16',
  'int32',
  'int64',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'uint32',
  'uint64',
  'bool',
] as const;
const INTEGERS = ['int32', 'int64', 'int8', 'uint8', 'int16', 'uint16', 'uint32', 'uint64'] as const;
const DATA_TYPE: Readonly<Record<string, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
};

export const elementwiseForms: readonly Form[] = [
  unary('Abs', [6, 13], -4, 4, ['float32', 'int32', 'int8', 'int64', 'uint8', 'float64']),
  unary('Acos', [7], -1, 1),
  unary('Acosh', [9], 1, 5),
  unary('Asin', [7], -1, 1),
  unary('Asinh', [9]),
  unary('Atan', [7]),
  unary('Atanh', [9], -0.9, 0.9),
  unary('Ceil', [6, 13]),
  unary('Cos', [7]),
  unary('Cosh', [9]),
  unary('Erf', [9, 13]),
  unary('Exp', [6, 13], -3, 3, ['float32', 'float64']),
  unary('Floor', [6, 13]),
  unary('Identity', [1, 13, 14, 16, 19, 21], -4, 4, ALL),
  unary('Log', [6, 13], 0.1, 5),
  unary('Neg', [6, 13], -4, 4, ['float32', 'int32', 'int8', 'int64']),
  unary('Not', [1], 0, 1, ['bool']),
  unary('Reciprocal', [6, 13], 0.2, 4),
  unary('Round', [11], -5, 5, ['float32', 'float64', 'float16']),
  unary('Sigmoid', [6, 13]),
  unary(
    'Sign',
    [9, 13],
    -2,
    2,
    ALL.filter((dtype) => dtype !== 'bool'),
  ),
  unary('Sin', [7]),
  unary('Sinh', [9]),
  unary('Softplus', [1]),
  unary('Softsign', [1]),
  unary('Sqrt', [6, 13], 0, 9),
  unary('Tan', [7], -1, 1),
  unary('Tanh', [6, 13]),
  unary('IsNaN', [9, 13]),
  unary('HardSwish', [14], -5, 5),
  unary('Mish', [18]),
  unary('BitwiseNot', [18], -100, 100, INTEGERS),
  unary('Relu', [6, 13, 14], -3, 3, ['float32', 'float64']),

  activation('Celu', [12], ['alpha']),
  activation('Elu', [6], ['alpha']),
  activation('Selu', [6], ['alpha', 'gamma']),
  activation('LeakyRelu', [6, 16], ['alpha']),
  activation('HardSigmoid', [6], ['alpha', 'beta']),
  activation('ThresholdedRelu', [10], ['alpha']),
  activation('Shrink', [9], ['bias', 'lambd'], ['int32', 'float64', 'uint8', 'int8']),
  activation('Swish', [24], ['alpha']),
  {
    op: 'Gelu',
    opsets: [20],
    make: (g) => ({
      inputs: [g.tensor('float32', g.shape(1, 3))],
      attributes: g.one({}, { approximate: 'tanh' }, { approximate: 'none' }),
    }),
  },
  {
    op: 'PRelu',
    opsets: [6, 7, 9, 16],
    make: (g, opset) => {
      const shape = g.shape(2, 4);
      const x = g.tensor('float32', shape);
      if (opset >= 7) return { inputs: [x, g.tensor('float32', g.narrower(shape))] };
      const slope = g.tensor('float32', g.one([shape[1] ?? 1], [1]));
      const aligned = { ...slope, shape: [slope.data.length, ...shape.slice(2).map(() => 1)] };
      return { inputs: [x, slope], same: { opset: 9, inputs: [x, aligned] } };
    },
  },

  binary('Add', [6, 7, 13, 14], FLOATS),
  binary('Add', [7, 14], ['int32', 'int64', 'int8', 'uint8', 'int16', 'uint16', 'uint32', 'uint64'], -100, 100),
  binary('Sub', [6, 7, 13, 14], ['float32', 'float64', 'int32', 'int64'], -100, 100),
  binary('Mul', [6, 7, 13, 14], ['float32', 'float64', 'int32', 'int64'], -100, 100),
  binary('Mul', [14], ['int8', 'uint8', 'int16', 'uint16', 'uint32', 'uint64'], -100, 100),
  binary('Div', [6, 7, 13, 14], ['float32', 'float64']),
  {
    op: 'Div',
    opsets: [7, 14],
    make: (g) => {
      const dtype = g.one('int32', 'int64', 'int8', 'uint8', 'uint32', 'uint64');
      const shape = g.shape(1, 3);
      return { inputs: [g.tensor(dtype, shape, -100, 100), g.tensor(dtype, g.narrower(shape), 1, 9)] };
    },
  },
  binary('And', [1, 7], ['bool'], 0, 1),
  binary('Or', [1, 7], ['bool'], 0, 1),
  binary('Xor', [1, 7], ['bool'], 0, 1),
  binary('Equal', [7], ['bool', 'int32', 'int64'], 0, 2),
  binary('Equal', [11, 13, 19], ['bool', 'int32', 'int64', 'float32', 'float64'], 0, 2),
  binary('Greater', [7], ['float32', 'float64'], 0, 2),
  binary('Greater', [9, 13], ['float32', 'float64', 'int32', 'int64', 'uint32', 'uint64'], 0, 2),
  binary('Less', [7], ['float32', 'float64'], 0, 2),
  binary('Less', [9, 13], ['float32', 'float64', 'int32', 'int64', 'uint32', 'uint64'], 0, 2),
  binary('GreaterOrEqual', [12, 16], ['float32', 'int32', 'int64', 'float64'], 0, 2),
  binary('LessOrEqual', [12, 16], ['float32', 'int32', 'int64', 'float64'], 0, 2),
  binary('BitwiseAnd', [18], INTEGERS, -100, 100),
  binary('BitwiseOr', [18], INTEGERS, -100, 100),
  binary('BitwiseXor', [18], INTEGERS, -100, 100),
  {
    op: 'BitShift',
    opsets: [11],
    make: (g) => {
      const dtype = g.one('uint8', 'uint32', 'uint64');
      const shape = g.shape(1, 3);
      return {
        inputs: [g.tensor(dtype, shape, 0, 200), g.tensor(dtype, g.narrower(shape), 0, 7)],
        attributes: { direction: g.one('LEFT', 'RIGHT') },
      };
    },
  },
  {
    op: 'Pow',
    opsets: [7, 12, 13, 15],
    make: (g, opset) => {
      const base = opset < 12 ? 'float32' : g.one('float32', 'float64', 'int32', 'int64');
      const exponent = opset < 12 ? base : g.one('float32', 'float64', 'int32', 'int64');
      const shape = g.shape(1, 3);
      return {
        inputs: [g.tensor(base, shape, 1, 4), g.whole(exponent, g.narrower(shape), [])].map((t, i) =>
          i ? g.tensor(exponent, t.shape, 0, 3) : t,
        ),
      };
    },
  },
  {
    op: 'Mod',
    opsets: [10, 13],
    make: (g) => {
      const dtype = g.one(...INTEGERS, 'float32', 'float64', 'float16');
      const shape = g.shape(1, 3);
      const low = dtype.startsWith('u') ? 1 : -9;
      const divisor = g.whole(dtype, g.narrower(shape), []);
      const values = Array.from(
        { length: divisor.shape.reduce((a, b) => a * b, 1) },
        () => g.between(1, 5) * (low < 0 && g.oneIn(2) ? -1 : 1),
      );
      const fmod = dtype.startsWith('float') ? 1 : g.below(2);
      return {
        inputs: [g.tensor(dtype, shape, -9, 9), g.whole(dtype, divisor.shape, values)],
        attributes: fmod ? { fmod } : {},
      };
    },
  },
  {
    op: 'IsInf',
    opsets: [10],
    make: (g) => ({
      inputs: [{ dtype: 'float32', shape: [5], data: Float32Array.of(Infinity, -Infinity, 1, Number.NaN, 0) }],
      attributes: { detect_positive: g.below(2), detect_negative: g.below(2) },
    }),
  },
  {
    op: 'Where',
    opsets: [9, 16],
    make: (g) => {
      const dtype = g.one('float32', 'int32', 'int64', 'uint8');
      const shape = g.shape(1, 4);
      return {
        inputs: [g.tensor('bool', g.narrower(shape), 0, 1), g.tensor(dtype, g.narrower(shape)), g.tensor(dtype, shape)],
      };
    },
  },
  {
    op: 'Clip',
    opsets: [6, 11, 12, 13],
    make: (g, opset) => {
      const dtype =
        opset < 12 ? 'float32' : g.one('float32', 'float64', 'int8', 'uint8', 'int32', 'int64', 'uint32', 'uint64');
      const x = g.tensor(dtype, g.shape(0, 4), -9, 9);
      const [low, high] = [g.between(dtype.startsWith('u') ? 0 : -5, 2), g.between(1, 6)];
      const [useLow, useHigh] = [g.oneIn(2), g.oneIn(2)];
      if (opset < 11)
        return {
          inputs: [x],
          attributes: { ...(useLow ? { min: float(low) } : {}), ...(useHigh ? { max: float(high) } : {}) },
        };
      return {
        inputs: [x, useLow ? g.whole(dtype, [], [low]) : undefined, ...(useHigh ? [g.whole(dtype, [], [high])] : [])],
      };
    },
  },
  variadic('Max', ['float32', 'float64', 'int32', 'int64', 'uint32', 'uint64', 'float16', 'int8', 'uint8']),
  variadic('Min', ['float32', 'float64', 'int32', 'int64', 'uint32', 'uint64', 'float16', 'int8', 'uint8']),
  variadic('Sum', ['float32', 'float64']),
  variadic('Mean', ['float32']),
  {
    op: 'Cast',
    opsets: [6, 9, 13, 19, 21],
    make: (g) => {
      const [from, to] = [g.one(...ALL), g.one(...ALL)];
      const wraps = from.startsWith('float') && !to.startsWith('float');
      const low = wraps && to.startsWith('u') ? 0 : -100;
      return {
        inputs: [from === 'bool' ? g.tensor(from, g.shape(0, 3), 0, 1) : g.tensor(from, g.shape(0, 3), low, 100)],
        attributes: { to: DATA_TYPE[to] ?? 1 },
      };
    },
  },
  {
    op: 'CastLike',
    opsets: [15, 19],
    make: (g) => ({
      inputs: [
        g.tensor(g.one('float32', 'int32', 'float64'), g.shape(0, 3), 0, 100),
        g.tensor(g.one(...ALL), [1], 0, 1),
      ],
    }),
  },
  {
    op: 'Dropout',
    opsets: [6, 7, 10, 12, 13],
    make: (g, opset) => {
      const x = g.tensor('float32', g.shape(1, 3));
      const outputs = opset < 10 ? 1 : g.between(1, 2);
      if (opset < 12)
        return {
          inputs: [x],
          attributes: { ...(g.oneIn(2) ? { ratio: float(0.25) } : {}), ...(opset < 7 ? { is_test: 1 } : {}) },
          outputs,
          ...(opset < 7 ? { same: { opset: 7, inputs: [x] } } : {}),
        };
      const inputs = g.one(
        [x],
        [x, g.tensor('float32', [], 0, 0.9)],
        [x, undefined, g.whole('bool', [], [0])],
        [x, g.whole('float32', [], [0]), g.whole('bool', [], [1])],
      );
      return { inputs, outputs };
    },
  },
];
