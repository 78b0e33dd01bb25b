/**
 * Where onnxruntime 1.30 does not do what the ONNX text says, and GRIM does: the cases that the differential test leaves
 * out, each with the reason.
 */
import { toReals } from '../../src/numeric.ts';
import type { Parts } from './case.ts';

interface Disagreement {
  readonly op: string;
  readonly applies: (parts: Parts, opset: number) => boolean;
  readonly reason: string;
}

const numbers = (value: unknown): readonly number[] => (Array.isArray(value) ? (value as number[]) : []);
const attribute = (parts: Parts, name: string): unknown =>
  (parts.attributes as Record<string, unknown> | undefined)?.[name];
const isSame = (parts: Parts): boolean => String(attribute(parts, 'auto_pad')).startsWith('SAME');
const lengthsOf = (parts: Parts, input: number): readonly number[] => parts.inputs[input]?.shape.slice(2) ?? [];

/** Some stride is longer than the window along that axis. */
function outruns(parts: Parts, kernel: readonly number[]): boolean {
  return isSame(parts) && numbers(attribute(parts, 'strides')).some((stride, axis) => stride > (kernel[axis] ?? 1));
}

const skipping = (op: string): Disagreement => ({
  op,
  applies: (parts) => outruns(parts, numbers(attribute(parts, 'kernel_shape'))),
  reason:
    'SAME_* with a stride longer than the window needs no padding; onnxruntime computes a negative one and refuses, or shifts the windows.',
});

const roundingUp = (op: string): Disagreement => ({
  op,
  applies: (parts) => attribute(parts, 'auto_pad') === 'VALID' && attribute(parts, 'ceil_mode') === 1,
  reason:
    'VALID under ceil_mode gives ceil((length - window + 1) / stride) places, as many as without; onnxruntime has one more.',
});

/** Some resized axis keeps its length under a scale that is not 1. */
const keepsLength = (parts: Parts): boolean => {
  const [sizes, shape] = [parts.inputs[3], parts.inputs[0]?.shape ?? []];
  const asked = sizes ? Array.from(toReals(sizes)) : [];
  return shape.slice(-asked.length).some((dim, axis) => asked.length > 0 && dim > 1 && dim === asked[axis]);
};

export const DISAGREEMENTS: readonly Disagreement[] = [
  {
    op: 'Attention',
    applies: (parts) => {
      const [queries, keys] = [parts.inputs[0]?.shape.at(-2) ?? 0, parts.inputs[1]?.shape.at(-2) ?? 0];
      return attribute(parts, 'is_causal') === 1 && parts.inputs[4] !== undefined && queries < keys;
    },
    reason: 'Query i sees the past and the keys up to i; onnxruntime lets the last query see every key that is given.',
  },
  {
    op: 'Attention',
    applies: (parts) => attribute(parts, 'qk_matmul_output_mode') === 2 && parts.inputs[3]?.dtype === 'bool',
    reason: 'A key that is masked out has the score minus infinity; onnxruntime writes the lowest float.',
  },
  {
    op: 'Dropout',
    applies: ({ outputs = 1 }, opset) => opset === 10 && outputs > 1,
    reason:
      'Dropout-12 and later: without training the mask is true everywhere. Opset 10 leaves it open, onnxruntime fills it with false.',
  },
  {
    op: 'ConvTranspose',
    applies: (parts) => outruns(parts, lengthsOf(parts, 1)),
    reason:
      'With SAME_* the output length is input · stride, also where the windows do not reach that far; onnxruntime leaves the rest out.',
  },
  skipping('AveragePool'),
  skipping('LpPool'),
  skipping('MaxPool'),
  roundingUp('AveragePool'),
  roundingUp('LpPool'),
  roundingUp('MaxPool'),
  {
    op: 'LSTM',
    applies: (parts) => attribute(parts, 'clip') !== undefined,
    reason:
      'clip bounds the input of every activation, and so the cell state before h; onnxruntime bounds the gates only.',
  },
  {
    op: 'Resize',
    applies: (parts) =>
      attribute(parts, 'coordinate_transformation_mode') === 'tf_crop_and_resize' && keepsLength(parts),
    reason: 'tf_crop_and_resize takes coordinates from roi; onnxruntime copies an axis whose length does not change.',
  },
  {
    op: 'Resize',
    applies: (parts) => {
      const [x, sizes] = [parts.inputs[0]?.shape.slice(2) ?? [], parts.inputs[3]];
      const policy = attribute(parts, 'keep_aspect_ratio_policy');
      if (!sizes || attribute(parts, 'antialias') !== 1 || policy === 'stretch') return false;
      const ratios = Array.from(toReals(sizes), (size, i) => size / (x[i] ?? 1));
      const scale = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
      return scale !== 1 && x.some((dim) => Math.floor(scale * dim + 0.5) === dim);
    },
    reason:
      'One scale serves all axes, also one whose rounded length stays the same; onnxruntime leaves that axis as it is.',
  },
  ...['HannWindow', 'HammingWindow', 'BlackmanWindow'].map((op) => ({
    op,
    applies: (parts: Parts) => attribute(parts, 'periodic') === 0 && Number(parts.inputs[0]?.data[0]) === 1,
    reason:
      'A symmetric window of one element: the formula divides 0 by 0. onnxruntime gives NaN, GRIM the middle of a window.',
  })),
];
