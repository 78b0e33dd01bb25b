/**
 * Gradients of normalisations. All are x̂ = (x − mean)·inv over some axes, then a scale and a shift; with g = dL/dx̂:
 * dx = inv·(g − mean(g) − x̂·mean(g·x̂)). The forward side is written out, so that mean, inv and x̂ are there for it.
 */
import { type Shape, sizeOf } from '../emit.ts';
import { axisOf, type Back, type RuleContext, type Rules, range } from '../rule.ts';

interface Normal {
  readonly inv: string;
  readonly hat: string;
  back(g: string): string;
}

function normalise(c: RuleContext, x: string, axes: readonly number[], epsilon: number, centred = true): Normal {
  const mean = (value: string): string => c.reduce('ReduceMean', value, axes);
  const from = centred ? c.sub(x, mean(x)) : x;
  const inv = c.add('Reciprocal', [c.add('Sqrt', [c.sum(mean(c.mul(from, from)), c.scalar(epsilon))])]);
  const hat = c.mul(from, inv);
  const back = (g: string): string => {
    const along = c.mul(hat, mean(c.mul(g, hat)));
    return c.mul(inv, centred ? c.sub(c.sub(g, mean(g)), along) : c.sub(g, along));
  };
  return { inv, hat, back };
}

/** The shape in which a parameter broadcasts to the data: along the last axes as it is, or along axis 1. */
type View = (own: Shape, shape: Shape) => Shape;
const asIs: View = (own) => own;
const perChannel: View = (own, shape) => [1, own[0] ?? 1, ...shape.slice(2).map(() => 1)];

/** Output = hat·scale + bias, and the way back through both. */
function affine(c: RuleContext, normal: Normal, viewOf: View, back = normal.back): Back {
  const shape = c.shape(0);
  const view = (value: string, own: Shape): string => (viewOf === asIs ? value : c.reshape(value, viewOf(own, shape)));
  const scaled = c.mul(normal.hat, view(c.input(1), c.shape(1)));
  if (c.has(2)) c.add('Add', [scaled, view(c.input(2), c.shape(2))], {}, c.output());
  else c.add('Identity', [scaled], {}, c.output());
  return ([dy]) => {
    if (dy === undefined) return [];
    const parameter = (value: string, i: number): string | undefined => {
      if (!c.has(i) || !c.wanted(i)) return undefined;
      const own = c.shape(i);
      return c.reshape(c.unbroadcast(value, shape, viewOf(own, shape)), own);
    };
    return [
      c.wanted(0) ? back(c.mul(dy, view(c.input(1), c.shape(1)))) : undefined,
      parameter(c.mul(dy, normal.hat), 1),
      parameter(dy, 2),
    ];
  };
}

export const normRules: Rules<
  | 'BatchNormalization'
  | 'InstanceNormalization'
  | 'LayerNormalization'
  | 'GroupNormalization'
  | 'RMSNormalization'
  | 'LpNormalization'
  | 'MeanVarianceNormalization'
  | 'LRN'
