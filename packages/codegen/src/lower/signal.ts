/**
 * Fourier transforms as products with constant matrices: short ones in one product, longer ones by splitting their length
 * (Cooley and Tukey), each part a product again. Windows and filter banks are constants.
 */
import { invariant, type Node, type NodeOf, toReals } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import type { LowerContext, Lowerings } from '../lower.ts';
import { dense, sizeOf, view } from '../map/placement.ts';
import type { Composition } from './composition.ts';
import { axisOf } from './rearrange.ts';

/** Elements of a matrix that is multiplied as it stands; a longer transform is split. 64 KiB of weights. */
const MOST_ENTRIES = 16384;
/** Points that are not split further. */
const SHORT = 64;
/** A prime above is refused: its matrix would take 64 MiB. */
const LONGEST_PRIME = 2039;

interface Transform {
  readonly points: number;
  /** Elements along the axis that are given; the rest are zeros. */
  readonly given: number;
  /** 1: real; 2: real and imaginary part next to each other. */
  readonly components: number;
  /** Elements of the result that are wanted. */
  readonly bins: number;
  readonly inverse: boolean;
  /** The input is half a spectrum whose other half is its mirror image; then the result is real. */
  readonly halved: boolean;
}

/** exp(± 2πi · turns / points), the angle reduced first. */
function unit(turns: number, points: number, inverse: boolean): readonly [re: number, im: number] {
  const angle = (2 * Math.PI * (turns % points)) / points;
  return [Math.cos(angle), inverse ? Math.sin(angle) : -Math.sin(angle)];
}

/** [given · components, bins · result components]; each row times its factor. */
function matrixOf(t: Transform, factors?: ArrayLike<number>): readonly number[] {
  const { points, given, components, bins, inverse, halved } = t;
  const scale = inverse ? 1 / points : 1;
  const matrix: number[] = [];
  for (let n = 0; n < given; n++) {
    const mirrored = halved && n > 0 && 2 * n < points;
    // Of these two of a real signal's spectrum the imaginary part is zero, whatever is given.
    const real = halved && (n === 0 || 2 * n === points);
    const factor = scale * (factors?.[n] ?? 1) * (mirrored ? 2 : 1);
    for (let c = 0; c < components; c++)
      for (let k = 0; k < bins; k++) {
        const [cos, sin] = unit(k * n, points, inverse);
        const [re, im] = c === 0 ? [cos, sin] : real ? [0, 0] : [-sin, cos];
        matrix.push(re * factor);
        if (!halved) matrix.push(im * factor);
      }
  }
  return matrix;
}

const widthOf = ({ bins, halved }: Transform) => bins * (halved ? 1 : 2);

function isShort(t: Transform): boolean {
  return t.given * t.components * widthOf(t) <= MOST_ENTRIES || divisor(t.points) === undefined;
}

/** The largest divisor of up to {@link SHORT}, or the smallest there is; undefined of a prime. */
function divisor(n: number): number | undefined {
  let found: number | undefined;
  for (let d = 2; d * d <= n || d <= SHORT; d++) {
    if (d >= n) break;
    if (n % d === 0 && (found === undefined || d <= SHORT)) found = d;
  }
  return found;
}

/** @param x  [rows, given · components] @returns [rows, bins · 2], of a halved one [rows, bins] */
function transform(g: Composition, c: LowerContext, x: string, rows: number, t: Transform): string {
  const { points, given, components, bins, inverse, halved } = t;
  if (isShort(t)) {
    if (points > LONGEST_PRIME && given > LONGEST_PRIME) refuse(c, points);
    return g.add('MatMul', [x, g.reals('float32', matrixOf(t), [given * components, widthOf(t)])]);
  }
  const pairs = g.reshape(x, [rows, given, components]);
  const part = (component: number) => g.reshape(g.slice(pairs, 2, component, component + 1), [rows, given]);
  const extended = (value: string, have: number, want: number) =>
    have === want ? value : g.add('Pad', [value, g.integers([0, 0, 0, want - have])]);
  let re = part(0);
  let im = components === 2 ? part(1) : undefined;
  if (halved) {
    const half = Math.floor(points / 2) + 1;
    re = extended(re, given, half);
    im = extended(im ?? re, given, half);
    // A real signal has real values at these two; what is given besides is not used.
    const used = Array.from({ length: half }, (_, n) => (n === 0 || 2 * n === points ? 0 : 1));
    im = g.add('Mul', [im, g.reals('float32', used)]);
    const mirror = (value: string) => g.slice(value, 1, points - half, 0, -1);
    re = g.concat([re, mirror(re)], 1);
    im = g.concat([im, g.add('Neg', [mirror(im)])], 1);
  } else {
    re = extended(re, given, points);
    im = im && extended(im, given, points);
  }
  const found = split(g, c, { re, im }, rows, points, inverse);
  const scale = g.reals('float32', [inverse ? 1 / points : 1], []);
  const finished = (value: string) => g.add('Mul', [bins === points ? value : g.slice(value, 1, 0, bins), scale]);
  if (halved) return finished(found.re);
  const stacked = [found.re, found.im].map((value) => g.reshape(finished(value), [rows, bins, 1]));
  return g.reshape(g.concat(stacked, 2), [rows, 2 * bins]);
}

