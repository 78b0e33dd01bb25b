/** Resampling, regions, signals, losses and attention, in the opsets where their forms changed. */
import { toReal } from '../../src/numeric.ts';
import { float, floats } from '../onnx/model-file.ts';
import type { Form, Parts } from './case.ts';
import type { Generator } from './generator.ts';

const scales = (g: Generator, values: readonly number[]) =>
  g.tensor('float32', [values.length]).shape && {
    dtype: 'float32' as const,
    shape: [values.length],
    data: Float32Array.from(values),
  };

function resize(g: Generator, opset: number): Parts {
  const x = g.tensor('float32', [1, g.between(1, 2), g.between(3, 6), g.between(3, 6)]);
  const mode = g.one('nearest', 'linear', ...(opset >= 11 ? ['cubic'] : []));
  const factors = [1, 1, g.one(0.5, 2, 1.5, 0.8, 3), g.one(0.5, 2, 1.25, 0.6, 1)];
  if (opset < 11) return { inputs: [x, scales(g, factors)], attributes: { mode }, weights: [1] };
  const attributes: Record<string, number | string | ReturnType<typeof float>> = { mode };
  if (g.oneIn(2))
    attributes['coordinate_transformation_mode'] = g.one(
      'half_pixel',
      'pytorch_half_pixel',
      'align_corners',
      'asymmetric',
      ...(opset >= 19 ? ['half_pixel_symmetric'] : []),
      ...(opset === 11 && mode === 'nearest' ? ['tf_half_pixel_for_nn'] : []),
    );
  if (mode === 'nearest' && g.oneIn(2))
    attributes['nearest_mode'] = g.one('round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil');
  if (mode === 'cubic' && g.oneIn(2)) attributes['cubic_coeff_a'] = float(-0.5);
  if (mode === 'cubic' && g.oneIn(3)) attributes['exclude_outside'] = 1;
  const sizes = x.shape.map((dim, i) => (i < 2 ? dim : g.between(2, 9)));
  const none = scales(g, []);
  if (g.oneIn(2))
    return {
      inputs: [x, opset < 13 ? none : undefined, opset < 13 ? none : undefined, g.int64(sizes)],
      attributes,
      weights: [1, 2, 3],
    };
  return { inputs: [x, opset < 13 ? none : undefined, scales(g, factors)], attributes, weights: [1, 2] };
}

const window = (op: string): Form => ({
  op,
  opsets: [17],
  make: (g) => ({
    inputs: [g.int64(g.between(1, 12))],
    attributes: g.one({}, { periodic: 0 }, { output_datatype: 11 }),
  }),
});

