/**
 * The gates of recurrent cells, as stages over all units of all sequences of one step. Formulas as in ONNX's GRU, LSTM and
 * RNN; the order of the gates in the weights is z r h for GRU, i o f c for LSTM.
 */
import type { Activation } from '@grim/ir';
import type { Stage } from '../kernels/stages.ts';
import { binary, compare, type Expression, literal, load, math, real, select, unary } from '../map/expression.ts';
import type { Placement } from '../program.ts';
import { add, clamp01, expm1, mul, one, softplus, zero } from './pointwise.ts';

/** All but `time` and `lengths` are vectors of units × sequences. */
export interface CellState {
  /** By gate: W·x + b of this step. */
  readonly fromX: readonly Placement[];
  /** By gate: R·h; overwritten. */
  readonly fromH: readonly Placement[];
  /** Replaced. */
  readonly h: Placement;
  readonly cell: Placement;
  /** The new h, and zeros where a sequence has ended. */
  readonly y: Placement | undefined;
  /** LSTM: by i, o, f. */
  readonly peepholes: readonly Placement[] | undefined;
  /** GRU that is linear before reset: of the recurrent part of gate h. */
  readonly bias: Placement | undefined;
  /** The number of this step (rank 0), and per unit and sequence the number of steps it has. */
  readonly mask: { readonly time: Placement; readonly lengths: Placement } | undefined;
  readonly functions: readonly Activation[];
  readonly clip: number | undefined;
}

function activated(x: Expression, { name, alpha, beta }: Activation): Expression {
  const [a, b] = [real('f32', alpha), real('f32', beta)];
  switch (name) {
    case 'relu':
      return binary('max', x, zero(x));
    case 'tanh':
      return math('tanh', x);
    case 'sigmoid':
      return math('sigmoid', x);
    case 'affine':
      return add(mul(a, x), b);
    case 'leakyrelu':
      return select(compare('lt', x, zero(x)), mul(a, x), x);
    case 'thresholdedrelu':
      // What is not at or below the bound passes, NaN among it.
      return select(compare('le', x, a), zero(x), x);
    case 'scaledtanh':
      return mul(a, math('tanh', mul(b, x)));
    case 'hardsigmoid':
      return clamp01(add(mul(a, x), b));
    case 'elu':
      return select(compare('lt', x, zero(x)), mul(a, expm1(binary('min', x, zero(x)))), x);
    case 'softsign':
      return binary('div', x, add(one(x), unary('abs', x)));
    default:
      return softplus(x);
  }
}

/** The n-th function of the cell, of a clipped argument. */
function apply(s: CellState, n: number, x: Expression): Expression {
  const { clip, functions } = s;
  const bound = clip === undefined ? undefined : real('f32', clip);
  const clipped = bound ? binary('min', binary('max', x, real('f32', -bound.value)), bound) : x;
  return activated(clipped, functions[n] as Activation);
}

const at = (list: readonly Placement[] | undefined, i: number): Placement =>
  (list as readonly Placement[])[i] as Placement;
const gate = (s: CellState, i: number): Expression => add(load(at(s.fromX, i)), load(at(s.fromH, i)));
const set = (to: Placement, value: Expression): Stage => ({ value, to: [to] });

/** The new h, where the step belongs to the sequence, and Y. */
function finish(s: CellState, h: Expression): readonly Stage[] {
  if (!s.mask) return [{ value: h, to: s.y ? [s.h, s.y] : [s.h] }];
  const active = compare('lt', load(s.mask.time), load(s.mask.lengths));
  const stages = [set(s.h, select(active, h, load(s.h)))];
  return s.y ? [...stages, set(s.y, select(active, load(s.h), literal('f32', 0)))] : stages;
}

export function rnnStages(s: CellState): readonly Stage[] {
  return finish(s, apply(s, 0, gate(s, 0)));
}

/** The gates z and r. With `times`, r becomes r · h, which R multiplies next. */
export function gruGates(s: CellState, times: boolean): readonly Stage[] {
  const [z, r] = [at(s.fromH, 0), at(s.fromH, 1)];
  const reset = apply(s, 0, gate(s, 1));
  return [set(z, apply(s, 0, gate(s, 0))), set(r, times ? mul(reset, load(s.h)) : reset)];
}

/** After {@link gruGates}. `linear`: the reset gate is multiplied with R·h instead of h. */
export function gruOutput(s: CellState, linear: boolean): readonly Stage[] {
  const [z, r, candidate] = [load(at(s.fromH, 0)), load(at(s.fromH, 1)), at(s.fromH, 2)];
  const recurrent = s.bias ? add(load(candidate), load(s.bias)) : load(candidate);
  const sum = add(load(at(s.fromX, 2)), linear ? mul(r, recurrent) : recurrent);
  const h = add(mul(binary('sub', one(z), z), load(candidate)), mul(z, load(s.h)));
  return [set(candidate, apply(s, 1, sum)), ...finish(s, h)];
}

/** `coupled`: the forget gate is what the input gate leaves. */
export function lstmStages(s: CellState, coupled: boolean): readonly Stage[] {
  const [input, output, forget, candidate] = s.fromH as readonly [Placement, Placement, Placement, Placement];
  const cell = load(s.cell);
  const seen = (i: number) => (s.peepholes ? add(gate(s, i), mul(load(at(s.peepholes, i)), cell)) : gate(s, i));
  const kept = coupled ? binary('sub', one(cell), load(input)) : apply(s, 0, seen(2));
  const after = add(mul(load(forget), cell), mul(load(input), load(candidate)));
  const active = s.mask && compare('lt', load(s.mask.time), load(s.mask.lengths));
  return [
    set(input, apply(s, 0, seen(0))),
    set(forget, kept),
    set(candidate, apply(s, 1, gate(s, 3))),
    set(s.cell, active ? select(active, after, cell) : after),
    set(output, apply(s, 0, seen(1))),
    ...finish(s, mul(load(output), apply(s, 2, cell))),
  ];
}
