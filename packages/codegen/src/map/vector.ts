/**
 * Expressions on vectors of four float32 lanes. A single element is computed in a vector too, with its value in every
 * lane: one piece of code for whole vectors and for what is left over.
 */
import { type DType, invariant } from '@grim/ir';
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import type { Expression, Operation, Shape } from './expression.ts';
import { isFunction, type MathCode, registersOf } from './functions.ts';

/** Where the lanes of an operand come from: four neighbours, or one element in all lanes. */
export interface VectorSource {
  readonly dtype: DType;
  readonly pointer: Local<'i32'>;
  /** Holds the operand's value when it does not change in the inner loop. */
  readonly hoisted: Local<'v128'> | undefined;
}

/** Vectors that may be alive; the estimate of {@link vectorPressure} is rough, so the assembler's 15 are not used up. */
export const MOST_LIVE = 13;

const FLOAT: ReadonlySet<string> = new Set([
  ...[
    'neg',
    'abs',
    'sqrt',
    'ceil',
    'floor',
    'trunc',
    'nearest',
    'add',
    'sub',
    'mul',
    'div',
    'min',
    'max',
    'pmin',
    'pmax',
  ],
  ...['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'select', 'exp', 'log', 'tanh', 'sigmoid', 'erf'],
]);

/** True when all of it can be computed on float32 lanes and masks, in few enough registers. */
export function isVectorisable(root: Expression, shape: Shape, output: DType): boolean {
  const element = (dtype: DType) => dtype === 'float32' || dtype === 'bool';
  return (
    element(output) &&
    (root.rep === 'f32' || root.rep === 'mask') &&
    shape.loads.every(({ source }) => element(source.dtype)) &&
    shape.literals.every(({ rep }) => rep === 'f32') &&
    shape.operations.every(isVectorOperation) &&
    vectorPressure(root, shape) <= MOST_LIVE
  );
}

function isVectorOperation({ name, rep, args }: Operation): boolean {
  if (name.startsWith('mask_')) return true;
  return (
    FLOAT.has(name) && (rep === 'f32' || rep === 'mask') && args.every((arg) => arg.rep === 'f32' || arg.rep === 'mask')
  );
}

/** Vectors alive at once, counted high: everything shared, and the deepest stack. */
export function vectorPressure(root: Expression, shape: Shape): number {
  const shared = Array.from(shape.uses).filter(([x, uses]) => uses > 1 && x.kind !== 'literal').length;
  const depths = new Map<Expression, number>();
  const depth = (x: Expression): number => {
    if (x.kind !== 'operation') return 1;
    const known = depths.get(x);
    if (known !== undefined) return known;
    const need = Math.max(...x.args.map((arg, i) => i + depth(arg)), 1) + (x.name === 'select' ? 1 : 0);
    const found = need + registersOf(x.name);
    depths.set(x, found);
    return found;
  };
  return shared + depth(root);
}

/** Leaves the value on the stack. `wide` says of which operands four neighbours are loaded, else one element. */
export function emitVector(
  f: FunctionBuilder,
  root: Expression,
  shape: Shape,
  sources: ReadonlyMap<Expression, VectorSource>,
  wide: (operand: Expression) => boolean,
  math: MathCode,
): void {
  const held = new Map<Expression, Local<'v128'>>();
  const emit = (x: Expression): void => {
    const local = held.get(x);
    if (local) {
      f.get(local);
      return;
    }
    if (x.kind === 'literal') f.f32(x.value).op('f32x4.splat');
    else if (x.kind === 'load') {
      const source = sources.get(x);
      invariant(source, 'an operand has a source');
      loadVector(f, source, wide(x));
    } else {
      operate(f, x, emit, math);
    }
    if (x.kind !== 'literal' && (shape.uses.get(x) ?? 0) > 1) {
      const kept = f.local('v128');
      f.tee(kept);
      held.set(x, kept);
    }
  };
  emit(root);
}

/** Puts an operand on the stack; a bool becomes a mask. */
export function loadVector(f: FunctionBuilder, { dtype, pointer, hoisted }: VectorSource, vector: boolean): void {
  if (hoisted) {
    f.get(hoisted);
    return;
  }
  f.get(pointer);
  if (dtype === 'float32') f.memory(vector ? 'v128.load' : 'v128.load32_splat');
  else {
    f.memory(vector ? 'v128.load32_zero' : 'v128.load8_splat');
    f.op('i16x8.extend_low_i8x16_u').op('i32x4.extend_low_i16x8_u').op('i32x4.neg');
  }
}

/** Stores the vector in `value` to `pointer`: four elements, or lane 0. */
export function storeVector(
  f: FunctionBuilder,
  dtype: DType,
  pointer: Local<'i32'>,
  value: Local<'v128'>,
  vector: boolean,
): void {
  f.get(pointer).get(value);
  if (dtype === 'float32') {
    if (vector) f.memory('v128.store');
    else f.storeLane('v128.store32_lane', 0);
    return;
  }
  // From no or all bits per lane to 0 or 1 per byte.
  f.op('i32x4.neg').tee(value).get(value).op('i16x8.narrow_i32x4_s').tee(value).get(value).op('i8x16.narrow_i16x8_s');
  if (vector) f.storeLane('v128.store32_lane', 0);
  else f.storeLane('v128.store8_lane', 0);
}

function operate(f: FunctionBuilder, x: Operation, emit: (arg: Expression) => void, math: MathCode): void {
  const [a, b, c] = x.args;
  invariant(a, `${x.name} has arguments`);
  if (isFunction(x.name)) {
    emit(a);
    math(x.name);
    return;
  }
  if (x.name === 'select') {
    invariant(b && c, 'select has three arguments');
    emit(b);
    emit(c);
    emit(a);
    f.op('v128.bitselect');
    return;
  }
  emit(a);
  if (b) emit(b);
  switch (x.name) {
    case 'mask_and':
      f.op('v128.and');
      break;
    case 'mask_or':
      f.op('v128.or');
      break;
    case 'mask_xor':
      f.op('v128.xor');
      break;
    case 'mask_not':
      f.op('v128.not');
      break;
    default:
      f.op(`f32x4.${x.name}` as 'f32x4.add');
  }
}
