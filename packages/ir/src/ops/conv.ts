/** Convolutions: data [N, C, D1, …], weight [M, C / group, k1, …]; transposed: weight [C, M / group, k1, …]. */
import { type InferContext, int, ints, op, optional } from '../op.ts';
import { type Dim, type DType, FLOAT_DTYPES, formatShape, type Shape, type TensorType } from '../types.ts';
import { checkPerAxis, checkScalar, checkScales, differ } from './scales.ts';
import type { WindowAttributes } from './window.ts';
import { perAxis, slidingWindow, transposedWindow, windowAttributes, windowOutput } from './window.ts';

const INT8: readonly DType[] = ['int8', 'uint8'];

const convAttributes = { ...windowAttributes, group: int(1, { min: 1 }), kernel_shape: optional(ints()) };

interface ConvAttributes extends WindowAttributes {
  readonly group: number;
  readonly kernel_shape?: readonly number[] | undefined;
}
type Context = InferContext<ConvAttributes>;

/** Shapes of data and weight with the same number of axes, at least 3, or null when either is unknown. */
function convShapes(c: Context, data: number, weight: number): readonly [x: Shape, w: Shape] | null {
  const x = c.shape(data);
  const w = c.shape(weight);
  for (const [name, shape] of [
    ['data', x],
    ['weight', w],
  ] as const)
    if (shape && shape.length < 3)
      c.fail(`${name} has shape ${formatShape(shape)}; at least 3 axes are needed (two and one spatial axis or more).`);
  if (!x || !w) return null;
  if (x.length !== w.length)
    c.fail(`data has shape ${formatShape(x)}, weight ${formatShape(w)}. Both must have the same number of axes.`);
  return [x, w];
}

/** Kernel lengths by the weight; the attribute may repeat them, never change them. */
function kernelLengths(c: Context, w: Shape): readonly number[] | undefined {
  const spatial = w.slice(2);
  const { kernel_shape } = c.attributes;
  if (kernel_shape) {
    perAxis(c.fail, 'kernel_shape', kernel_shape, spatial.length, 1, 1);
    if (spatial.some((dim, axis) => differ(dim, kernel_shape[axis])))
      c.fail(
        `kernel_shape is [${kernel_shape.join(', ')}], the weight has shape ${formatShape(w)}. Its axes from 2 on must be equal.`,
      );
  }
  const lengths = spatial.map((dim, axis) => (typeof dim === 'number' ? dim : kernel_shape?.[axis]));
  if (lengths.some((length) => length === 0))
    c.fail(`weight has shape ${formatShape(w)}; a kernel of length 0 fits nothing.`);
  return lengths.every((length) => length !== undefined) ? lengths : undefined;
}

function checkVector(c: Context, input: number, name: string, length: Dim | undefined): void {
  const shape = c.has(input) ? c.shape(input) : null;
  if (!shape) return;
  if (shape.length !== 1 || differ(shape[0], length))
    c.fail(`${name} has shape ${formatShape(shape)}; [${length}] is needed, one per output channel.`);
}

/** Shape of Conv over inputs `data` and `weight`; bias, if any, must have one entry per output channel. */
function inferConv(c: Context, data: number, weight: number, bias?: number): Shape | null {
  const { group } = c.attributes;
  const shapes = convShapes(c, data, weight);
  if (!shapes) return null;
  const [x, w] = shapes;
  const [batch = 1, channels = 1] = x;
  const [filters = 1, depth = 1] = w;
  if (typeof channels === 'number' && typeof depth === 'number' && channels !== depth * group)
    c.fail(
      `weight has ${depth} input channels per group, data ${channels} channels (shape ${formatShape(x)}), group is ` +
        `${group}: ${depth}·${group} = ${depth * group}. Check the layout: NCHW and OIHW are expected.`,
    );
  if (typeof filters === 'number' && filters % group !== 0)
    c.fail(`weight has ${filters} output channels; group ${group} does not divide them.`);
  if (bias !== undefined) checkVector(c, bias, 'bias', filters);
  const kernel = kernelLengths(c, w);
  const spatial = x.slice(2);
  if (!kernel) return [batch, filters, ...spatial.map(c.unknown)];
  return [batch, filters, ...windowOutput(slidingWindow(c.fail, c.attributes, kernel, spatial, c.unknown))];
}

