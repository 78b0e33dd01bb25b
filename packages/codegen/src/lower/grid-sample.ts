/**
 * Reading between elements: `GridSample` gathers every neighbour of every place and adds them up by their weights, which
 * are computed once for all channels. `AffineGrid` is a product with a constant grid.
 *
 * Of mode nearest the places are computed in float64, as a tie decides which element is taken; on a GPU in float32.
 */
import type { DType, NodeOf } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { rowMajor, sizeOf } from '../map/placement.ts';
import { type Composition, workType } from './composition.ts';

/** A neighbour along one axis: its index as a whole float, and its share; without one, 1. */
interface Neighbour {
  readonly index: string;
  readonly share: string | undefined;
}

type Sampling = NodeOf<'GridSample'>['attributes'];

/** Arithmetic on values of one type and scalars. */
class Arithmetic {
  readonly #g: Composition;
  readonly dtype: DType;

  constructor(g: Composition, dtype: DType) {
    this.#g = g;
    this.dtype = dtype;
  }

  scalar(value: number): string {
    return this.#g.reals(this.dtype, [value], []);
  }

  #of(x: string | number): string {
    return typeof x === 'number' ? this.scalar(x) : x;
  }

  op(
    name:
      | 'Add'
      | 'Sub'
      | 'Mul'
      | 'Div'
      | 'Min'
      | 'Max'
      | 'Less'
      | 'LessOrEqual'
      | 'GreaterOrEqual'
      | 'Greater'
      | 'Equal',
    a: string | number,
    b: string | number,
  ): string {
    return this.#g.add(name, [this.#of(a), this.#of(b)]);
  }

  where(condition: string, a: string | number, b: string | number): string {
    return this.#g.add('Where', [condition, this.#of(a), this.#of(b)]);
  }

  clamp(x: string, low: number, high: number): string {
    return this.op('Min', this.op('Max', x, low), high);
  }

  /** Mirrors at `low` and `high` until it lies between them. */
  reflect(x: string, low: number, high: number): string {
    const span = high - low;
    if (span <= 0) return this.op('Add', this.op('Mul', x, 0), low);
    const distance = this.#g.add('Mod', [this.#g.add('Abs', [this.op('Sub', x, low)]), this.scalar(2 * span)], {
      fmod: 1,
    });
    return this.op('Add', this.op('Min', distance, this.op('Sub', 2 * span, distance)), low);
  }
}

/** What an axis of `length` elements gives at normalised coordinates: -1 and 1 are its ends. */
function neighbours(
  g: Composition,
  m: Arithmetic,
  normalised: string,
  length: number,
  s: Sampling,
): readonly Neighbour[] {
  const { align_corners: align, mode, padding_mode: padding } = s;
  const [low, high] = align ? [0, length - 1] : [-0.5, length - 0.5];
  const shifted = m.op('Add', normalised, 1);
  let x = align
    ? m.op('Mul', m.op('Div', shifted, 2), length - 1)
    : m.op('Div', m.op('Sub', m.op('Mul', shifted, length), 1), 2);
  if (mode === 'nearest') x = g.add('Round', [x]);
  // The cubic kernel stays where it is and only its elements are moved, as in PyTorch, where the operator comes from.
  if (padding === 'border' && mode !== 'cubic') {
    const outside = g.add('Or', [m.op('Less', x, low), m.op('Greater', x, high)]);
    x = m.where(outside, m.clamp(x, 0, length - 1), x);
  }
  if (padding === 'reflection') {
    const outside = g.add('Or', [m.op('Less', x, low), m.op('Greater', x, high)]);
    x = m.where(outside, m.reflect(x, low, high), x);
  }
  // NaN and infinities lie nowhere: zero, or the first element where there is no zero outside.
  const finite = m.op('Equal', m.op('Sub', x, x), 0);
  x = m.where(finite, x, padding === 'zeros' ? -10 : 0);
  const at = (place: string, share: string | undefined): Neighbour => {
    if (padding === 'border') return { index: m.clamp(place, 0, length - 1), share };
    if (padding === 'reflection') {
      const moved = g.add('Floor', [m.op('Max', m.reflect(place, low, high), 0)]);
      return { index: m.clamp(moved, 0, length - 1), share };
    }
    const inside = g.add('And', [m.op('GreaterOrEqual', place, 0), m.op('Less', place, length)]);
    return { index: m.clamp(place, 0, length - 1), share: m.where(inside, share ?? 1, 0) };
  };
  if (mode === 'nearest') return [at(g.add('Round', [x]), undefined)];
  const floor = g.add('Floor', [x]);
  const t = m.op('Sub', x, floor);
  const rest = m.op('Sub', 1, t);
  const next = m.op('Add', floor, 1);
  if (mode === 'linear') return [at(floor, rest), at(next, t)];
  const a = -0.75;
  const poly = (d: string, coefficients: readonly number[]) =>
    coefficients
      .slice(1)
      .reduce((sum, k) => m.op('Add', m.op('Mul', sum, d), k), m.op('Add', m.op('Mul', d, 0), coefficients[0] ?? 0));
  const near = (d: string) => poly(d, [a + 2, -(a + 3), 0, 1]);
  const far = (d: string) => poly(d, [a, -5 * a, 8 * a, -4 * a]);
  return [
    at(m.op('Sub', floor, 1), far(m.op('Add', t, 1))),
    at(floor, near(t)),
    at(next, near(rest)),
    at(m.op('Add', floor, 2), far(m.op('Add', rest, 1))),
  ];
}

