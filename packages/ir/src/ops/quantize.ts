/**
 * Between real numbers and integers with a scale and a zero point: one pair for all, one per index of an axis, or one per
 * block of neighbours along an axis.
 */
import { dtype, flag, type InferContext, int, op, optional } from '../op.ts';
import { type DType, formatShape, type Shape } from '../types.ts';
import { checkScales, differ } from './scales.ts';

const QUANTIZED: readonly DType[] = ['int8', 'uint8', 'int16', 'uint16'];
const REALS: readonly DType[] = ['float32', 'float16', 'bfloat16'];

interface GridAttributes {
  readonly axis: number;
  readonly block_size: number;
}

/** True when one scale serves all: known to hold one element. */
const isSingle = (shape: Shape): boolean => shape.every((dim) => dim === 1);

/** Shape of the scales against the shape of the data. */
function checkGrid(c: InferContext<GridAttributes>, name: string): void {
  const x = c.shape(0);
  const scale = c.shape(1);
  const { axis: given, block_size: block } = c.attributes;
  if (!x || !scale || isSingle(scale)) return;
  if (given < -x.length || given >= x.length)
    c.fail(
      `axis is ${given}; from ${-x.length} up to, not including, ${x.length} is needed for shape ${formatShape(x)}.`,
      'GRIM_IR_BAD_ATTRIBUTE',
    );
  const axis = given < 0 ? given + x.length : given;
  const length = x[axis];
  if (block === 0) {
    if (scale.length !== 1 || differ(scale[0], length))
      c.fail(
        `${name} has shape ${formatShape(scale)}; one element, or [${length}] for axis ${axis} of ${formatShape(x)} is needed ` +
          '(with block_size above 0: one per block).',
      );
    return;
  }
  const wanted = x.map((dim, d) => {
    if (d !== axis) return dim;
    return typeof dim === 'number' ? Math.ceil(dim / block) : c.unknown();
  });
  if (scale.length !== wanted.length || wanted.some((dim, d) => differ(dim, scale[d])))
    c.fail(
      `${name} has shape ${formatShape(scale)}; ${formatShape(wanted)} is needed: axis ${axis} of ${formatShape(x)} in ` +
        `blocks of ${block}, ceil(${length} / ${block}).`,
    );
}

function checkZeroPoint(c: InferContext<GridAttributes>, scaleName: string, name: string): void {
  const scale = c.shape(1);
  const zero = c.has(2) ? c.shape(2) : null;
  if (!scale || !zero || (isSingle(scale) && isSingle(zero))) return;
  if (zero.length !== scale.length || zero.some((dim, axis) => differ(dim, scale[axis])))
    c.fail(`${name} has shape ${formatShape(zero)}, ${scaleName} ${formatShape(scale)}. Both must be equal.`);
}

/** An attribute that names an element type, among those allowed. */
function chosen(
  c: Pick<InferContext, 'fail'>,
  name: string,
  found: DType | undefined,
  allowed: readonly DType[],
): void {
  if (found !== undefined && !allowed.includes(found))
    c.fail(`${name} is ${found}; one of ${allowed.join(', ')} is needed.`, 'GRIM_IR_BAD_ATTRIBUTE');
}

const gridAttributes = { axis: int(1), block_size: int(0, { min: 0 }), output_dtype: optional(dtype()) };

export const quantizeOps = {
  QuantizeLinear: op({
    since: 25,
    inputs: ['x: T1', 'y_scale: T2', 'y_zero_point?: T3'],
    outputs: ['y: T3'],
    types: { T1: [...REALS, 'int32'], T2: [...REALS, 'int32'], T3: QUANTIZED },
    // `saturate` is for the 8-bit floats; integers always saturate.
    attributes: { ...gridAttributes, precision: optional(dtype()), saturate: flag(1) },
    infer: (c) => {
      const { output_dtype, precision } = c.attributes;
      chosen(c, 'output_dtype', output_dtype, QUANTIZED);
      chosen(c, 'precision', precision, [...REALS, 'float64']);
      checkGrid(c, 'y_scale');
      checkZeroPoint(c, 'y_scale', 'y_zero_point');
      checkScales(c, 1, 'y_scale');
      const zero = c.has(2) ? c.dtype(2) : undefined;
      if (zero && output_dtype && zero !== output_dtype)
        c.fail(
          `output_dtype is ${output_dtype}, y_zero_point is ${zero}. Both must be equal.`,
          'GRIM_IR_DTYPE_MISMATCH',
        );
      return [{ dtype: zero ?? output_dtype ?? 'uint8', shape: c.shape(0) }];
    },
  }),

  DequantizeLinear: op({
    since: 25,
    inputs: ['x: T1', 'x_scale: T2', 'x_zero_point?: T1'],
    outputs: ['y: T3'],
    types: { T1: [...QUANTIZED, 'int32'], T2: REALS, T3: REALS },
    attributes: gridAttributes,
    infer: (c) => {
      const { output_dtype } = c.attributes;
      chosen(c, 'output_dtype', output_dtype, REALS);
      checkGrid(c, 'x_scale');
      checkZeroPoint(c, 'x_scale', 'x_zero_point');
      checkScales(c, 1, 'x_scale');
      return [{ dtype: output_dtype ?? c.dtype(1), shape: c.shape(0) }];
    },
  }),

  DynamicQuantizeLinear: op({
    since: 11,
    inputs: ['x: float32'],
    outputs: ['y: uint8', 'y_scale: float32', 'y_zero_point: uint8'],
    types: {},
    attributes: {},
    infer: (c) => [c.shape(0), [], []],
  }),
};
