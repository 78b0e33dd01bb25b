/** Forms of the first opsets, which onnxruntime no longer runs: each beside a newer form that says the same. */
import { float } from '../onnx/model-file.ts';
import type { Form, Parts } from './case.ts';
import type { Generator } from './generator.ts';

type Attributes = NonNullable<Parts['attributes']>;

/** The same inputs and attributes in a newer opset, once what only the first opset knew is left out. */
const renewed = (op: string, opset: number, parts: Parts, only: Attributes): Parts => ({
  ...parts,
  op,
  attributes: { ...parts.attributes, ...only },
  same: { ...parts, op, opset },
});

const inPlace = (op: string, opset: number, attributes: (g: Generator) => Attributes = () => ({}), low = -3): Form => ({
  op,
  opsets: [1, 5],
  make: (g) =>
    renewed(
      op,
      opset,
      { inputs: [g.tensor('float32', g.shape(1, 4), low, 3)], attributes: attributes(g) },
      g.one({}, { consumed_inputs: [0] }),
    ),
});

const maybe = (g: Generator, name: string, value: number): Attributes => (g.oneIn(2) ? { [name]: float(value) } : {});

function normalisation(g: Generator, opset: number): Parts {
  const x = g.tensor('float32', g.shape(2, 4));
  // Statistics of every element of a sample, when not of every channel.
  const spatial = g.below(2);
  const shape = spatial ? [x.shape[1] ?? 1] : x.shape.slice(1);
  const vector = (low: number) => g.tensor('float32', shape, low, 2);
  const inputs = [x, vector(-2), vector(-2), vector(-2), vector(0.1)];
  const attributes = { is_test: 1, spatial, ...(opset < 6 ? { consumed_inputs: [0, 0, 0, 1, 1] } : {}) };
  return { inputs, attributes, same: { opset: 7, inputs, attributes: { spatial } } };
}