function lowerGridSample(node: NodeOf<'GridSample'>, c: LowerContext): void {
  const [xName = '', gridName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { dtype, shape } = c.type(xName);
  const grid = c.type(gridName);
  const result = c.type(output).shape;
  const [batch = 1, channels = 1, ...space] = shape;
  const points = sizeOf(result.slice(2));
  if (sizeOf(result) === 0) {
    c.write(output);
    return;
  }
  const moving = node.attributes.mode === 'nearest';
  const work = workType(dtype);
  if (!moving && work !== 'float32' && work !== 'float64')
    c.unsupported(`${node.attributes.mode} of ${dtype}`, 'nearest, or floats');
  if (sizeOf(space) >= 2 ** 31) c.unsupported(`${sizeOf(space)} elements of a channel`, 'fewer than 2^31');
  c.compose((g) => {
    const m = new Arithmetic(g, moving ? (c.gpu ? 'float32' : 'float64') : work);
    const places = g.reshape(g.cast(gridName, grid.dtype, m.dtype), [batch, points, space.length]);
    const steps = rowMajor(space);
    let taps: readonly Neighbour[] = [];
    space.forEach((length, axis) => {
      // The grid names the axes innermost first: x, y, z.
      const from = space.length - 1 - axis;
      const found = neighbours(
        g,
        m,
        g.reshape(g.slice(places, 2, from, from + 1), [batch, 1, points]),
        length,
        node.attributes,
      );
      const here = found.map(({ index, share }): Neighbour => {
        const whole = g.cast(index, m.dtype, 'int32');
        const step = steps[axis] ?? 1;
        return { index: step === 1 ? whole : g.add('Mul', [whole, g.reals('int32', [step], [])]), share };
      });
      const joined = (a: Neighbour, b: Neighbour): Neighbour => ({
        index: g.add('Add', [a.index, b.index]),
        share: a.share === undefined || b.share === undefined ? (a.share ?? b.share) : m.op('Mul', a.share, b.share),
      });
      taps = axis === 0 ? here : taps.flatMap((tap) => here.map((one) => joined(tap, one)));
    });
    const elements = g.reshape(xName, [batch, channels, sizeOf(space)]);
    const spread = g.integers([batch, channels, points]);
    const parts = taps.map(({ index, share }) => {
      const read = g.add('GatherElements', [elements, g.add('Expand', [index, spread])], { axis: 2 });
      if (share === undefined) return read;
      // What has no share is not looked at: it may be infinite.
      const none = m.op('Equal', share, 0);
      if (moving) return g.add('Where', [none, g.reals(dtype, [0], []), read]);
      return g.add('Where', [none, g.reals(work, [0], []), g.add('Mul', [g.cast(read, dtype, work), share])]);
    });
    const sum = moving ? (parts[0] ?? '') : g.cast(g.sum(parts), work, dtype);
    return [g.reshape(sum, result)];
  });
}

function lowerAffineGrid(node: NodeOf<'AffineGrid'>, c: LowerContext): void {
  const [theta = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { dtype } = c.type(theta);
  const { shape } = c.type(output);
  const space = shape.slice(1, -1);
  const work = workType(dtype);
  if (sizeOf(shape) === 0) {
    c.write(output);
    return;
  }
  const at = (index: number, length: number): number => {
    if (!node.attributes.align_corners) return (2 * index + 1) / length - 1;
    // The only element of an axis lies in the middle.
    return length > 1 ? (2 * index) / (length - 1) - 1 : 0;
  };
  const points = sizeOf(space);
  const steps = rowMajor(space);
  // [coordinate, point]: innermost axis first, and a row of ones for the translation.
  const rows = space.map((length, axis) =>
    Array.from({ length: points }, (_, p) => at(Math.floor(p / (steps[axis] ?? 1)) % length, length)),
  );
  const grid = [...rows.reverse(), new Array<number>(points).fill(1)].flat();
  c.compose((g) => {
    const base = g.reals(work, grid, [space.length + 1, points]);
    const moved = g.add('MatMul', [g.cast(theta, dtype, work), base]);
    return [g.reshape(g.cast(g.transpose(moved, [0, 2, 1]), work, dtype), shape)];
  });
}

export const gridSampleLowerings: Lowerings = {
  AffineGrid: { lower: lowerAffineGrid },
  GridSample: { lower: lowerGridSample },
};
