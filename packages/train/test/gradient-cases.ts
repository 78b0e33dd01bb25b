/** For each operator with a gradient, small graphs that exercise it: float inputs to differentiate by, and one output or more. */
import type { AttributeInput, OpName } from '@grim/ir';

type Shape = readonly number[];

/** What a case is made of. All inputs are differentiated by unless named `fixed`. */
export interface Case {
  readonly op: OpName;
  readonly note: string;
  /** float inputs by place, with the interval of their values; null leaves an input out; numbers are int64 constants. */
  readonly inputs: readonly (FloatInput | IntInput | null)[];
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly outputs: number;
  /** Celu knows float32 alone. */
  readonly float32?: boolean;
  readonly training?: boolean;
  /** Gradients of some inputs do not exist or are not given. */
  readonly by?: readonly number[];
  /** Outputs whose gradient is seeded; default: all. */
  readonly seeded?: readonly number[];
}
export interface FloatInput {
  readonly shape: Shape;
  readonly low: number;
  readonly high: number;
}
export interface IntInput {
  readonly ints: readonly number[];
  readonly shape: Shape;
  readonly dtype: 'int64' | 'bool';
}

const f = (shape: Shape, low = -1, high = 1): FloatInput => ({ shape, low, high });
const ints = (...values: number[]): IntInput => ({ ints: values, shape: [values.length], dtype: 'int64' });
const int = (value: number): IntInput => ({ ints: [value], shape: [], dtype: 'int64' });

function made<O extends OpName>(
  op: O,
  note: string,
  inputs: Case['inputs'],
  attributes: AttributeInput<O> = {},
  more: Partial<Case> = {},
): Case {
  return { op, note, inputs, attributes: attributes as Case['attributes'], outputs: 1, ...more };
}

const unary = (op: OpName, low = -2, high = 2): Case => made(op, 'a function', [f([3, 5], low, high)]);
const binary = (op: OpName, low = -2, high = 2): Case[] => [
  made(op, 'equal shapes', [f([3, 4], low, high), f([3, 4], low, high)]),
  made(op, 'both broadcast', [f([2, 1, 4], low, high), f([3, 1], low, high)]),
];
const reduction = (op: OpName, low = -2, high = 2): Case[] => [
  made(op, 'two axes, kept', [f([2, 3, 4], low, high), ints(0, -1)]),
  made(op, 'one axis, dropped', [f([2, 3, 4], low, high), ints(1)], { keepdims: 0 } as never),
  made(op, 'all', [f([2, 3], low, high)], { keepdims: 0 } as never),
];

const conv = (note: string, x: Shape, w: Shape, attributes: AttributeInput<'Conv'>, bias = true): Case =>
  made('Conv', note, [f(x), f(w), ...(bias ? [f([w[0] as number])] : [])], attributes);
const transposed = (note: string, x: Shape, w: Shape, attributes: AttributeInput<'ConvTranspose'>, m: number): Case =>
  made('ConvTranspose', note, [f(x), f(w), f([m])], attributes);

const recurrent = (op: 'RNN' | 'GRU' | 'LSTM', gates: number): Case[] => {
  const inputs = (d: number, first: boolean): (FloatInput | null)[] => [
    f([5, 2, 3]),
    f([d, gates * 4, 3]),
    f([d, gates * 4, 4]),
    f([d, gates * 8]),
    null,
    ...(first ? [f([d, 2, 4]), ...(op === 'LSTM' ? [f([d, 2, 4])] : [])] : []),
  ];
  const outputs = op === 'LSTM' ? 3 : 2;
  const linear = (op === 'GRU' ? [0, 1] : [undefined]).map((value) =>
    value === undefined ? {} : { linear_before_reset: value },
  );
  return linear.flatMap((more) => [
    made(op, `forward ${JSON.stringify(more)}`, inputs(1, true), { hidden_size: 4, ...more } as never, { outputs }),
    made(
      op,
      `last state only ${JSON.stringify(more)}`,
      inputs(1, false).slice(0, 4),
      { hidden_size: 4, ...more } as never,
      { outputs, seeded: [1] },
    ),
    made(
      op,
      `both ways ${JSON.stringify(more)}`,
      inputs(2, true),
      { hidden_size: 4, direction: 'bidirectional', ...more } as never,
      { outputs },
    ),
    made(
      op,
      `backwards, all states ${JSON.stringify(more)}`,
      inputs(1, false).slice(0, 3),
      { hidden_size: 4, direction: 'reverse', ...more } as never,
      { outputs, seeded: [0] },
    ),
  ]);
};

