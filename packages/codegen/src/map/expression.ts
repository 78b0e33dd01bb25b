/**
 * Element-wise computations as a small typed DAG, built by lowering, made into one loop by `kernel.ts`.
 *
 * Narrow element types are computed in wider ones: 8- and 16-bit integers in i32, the 16-bit floats in f32. An operation
 * that may leave a narrow type's range is followed by {@link wrap}. Truth values are masks: 0 or 1 as a scalar, no or all
 * bits in a vector lane.
 */
import { type DType, invariant } from '@grim/ir';
import type { Placement } from '../program.ts';

/** What a value is while it is computed. */
export type Rep = 'f32' | 'f64' | 'i32' | 'i64' | 'mask';

export interface Load {
  readonly kind: 'load';
  readonly rep: Rep;
  readonly source: Placement;
}

/** A number in the code: of the operator's definition, never of a model's weights. */
export interface Literal {
  readonly kind: 'literal';
  readonly rep: Rep;
  readonly value: number;
}

export interface Operation {
  readonly kind: 'operation';
  readonly rep: Rep;
  readonly name: OperationName;
  readonly args: readonly Expression[];
}

export type Expression = Load | Literal | Operation;

const FLOAT_UNARY = ['neg', 'abs', 'sqrt', 'ceil', 'floor', 'trunc', 'nearest'] as const;
// `pmax(a, b)` is `a < b ? b : a`: one instruction where `max` takes six, and a NaN in a stays.
const FLOAT_BINARY = ['add', 'sub', 'mul', 'div', 'min', 'max', 'pmin', 'pmax', 'copysign'] as const;
const INTEGER_BINARY = [
  'add',
  'sub',
  'mul',
  'and',
  'or',
  'xor',
  'shl',
  'shr_s',
  'shr_u',
  // Guarded: a quotient or remainder by 0 is 0, and the smallest integer divided by −1 wraps.
  'div_s',
  'div_u',
  'rem_s',
  'rem_u',
] as const;
const FLOAT_COMPARISON = ['eq', 'ne', 'lt', 'le', 'gt', 'ge'] as const;
const INTEGER_COMPARISON = ['eq', 'ne', 'lt_s', 'lt_u', 'le_s', 'le_u', 'gt_s', 'gt_u', 'ge_s', 'ge_u'] as const;
const MASK = ['mask_and', 'mask_or', 'mask_xor', 'mask_not'] as const;
const WRAP = ['wrap8_s', 'wrap8_u', 'wrap16_s', 'wrap16_u'] as const;
const MATH = ['exp', 'log', 'tanh', 'sigmoid', 'erf'] as const;
/** In programs for a GPU alone: where there is float64, they are composed of its arithmetic. */
const CIRCULAR = ['sin', 'cos', 'tan', 'asin', 'acos', 'atan'] as const;

export type FloatUnary = (typeof FLOAT_UNARY)[number];
export type FloatBinary = (typeof FLOAT_BINARY)[number];
export type IntegerBinary = (typeof INTEGER_BINARY)[number];
export type FloatComparison = (typeof FLOAT_COMPARISON)[number];
export type IntegerComparison = (typeof INTEGER_COMPARISON)[number];
export type MathName = (typeof MATH)[number];
export type CircularName = (typeof CIRCULAR)[number];
/** `to_s` reads an integer operand as signed, or makes a signed integer of a float, cut toward zero. */
type Conversion = 'to_s' | 'to_u';

type OperationName =
  | FloatUnary
  | FloatBinary
  | IntegerBinary
  | FloatComparison
  | IntegerComparison
  | (typeof MASK)[number]
  | (typeof WRAP)[number]
  | MathName
  | CircularName
  | Conversion
  /** (mask, then, otherwise) */
  | 'select'
  /** The same bits: f32 ↔ i32, f64 ↔ i64. */
  | 'bits'
  /** x mod y with the sign of x, as C's fmod; exact. */
  | 'fmod';

const UNSIGNED: readonly DType[] = ['uint8', 'uint16', 'uint32', 'uint64'];

export function isUnsigned(dtype: DType): boolean {
  return UNSIGNED.includes(dtype);
}

export function repOf(dtype: DType): Rep {
  switch (dtype) {
    case 'float64':
      return 'f64';
    case 'float32':
    case 'float16':
    case 'bfloat16':
      return 'f32';
    case 'int64':
    case 'uint64':
      return 'i64';
    case 'bool':
      return 'mask';
    default:
      return 'i32';
  }
}

export function isFloatRep(rep: Rep): boolean {
  return rep === 'f32' || rep === 'f64';
}

export function load(source: Placement): Load {
  return { kind: 'load', rep: repOf(source.dtype), source };
}

export function literal(rep: Rep, value: number): Literal {
  // What the code cannot say must come from memory.
  const exact =
    rep === 'f64' ||
    (rep === 'f32' ? Object.is(Math.fround(value), value) : Number.isInteger(value) && Math.abs(value) < 2 ** 31);
  invariant(exact, `literal ${value} of ${rep}`);
  return { kind: 'literal', rep, value };
}

/** The nearest number of the type to a constant in a formula. */
export function real(rep: Rep, value: number): Literal {
  return literal(rep, rep === 'f64' ? value : Math.fround(value));
}

