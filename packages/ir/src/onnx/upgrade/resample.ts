/** Older forms of resampling: `Upsample`, `Resize` before its coordinate modes, and renamed modes. */
import { fromReals, toReal } from '../../numeric.ts';
import type { Rewrite, Rule } from './rewrite.ts';

/** Opset 10 and `Upsample`: the coordinate is divided by the scale; nearest takes the sample at or before it. */
function asymmetric(u: Rewrite): void {
  if (u.attributes.get('mode')?.value === 'bilinear') u.setText('mode', 'linear');
  u.setText('coordinate_transformation_mode', 'asymmetric');
  u.setText('nearest_mode', 'floor');
  const [data = '', scales = ''] = u.inputs;
  u.inputs = [data, '', scales];
}

/** Input numbers of Resize. */
const ROI = 1;
const SCALES = 2;
const SIZES = 3;

export const resampleRules: Readonly<Record<string, Rule>> = {
  Upsample: (u) => {
    u.op = 'Resize';
    if (u.opset < 7) {
      const height = u.take('height_scale', 'float') ?? 1;
      const width = u.take('width_scale', 'float') ?? 1;
      u.setInput(1, u.weight(fromReals('float32', [4], [1, 1, height, width]), 'scales'));
    } else if (u.opset < 9) {
      const scales = u.take('scales', 'floats');
      if (scales) u.setInput(1, u.weight(fromReals('float32', [scales.length], scales), 'scales'));
    }
    if (!u.has(1)) u.fail('has no scales.', 'GRIM_IR_ARITY');
    asymmetric(u);
  },

  Resize: (u) => {
    if (u.opset < 11) resize10(u);
    // An absent input could only be said by an empty tensor.
    for (const input of [ROI, SCALES, SIZES])
      if (u.type(input)?.shape?.length === 1 && u.type(input)?.shape?.[0] === 0) u.inputs[input] = '';
    if (u.has(SCALES) && u.has(SIZES) && u.opset < 13) u.inputs[SCALES] = '';
    if (u.attributes.get('coordinate_transformation_mode')?.value !== 'tf_half_pixel_for_nn') return;
    // (x + ½) / scale, half a sample further than half_pixel: the roundings that say the same from there. What cannot be
    // said so keeps the mode.
    const rounding = u.attributes.get('nearest_mode')?.value ?? 'round_prefer_floor';
    const same = rounding === 'floor' ? 'round_prefer_ceil' : rounding === 'round_prefer_floor' ? 'ceil' : undefined;
    if ((u.attributes.get('mode')?.value ?? 'nearest') !== 'nearest' || same === undefined) return;
    u.setText('nearest_mode', same);
    u.setText('coordinate_transformation_mode', 'half_pixel');
  },

  GridSample: (u) => {
    const mode = u.attributes.get('mode')?.value;
    if (u.opset < 20 && (mode === undefined || mode === 'bilinear')) u.setText('mode', 'linear');
    if (u.opset < 20 && mode === 'bicubic') u.setText('mode', 'cubic');
  },

  RoiAlign: (u) => {
    if (u.opset < 16) u.setText('coordinate_transformation_mode', 'output_half_pixel');
  },
};

/**
 * Opset 10 left the rounding of `nearest` open; onnxruntime, whose results the standard's tests hold, takes the sample
 * before when enlarging and the one after when shrinking. Axes are independent, so mixed scales are two steps.
 */
function resize10(u: Rewrite): void {
  const scales = u.constant(1);
  const values = scales && Array.from({ length: scales.data.length }, (_, i) => toReal(scales, i));
  asymmetric(u);
  if (!values?.some((scale) => scale < 1) || (u.attributes.get('mode')?.value ?? 'nearest') !== 'nearest') return;
  const [data = ''] = u.inputs;
  const step = (keep: (scale: number) => boolean, what: string) =>
    u.weight(
      fromReals(
        'float32',
        [values.length],
        values.map((scale) => (keep(scale) ? scale : 1)),
      ),
      what,
    );
  if (values.some((scale) => scale > 1)) {
    const enlarging = Object.fromEntries(u.attributes);
    u.inputs = [
      u.emit('Resize', [data, '', step((scale) => scale > 1, 'up')], enlarging),
      '',
      step((s) => s < 1, 'down'),
    ];
  }
  u.setText('nearest_mode', 'ceil');
}