export const CASES: readonly Case[] = [
  unary('Abs'),
  unary('Acos', -0.9, 0.9),
  unary('Acosh', 1.2, 3),
  ...binary('Add'),
  unary('Asin', -0.9, 0.9),
  unary('Asinh'),
  unary('Atan'),
  unary('Atanh', -0.9, 0.9),
  made('Celu', 'alpha 2', [f([3, 5], -2, 2)], { alpha: 2 }, { float32: true }),
  made(
    'Clip',
    'both bounds',
    [f([4, 5], -2, 2), { shape: [], low: -1, high: -1 }, { shape: [], low: 1, high: 1 }],
    {},
    { by: [0] },
  ),
  made('Clip', 'below only', [f([4, 5], -2, 2), { shape: [], low: 0.1, high: 0.1 }], {}, { by: [0] }),
  unary('Cos'),
  unary('Cosh'),
  ...binary('Div', 0.5, 2),
  unary('Dropout'),
  made('Elu', 'alpha 0.5', [f([3, 5], -2, 2)], { alpha: 0.5 }),
  unary('Erf'),
  unary('Exp'),
  unary('Gelu'),
  made('Gelu', 'by tanh', [f([3, 5], -2, 2)], { approximate: 'tanh' }),
  made('HardSigmoid', 'alpha 0.4', [f([3, 5], -2, 2)], { alpha: 0.4, beta: 0.5 }),
  unary('HardSwish', -4, 4),
  unary('Identity'),
  made('LeakyRelu', 'alpha 0.1', [f([3, 5], -2, 2)], { alpha: 0.1 }),
  unary('Log', 0.3, 3),
  made('Max', 'three', [f([2, 3]), f([3]), f([2, 1])]),
  made('Mean', 'three', [f([2, 3]), f([3]), f([2, 1])]),
  made('Min', 'two', [f([2, 3]), f([3])]),
  unary('Mish'),
  made('Mod', 'of floats', [f([3, 4], 0.2, 0.9), { shape: [], low: 1, high: 1 }], { fmod: 1 }, { by: [0] }),
  ...binary('Mul'),
  unary('Neg'),
  made('PRelu', 'a slope per channel', [f([2, 3, 4]), f([3, 1])]),
  ...binary('Pow', 0.5, 2),
  unary('Reciprocal', 0.5, 2),
  unary('Relu'),
  unary('Selu'),
  made('Shrink', 'lambd 0.4', [f([3, 5], -2, 2)], { lambd: 0.4, bias: 0.1 }),
  unary('Sigmoid'),
  unary('Sin'),
  unary('Sinh'),
  unary('Softplus'),
  unary('Softsign'),
  unary('Sqrt', 0.3, 3),
  ...binary('Sub'),
  made('Sum', 'three', [f([2, 3]), f([3]), f([2, 1])]),
  made('Swish', 'alpha 1.5', [f([3, 5], -2, 2)], { alpha: 1.5 }),
  unary('Tan', -1, 1),
  unary('Tanh'),
  made('ThresholdedRelu', 'alpha 0.3', [f([3, 5], -2, 2)], { alpha: 0.3 }),
  made('Where', 'broadcast', [{ ints: [1, 0, 1], shape: [3], dtype: 'bool' }, f([2, 3]), f([2, 1])]),
  made('Cast', 'to itself', [f([2, 3])], { to: 'float64' }),
  ...reduction('ReduceL1'),
  ...reduction('ReduceL2'),
  ...reduction('ReduceLogSum', 0.3, 2),
  ...reduction('ReduceLogSumExp'),
  ...reduction('ReduceMax'),
  ...reduction('ReduceMean'),
  ...reduction('ReduceMin'),
  ...reduction('ReduceProd', 0.5, 2),
  ...reduction('ReduceSum'),
  ...reduction('ReduceSumSquare'),
  made('Softmax', 'last axis', [f([3, 5])]),
  made('Softmax', 'axis 1', [f([2, 3, 4])], { axis: 1 }),
  made('LogSoftmax', 'axis 1', [f([2, 3, 4])], { axis: 1 }),
  made('CumSum', 'exclusive', [f([3, 4]), int(1)], { exclusive: 1 }),
  made('CumSum', 'reverse', [f([3, 4]), int(0)], { reverse: 1 }),
  made('TopK', 'the 2 largest', [f([3, 5]), ints(2)], {}, { outputs: 2, seeded: [0] }),
  made('Reshape', 'with -1', [f([2, 6]), ints(3, -1)]),
  made('Flatten', 'axis 2', [f([2, 3, 2])], { axis: 2 }),
  made('Squeeze', 'one axis', [f([2, 1, 3]), ints(1)]),
  made('Unsqueeze', 'two axes', [f([2, 3]), ints(0, 2)]),
  made('Concat', 'axis 1', [f([2, 3]), f([2, 1]), f([2, 2])], { axis: 1 }),
  made('DepthToSpace', 'DCR', [f([1, 8, 2, 3])], { blocksize: 2 }),
  made('DepthToSpace', 'CRD', [f([1, 8, 2, 3])], { blocksize: 2, mode: 'CRD' }),
  made('SpaceToDepth', 'of 2', [f([1, 2, 4, 6])], { blocksize: 2 }),
  made('Expand', 'two ways', [f([3, 1]), ints(2, 1, 4)]),
  made('Gather', 'rows, twice one', [f([4, 3]), ints(1, 3, 1)]),
  made('Gather', 'one column of the middle axis', [f([2, 4, 3]), int(-1)], { axis: 1 }),
  made('GatherElements', 'axis 1', [f([2, 4]), { ints: [0, 3, 0, 1, 1, 2], shape: [2, 3], dtype: 'int64' }], {
    axis: 1,
  }),
  made('GatherND', 'pairs', [f([3, 4]), { ints: [0, 1, 2, 3, 0, 1], shape: [3, 2], dtype: 'int64' }]),
  made('ScatterElements', 'replaced', [f([2, 4]), { ints: [1, 3], shape: [2, 1], dtype: 'int64' }, f([2, 1])], {
    axis: 1,
  }),
  made('ScatterElements', 'added', [f([2, 4]), { ints: [1, 3], shape: [2, 1], dtype: 'int64' }, f([2, 1])], {
    axis: 1,
    reduction: 'add',
  }),
  made('ScatterND', 'rows', [f([4, 3]), { ints: [1, 3], shape: [2, 1], dtype: 'int64' }, f([2, 3])]),
  made('Pad', 'constant', [f([2, 3]), ints(1, 0, 0, 2)]),
  made('Pad', 'taking away', [f([2, 4]), ints(0, -1, 1, -1)]),
  made('Pad', 'reflect', [f([1, 4]), ints(0, 2, 0, 1)], { mode: 'reflect' }),
  made('Pad', 'edge', [f([2, 3]), ints(0, 1, 0, 2)], { mode: 'edge' }),
  made('ReverseSequence', 'of batches', [f([4, 2]), ints(3, 2)]),
  made('CenterCropPad', 'both', [f([5, 2]), ints(3, 4)]),
  made('Slice', 'two axes, a step', [f([5, 7]), ints(1, 6), ints(4, 0), ints(0, 1), ints(1, -2)]),
  made('Slice', 'to the end', [f([3, 6]), ints(-4), ints(2 ** 31), ints(-1), ints(3)]),
  made('Split', 'uneven', [f([2, 6]), ints(1, 3, 2)], { axis: 1 }, { outputs: 3 }),
  made('Split', 'one part unused', [f([2, 6]), ints(1, 3, 2)], { axis: 1 }, { outputs: 3, seeded: [1] }),
  made('Tile', 'two axes', [f([2, 3]), ints(2, 3)]),
  made('Transpose', 'of three', [f([2, 3, 4])], { perm: [2, 0, 1] }),
  made('Trilu', 'lower', [f([3, 4]), int(1)], { upper: 0 }),
  made('MatMul', 'matrices', [f([3, 4]), f([4, 2])]),
  made('MatMul', 'a batch by one matrix', [f([2, 3, 4]), f([4, 2])]),
  made('MatMul', 'batches that broadcast', [f([2, 1, 3, 4]), f([3, 4, 2])]),
  made('MatMul', 'by a vector', [f([2, 3, 4]), f([4])]),
  made('MatMul', 'a vector first', [f([4]), f([4, 2])]),
  made('Gemm', 'plain', [f([3, 4]), f([4, 2]), f([2])]),
  made('Gemm', 'both transposed', [f([4, 3]), f([2, 4]), f([3, 1])], { transA: 1, transB: 1, alpha: 0.5, beta: 2 }),
  made('Gemm', 'the left transposed', [f([4, 3]), f([4, 2])], { transA: 1 }),
  made('Einsum', 'attention scores', [f([2, 3, 4]), f([2, 5, 4])], { equation: 'bid,bjd->bij' }),
  made('Einsum', 'a label summed alone', [f([2, 3]), f([4])], { equation: 'ij,k->ik' }),
  conv('3×3, padding 1', [2, 3, 5, 4], [4, 3, 3, 3], { pads: [1, 1, 1, 1] }),
  conv('3×3, stride 2, padding 1', [2, 3, 7, 8], [4, 3, 3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] }),
  conv('1×1', [2, 3, 4, 5], [4, 3, 1, 1], {}),
  conv('1×1, stride 2: input behind the last window', [2, 3, 6, 5], [4, 3, 1, 1], { strides: [2, 2] }, false),
  conv('5×3, uneven padding', [1, 2, 7, 6], [3, 2, 5, 3], { pads: [2, 0, 1, 2] }),
  conv('dilated', [1, 2, 8, 8], [3, 2, 3, 3], { dilations: [2, 3], pads: [2, 2, 2, 2] }),
  conv('depthwise, stride 2', [2, 4, 7, 7], [4, 1, 3, 3], { group: 4, pads: [1, 1, 1, 1], strides: [2, 2] }),
  conv('depthwise', [2, 4, 5, 5], [4, 1, 3, 3], { group: 4, pads: [1, 1, 1, 1] }),
  conv('groups', [2, 4, 5, 5], [6, 2, 3, 3], { group: 2, pads: [1, 1, 1, 1] }),
  conv('one axis, stride 2', [2, 3, 9], [4, 3, 4], { strides: [2], pads: [1, 2] }),
  conv('three axes', [1, 2, 4, 3, 4], [2, 2, 2, 2, 2], { strides: [2, 1, 1] }),
  conv('SAME_UPPER', [1, 2, 6, 5], [3, 2, 3, 2], { auto_pad: 'SAME_UPPER', strides: [2, 2] }),
  conv('a stride longer than the kernel', [1, 2, 11, 9], [3, 2, 2, 1], { strides: [4, 3] }),
  conv('padding longer than the kernel', [1, 2, 4, 4], [3, 2, 2, 1], { pads: [3, 2, 2, 1] }),
  transposed(
    'stride 2',
    [2, 3, 4, 3],
    [3, 4, 3, 3],
    { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 0] },
    4,
  ),
  transposed('groups, dilated', [1, 4, 4, 4], [4, 3, 2, 2], { group: 2, dilations: [2, 1] }, 6),
  made('AveragePool', 'padding not counted', [f([2, 3, 6, 5])], {
    kernel_shape: [3, 2],
    strides: [2, 2],
    pads: [1, 0, 1, 1],
  }),
  made('AveragePool', 'padding counted', [f([2, 3, 6, 5])], {
    kernel_shape: [3, 3],
    strides: [2, 1],
    pads: [1, 1, 1, 1],
    count_include_pad: 1,
  }),
  made('AveragePool', 'rounded up', [f([1, 2, 7])], { kernel_shape: [3], strides: [2], ceil_mode: 1 }),
  made('AveragePool', 'input behind the last window', [f([1, 2, 8, 9])], { kernel_shape: [2, 2], strides: [3, 4] }),
  made('MaxPool', 'overlapping', [f([2, 3, 6, 5])], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
  made('MaxPool', 'of 2', [f([1, 2, 5, 4])], { kernel_shape: [2, 2], strides: [2, 2] }),
  made('LpPool', 'p = 3', [f([1, 2, 5, 4], 0.2, 2)], { kernel_shape: [2, 2], strides: [2, 2], p: 3 }),
  made('GlobalAveragePool', 'of pictures', [f([2, 3, 4, 2])]),
  made('GlobalMaxPool', 'of pictures', [f([2, 3, 4, 2])]),
  made('GlobalLpPool', 'p = 2', [f([2, 3, 4, 2])]),
  made(
    'BatchNormalization',
    'of the batch',
    [f([4, 3, 2, 2]), f([3]), f([3]), f([3]), f([3], 0.5, 2)],
    {},
    { training: true, by: [0, 1, 2] },
  ),
  made(
    'BatchNormalization',
    'of the batch, no places',
    [f([6, 3]), f([3]), f([3]), f([3]), f([3], 0.5, 2)],
    {},
    { training: true, by: [0, 1, 2] },
  ),
  made(
    'BatchNormalization',
    'stored statistics',
    [f([4, 3, 2]), f([3]), f([3]), f([3]), f([3], 0.5, 2)],
    {},
    { by: [0, 1, 2] },
  ),
  made('InstanceNormalization', 'of pictures', [f([2, 3, 4, 2]), f([3]), f([3])]),
  made('LayerNormalization', 'two axes', [f([3, 2, 4]), f([2, 4]), f([4])], { axis: 1 }),
  made('LayerNormalization', 'without a shift', [f([3, 5]), f([5])]),
  made('GroupNormalization', 'two groups', [f([2, 4, 3]), f([4]), f([4])], { num_groups: 2 }),
  made('RMSNormalization', 'the last axis', [f([3, 5]), f([5])]),
  made('LpNormalization', 'p = 2', [f([3, 4])]),
  made('LpNormalization', 'p = 1, axis 0', [f([3, 4])], { axis: 0, p: 1 }),
  made('MeanVarianceNormalization', 'of pictures', [f([2, 3, 2, 2])]),
  made('LRN', 'of 3 channels', [f([2, 5, 2, 2])], { size: 3, alpha: 0.5, beta: 0.75, bias: 1 }),
  ...recurrent('RNN', 1),
  made(
    'RNN',
    'of relu',
    [f([4, 2, 3]), f([1, 4, 3]), f([1, 4, 4]), f([1, 8])],
    { hidden_size: 4, activations: ['Relu'] },
    { outputs: 2 },
  ),
  ...recurrent('GRU', 3),
  ...recurrent('LSTM', 4),
];
