/** Layers: convolutions, pools, normalisation, products, quantisation and recurrence, in the opsets where they changed. */
import type { DType, Tensor } from '../../src/types.ts';
import { float } from '../onnx/model-file.ts';
import type { Form, Parts } from './case.ts';
import type { Generator } from './generator.ts';

type Attributes = Record<string, number | string | number[] | ReturnType<typeof float>>;

interface Window {
  readonly kernel: number[];
  readonly attributes: Attributes;
  readonly space: number[];
}

/** A window over one to three axes: strides, dilations, and pads or an automatic mode; every form may be left out. */
function windowOf(g: Generator, { dilated = true, automatic = true, touching = false } = {}): Window {
  const rank = g.one(1, 2, 2, 3);
  const kernel = g.list(rank, 1, 3);
  const attributes: Attributes = {};
  if (g.oneIn(2)) attributes['strides'] = g.list(rank, 1, 3);
  const dilations = dilated && g.oneIn(3) ? g.list(rank, 1, 2) : undefined;
  if (dilations) attributes['dilations'] = dilations;
  if (automatic && !dilations && g.oneIn(3))
    attributes['auto_pad'] = g.one('SAME_UPPER', 'SAME_LOWER', 'VALID', 'NOTSET');
  else if (g.oneIn(2))
    attributes['pads'] = [...kernel, ...kernel].map((k) => g.between(0, touching ? Math.min(k - 1, 2) : 2));
  return { kernel, attributes, space: g.list(rank, 5, 7) };
}

const conv = (op: 'Conv' | 'ConvTranspose'): Form => ({
  op,
  opsets: [1, 11, 22],
  make: (g) => {
    const { kernel, attributes, space } = windowOf(g);
    const [group, perGroup, outPerGroup] = [g.between(1, 2), g.between(1, 2), g.between(1, 2)];
    const channels = group * perGroup;
    const x = g.tensor('float32', [g.between(1, 2), channels, ...space]);
    const w = g.tensor(
      'float32',
      op === 'Conv' ? [group * outPerGroup, perGroup, ...kernel] : [channels, outPerGroup, ...kernel],
    );
    if (g.oneIn(2)) attributes['kernel_shape'] = kernel;
    if (group > 1) attributes['group'] = group;
    const strides = attributes['strides'] as number[] | undefined;
    if (op === 'ConvTranspose' && strides && !attributes['auto_pad'] && g.oneIn(2))
      attributes['output_padding'] = strides.map((s) => g.below(s));
    return { inputs: [x, w, ...(g.oneIn(2) ? [g.tensor('float32', [group * outPerGroup])] : [])], attributes };
  },
});

const pool = (op: string, opsets: readonly number[], extras: (g: Generator, opset: number) => Attributes): Form => ({
  op,
  opsets,
  make: (g, opset) => {
    const dilatedSince = op === 'MaxPool' ? 10 : op === 'AveragePool' ? 19 : 18;
    const { kernel, attributes, space } = windowOf(g, { dilated: opset >= dilatedSince, touching: true });
    const ceilSince = op === 'LpPool' ? 18 : 10;
    if (opset >= ceilSince && g.oneIn(2)) attributes['ceil_mode'] = g.below(2);
    const shape = [g.between(1, 2), g.between(1, 2), ...space];
    const all = { ...attributes, kernel_shape: kernel, ...extras(g, opset) };
    if (op === 'MaxPool' && opset >= 12 && g.oneIn(4))
      return { inputs: [g.tensor(g.one('int8', 'uint8'), shape, -128, 127)], attributes: all };
    const outputs = op === 'MaxPool' && opset >= 8 ? g.between(1, 2) : 1;
    return { inputs: [g.distinct('float32', shape)], attributes: all, outputs };
  },
});

const globalPool = (op: string, opsets: readonly number[], p = false): Form => ({
  op,
  opsets,
  make: (g) => ({
    inputs: [g.tensor('float32', g.shape(3, 5))],
    attributes: p && g.oneIn(2) ? { p: g.between(1, 3) } : {},
  }),
});