interface Complex<I extends string | undefined> {
  readonly re: string;
  readonly im: I;
}

/**
 * With n = N2·a + b and k = k1 + N1·k2, the sum over a is a transform of N1 points for each b, its results are turned by
 * b·k1, and the sum over b is one of N2 points for each k1. Not scaled.
 * @param x  [rows, points]
 */
function split(
  g: Composition,
  c: LowerContext,
  x: Complex<string | undefined>,
  rows: number,
  points: number,
  inverse: boolean,
): Complex<string> {
  const first = points > SHORT ? divisor(points) : undefined;
  if (first === undefined) {
    if (points > LONGEST_PRIME) refuse(c, points);
    return whole(g, x, points, inverse);
  }
  const second = points / first;
  const swapped = (value: string, a: number, b: number) => g.transpose(g.reshape(value, [rows, a, b]), [0, 2, 1]);
  const both = <I extends string | undefined>({ re, im }: Complex<I>, change: (value: string) => string) => ({
    re: change(re),
    im: im === undefined ? im : change(im),
  });
  const columns = both(x, (value) => g.reshape(swapped(value, first, second), [rows * second, first]));
  const inner = split(g, c, columns, rows * second, first, inverse);
  const turns = Array.from({ length: second }, (_, b) =>
    Array.from({ length: first }, (_, k) => unit(b * k, points, inverse)),
  ).flat();
  const table = (of: 0 | 1) =>
    g.reals(
      'float32',
      turns.map((turn) => turn[of]),
      [second, first],
    );
  const [cos, sin] = [table(0), table(1)];
  const [re, im] = [inner.re, inner.im].map((value) => g.reshape(value, [rows, second, first]));
  const times = (a: string | undefined, b: string) => g.add('Mul', [a ?? '', b]);
  const turned = {
    re: g.add('Sub', [times(re, cos), times(im, sin)]),
    im: g.add('Add', [times(re, sin), times(im, cos)]),
  };
  const lines = both(turned, (value) => g.reshape(g.transpose(value, [0, 2, 1]), [rows * first, second]));
  const outer = split(g, c, lines, rows * first, second, inverse);
  const result = both(outer, (value) => g.reshape(swapped(value, first, second), [rows, points]));
  return { re: result.re, im: result.im ?? '' };
}

/** Real parts, then imaginary ones, in one product. */
function whole(
  g: Composition,
  { re, im }: Complex<string | undefined>,
  points: number,
  inverse: boolean,
): Complex<string> {
  const parts = im === undefined ? 1 : 2;
  const matrix: number[] = [];
  for (let c = 0; c < parts; c++)
    for (let n = 0; n < points; n++)
      for (let d = 0; d < 2; d++)
        for (let k = 0; k < points; k++) {
          const [cos, sin] = unit(k * n, points, inverse);
          matrix.push(c === d ? cos : c === 0 ? sin : -sin);
        }
  const x = im === undefined ? re : g.concat([re, im], 1);
  const y = g.add('MatMul', [x, g.reals('float32', matrix, [parts * points, 2 * points])]);
  return { re: g.slice(y, 1, 0, points), im: g.slice(y, 1, points, 2 * points) };
}

function refuse(c: LowerContext, points: number): never {
  return c.unsupported(
    `a transform of ${points} points`,
    `lengths without a prime factor above ${LONGEST_PRIME}; pad to another length`,
  );
}

/** The number that a constant input holds; undefined when it is absent. */
function numberOf(c: LowerContext, name: string | undefined, what: string): number | undefined {
  if (name === undefined || name === '') return undefined;
  const value = c.constant(name)?.data[0];
  return value === undefined ? c.unsupported(`${what} that only a run can tell`, 'a constant one') : Number(value);
}

