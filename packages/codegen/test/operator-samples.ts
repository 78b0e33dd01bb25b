/** One small node of every operator that two inputs of shape [2, 3] do not make: what `operators.ts` tries to compile. */
import { graph, type OpName } from '@grim/ir';

/** A shape, or the values of a constant (a list, or one number). */
type Given = readonly number[] | { readonly constant: readonly number[] | number };

export interface Sample {
  readonly inputs?: readonly Given[];
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly outputs?: number;
}

const one: readonly number[] = [];
const constant = (...values: readonly number[]): Given => ({ constant: values });
const scalar = (value: number): Given => ({ constant: value });
const image: readonly number[] = [1, 2, 5, 5];
const kernel: readonly number[] = [2, 2, 3, 3];
const square: Sample = {
  inputs: [
    [2, 2],
    [2, 2],
  ],
};
const pool: Sample = { inputs: [image], attributes: { kernel_shape: [2, 2] } };
const convolution: Sample = { inputs: [image, kernel] };
const recurrent = (gates: number): Sample => ({
  inputs: [
    [3, 1, 2],
    [1, 2 * gates, 2],
    [1, 2 * gates, 2],
  ],
  attributes: { hidden_size: 2 },
});
const running: Sample = { inputs: [[2, 3], scalar(0)] };
const window: Sample = { inputs: [scalar(4)] };
const loss: Sample = { inputs: [[2, 3], [2]] };

const branch = graph('branch', (b) => {
  b.output('out', 'i1');
});
const body = graph('body', (b) => {
  b.input('iteration', 'int64', []);
  b.output('condition', b.input('going', 'bool', []));
  b.output('value', b.input('carried', 'float32', [2]));
});
const step = graph('step', (b) => {
  b.output('value', b.input('slice', 'float32', [3]));
});

export const SAMPLES: Readonly<Partial<Record<OpName, Sample>>> = {
  AffineGrid: { inputs: [[1, 2, 3], constant(1, 1, 2, 2)] },
  Attention: {
    inputs: [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ],
  },
  AveragePool: pool,
  BatchNormalization: { inputs: [[2, 3], [3], [3], [3], [3]] },
  BitCast: { attributes: { to: 'float32' } },
  BitShift: { attributes: { direction: 'LEFT' } },
  BlackmanWindow: window,
  Cast: { attributes: { to: 'float32' } },
  CenterCropPad: { inputs: [[2, 3], constant(2, 2)] },
  Col2Im: { inputs: [[1, 4, 4], constant(3, 3), constant(2, 2)] },
  Compress: { inputs: [[2, 3], { constant: [1, 0] }], attributes: { axis: 0 } },
  Concat: { attributes: { axis: 0 } },
  ConstantOfShape: { inputs: [constant(2, 3)] },
  Conv: convolution,
  ConvInteger: convolution,
  ConvTranspose: convolution,
  CumProd: running,
  CumSum: running,
  DFT: { inputs: [[2, 4, 2]] },
  DeformConv: { inputs: [image, kernel, [1, 18, 3, 3]] },
  DepthToSpace: { inputs: [[1, 4, 2, 2]], attributes: { blocksize: 2 } },
  DequantizeLinear: { inputs: [[2, 3], one] },
  Det: { inputs: [[2, 2]] },
  DynamicQuantizeLinear: { outputs: 3 },
  Einsum: {
    attributes: { equation: 'ij,ij->i' },
    inputs: [
      [2, 3],
      [2, 3],
    ],
  },
  Expand: { inputs: [[2, 3], constant(2, 2, 3)] },
  GRU: recurrent(3),
  GatherND: {
    inputs: [
      [2, 3],
      [2, 1],
    ],
  },
  Gemm: square,
  GridSample: { inputs: [image, [1, 3, 3, 2]], attributes: { mode: 'nearest' } },
  GroupNormalization: { inputs: [image, [2], [2]], attributes: { num_groups: 1 } },
  HammingWindow: window,
  HannWindow: window,
  If: { inputs: [one, [2]], attributes: { then_branch: branch, else_branch: branch } },
  InstanceNormalization: { inputs: [image, [2], [2]] },
  LRN: { inputs: [image], attributes: { size: 3 } },
  LSTM: recurrent(4),
  Loop: { inputs: [scalar(2), { constant: 1 }, [2]], attributes: { body } },
  LpPool: pool,
  MatMul: square,
  MatMulInteger: square,
  MaxPool: pool,
  MaxRoiPool: { inputs: [image, [1, 5]], attributes: { pooled_shape: [2, 2] } },
  MaxUnpool: { inputs: [image, image], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
  MeanVarianceNormalization: { inputs: [image] },
  MelWeightMatrix: { inputs: [scalar(4), scalar(16), scalar(8000), scalar(0), scalar(2000)] },
  Mod: { attributes: { fmod: 1 } },
  NegativeLogLikelihoodLoss: loss,
  NonMaxSuppression: {
    inputs: [
      [1, 4, 4],
      [1, 1, 4],
    ],
  },
  OneHot: { inputs: [[2, 3], scalar(3), [2]] },
  Pad: { inputs: [[2, 3], constant(1, 1, 0, 0)] },
  QLinearConv: { inputs: [image, one, one, kernel, one, one, one, one] },
  QLinearMatMul: { inputs: [[2, 2], one, one, [2, 2], one, one, one, one] },
  QuantizeLinear: { inputs: [[2, 3], one, one] },
  RNN: recurrent(1),
  Range: { inputs: [scalar(0), scalar(6), scalar(2)] },
  Reshape: { inputs: [[2, 3], constant(3, 2)] },
  Resize: { inputs: [image, [0], [0], constant(1, 2, 3, 3)] },
  ReverseSequence: { inputs: [[2, 3], constant(1, 2, 1)] },
  RoiAlign: { inputs: [image, [1, 4], [1]] },
  RotaryEmbedding: {
    inputs: [
      [1, 2, 3, 4],
      [1, 3, 2],
      [1, 3, 2],
    ],
  },
  STFT: { inputs: [[1, 16, 1], scalar(4), [8]] },
  Scan: { inputs: [[2, 3]], attributes: { body: step, num_scan_inputs: 1 } },
  ScatterND: {
    inputs: [
      [2, 3],
      [2, 1],
      [2, 3],
    ],
  },
  Slice: { inputs: [[2, 3], constant(0), constant(1)] },
  SoftmaxCrossEntropyLoss: loss,
  SpaceToDepth: { inputs: [image.with(2, 4).with(3, 4)], attributes: { blocksize: 2 } },
  TensorScatter: {
    inputs: [
      [1, 4, 2],
      [1, 2, 2],
    ],
    attributes: { axis: 1 },
  },
  Tile: { inputs: [[2, 3], constant(1, 2)] },
  TopK: { inputs: [[2, 3], constant(1)], outputs: 2 },
  Unsqueeze: { inputs: [[2, 3], constant(0)] },
};
