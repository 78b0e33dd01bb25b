/** Operators of older opsets mean what they meant: small models of their time, results worked out by hand. */
import { describe, expect, it } from 'vitest';
import { fromOnnx } from '../../src/onnx/index.ts';
import { evaluate } from '../../src/reference/index.ts';
import type { Tensor } from '../../src/types.ts';
import { reals, refusal, t } from '../run.ts';
import { body, type Dims, float, floats, graphProto, modelFile, node, tensorValue, value } from './model-file.ts';

type Attributes = Parameters<typeof node>[3];

/** One operator of an old opset; inputs are run-time values, weights are known. */
function old(
  opset: number,
  op: string,
  inputs: Readonly<Record<string, Tensor>>,
  attributes: Attributes = {},
  { weights = {}, outputs = ['y'], dims }: { weights?: Record<string, Tensor>; outputs?: string[]; dims?: Dims } = {},
) {
  const declared = Object.entries(inputs).map(([name, tensor]) => value(name, dims ?? tensor.shape, tensor.dtype));
  const names = [...Object.keys(inputs), ...Object.keys(weights)];
  const file = modelFile({
    opset,
    nodes: [node(op, names, outputs, attributes)],
    inputs: declared,
    outputs: outputs.filter((name) => name !== ''),
    weights,
  });
  const graph = fromOnnx(file);
  return { graph, ops: graph.nodes.map((n) => n.op), results: evaluate(graph, inputs) };
}

const f32 = (shape: readonly number[], ...values: number[]) => t('float32', shape, values);
const i64 = (...values: number[]) => t('int64', [values.length], values);
const range = (shape: readonly number[]) =>
  f32(shape, ...Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i));