export const oldestForms: readonly Form[] = [
  inPlace('Abs', 6),
  inPlace('Elu', 6, (g) => maybe(g, 'alpha', 0.5)),
  inPlace('Exp', 6),
  inPlace('HardSigmoid', 6, (g) => ({ ...maybe(g, 'alpha', 0.5), ...maybe(g, 'beta', 0.25) })),
  inPlace('LeakyRelu', 6, (g) => maybe(g, 'alpha', 0.5)),
  inPlace('Log', 6, undefined, 0.1),
  inPlace('Neg', 6),
  inPlace('Reciprocal', 6, undefined, 0.1),
  inPlace('Relu', 6),
  inPlace('Sigmoid', 6),
  inPlace('Sqrt', 6, undefined, 0),
  inPlace('Tanh', 6),
  {
    op: 'Selu',
    opsets: [1],
    make: (g) => {
      const inputs = [g.tensor('float32', g.shape(1, 3))];
      // Rounded to four digits where later opsets have the full constants.
      return { inputs, same: { opset: 6, inputs, attributes: { alpha: float(1.6732), gamma: float(1.0507) } } };
    },
  },
  {
    op: 'Clip',
    opsets: [1],
    make: (g) =>
      renewed(
        'Clip',
        6,
        {
          inputs: [g.tensor('float32', g.shape(1, 3))],
          attributes: { ...maybe(g, 'min', -1), ...maybe(g, 'max', 1.5) },
        },
        { consumed_inputs: [0] },
      ),
  },
  {
    op: 'Cast',
    opsets: [1],
    make: (g) => {
      const [name, to] = g.one(['FLOAT', 1], ['INT32', 6], ['INT64', 7], ['DOUBLE', 11], ['UINT8', 2], ['BOOL', 9]);
      const inputs = [g.tensor(g.one('float32', 'int32', 'float64'), g.shape(1, 3), 0, 9)];
      return { inputs, attributes: { to: name }, same: { opset: 6, inputs, attributes: { to } } };
    },
  },
  {
    op: 'Concat',
    opsets: [1],
    make: (g) => {
      const shape = g.shape(2, 3);
      const inputs = Array.from({ length: g.between(1, 3) }, () => g.tensor('float32', shape.with(1, g.between(1, 3))));
      return { inputs, attributes: g.one({}, { axis: 1 }), same: { opset: 4, inputs, attributes: { axis: 1 } } };
    },
  },
  {
    op: 'Tile',
    opsets: [1],
    make: (g) => {
      const x = g.tensor('float32', g.shape(1, 3));
      const [axis, count] = [g.below(x.shape.length), g.between(1, 3)];
      const scalar = (value: number) => g.whole('float32', g.one([], [1]), [value]);
      const repeats = g.int64(x.shape.map((_, i) => (i === axis ? count : 1)));
      return { inputs: [x, scalar(count), scalar(axis)], same: { opset: 6, inputs: [x, repeats] } };
    },
  },
  {
    op: 'Split',
    opsets: [1],
    make: (g) => {
      const parts = g.list(g.between(1, 3), 1, 3);
      const x = g.tensor('float32', [parts.reduce((a, b) => a + b, 0), 2]);
      const same = { opset: 2, inputs: [x], attributes: { axis: 0, split: parts }, outputs: parts.length };
      if (g.oneIn(2)) return { inputs: [x], attributes: { axis: 0, split: parts }, outputs: parts.length, same };
      return {
        inputs: [x, g.whole('float32', [parts.length], parts)],
        attributes: { axis: 0 },
        outputs: parts.length,
        same,
      };
    },
  },
  {
    op: 'Pad',
    opsets: [1],
    make: (g) => {
      const inputs = [g.tensor('float32', g.list(g.between(1, 3), 3, 4))];
      const amounts = g.list(2 * (inputs[0]?.shape.length ?? 0), 0, 2);
      const rest = { ...(g.oneIn(2) ? { mode: g.one('constant', 'reflect', 'edge') } : {}), ...maybe(g, 'value', 1.5) };
      return {
        inputs,
        attributes: { paddings: amounts, ...rest },
        same: { opset: 2, inputs, attributes: { pads: amounts, ...rest } },
      };
    },
  },
  {
    op: 'Upsample',
    opsets: [1],
    make: (g) => {
      const inputs = [g.tensor('float32', g.list(4, 1, 4))];
      const [height, width, mode] = [g.one(1, 2, 3), g.one(1, 2, 2.5), g.one('nearest', 'bilinear')];
      const scales = { kind: 'floats', value: [1, 1, height, width] } as const;
      return {
        inputs,
        attributes: { height_scale: float(height), width_scale: float(width), mode },
        same: { opset: 7, inputs, attributes: { scales, mode: mode === 'nearest' ? mode : 'linear' } },
      };
    },
  },
  {
    op: 'Dropout',
    opsets: [1],
    make: (g) => {
      const inputs = [g.tensor('float32', g.shape(1, 3))];
      return { inputs, attributes: { is_test: 1, consumed_inputs: [0] }, same: { opset: 7, inputs } };
    },
  },
  { op: 'BatchNormalization', opsets: [1, 6], make: normalisation },
  {
    op: 'Gemm',
    opsets: [1],
    make: (g) => {
      const inputs = [
        g.tensor('float32', [2, 3]),
        g.tensor('float32', [3, 4]),
        g.tensor('float32', g.one([2, 4], [4])),
      ];
      return renewed('Gemm', 7, { inputs, attributes: maybe(g, 'alpha', 0.5) }, { broadcast: 1 });
    },
  },
  {
    op: 'LpPool',
    opsets: [1],
    make: (g) => {
      const [inputs, p] = [[g.tensor('float32', [1, 2, 5, 5])], g.between(1, 3)];
      const attributes = { kernel_shape: [2, 3], strides: [2, 1] };
      return {
        inputs,
        attributes: { ...attributes, p: float(p) },
        same: { opset: 2, inputs, attributes: { ...attributes, p } },
      };
    },
  },
  {
    op: 'GlobalLpPool',
    opsets: [1],
    make: (g) => {
      const [inputs, p] = [[g.tensor('float32', g.shape(3, 4))], g.between(1, 3)];
      return { inputs, attributes: { p: float(p) }, same: { opset: 2, inputs, attributes: { p } } };
    },
  },
  ...(['Max', 'Min', 'Sum', 'Mean'] as const).map(
    (op): Form => ({
      op,
      opsets: [1],
      make: (g) => {
        const shape = g.shape(1, 3);
        const inputs = Array.from({ length: g.between(1, 3) }, () => g.tensor('float32', shape));
        return renewed(op, 8, { inputs }, { consumed_inputs: [0] });
      },
    }),
  ),
];
