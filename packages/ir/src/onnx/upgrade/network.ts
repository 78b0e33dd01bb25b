/** Older forms of layers: softmax over a flattened matrix, normalisation, recurrent cells, `Scan` with a batch. */
import type { NodeProto } from '../model.ts';
import type { Rewrite, Rule } from './rewrite.ts';

/** Before opset 13: the input is taken as a matrix, cut before `axis`, and each row is normalised as a whole. */
function matrixSoftmax(u: Rewrite): void {
  if (u.opset >= 13) return;
  const axis = u.takeInt('axis', 1);
  const shape = u.type(0)?.shape;
  const at = shape && axis < 0 ? axis + shape.length : axis;
  // When nothing but ones follows, one axis is the whole row.
  if (shape && at >= 0 && at < shape.length && shape.slice(at + 1).every((dim) => dim === 1)) {
    u.setInt('axis', at);
    return;
  }
  const [data = ''] = u.inputs;
  const matrix = u.emit('Flatten', [data], { axis: { kind: 'int', value: axis } });
  const result = u.emit(u.op, [matrix], { axis: { kind: 'int', value: -1 } });
  // A length of 0 is meant as it stands.
  u.emit('Reshape', [result, u.emit('Shape', [data])], { allowzero: { kind: 'int', value: 1 } }, u.outputs[0]);
  u.done = true;
}

/** Recurrent cells before opset 7 said by an attribute whether Y was wanted; its presence says it too. */
function recurrent(u: Rewrite): void {
  if (u.opset >= 7) return;
  u.drop('output_sequence');
  if (u.attributes.get('direction')?.value === 'foward') u.drop('direction');
}

const intP = (u: Rewrite) => {
  if (u.opset >= 2) return;
  const p = u.take('p', 'float');
  if (p !== undefined) u.setInt('p', p);
};

export const networkRules: Readonly<Record<string, Rule>> = {
  Softmax: matrixSoftmax,
  LogSoftmax: matrixSoftmax,
  Hardmax: matrixSoftmax,
  RNN: recurrent,
  GRU: recurrent,
  LSTM: recurrent,
  LpPool: intP,
  GlobalLpPool: intP,

  Gemm: (u) => {
    if (u.opset < 7) u.drop('broadcast');
  },

  BatchNormalization: (u) => {
    if (u.opset >= 14) return;
    const test = u.opset < 7 && u.takeInt('is_test', 0) === 1;
    const spatial = u.opset < 9 ? u.takeInt('spatial', 1) : 1;
    const wanted = u.outputs.findLastIndex((name) => name !== '') + 1;
    // More outputs than Y are training. With Y alone nothing that is trained comes out, whatever `is_test` says.
    const training = !test && wanted > 1;
    if (wanted > 3) u.fail('saved_mean and saved_var are no longer part of the operator.', 'GRIM_IR_UNSUPPORTED_OP');
    if (spatial === 0) {
      if (training) u.fail('spatial = 0 in training is not supported.', 'GRIM_IR_UNSUPPORTED_OP');
      perElement(u);
      return;
    }
    if (training) u.setInt('training_mode', 1);
    else u.outputs = u.outputs.slice(0, 1);
  },

  GroupNormalization: (u) => {
    if (u.opset >= 21) return;
    // One scale and bias per group; now per channel. C is the length of axis 1.
    const written = u.attributes.get('num_groups');
    const groups = written?.kind === 'int' ? Number(written.value) : 0;
    if (groups < 1) u.fail('attribute "num_groups" is missing or less than 1; it has no default.');
    const [data = '', scale = '', bias = ''] = u.inputs;
    const range = { start: { kind: 'int', value: 1 }, end: { kind: 'int', value: 2 } } as const;
    const channels = u.emit('Shape', [data], range);
    const each = u.emit('Div', [channels, u.int64([groups], 'groups')]);
    const repeat = u.emit('Concat', [u.int64([1], 'one'), each], { axis: { kind: 'int', value: 0 } });
    const spread = (value: string) => {
      const column = u.emit('Reshape', [value, u.int64([-1, 1], 'column')]);
      return u.emit('Reshape', [u.emit('Tile', [column, repeat]), channels]);
    };
    u.inputs = [data, spread(scale), spread(bias)];
  },

  DFT: (u) => {
    if (u.opset >= 20) return;
    u.setInput(2, u.int64(u.takeInt('axis', 1), 'axis'));
  },

  Scan: (u) => {
    // The scan of one sample that this rule makes has an attribute that opset 8 had not.
    if (u.opset < 9 && !u.attributes.has('scan_input_directions')) scanOfBatch(u);
  },
};

/** `spatial` = 0: statistics for every element of a sample, not for every channel. */
function perElement(u: Rewrite): void {
  const [x = '', scale = '', bias = '', mean = '', variance = ''] = u.inputs;
  const epsilon = u.scalar(u.dtype(0), u.take('epsilon', 'float') ?? Math.fround(1e-5), 'epsilon');
  const deviation = u.emit('Sqrt', [u.emit('Add', [variance, epsilon])]);
  const normal = u.emit('Div', [u.emit('Sub', [x, mean]), deviation]);
  u.emit('Add', [u.emit('Mul', [normal, scale]), bias], {}, u.outputs[0]);
  u.done = true;
}

/** Opset 8 had a batch axis in front of everything: a scan over the batch whose body is the scan of one sample. */
function scanOfBatch(u: Rewrite): void {
  const [lengths = '', ...inputs] = u.inputs;
  if (lengths !== '') u.fail('sequence_lens of opset 8 is not supported.', 'GRIM_IR_UNSUPPORTED_OP');
  const written = u.attributes.get('num_scan_inputs');
  const scans = written?.kind === 'int' ? Number(written.value) : 0;
  const forward = Array.from({ length: Math.min(scans, inputs.length) }, () => 0);
  u.set('scan_input_directions', { kind: 'ints', value: u.take('directions', 'ints') ?? forward });
  const info = (name: string) => ({ name, elemType: 0, dims: null });
  const names = inputs.map((_, i) => u.fresh(`sample_${i}`));
  const results = u.outputs.map((_, i) => u.fresh(`result_${i}`));
  const inner: NodeProto = {
    name: '',
    opType: 'Scan',
    domain: '',
    overload: '',
    inputs: names,
    outputs: results,
    attributes: [...u.attributes.values()],
  };
  u.attributes.clear();
  u.inputs = inputs;
  u.setInt('num_scan_inputs', inputs.length);
  u.set('body', {
    kind: 'graph',
    value: {
      name: 'sample',
      docString: '',
      nodes: [inner],
      initializers: [],
      sparseInitializers: [],
      inputs: names.map(info),
      outputs: results.map(info),
      valueInfo: [],
    },
  });
}