describe('before opset 7', () => {
  it('Add, Less and the like: axis says where the second operand is aligned', () => {
    const a = range([2, 3, 2]);
    const b = f32([3], 10, 20, 30);
    const { results } = old(6, 'Add', { a, b }, { broadcast: 1, axis: 1 });
    expect(reals(results['y'])).toEqual([10, 11, 22, 23, 34, 35, 16, 17, 28, 29, 40, 41]);
    const less = old(1, 'Less', { a: f32([2, 2], 1, 5, 1, 5), b: f32([2], 2, 0) }, { broadcast: 1, axis: 0 });
    expect(reals(less.results['y'])).toEqual([1, 0, 0, 0]);
    expect(reals(old(6, 'Mul', { a: f32([1, 2], 3, 4), b: f32([2], 5, 6) }, { broadcast: 1 }).results['y'])).toEqual([
      15, 24,
    ]);
    expect(refusal(() => old(6, 'Add', { a, b }, { broadcast: 1, axis: 3 })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
  });

  it('PRelu: one slope per channel', () => {
    const { results } = old(6, 'PRelu', { x: f32([1, 2, 2], -1, 1, -1, 1), slope: f32([2], 0.5, 2) });
    expect(reals(results['y'])).toEqual([-0.5, 1, -2, 1]);
  });

  it('hints to reuse memory say nothing; Selu had rounder constants', () => {
    expect(reals(old(1, 'Relu', { x: f32([2], -1, 1) }, { consumed_inputs: [0] }).results['y'])).toEqual([0, 1]);
    const [one] = reals(old(1, 'Selu', { x: f32([1], 1) }).results['y']);
    expect(one).toBeCloseTo(1.0507, 6);
    expect(refusal(() => old(6, 'Relu', { x: f32([1], 1) }, { consumed_inputs: [0] })).code).toBe(
      'GRIM_IR_BAD_ATTRIBUTE',
    );
  });

  it('Cast to an element type by its name; Concat along axis 1; Reshape by an attribute; Tile of one axis', () => {
    expect(old(1, 'Cast', { x: f32([1], 1.5) }, { to: 'INT32' }).results['y']?.dtype).toBe('int32');
    expect(refusal(() => old(1, 'Cast', { x: f32([1], 1.5) }, { to: 'STRING' })).code).toBe('GRIM_IR_BAD_ATTRIBUTE');
    expect(old(1, 'Concat', { a: range([2, 1]), b: range([2, 2]) }).results['y']?.shape).toEqual([2, 3]);
    expect(old(1, 'Reshape', { x: range([2, 3]) }, { shape: [0, -1, 1] }).results['y']?.shape).toEqual([2, 3, 1]);
    const tile = old(1, 'Tile', { x: f32([1, 2], 1, 2), n: f32([], 3), axis: f32([], 1) });
    expect(tile.results['y']).toEqual(f32([1, 6], 1, 2, 1, 2, 1, 2));
  });

  it('Gemm and BatchNormalization lose their switches', () => {
    const two = f32([2, 2], 1, 2, 3, 4);
    const gemm = old(6, 'Gemm', { a: two, b: two, c: f32([2], 1, 1) }, { broadcast: 1 });
    expect(reals(gemm.results['y'])).toEqual([8, 11, 16, 23]);
    const [scale, bias, mean, variance] = [f32([1], 2), f32([1], 1), f32([1], 3), f32([1], 4)];
    const norm = old(
      6,
      'BatchNormalization',
      { x: f32([1, 1, 2], 3, 5), scale, bias, mean, variance },
      { is_test: 1, epsilon: float(0) },
    );
    expect(reals(norm.results['y'])).toEqual([1, 3]);
  });
});

describe('normalisation', () => {
  it('BatchNormalization with spatial = 0 has statistics for every element', () => {
    const inputs = {
      x: f32([1, 2, 2], 1, 2, 3, 4),
      scale: f32([2, 2], 1, 2, 3, 4),
      bias: f32([2, 2], 0, 0, 0, 1),
      mean: f32([2, 2], 1, 1, 1, 1),
      variance: f32([2, 2], 1, 1, 4, 9),
    };
    const { results } = old(7, 'BatchNormalization', inputs, { spatial: 0, epsilon: float(0) });
    expect(reals(results['y'])).toEqual([0, 2, 3, 5]);
  });

  it('BatchNormalization with more outputs is training; the saved statistics are gone', () => {
    const one = f32([1], 1);
    const inputs = { x: f32([2, 1], 1, 3), scale: one, bias: f32([1], 0), mean: one, variance: one };
    const attributes = { epsilon: float(0), momentum: float(0.5) };
    const { results } = old(9, 'BatchNormalization', inputs, attributes, { outputs: ['y', 'm', 'v'] });
    expect(reals(results['y'])).toEqual([-1, 1]);
    expect(reals(results['m'])).toEqual([1.5]);
    const saved = () => old(9, 'BatchNormalization', inputs, attributes, { outputs: ['y', 'm', 'v', 's'] });
    expect(refusal(saved).code).toBe('GRIM_IR_UNSUPPORTED_OP');
    // In inference: (x − 1) / 1.
    expect(reals(old(9, 'BatchNormalization', inputs, attributes).results['y'])).toEqual([0, 2]);
  });

  it('GroupNormalization had one scale and bias per group', () => {
    const inputs = { x: f32([1, 4, 2], 1, 3, 1, 3, 2, 6, 2, 6), scale: f32([2], 1, 10), bias: f32([2], 0, 5) };
    for (const dims of [undefined, ['N', 4, 2]]) {
      if (dims) {
        const declared = [value('x', dims), value('scale', [2]), value('bias', [2])];
        const nodes = [node('GroupNormalization', ['x', 'scale', 'bias'], ['y'], { num_groups: 2, epsilon: float(0) })];
        const graph = fromOnnx(modelFile({ opset: 18, nodes, inputs: declared, outputs: ['y'] }));
        expect(reals(evaluate(graph, inputs)['y'])).toEqual([-1, 1, -1, 1, -5, 15, -5, 15]);
        continue;
      }
      const { results } = old(18, 'GroupNormalization', inputs, { num_groups: 2, epsilon: float(0) });
      expect(reals(results['y'])).toEqual([-1, 1, -1, 1, -5, 15, -5, 15]);
    }
  });

  it('Softmax, LogSoftmax and Hardmax before opset 13 normalise a matrix, axis 1 by default', () => {
    const x = f32([1, 2, 2], 0, 0, 0, 0);
    const { ops, results } = old(12, 'Softmax', { x });
    expect(reals(results['y'])).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(results['y']?.shape).toEqual([1, 2, 2]);
    expect(ops).toEqual(['Flatten', 'Softmax', 'Reshape']);
    expect(reals(old(12, 'Softmax', { x }, { axis: 2 }).results['y'])).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect(reals(old(13, 'Softmax', { x }).results['y'])).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect(old(12, 'Softmax', { x: range([2, 3, 1, 1]) }).ops).toEqual(['Softmax']);
    expect(reals(old(11, 'Hardmax', { x: f32([1, 2, 2], 1, 4, 3, 2) }).results['y'])).toEqual([0, 1, 0, 0]);
    const [log] = reals(old(1, 'LogSoftmax', { x }).results['y']);
    expect(log).toBeCloseTo(Math.log(0.25), 6);
  });

  it('a Softmax of that time on lengths that only a run tells', () => {
    const nodes = [node('Softmax', ['x'], ['y'])];
    const graph = fromOnnx(modelFile({ opset: 11, nodes, inputs: [value('x', ['N', 'C', 'W'])], outputs: ['y'] }));
    const y = evaluate(graph, { x: f32([2, 1, 2], 0, 0, 1, 1) })['y'];
    expect(y?.shape).toEqual([2, 1, 2]);
    expect(reals(y)).toEqual([0.5, 0.5, 0.5, 0.5]);
  });
});

describe('attributes that became inputs', () => {
  const x = range([2, 3]);

  it('reductions, Squeeze and Unsqueeze', () => {
    expect(old(11, 'ReduceSum', { x }, { axes: [1], keepdims: 0 }).results['y']).toEqual(f32([2], 3, 12));
    expect(old(17, 'ReduceMax', { x }, { axes: [-1] }).results['y']).toEqual(f32([2, 1], 2, 5));
    expect(old(17, 'ReduceMean', { x }).results['y']).toEqual(f32([1, 1], 2.5));
    expect(old(11, 'Squeeze', { x: range([1, 2, 1]) }, { axes: [0] }).results['y']?.shape).toEqual([2, 1]);
    expect(old(11, 'Unsqueeze', { x }, { axes: [0, 3] }).results['y']?.shape).toEqual([1, 2, 3, 1]);
  });

  it('Slice, up to 2^63 − 1; Split in equal parts or as listed; TopK; Pad', () => {
    const ends = { kind: 'ints', value: [2n ** 63n - 1n] } as const;
    expect(old(9, 'Slice', { x }, { axes: [1], starts: [1], ends }).results['y']).toEqual(f32([2, 2], 1, 2, 4, 5));
    const outputs = ['a', 'b'];
    expect(old(11, 'Split', { x }, { axis: 1, split: [1, 2] }, { outputs }).results['b']).toEqual(
      f32([2, 2], 1, 2, 4, 5),
    );
    expect(old(11, 'Split', { x }, {}, { outputs }).results['b']).toEqual(f32([1, 3], 3, 4, 5));
    expect(old(13, 'Split', { x }, {}, { outputs }).results['a']).toEqual(f32([1, 3], 0, 1, 2));
    expect(old(9, 'TopK', { x }, { k: 1 }, { outputs }).results['a']).toEqual(f32([2, 1], 2, 5));
    const pads = { pads: [1, 0], value: float(7) };
    expect(old(2, 'Pad', { x: f32([1], 1) }, pads).results['y']).toEqual(f32([2], 7, 1));
    expect(old(1, 'Pad', { x: f32([1], 1) }, { paddings: [0, 1] }).results['y']).toEqual(f32([2], 1, 0));
  });

  it('Clip: bounds of its own element type, which in opset 6 had defaults', () => {
    expect(reals(old(6, 'Clip', { x: f32([3], -2, 0, 2) }, { min: float(-1), max: float(1) }).results['y'])).toEqual([
      -1, 0, 1,
    ]);
    const infinite = f32([2], Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
    const [low, high] = reals(old(6, 'Clip', { x: infinite }, { min: float(0) }).results['y']);
    expect([low, high]).toEqual([0, Math.fround(3.4028234663852886e38)]);
    expect(reals(old(1, 'Clip', { x: infinite }, { min: float(0) }).results['y'])).toEqual([
      0,
      Number.POSITIVE_INFINITY,
    ]);
    expect(old(10, 'Clip', { x: t('float16', [1], [3]) }, { max: float(1) }).results['y']).toEqual(
      t('float16', [1], [1]),
    );
  });

  it('DFT: the axis, 1 by default', () => {
    const { results } = old(17, 'DFT', { x: f32([1, 2, 1], 1, 2) });
    expect(reals(results['y']).map((v) => Math.round(v * 1e6) / 1e6 + 0)).toEqual([3, 0, -1, 0]);
  });
});

describe('resampling', () => {
  const x = f32([1, 1, 1, 2], 1, 2);

  it('Upsample is a Resize, by attributes, a list, or an input', () => {
    const sides = { height_scale: float(1), width_scale: float(2) };
    expect(reals(old(1, 'Upsample', { x }, sides).results['y'])).toEqual([1, 1, 2, 2]);
    expect(reals(old(7, 'Upsample', { x }, { scales: floats(1, 1, 1, 2) }).results['y'])).toEqual([1, 1, 2, 2]);
    const weights = { scales: f32([4], 1, 1, 1, 2) };
    expect(reals(old(9, 'Upsample', { x }, { mode: 'linear' }, { weights }).results['y'])).toEqual([1, 1.5, 2, 2]);
    expect(refusal(() => old(7, 'Upsample', { x })).code).toBe('GRIM_IR_ARITY');
  });

  it('Resize of opset 10 takes the sample before when enlarging and the one after when shrinking', () => {
    const weights = { scales: f32([4], 1, 1, 0.6, 0.6) };
    const eight = f32([1, 1, 2, 4], 1, 2, 3, 4, 5, 6, 7, 8);
    expect(reals(old(10, 'Resize', { x: eight }, {}, { weights }).results['y'])).toEqual([1, 3]);
    const mixed = { scales: f32([4], 1, 1, 2, 0.5) };
    expect(reals(old(10, 'Resize', { x: f32([1, 1, 1, 4], 1, 2, 3, 4) }, {}, { weights: mixed }).results['y'])).toEqual(
      [1, 3, 1, 3],
    );
  });

  it('Resize of opset 11: empty tensors are absent inputs, and half pixels as TensorFlow counted them', () => {
    const weights = { roi: f32([0]), scales: f32([0]), sizes: i64(1, 1, 1, 4) };
    expect(
      reals(old(11, 'Resize', { x }, { coordinate_transformation_mode: 'asymmetric' }, { weights }).results['y']),
    ).toEqual([1, 1, 2, 2]);
    const modes = { coordinate_transformation_mode: 'tf_half_pixel_for_nn', nearest_mode: 'floor' };
    const four = f32([1, 1, 1, 4], 1, 2, 3, 4);
    // (x + ½) / ½ = 1 and 3.
    const half = { roi: f32([0]), scales: f32([4], 1, 1, 1, 0.5) };
    expect(reals(old(11, 'Resize', { x: four }, modes, { weights: half }).results['y'])).toEqual([2, 4]);
    // The mode is kept where half_pixel has no rounding that says the same.
    const ceiling = { ...modes, nearest_mode: 'ceil' };
    expect(reals(old(11, 'Resize', { x: four }, ceiling, { weights: half }).results['y'])).toEqual([2, 4]);
    // (x + ½) / 2: ¼, ¾, 1¼, … rounded up.
    const double = { roi: f32([0]), scales: f32([4], 1, 1, 1, 2) };
    expect(reals(old(11, 'Resize', { x: f32([1, 1, 1, 2], 1, 2) }, ceiling, { weights: double }).results['y'])).toEqual(
      [2, 2, 2, 2],
    );
  });

  it('GridSample modes are renamed; RoiAlign samples without the half-pixel shift', () => {
    const grid = f32([1, 1, 1, 2], 0, 0);
    const image = f32([1, 1, 2, 2], 1, 2, 3, 4);
    expect(reals(old(16, 'GridSample', { image, grid }, { mode: 'bilinear' }).results['y'])).toEqual([2.5]);
    const bicubic = old(16, 'GridSample', { image, grid }, { mode: 'bicubic', padding_mode: 'border' });
    expect(reals(bicubic.results['y'])[0]).toBeCloseTo(2.5, 5);
    const roi = { x: range([1, 1, 4, 4]), rois: f32([1, 4], 0, 0, 2, 2), batch: t('int64', [1], [0]) };
    const { graph } = old(10, 'RoiAlign', roi, { sampling_ratio: 1 });
    expect(graph.nodes[0]?.attributes).toMatchObject({ coordinate_transformation_mode: 'output_half_pixel' });
  });
});

describe('the rest', () => {
  it('Dropout is the input; its mask is all true, of the data type before opset 10', () => {
    const x = f32([2], 3, 4);
    const plain = old(7, 'Dropout', { x }, { ratio: float(0.5) });
    expect(plain.ops).toEqual([]);
    expect(reals(plain.results['y'])).toEqual([3, 4]);
    const outputs = ['y', 'mask'];
    expect(old(7, 'Dropout', { x }, {}, { outputs }).results['mask']).toEqual(f32([2], 1, 1));
    expect(old(10, 'Dropout', { x }, {}, { outputs }).results['mask']).toEqual(t('bool', [2], [1, 1]));
  });

  it('Scatter, LpPool with a fractional exponent attribute, and recurrent cells of opset 1', () => {
    const scatter = { x: f32([2], 1, 2), at: i64(1), by: f32([1], 9) };
    expect(reals(old(9, 'Scatter', scatter).results['y'])).toEqual([1, 9]);
    expect(reals(old(1, 'GlobalLpPool', { x: f32([1, 1, 2], 3, 4) }, { p: float(2) }).results['y'])).toEqual([5]);
    const cell = { x: f32([1, 1, 1], 0.5), w: f32([1, 1, 1], 1), r: f32([1, 1, 1], 0) };
    const { results } = old(1, 'RNN', cell, { hidden_size: 1, output_sequence: 1 });
    expect(reals(results['y'])[0]).toBeCloseTo(Math.tanh(0.5), 6);
  });

  it('Scan of opset 8 runs once for each sample of a batch', () => {
    const inner = graphProto({
      nodes: [node('Add', ['sum', 'next'], ['sum_out']), node('Identity', ['sum_out'], ['each'])],
      inputs: [value('sum', [1]), value('next', [1])],
      outputs: [value('sum_out', [1]), value('each', [1])],
    });
    const nodes = [node('Scan', ['', 'zero', 'x'], ['total', 'sums'], { num_scan_inputs: 1, body: body(inner) })];
    const inputs = [value('zero', [2, 1]), value('x', [2, 3, 1])];
    const graph = fromOnnx(modelFile({ opset: 8, nodes, inputs, outputs: ['total', 'sums'] }));
    const results = evaluate(graph, { zero: f32([2, 1], 0, 100), x: f32([2, 3, 1], 1, 2, 3, 4, 5, 6) });
    expect(results['total']).toEqual(f32([2, 1], 6, 115));
    expect(results['sums']).toEqual(f32([2, 3, 1], 1, 3, 6, 104, 109, 115));
  });

  it('what newer opsets wrote is left alone', () => {
    const { graph } = old(
      21,
      'ConstantOfShape',
      {},
      { value: tensorValue(t('int32', [1], [7])) },
      { weights: { s: i64(2) } },
    );
    expect(graph.weights.get('y') ?? graph.nodes[0]).toMatchObject({ dtype: 'int32', shape: [2] });
  });
});
