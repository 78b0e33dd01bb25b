/** Operators of object detection: they look at boxes, or at places that the network itself moved. */
import { flag, float, int, ints, op, optional, string } from '../op.ts';
import { type Dim, FLOAT_DTYPES, formatShape, isStatic } from '../types.ts';
import { needEqual, needRank, needSingle } from './axes.ts';
import { checkWindow, windowCount, windowOf } from './resample.ts';

export const regionOps = {
  RoiAlign: op({
    since: 22,
    inputs: ['X: T1', 'rois: T1', 'batch_indices: int64'],
    outputs: ['Y: T1'],
    types: { T1: FLOAT_DTYPES },
    attributes: {
      coordinate_transformation_mode: string(['half_pixel', 'output_half_pixel'], 'half_pixel'),
      mode: string(['avg', 'max'], 'avg'),
      output_height: int(1, { min: 1 }),
      output_width: int(1, { min: 1 }),
      sampling_ratio: int(0, { min: 0 }),
      spatial_scale: float(1),
    },
    infer: (c) => {
      const [x, rois, batches] = [c.shape(0), c.shape(1), c.shape(2)];
      const { output_height: h, output_width: w, sampling_ratio: ratio } = c.attributes;
      needRank(c, x, 'X', 4, 4);
      needRank(c, rois, 'rois', 2, 2);
      needRank(c, batches, 'batch_indices', 1, 1);
      needEqual(c, rois?.[1], 4, 'length of a roi (x1, y1, x2, y2)');
      needEqual(c, rois?.[0], batches?.[0], 'number of rois and of batch_indices');
      for (const index of c.integers(2) ?? [])
        if (index < 0 || (typeof x?.[0] === 'number' && index >= x[0]))
          c.fail(`batch_indices has ${index}; X has ${x?.[0]} batches.`, 'GRIM_IR_BAD_VALUE');
      const result: Dim[] = [rois?.[0] ?? batches?.[0] ?? c.unknown(), x?.[1] ?? c.unknown(), h, w];
      // Every sample is work: what makes too many is refused like what makes too many elements.
      const samples = result.reduce<number>(
        (product, dim) => product * (typeof dim === 'number' ? dim : 1),
        ratio ** 2,
      );
      if (samples > c.limits.tensorElements)
        c.fail(
          `sampling_ratio ${ratio} takes ${samples} samples; at most ${c.limits.tensorElements} are taken.`,
          'GRIM_IR_LIMIT',
        );
      return [result];
    },
  }),

  MaxRoiPool: op({
    since: 22,
    inputs: ['X: T', 'rois: T'],
    outputs: ['Y: T'],
    types: { T: FLOAT_DTYPES },
    attributes: { pooled_shape: ints(), spatial_scale: float(1) },
    infer: (c) => {
      const [x, rois] = [c.shape(0), c.shape(1)];
      const { pooled_shape: pooled } = c.attributes;
      needRank(c, x, 'X', 4, 4);
      needRank(c, rois, 'rois', 2, 2);
      needEqual(c, rois?.[1], 5, 'length of a roi (batch, x1, y1, x2, y2)');
      if (pooled.length !== 2 || pooled.some((length) => length < 1))
        c.fail(
          `pooled_shape is [${pooled.join(', ')}]; two lengths of at least 1 are needed.`,
          'GRIM_IR_BAD_ATTRIBUTE',
        );
      return [[rois?.[0] ?? c.unknown(), x?.[1] ?? c.unknown(), ...pooled]];
    },
  }),

  NonMaxSuppression: op({
    since: 11,
    inputs: [
      'boxes: float32',
      'scores: float32',
      'max_output_boxes_per_class?: int64',
      'iou_threshold?: float32',
      'score_threshold?: float32',
    ],
    outputs: ['selected_indices: int64'],
    types: {},
    attributes: { center_point_box: flag(0) },
    infer: (c) => {
      const [boxes, scores] = [c.shape(0), c.shape(1)];
      needRank(c, boxes, 'boxes', 3, 3);
      needRank(c, scores, 'scores', 3, 3);
      needEqual(c, boxes?.[0], scores?.[0], 'batches of boxes and scores');
      needEqual(c, boxes?.[1], scores?.[2], 'number of boxes and of scores of a class');
      needEqual(c, boxes?.[2], 4, 'length of a box');
      for (const [i, name] of ['max_output_boxes_per_class', 'iou_threshold', 'score_threshold'].entries())
        if (c.has(i + 2)) needSingle(c, c.shape(i + 2), name);
      const overlap = c.reals(3)?.[0] ?? 0;
      if (!(overlap >= 0 && overlap <= 1))
        c.fail(`iou_threshold is ${overlap}; 0 to 1 is needed.`, 'GRIM_IR_BAD_VALUE');
      return [[c.unknown(), 3]];
    },
    dataDependent: true,
  }),

  DeformConv: op({
    since: 22,
    inputs: ['X: T', 'W: T', 'offset: T', 'B?: T', 'mask?: T'],
    outputs: ['Y: T'],
    types: { T: FLOAT_DTYPES },
    attributes: {
      dilations: optional(ints()),
      group: int(1, { min: 1 }),
      kernel_shape: optional(ints()),
      offset_group: int(1, { min: 1 }),
      pads: optional(ints()),
      strides: optional(ints()),
    },
    infer: (c) => {
      const [x, w, offset] = [c.shape(0), c.shape(1), c.shape(2)];
      const { group, offset_group: offsetGroup, kernel_shape: kernel } = c.attributes;
      needRank(c, x, 'X', 4, 4);
      needRank(c, w, 'W', 4, 4);
      needRank(c, offset, 'offset', 4, 4);
      checkWindow(c, c.attributes, 2);
      if (kernel) needEqual(c, kernel.length, 2, 'length of kernel_shape and number of spatial axes');
      const [n, channels, ...space] = x ?? [];
      const [out, perGroup, ...window] = w ?? [];
      kernel?.forEach((length, i) => {
        needEqual(c, length, window[i], `kernel_shape[${i}] and axis ${i + 2} of W`);
      });
      const multiple = (dim: Dim | undefined, of: number, what: string) => {
        if (typeof dim === 'number' && dim % of !== 0) c.fail(`${what} is ${dim}; a multiple of ${of} is needed.`);
      };
      multiple(channels, group, `channels of X, in ${group} groups,`);
      multiple(channels, offsetGroup, `channels of X, in ${offsetGroup} offset groups,`);
      multiple(out, group, `output channels of W, in ${group} groups,`);
      if (typeof perGroup === 'number') needEqual(c, channels, perGroup * group, 'channels of X and of W times group');
      const { dilations, pads, strides } = windowOf(c.attributes, 2);
      const result = [0, 1].map((i): Dim => {
        const [length, k] = [space[i], window[i]];
        if (typeof k === 'number' && k < 1)
          c.fail(`W ${formatShape(w)} has an empty kernel; lengths of at least 1 are needed.`);
        if (typeof length !== 'number' || typeof k !== 'number') return offset?.[i + 2] ?? c.unknown();
        const count = windowCount(length, (pads[i] ?? 0) + (pads[i + 2] ?? 0), k, dilations[i] ?? 1, strides[i] ?? 1);
        if (count < 1)
          c.fail(
            `floor((${length} + pads ${pads[i]} + ${pads[i + 2]} - dilation ${dilations[i]} · (${k} - 1) - 1) / ${strides[i]}) + 1 is ${count}; ` +
              `at least 1 is needed: the kernel does not fit axis ${i + 2}.`,
          );
        return count;
      });
      const taps = typeof window[0] === 'number' && typeof window[1] === 'number' ? window[0] * window[1] : undefined;
      for (const [input, name, each] of [
        [2, 'offset', 2],
        [4, 'mask', 1],
      ] as const) {
        if (!c.has(input)) continue;
        const shape = c.shape(input);
        needRank(c, shape, name, 4, 4);
        needEqual(c, shape?.[0], n, `batches of ${name} and X`);
        if (taps !== undefined)
          needEqual(
            c,
            shape?.[1],
            offsetGroup * taps * each,
            `channels of ${name} and offset_group · kernel elements · ${each}`,
          );
        result.forEach((dim, i) => {
          needEqual(c, shape?.[i + 2], dim, `axis ${i + 2} of ${name} and of the output`);
        });
      }
      if (c.has(3)) {
        needRank(c, c.shape(3), 'B', 1, 1);
        needEqual(c, c.shape(3)?.[0], out, 'length of B and output channels of W');
      }
      return [[n ?? c.unknown(), out ?? c.unknown(), ...result]];
    },
    // Each output element is a sum over the W of one output channel; the reading between elements is not counted.
    macs: (inputs, outputs) => {
      const w = inputs[1]?.shape ?? null;
      const y = outputs[0]?.shape ?? null;
      if (!isStatic(w) || !isStatic(y)) return 0;
      return [...y, ...w.slice(1)].reduce((product, dim) => product * dim, 1);
    },
  }),
};