> = {
  BatchNormalization: (c) => {
    const shape = c.shape(0);
    const axes = [0, ...range(shape.length - 2, 2)];
    const per = [1, shape[1] ?? 1, ...shape.slice(2).map(() => 1)];
    const count = sizeOf(shape) / (shape[1] ?? 1);
    const x = c.input(0);
    const [scale, bias] = [c.input(1), c.input(2)];
    const { epsilon } = c.a;
    const view = (value: string): string => c.reshape(value, per);
    if (!c.training) {
      const inv = c.add('Reciprocal', [c.add('Sqrt', [c.sum(c.input(4), c.scalar(epsilon))])]);
      const steep = view(c.mul(scale, inv));
      c.add('BatchNormalization', [x, scale, bias, c.input(3), c.input(4)], { epsilon }, c.output());
      return ([dy]) => {
        if (dy === undefined) return [];
        const hat = (): string => c.mul(c.sub(x, view(c.input(3))), view(inv));
        return [
          c.wanted(0) ? c.mul(dy, steep) : undefined,
          c.wanted(1) ? c.reduce('ReduceSum', c.mul(dy, hat()), axes, false) : undefined,
          c.wanted(2) ? c.reduce('ReduceSum', dy, axes, false) : undefined,
        ];
      };
    }
    // In one pass of the engine's: with momentum 0 the running values are those of the batch.
    const [, mean, variance] = c.addMany(
      'BatchNormalization',
      [x, scale, bias, c.input(3), c.input(4)],
      [c.output(), `grim.mean:${c.output()}`, `grim.variance:${c.output()}`],
      { epsilon, momentum: 0, training_mode: 1 },
    ) as [string, string, string];
    const inv = c.add('Reciprocal', [c.add('Sqrt', [c.sum(variance, c.scalar(epsilon))])]);
    const steep = c.mul(scale, inv);
    c.running({ weight: c.input(3), value: mean });
    // What is stored estimates the variance of all data: unbiased.
    c.running({ weight: c.input(4), value: c.scale(variance, count > 1 ? count / (count - 1) : 1) });
    return ([dy]) => {
      if (dy === undefined) return [];
      const average = (value: string): string => c.reduce('ReduceMean', value, axes, false);
      const meanDy = average(dy);
      const along = c.mul(c.sub(average(c.mul(dy, x)), c.mul(mean, meanDy)), inv);
      const dx = (): string => {
        // steep·(dy − mean(dy) − x̂·along): what is not of dy is a normalisation of x by other scales and shifts.
        const [slope, shift] = [c.neg(c.mul(steep, along)), c.neg(c.mul(steep, meanDy))];
        const rest = c.add('BatchNormalization', [x, slope, shift, mean, variance], { epsilon });
        return c.sum(c.mul(dy, view(steep)), rest);
      };
      return [
        c.wanted(0) ? dx() : undefined,
        c.wanted(1) ? c.scale(along, count) : undefined,
        c.wanted(2) ? c.scale(meanDy, count) : undefined,
      ];
    };
  },

  InstanceNormalization: (c) => {
    const shape = c.shape(0);
    const normal = normalise(c, c.input(0), range(shape.length - 2, 2), c.a.epsilon);
    return affine(c, normal, perChannel);
  },

  LayerNormalization: (c) => {
    const shape = c.shape(0);
    if (c.node.outputs.slice(1).some((name) => name !== '')) c.refuse('its statistics are used');
    const axis = axisOf(c.a.axis, shape.length);
    const normal = normalise(c, c.input(0), range(shape.length - axis, axis), c.a.epsilon);
    return affine(c, normal, asIs);
  },

  RMSNormalization: (c) => {
    const shape = c.shape(0);
    const axis = axisOf(c.a.axis, shape.length);
    const normal = normalise(c, c.input(0), range(shape.length - axis, axis), c.a.epsilon, false);
    return affine(c, normal, asIs);
  },

  GroupNormalization: (c) => {
    const shape = c.shape(0);
    const [n = 0, depth = 0, ...rest] = shape;
    const groups = [n, c.a.num_groups, (depth / c.a.num_groups) * sizeOf(rest)];
    const inner = normalise(c, c.reshape(c.input(0), groups), [2], c.a.epsilon);
    const normal = { ...inner, hat: c.reshape(inner.hat, shape) };
    const back = (g: string): string => c.reshape(inner.back(c.reshape(g, groups)), shape);
    return affine(c, normal, perChannel, back);
  },

  // x / ‖x‖: the share of g along y is lost.
  LpNormalization: (c) => {
    c.copy();
    return ([dy]) => {
      if (dy === undefined) return [];
      const axes = [axisOf(c.a.axis, c.shape(0).length)];
      const x = c.input(0);
      const norm =
        c.a.p === 2
          ? c.add('Sqrt', [c.reduce('ReduceSum', c.mul(x, x), axes)])
          : c.reduce('ReduceSum', c.add('Abs', [x]), axes);
      const slope = c.a.p === 2 ? c.output() : c.add('Sign', [x]);
      const along = c.reduce('ReduceSum', c.mul(dy, c.output()), axes);
      return [c.div(c.sub(dy, c.mul(slope, along)), norm)];
    };
  },

  MeanVarianceNormalization: (c) => {
    const axes = c.a.axes.map((axis) => axisOf(axis, c.shape(0).length));
    const x = c.input(0);
    const from = c.sub(x, c.reduce('ReduceMean', x, axes));
    const deviation = c.add('Sqrt', [c.reduce('ReduceMean', c.mul(from, from), axes)]);
    // The definition adds 1e-9 to the deviation, not to the variance.
    const inv = c.add('Reciprocal', [c.sum(deviation, c.scalar(1e-9))]);
    c.add('Mul', [from, inv], {}, c.output());
    return ([dy]) => {
      if (dy === undefined) return [];
      const mean = (value: string): string => c.reduce('ReduceMean', value, axes);
      const along = c.mul(c.div(from, deviation), mean(c.mul(dy, c.output())));
      return [c.mul(inv, c.sub(c.sub(dy, mean(dy)), along))];
    };
  },

  // y = x·s^(−β), s = bias + α/size·Σ x² over neighbouring channels.
  LRN: (c) => {
    const { alpha, beta, bias, size } = c.a;
    const shape = c.shape(0);
    const [, depth = 0] = shape;
    const [below, above] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    const rest = sizeOf(shape.slice(2));
    // Sums over neighbours are a product with a banded matrix.
    const band = (from: number, to: number): string =>
      c.floats(
        [depth, depth],
        Float64Array.from({ length: depth * depth }, (_, i) => {
          const offset = (i % depth) - Math.floor(i / depth);
          return offset >= -from && offset <= to ? 1 : 0;
        }),
      );
    const sums = (value: string, from: number, to: number): string =>
      c.reshape(c.add('MatMul', [band(from, to), c.reshape(value, [shape[0] ?? 0, depth, rest])]), shape);
    const x = c.input(0);
    const s = c.sum(c.scale(sums(c.mul(x, x), below, above), alpha / size), c.scalar(bias));
    const factor = c.add('Pow', [s, c.scalar(-beta)]);
    c.add('Mul', [x, factor], {}, c.output());
    return ([dy]) => {
      if (dy === undefined) return [];
      const inner = c.div(c.mul(dy, c.output()), s);
      return [c.sub(c.mul(dy, factor), c.mul(c.scale(x, (2 * alpha * beta) / size), sums(inner, above, below)))];
    };
  },
};