const norm = (op: string, opsets: readonly number[], make: Form['make']): Form => ({ op, opsets, make });
const epsilon = (g: Generator): Attributes => (g.oneIn(2) ? { epsilon: float(0.01) } : {});
const scaleOf = (g: Generator, dtype: DType, shape: readonly number[] = []): Tensor =>
  g.tensor(dtype, shape, 0.05, 0.5);

const GATES = { RNN: 1, GRU: 3, LSTM: 4 } as const;

const recurrent = (op: keyof typeof GATES): Form => ({
  op,
  opsets: [7, 14, 22],
  make: (g): Parts => {
    const gates = GATES[op];
    const [steps, batch, size, hidden] = [g.between(1, 4), g.between(1, 3), g.between(1, 3), g.between(1, 3)];
    const direction = g.one('forward', 'reverse', 'bidirectional');
    const directions = direction === 'bidirectional' ? 2 : 1;
    const f = (...shape: number[]) => g.tensor('float32', shape, -1, 1);
    const maybe = (tensor: () => Tensor) => (g.oneIn(2) ? tensor() : undefined);
    const inputs = [
      f(steps, batch, size),
      f(directions, gates * hidden, size),
      f(directions, gates * hidden, hidden),
      maybe(() => f(directions, 2 * gates * hidden)),
      maybe(() => g.whole('int32', [batch], g.list(batch, 1, steps))),
      maybe(() => f(directions, batch, hidden)),
      ...(op === 'LSTM' ? [maybe(() => f(directions, batch, hidden)), maybe(() => f(directions, 3 * hidden))] : []),
    ];
    const attributes: NonNullable<Parts['attributes']> = {
      hidden_size: hidden,
      ...(direction === 'forward' && g.oneIn(2) ? {} : { direction }),
      ...(g.oneIn(3) ? { clip: float(0.5) } : {}),
      ...(op === 'GRU' && g.oneIn(2) ? { linear_before_reset: 1 } : {}),
      ...(op === 'LSTM' && g.oneIn(3) ? { input_forget: 1 } : {}),
      ...(g.oneIn(3) ? activations(g, op, directions) : {}),
    };
    return { inputs, attributes, outputs: op === 'LSTM' ? 3 : 2 };
  },
});

function activations(g: Generator, op: keyof typeof GATES, directions: number): NonNullable<Parts['attributes']> {
  const each = { RNN: 1, GRU: 2, LSTM: 3 }[op];
  const names = Array.from({ length: each * directions }, () =>
    g.one('Sigmoid', 'Tanh', 'Relu', 'Softsign', 'Softplus'),
  );
  return { activations: { kind: 'strings', value: names } };
}