export const resampleForms: readonly Form[] = [
  {
    op: 'Upsample',
    opsets: [7, 9],
    make: (g, opset) => {
      const mode = g.one('nearest', 'linear');
      const factors = [1, 1, g.one(1, 2, 3, 1.5), g.one(1, 2, 2.5)];
      const x = g.tensor('float32', g.list(4, 1, 4));
      return opset < 9
        ? { inputs: [x], attributes: { mode, scales: floats(...factors) } }
        : { inputs: [x, scales(g, factors)], attributes: { mode }, weights: g.one([], [1]) };
    },
  },
  { op: 'Resize', opsets: [10, 11, 13, 18, 19], make: resize },
  {
    op: 'Resize',
    opsets: [18, 19],
    make: (g) => {
      const x = g.tensor('float32', [1, 1, g.between(3, 8), g.between(3, 8)]);
      const attributes = { mode: g.one('linear', 'cubic'), antialias: 1 };
      if (g.oneIn(2))
        return {
          inputs: [x, undefined, scales(g, [1, 1, g.one(0.5, 0.6), g.one(0.4, 0.75)])],
          attributes,
          weights: [2],
        };
      return {
        inputs: [x, undefined, undefined, g.int64([g.between(2, 8), g.between(2, 8)])],
        attributes: {
          ...attributes,
          axes: [2, 3],
          keep_aspect_ratio_policy: g.one('stretch', 'not_larger', 'not_smaller'),
        },
        weights: [3],
      };
    },
  },
  {
    op: 'Resize',
    opsets: [11, 13, 19],
    make: (g) => ({
      inputs: [
        g.tensor('float32', [1, 1, 4, 5]),
        scales(g, [0, 0, 0.4, 0.6, 1, 1, 0.6, g.one(0.8, 1.7)]),
        scales(g, []),
        g.int64([1, 1, g.between(1, 4), g.between(1, 4)]),
      ],
      attributes: {
        coordinate_transformation_mode: 'tf_crop_and_resize',
        mode: 'linear',
        extrapolation_value: float(g.one(0, 10)),
      },
      weights: [1, 2, 3],
    }),
  },
  {
    op: 'GridSample',
    opsets: [16, 20, 22],
    make: (g, opset) => {
      const deep = opset >= 20 && g.oneIn(3);
      const space = g.list(deep ? 3 : 2, 3, 5);
      const linear = opset < 20 ? 'bilinear' : 'linear';
      const cubic = opset < 20 ? 'bicubic' : 'cubic';
      return {
        inputs: [
          g.tensor('float32', [1, 2, ...space]),
          g.tensor('float32', [1, ...g.list(space.length, 1, 3), space.length], -1.4, 1.4),
        ],
        attributes: {
          align_corners: g.below(2),
          padding_mode: g.one('zeros', 'border', 'reflection'),
          ...(g.oneIn(4) ? {} : { mode: g.one('nearest', linear, ...(deep ? [] : [cubic])) }),
        },
      };
    },
  },
  {
    op: 'AffineGrid',
    opsets: [20],
    make: (g) => {
      const space = g.list(g.between(2, 3), 2, 4);
      return {
        inputs: [g.tensor('float32', [2, space.length, space.length + 1]), g.int64([2, 3, ...space])],
        attributes: { align_corners: g.below(2) },
      };
    },
  },
  {
    op: 'Col2Im',
    opsets: [18],
    make: (g) => {
      const [image, block] = [g.list(2, 4, 6), g.list(2, 1, 2)];
      const [pads, strides, dilations] = [g.list(4, 0, 1), g.list(2, 1, 2), g.list(2, 1, 2)];
      const counts = image.map(
        (length, i) =>
          Math.floor(
            (length + (pads[i] ?? 0) + (pads[i + 2] ?? 0) - (dilations[i] ?? 1) * ((block[i] ?? 1) - 1) - 1) /
              (strides[i] ?? 1),
          ) + 1,
      );
      const size = (list: readonly number[]) => list.reduce((a, b) => a * b, 1);
      return {
        inputs: [g.tensor('float32', [1, 2 * size(block), size(counts)]), g.int64(image), g.int64(block)],
        attributes: { pads, strides, dilations },
      };
    },
  },
  {
    op: 'RoiAlign',
    opsets: [10, 16],
    make: (g, opset) => {
      const rois = g.between(1, 3);
      const corners = Array.from({ length: rois }, () => [
        g.between(0, 4),
        g.between(0, 4),
        g.between(5, 9),
        g.between(5, 9),
      ]).flat();
      return {
        inputs: [
          g.tensor('float32', [2, 2, 8, 8]),
          g.whole('float32', [rois, 4], corners),
          g.int64(g.list(rois, 0, 1)),
        ],
        attributes: {
          output_height: g.between(1, 4),
          output_width: g.between(1, 4),
          sampling_ratio: g.between(0, 3),
          spatial_scale: float(g.one(1, 0.5)),
          mode: 'avg',
          ...(opset >= 16 && g.oneIn(2)
            ? { coordinate_transformation_mode: g.one('half_pixel', 'output_half_pixel') }
            : {}),
        },
      };
    },
  },
  {
    op: 'MaxRoiPool',
    opsets: [1, 22],
    make: (g) => {
      const corners = [g.below(2), g.between(0, 3), g.between(0, 3), g.between(4, 7), g.between(4, 7)];
      return {
        inputs: [g.tensor('float32', [2, 2, 8, 8]), g.whole('float32', [1, 5], corners)],
        attributes: { pooled_shape: g.list(2, 1, 4) },
      };
    },
  },
  {
    op: 'NonMaxSuppression',
    opsets: [10, 11],
    make: (g) => {
      const [batches, classes, boxes] = [g.between(1, 2), g.between(1, 2), g.between(1, 6)];
      const corners = g.tensor('float32', [batches, boxes, 4], 0, 1);
      const scalar = (value: number) => ({ dtype: 'float32' as const, shape: [1], data: Float32Array.of(value) });
      return {
        inputs: [
          corners,
          g.tensor('float32', [batches, classes, boxes], 0, 1),
          g.int64([g.between(0, 4)]),
          scalar(0.3),
          scalar(0.2),
        ],
        attributes: g.one({}, { center_point_box: 1 }),
      };
    },
  },
  {
    op: 'DeformConv',
    opsets: [19, 22],
    make: (g) => {
      const mask = g.oneIn(2) ? [g.tensor('float32', [1, 4, 4, 4])] : [];
      return {
        inputs: [
          g.tensor('float32', [1, 2, 5, 5]),
          g.tensor('float32', [2, 2, 2, 2]),
          g.tensor('float32', [1, 8, 4, 4], -1, 1),
          g.tensor('float32', [2]),
          ...mask,
        ],
      };
    },
  },
  {
    op: 'DFT',
    opsets: [17, 20],
    make: (g, opset) => {
      const x = g.tensor('float32', [g.between(1, 2), g.between(2, 7), g.between(2, 7), g.one(1, 2)]);
      const onesided = x.shape[3] === 1 ? g.below(2) : 0;
      const inverse = onesided ? 0 : g.below(2);
      const axis = g.between(1, 2);
      if (opset < 20) return { inputs: [x], attributes: { axis, onesided, inverse } };
      return {
        inputs: [x, g.oneIn(3) ? g.int64(g.between(2, 8)) : undefined, g.int64(axis)],
        attributes: { onesided, inverse },
      };
    },
  },
  {
    op: 'STFT',
    opsets: [17],
    make: (g) => {
      const length = g.between(3, 8);
      return {
        inputs: [
          g.tensor('float32', [g.between(1, 2), g.between(9, 20), 1]),
          g.int64(g.between(1, 4)),
          g.tensor('float32', [length], 0, 1),
          g.int64(length),
        ],
        attributes: { onesided: g.below(2) },
      };
    },
  },
  window('HannWindow'),
  window('HammingWindow'),
  window('BlackmanWindow'),
  {
    op: 'MelWeightMatrix',
    opsets: [17],
    make: (g) => ({
      inputs: [
        g.int64(g.between(2, 8)),
        g.int64(g.between(16, 32)),
        g.int64(8192),
        g.whole('float32', [], [g.between(0, 100)]),
        g.whole('float32', [], [g.between(2000, 4096)]),
      ],
    }),
  },
  {
    op: 'SoftmaxCrossEntropyLoss',
    opsets: [12, 13],
    make: (g) => loss(g, 2),
  },
  { op: 'NegativeLogLikelihoodLoss', opsets: [12, 13], make: (g) => loss(g, 1) },
];

function loss(g: Generator, outputs: number): Parts {
  const [n, classes] = [g.between(1, 3), g.between(2, 4)];
  const rest = g.shape(0, 2);
  const scores = g.tensor('float32', [n, classes, ...rest]);
  const labels = g.tensor('int64', [n, ...rest], 0, classes - 1);
  const ignored = g.oneIn(2) ? { ignore_index: Number(toReal(labels, 0)) } : {};
  return {
    inputs: [scores, labels, ...(g.oneIn(2) ? [g.tensor('float32', [classes], 0.1, 1)] : [])],
    attributes: { reduction: g.one('none', 'sum', 'mean'), ...ignored },
    outputs: outputs === 2 && g.oneIn(2) ? 2 : 1,
  };
}