function operation(rep: Rep, name: OperationName, ...args: readonly Expression[]): Operation {
  return { kind: 'operation', rep, name, args };
}

export function unary(name: FloatUnary, x: Expression): Expression {
  invariant(isFloatRep(x.rep), `${name} of ${x.rep}`);
  return operation(x.rep, name, x);
}

export function binary(name: FloatBinary | IntegerBinary, a: Expression, b: Expression): Expression {
  invariant(a.rep === b.rep && a.rep !== 'mask', `${name} of ${a.rep} and ${b.rep}`);
  return operation(a.rep, name, a, b);
}

export function compare(name: FloatComparison | IntegerComparison, a: Expression, b: Expression): Expression {
  invariant(a.rep === b.rep && a.rep !== 'mask', `${name} of ${a.rep} and ${b.rep}`);
  return operation('mask', name, a, b);
}

export function select(condition: Expression, then: Expression, otherwise: Expression): Expression {
  invariant(condition.rep === 'mask' && then.rep === otherwise.rep, `select of ${then.rep} and ${otherwise.rep}`);
  return operation(then.rep, 'select', condition, then, otherwise);
}

export function logic(name: (typeof MASK)[number], ...args: readonly Expression[]): Expression {
  invariant(
    args.every(({ rep }) => rep === 'mask'),
    `${name} of something else than masks`,
  );
  return operation('mask', name, ...args);
}

export function convert(x: Expression, rep: Rep, signed: boolean): Expression {
  return x.rep === rep ? x : operation(rep, signed ? 'to_s' : 'to_u', x);
}

export function math(name: MathName, x: Expression): Expression {
  invariant(x.rep === 'f32', `${name} of ${x.rep}`);
  return operation('f32', name, x);
}

/** For lowerings with `gpu`. */
export function circular(name: CircularName, x: Expression): Expression {
  invariant(x.rep === 'f32', `${name} of ${x.rep}`);
  return operation('f32', name, x);
}

export function fmod(x: Expression, y: Expression): Expression {
  return operation(x.rep, 'fmod', x, y);
}

export function reinterpret(x: Expression, rep: Rep): Expression {
  return x.rep === rep ? x : operation(rep, 'bits', x);
}

/** Brings an i32 back into the range of a narrow integer type. */
export function wrap(dtype: DType, x: Expression): Expression {
  const names = { int8: 'wrap8_s', uint8: 'wrap8_u', int16: 'wrap16_s', uint16: 'wrap16_u' } as const;
  const name = Object.hasOwn(names, dtype) ? names[dtype as keyof typeof names] : undefined;
  return name ? operation('i32', name, x) : x;
}

/** What a kernel needs to know of an expression: its operands, what is used more than once, and its text. */
export interface Shape {
  readonly loads: readonly Load[];
  /** The index into `loads` of every load of the DAG. */
  readonly operandOf: ReadonlyMap<Expression, number>;
  /** Operations in an order in which arguments come first. */
  readonly operations: readonly Operation[];
  readonly literals: readonly Literal[];
  /** How often each node of the DAG is used. */
  readonly uses: ReadonlyMap<Expression, number>;
  /** The same for two expressions exactly when they compute the same with operands of the same element types. */
  readonly text: string;
}

export function shapeOf(root: Expression): Shape {
  const loads: Load[] = [];
  const operations: Operation[] = [];
  const literals: Literal[] = [];
  const uses = new Map<Expression, number>();
  const names = new Map<Expression, string>();
  const operandOf = new Map<Expression, number>();
  const words: string[] = [];
  const visit = (x: Expression): void => {
    const count = uses.get(x) ?? 0;
    uses.set(x, count + 1);
    if (count > 0) {
      words.push(names.get(x) ?? '');
      return;
    }
    if (x.kind === 'load') {
      // Two reads of one place are one operand.
      const index = loads.findIndex((other) => samePlace(other.source, x.source));
      operandOf.set(x, index < 0 ? loads.length : index);
      names.set(x, `${x.source.dtype}.${operandOf.get(x)}`);
      if (index < 0) loads.push(x);
      words.push(names.get(x) ?? '');
    } else if (x.kind === 'literal') {
      literals.push(x);
      names.set(x, `${x.rep}:${Object.is(x.value, -0) ? '-0' : x.value}`);
      words.push(names.get(x) ?? '');
    } else {
      for (const arg of x.args) visit(arg);
      names.set(x, `%${operations.length}`);
      operations.push(x);
      words.push(x.name === 'to_s' || x.name === 'to_u' || x.name === 'bits' ? `${x.name}.${x.rep}` : x.name);
    }
  };
  visit(root);
  return { loads, operandOf, operations, literals, uses, text: words.join('_') };
}

export function samePlace(a: Placement, b: Placement): boolean {
  const equal = (x: readonly number[], y: readonly number[]) => x.length === y.length && x.every((n, i) => n === y[i]);
  return (
    a === b ||
    (a.buffer === b.buffer &&
      a.offset === b.offset &&
      a.dtype === b.dtype &&
      equal(a.shape, b.shape) &&
      equal(a.strides, b.strides))
  );
}