function lowerDft(node: NodeOf<'DFT'>, c: LowerContext): void {
  const [input = '', lengthName, axisName] = node.inputs;
  const [output = ''] = node.outputs;
  const { inverse, onesided } = node.attributes;
  const { dtype, shape } = c.type(input);
  const result = c.type(output).shape;
  if (dtype === 'float64') c.unsupported(dtype, 'float32, float16, bfloat16');
  const axis = axisOf(numberOf(c, axisName, 'an axis') ?? -2, shape.length);
  const halved = inverse === 1 && onesided === 1;
  const length = shape[axis] ?? 1;
  const points = numberOf(c, lengthName, 'a length') ?? (halved ? 2 * (length - 1) : length);
  const components = shape.at(-1) ?? 1;
  const given = Math.min(length, halved ? Math.floor(points / 2) + 1 : points);
  const bins = result[axis] ?? 1;
  if (sizeOf(result) === 0) {
    c.write(output);
    return;
  }
  const others = Array.from(shape.keys()).filter((d) => d !== axis && d !== shape.length - 1);
  const order = [...others, axis, shape.length - 1];
  const rows = sizeOf(others.map((d) => shape[d] ?? 1));
  const t: Transform = { points, given, components, bins, inverse: inverse === 1, halved };
  c.compose((g) => {
    const used = given === length ? input : g.slice(input, axis, 0, given);
    const lines = g.reshape(g.transpose(g.cast(used, dtype, 'float32'), order), [rows, given * components]);
    const found =
      given === 0 ? g.reals('float32', new Array<number>(rows * widthOf(t)).fill(0)) : transform(g, c, lines, rows, t);
    const apart = g.reshape(found, [...others.map((d) => shape[d] ?? 1), bins, halved ? 1 : 2]);
    const back = order.map((_, d) => order.indexOf(d));
    return [g.cast(g.transpose(apart, back), 'float32', dtype)];
  });
}

function lowerStft(node: NodeOf<'STFT'>, c: LowerContext): void {
  const [input = '', stepName, windowName = '', lengthName] = node.inputs;
  const [output = ''] = node.outputs;
  const { dtype, shape } = c.type(input);
  const result = c.type(output).shape;
  if (dtype === 'float64') c.unsupported(dtype, 'float32, float16, bfloat16');
  const step = numberOf(c, stepName, 'a step') ?? 1;
  const length = windowName === '' ? (numberOf(c, lengthName, 'a length') ?? 1) : (c.type(windowName).shape[0] ?? 1);
  const [batch = 1, frames = 1, bins = 1] = result;
  const components = shape[2] ?? 1;
  if (sizeOf(result) === 0) {
    c.write(output);
    return;
  }
  // Frames overlap: they are one and the same signal, read with another stride.
  const signal = c.read(input);
  const [ofBatch = 0, ofSample = 0, ofPart = 0] = signal.strides;
  const overlapping = view(signal, {
    shape: [batch, frames, length, components],
    strides: [ofBatch, step * ofSample, ofSample, ofPart],
  });
  const t: Transform = { points: length, given: length, components, bins, inverse: false, halved: false };
  const known = windowName === '' ? undefined : c.constant(windowName);
  c.compose((g) => {
    let x = g.cast(g.value(overlapping), dtype, 'float32');
    const lines = () => g.reshape(x, [batch * frames, length * components]);
    let found: string;
    if (known && isShort(t) && length <= LONGEST_PRIME)
      // A constant window is part of the matrix.
      found = g.add('MatMul', [
        lines(),
        g.reals('float32', matrixOf(t, toReals(known)), [length * components, widthOf(t)]),
      ]);
    else {
      if (windowName !== '') x = g.add('Mul', [x, g.reshape(g.cast(windowName, dtype, 'float32'), [length, 1])]);
      found = transform(g, c, lines(), batch * frames, t);
    }
    return [g.cast(g.reshape(found, [batch, frames, bins, 2]), 'float32', dtype)];
  });
}

/** What follows from constants alone. */
function lowerConstant(node: Node, c: LowerContext): void {
  const weights = new Map(
    node.inputs.map((name) => [
      name,
      c.constant(name) ?? c.unsupported('parameters that only a run can tell', 'constant ones'),
    ]),
  );
  const [output = ''] = node.outputs;
  const alone = { name: node.name, inputs: new Map(), outputs: new Map([[output, output]]), nodes: [node], weights };
  const value = evaluate(alone, {})[output];
  invariant(value, `${node.op} has an output`);
  c.view(output, dense(c.data(value.data), value.dtype, value.shape));
}

export const signalLowerings: Lowerings = {
  BlackmanWindow: { lower: lowerConstant },
  DFT: { lower: lowerDft },
  HammingWindow: { lower: lowerConstant },
  HannWindow: { lower: lowerConstant },
  MelWeightMatrix: { lower: lowerConstant },
  STFT: { lower: lowerStft },
};