export const networkForms: readonly Form[] = [
  conv('Conv'),
  conv('ConvTranspose'),
  pool('MaxPool', [1, 8, 10, 11, 12, 22], (g, opset) =>
    opset >= 8 && g.oneIn(3) ? { storage_order: g.below(2) } : {},
  ),
  pool('AveragePool', [1, 7, 10, 11, 19, 22], (g, opset) =>
    opset >= 7 && g.oneIn(2) ? { count_include_pad: g.below(2) } : {},
  ),
  pool('LpPool', [2, 11, 18], (g) => (g.oneIn(2) ? { p: g.between(1, 3) } : {})),
  globalPool('GlobalAveragePool', [1, 22]),
  globalPool('GlobalMaxPool', [1, 22]),
  globalPool('GlobalLpPool', [2, 22], true),
  {
    op: 'MaxUnpool',
    opsets: [9, 11],
    make: (g) => {
      const [rows, columns, b] = [g.between(1, 3), g.between(1, 3), g.between(1, 2)];
      const places = Array.from({ length: b * rows * columns }, (_, i) => {
        const [plane, r, c] = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
        return plane * rows * columns * 4 + (2 * r + g.below(2)) * 2 * columns + 2 * c + g.below(2);
      });
      return {
        inputs: [g.tensor('float32', [1, b, rows, columns]), { ...g.int64(places), shape: [1, b, rows, columns] }],
        attributes: { kernel_shape: [2, 2], strides: [2, 2] },
      };
    },
  },
  norm('BatchNormalization', [7, 9, 14, 15], (g) => {
    const x = g.tensor('float32', g.shape(2, 5));
    const vector = (low: number) => g.tensor('float32', [x.shape[1] ?? 1], low, 2);
    return { inputs: [x, vector(-2), vector(-2), vector(-2), vector(0.1)], attributes: epsilon(g) };
  }),
  norm('InstanceNormalization', [1, 6, 22], (g, opset) => {
    const x = g.tensor('float32', g.shape(3, 5));
    const vector = () => g.tensor('float32', [x.shape[1] ?? 1]);
    const parts = { inputs: [x, vector(), vector()], attributes: epsilon(g) };
    return opset < 6 ? { ...parts, same: { ...parts, opset: 6 } } : parts;
  }),
  norm('LayerNormalization', [17], (g) => {
    const x = g.tensor('float32', g.shape(2, 4));
    const axis = g.axis(x.shape.length);
    const rest = x.shape.slice(axis);
    return {
      inputs: [x, g.tensor('float32', rest), ...(g.oneIn(2) ? [g.tensor('float32', rest)] : [])],
      attributes: { axis, ...epsilon(g) },
      outputs: g.one(1, 3),
    };
  }),
  norm('RMSNormalization', [23], (g) => {
    const x = g.tensor('float32', g.shape(2, 4));
    const axis = g.axis(x.shape.length);
    return { inputs: [x, g.tensor('float32', x.shape.slice(axis))], attributes: { axis, ...epsilon(g) } };
  }),
  norm('GroupNormalization', [18, 21], (g, opset) => {
    const [groups, per] = [g.between(1, 3), g.between(1, 3)];
    const x = g.tensor('float32', [g.between(1, 2), groups * per, ...g.shape(1, 2)]);
    const vector = () => g.tensor('float32', [opset < 21 ? groups : groups * per]);
    const [scale, bias] = [vector(), vector()];
    const attributes = { num_groups: groups, ...epsilon(g) };
    const spread = (t: Tensor) =>
      g.tensor('float32', [0]).shape && {
        ...t,
        shape: [groups * per],
        data: Float32Array.from({ length: groups * per }, (_, i) => Number(t.data[Math.floor(i / per)])),
      };
    return {
      inputs: [x, scale, bias],
      attributes,
      ...(opset < 21 ? { same: { opset: 21, inputs: [x, spread(scale), spread(bias)], attributes } } : {}),
    };
  }),
  norm('LpNormalization', [1, 22], (g) => {
    const x = g.tensor('float32', g.shape(1, 4));
    return {
      inputs: [x],
      attributes: {
        ...(g.oneIn(2) ? { axis: g.axis(x.shape.length) } : {}),
        ...(g.oneIn(2) ? { p: g.between(1, 2) } : {}),
      },
    };
  }),
  norm('MeanVarianceNormalization', [9, 13], (g) => ({
    inputs: [g.tensor('float32', g.list(4, 2, 4))],
    attributes: g.one({}, { axes: [1, 2] }, { axes: [0, 1, 2, 3] }),
  })),
  norm('LRN', [1, 13], (g) => ({
    inputs: [g.tensor('float32', g.list(4, 1, 6))],
    attributes: {
      size: g.one(1, 3, 5),
      ...(g.oneIn(2) ? { alpha: float(0.5), beta: float(0.6), bias: float(2) } : {}),
    },
  })),
  {
    op: 'MatMul',
    opsets: [1, 9, 13],
    make: (g, opset) => {
      const dtype = opset < 9 ? 'float32' : g.one('float32', 'float64', 'int32', 'int64', 'uint32');
      const [m, k, n] = g.list(3, 1, 4) as [number, number, number];
      const batch = g.shape(0, 2);
      const [left, right] = g.one(
        [[k], [k]],
        [[m, k], [k]],
        [[k], [k, n]],
        [
          [m, k],
          [k, n],
        ],
        [
          [...batch, m, k],
          [...g.narrower(batch), k, n],
        ],
        [[...batch, m, k], [k]],
        [[k], [...batch, k, n]],
      );
      return { inputs: [g.tensor(dtype, left ?? []), g.tensor(dtype, right ?? [])] };
    },
  },
  {
    op: 'Gemm',
    opsets: [6, 7, 9, 11, 13],
    make: (g, opset) => {
      const [m, k, n] = g.list(3, 1, 4) as [number, number, number];
      const [transA, transB] = [g.below(2), g.below(2)];
      const c = g.tensor('float32', g.one([m, n], [n], [1], [m, 1], [1, n], []));
      const attributes: Attributes = {
        ...(transA ? { transA } : {}),
        ...(transB ? { transB } : {}),
        ...(g.oneIn(2) ? { alpha: float(0.5) } : {}),
        ...(g.oneIn(2) ? { beta: float(-1.5) } : {}),
      };
      const inputs = [
        g.tensor('float32', transA ? [k, m] : [m, k]),
        g.tensor('float32', transB ? [n, k] : [k, n]),
        ...(opset >= 11 && g.oneIn(3) ? [] : [c]),
      ];
      return opset < 7
        ? { inputs, attributes: { ...attributes, broadcast: 1 }, same: { opset: 7, inputs, attributes } }
        : { inputs, attributes };
    },
  },
  {
    op: 'Einsum',
    opsets: [12],
    make: (g) => {
      const length: Readonly<Record<string, number>> = { b: 2, h: 3, i: 2, j: 4, k: 3 };
      const equation = g.one(
        'bij,bjk->bik',
        'ij,jk',
        'ij->ji',
        'bij->b',
        'ij,ij->i',
        'i,j->ij',
        'ii->i',
        'bhik,bhjk->bhij',
        'bij,jk->bik',
        'i,i->',
        '...ij,...jk->...ik',
        'ij , j -> i',
      );
      const terms = (equation.split('->')[0] ?? '').replaceAll(' ', '').split(',');
      return {
        inputs: terms.map((term) =>
          g.tensor(
            'float32',
            [...term.replace('...', 'b')].map((label) => length[label] ?? 1),
          ),
        ),
        attributes: { equation },
      };
    },
  },
  {
    op: 'Det',
    opsets: [11],
    make: (g) => {
      const n = g.between(1, 4);
      return { inputs: [g.tensor('float32', [...g.shape(0, 2), n, n])] };
    },
  },
  {
    op: 'MatMulInteger',
    opsets: [10],
    make: (g) => {
      const [a, b] = [g.one('uint8', 'int8'), g.one('uint8', 'int8')];
      const [m, k, n] = g.list(3, 1, 4) as [number, number, number];
      const batch = g.shape(0, 2);
      const zero = g.one(
        [],
        [g.tensor(a, [], -20, 20)],
        [undefined, g.tensor(b, [], -20, 20)],
        [g.tensor(a, g.one([], [1]), -20, 20), g.tensor(b, g.one([], [1], [n]), -20, 20)],
      );
      return {
        inputs: [
          g.tensor(a, [...batch, m, k], -128, 127),
          g.tensor(b, [...(zero.length ? [] : batch), k, n], -128, 127),
          ...zero,
        ],
        ...(a === 'int8' && b === 'uint8' ? {} : {}),
      };
    },
  },
  {
    op: 'ConvInteger',
    opsets: [10],
    make: (g) => {
      const attributes: Attributes = g.one(
        {},
        { pads: [1, 0, 1, 2] },
        { strides: [2, 1] },
        { dilations: [1, 2] },
        { auto_pad: 'SAME_UPPER' },
      );
      return {
        inputs: [
          g.tensor('uint8', [1, 2, 5, 6], 0, 255),
          g.tensor(g.one('uint8', 'int8'), [3, 2, 2, 3], -100, 100),
          ...(g.oneIn(2) ? [g.tensor('uint8', [], 0, 50)] : []),
        ],
        attributes,
      };
    },
  },
  {
    op: 'QLinearConv',
    opsets: [10],
    make: (g) => {
      const x = g.one('uint8', 'int8');
      const attributes: Attributes = g.one({}, { pads: [1, 0, 1, 2] }, { strides: [2, 1] }, { dilations: [1, 2] });
      const f = (shape: readonly number[] = []) => scaleOf(g, 'float32', shape);
      return {
        inputs: [
          g.tensor(x, [1, 2, 5, 6], -128, 127),
          f(),
          g.tensor(x, [], 0, 20),
          g.tensor('int8', [3, 2, 2, 3], -100, 100),
          f(g.one([], [3])),
          g.whole('int8', [], [0]),
          f(),
          g.tensor(x, [], 0, 20),
          ...(g.oneIn(2) ? [g.tensor('int32', [3], -500, 500)] : []),
        ],
        attributes,
        weights: [1, 2, 4, 5, 6, 7],
      };
    },
  },
  {
    op: 'QLinearMatMul',
    opsets: [10, 21],
    make: (g) => {
      const [m, k, n] = g.list(3, 1, 5) as [number, number, number];
      const [a, b] = g.one(['uint8', 'uint8'], ['int8', 'int8'], ['uint8', 'int8']) as [DType, DType];
      const zero = (dtype: DType) => g.tensor(dtype, [], 0, 30);
      const f = () => scaleOf(g, 'float32');
      return {
        inputs: [
          g.tensor(a, [m, k], -128, 127),
          f(),
          zero(a),
          g.tensor(b, [k, n], -128, 127),
          f(),
          zero(b),
          f(),
          zero(a),
        ],
      };
    },
  },
  {
    op: 'QuantizeLinear',
    opsets: [10, 13, 19, 21],
    make: (g, opset) => {
      const to = g.one('uint8', 'int8', ...(opset >= 21 ? (['int16', 'uint16'] as const) : []));
      const x = g.tensor('float32', g.shape(2, 4), -20, 20);
      const axis = g.axis(x.shape.length);
      const style = opset < 13 ? 0 : opset < 21 ? g.below(2) : g.below(3);
      const block = 2;
      const along = axis < 0 ? axis + x.shape.length : axis;
      const shape =
        [[], [x.shape.at(axis) ?? 1], x.shape.with(along, Math.ceil((x.shape[along] ?? 1) / block))][style] ?? [];
      const attributes: Attributes = style === 0 ? {} : style === 1 ? { axis } : { axis, block_size: block };
      const zero = g.oneIn(3) ? [] : [g.tensor(to, shape, 0, 100)];
      return {
        inputs: [x, scaleOf(g, 'float32', shape), ...zero],
        attributes:
          opset >= 21 && zero.length === 0 && g.oneIn(2) ? { ...attributes, output_dtype: g.one(2, 3) } : attributes,
      };
    },
  },
  {
    op: 'DequantizeLinear',
    opsets: [10, 13, 19, 21],
    make: (g, opset) => {
      const from = g.one('uint8', 'int8', 'int32', ...(opset >= 21 ? (['int16', 'uint16'] as const) : []));
      const x = g.tensor(from, g.shape(2, 4), -100, 100);
      const axis = g.axis(x.shape.length);
      const style = opset < 13 ? 0 : opset < 21 ? g.below(2) : g.below(3);
      const along = axis < 0 ? axis + x.shape.length : axis;
      const shape =
        [[], [x.shape.at(axis) ?? 1], x.shape.with(along, Math.ceil((x.shape[along] ?? 1) / 2))][style] ?? [];
      const attributes: Attributes = style === 0 ? {} : style === 1 ? { axis } : { axis, block_size: 2 };
      return {
        inputs: [
          x,
          scaleOf(g, 'float32', shape),
          ...(g.oneIn(3) || from === 'int32' ? [] : [g.tensor(from, shape, 0, 100)]),
        ],
        attributes,
      };
    },
  },
  {
    op: 'DynamicQuantizeLinear',
    opsets: [11],
    make: (g) => ({ inputs: [g.tensor('float32', g.shape(1, 3), g.between(-5, 2), 4)], outputs: 3 }),
  },
  recurrent('RNN'),
  recurrent('GRU'),
  recurrent('LSTM'),
];