const product = (dims: Shape | null | undefined): number =>
  (dims ?? []).reduce<number>((all, dim) => all * Number(dim), 1);

/** Every tap of every window, those on padding too: elements of the output times elements of one filter. */
const convMacs = (weight: TensorType | undefined, output: TensorType | undefined): number =>
  product(output?.shape) * product(weight?.shape?.slice(1));

export const convOps = {
  Conv: op({
    since: 22,
    inputs: ['X: T', 'W: T', 'B?: T'],
    outputs: ['Y: T'],
    types: { T: FLOAT_DTYPES },
    attributes: convAttributes,
    infer: (c) => [inferConv(c, 0, 1, 2)],
    macs: (inputs, outputs) => convMacs(inputs[1], outputs[0]),
  }),

  ConvTranspose: op({
    since: 22,
    inputs: ['X: T', 'W: T', 'B?: T'],
    outputs: ['Y: T'],
    types: { T: FLOAT_DTYPES },
    attributes: { ...convAttributes, output_padding: optional(ints()), output_shape: optional(ints()) },
    infer: (c) => {
      const { group } = c.attributes;
      const shapes = convShapes(c, 0, 1);
      if (!shapes) return [null];
      const [x, w] = shapes;
      const [batch = 1, channels = 1] = x;
      const [depth = 1, perGroup = 1] = w;
      if (differ(channels, depth))
        c.fail(
          `weight has ${depth} input channels, data ${channels} (shape ${formatShape(x)}). The weight of ConvTranspose is [C, M / group, …].`,
        );
      for (const count of [channels, depth])
        if (typeof count === 'number' && count % group !== 0)
          c.fail(`data has ${count} channels; group ${group} does not divide them.`);
      const filters = typeof perGroup === 'number' ? perGroup * group : c.unknown();
      checkVector(c, 2, 'bias', filters);
      const kernel = kernelLengths(c, w);
      const spatial = x.slice(2);
      if (!kernel) return [[batch, filters, ...(c.attributes.output_shape ?? spatial.map(c.unknown))]];
      const axes = transposedWindow(c.fail, c.attributes, kernel, spatial, c.unknown);
      return [[batch, filters, ...axes.map(({ output }) => output)]];
    },
    macs: (inputs) => product(inputs[0]?.shape) * product(inputs[1]?.shape?.slice(1)),
  }),

  ConvInteger: op({
    since: 10,
    inputs: ['x: T1', 'w: T2', 'x_zero_point?: T1', 'w_zero_point?: T2'],
    outputs: ['y: int32'],
    types: { T1: INT8, T2: INT8 },
    attributes: convAttributes,
    infer: (c) => {
      checkScalar(c, 2, 'x_zero_point');
      checkPerAxis(c, 3, 'w_zero_point', c.shape(1)?.[0]);
      return [inferConv(c, 0, 1)];
    },
    macs: (inputs, outputs) => convMacs(inputs[1], outputs[0]),
  }),

  QLinearConv: op({
    since: 10,
    inputs: [
      'x: T1',
      'x_scale: float32',
      'x_zero_point: T1',
      'w: T2',
      'w_scale: float32',
      'w_zero_point: T2',
      'y_scale: float32',
      'y_zero_point: T3',
      'B?: int32',
    ],
    outputs: ['y: T3'],
    types: { T1: INT8, T2: INT8, T3: INT8 },
    attributes: convAttributes,
    infer: (c) => {
      checkScalar(c, 1, 'x_scale');
      checkScalar(c, 2, 'x_zero_point');
      checkPerAxis(c, 4, 'w_scale', c.shape(3)?.[0]);
      checkPerAxis(c, 5, 'w_zero_point', c.shape(3)?.[0]);
      checkScalar(c, 6, 'y_scale');
      checkScalar(c, 7, 'y_zero_point');
      for (const [input, name] of [
        [1, 'x_scale'],
        [4, 'w_scale'],
        [6, 'y_scale'],
      ] as const)
        checkScales(c, input, name);
      return [inferConv(c, 0, 3, 8)];
    },
    macs: (inputs, outputs) => convMacs(inputs[3], outputs[0]),
  }),
};
