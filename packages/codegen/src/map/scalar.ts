/** Expressions on single elements, for the types and operations that vectors do not have. */
import { type DType, invariant } from '@grim/ir';
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import { type Expression, isFloatRep, type Operation, type Rep, type Shape } from './expression.ts';
import { isFunction, type MathCode } from './functions.ts';

type ScalarType = 'i32' | 'i64' | 'f32' | 'f64';

function typeOf(rep: Rep): ScalarType {
  return rep === 'mask' ? 'i32' : rep;
}

/** Leaves the value on the stack. Pointers stand at the element. */
export function emitScalar(
  f: FunctionBuilder,
  root: Expression,
  shape: Shape,
  pointers: ReadonlyMap<Expression, Local<'i32'>>,
  math: MathCode,
): void {
  const held = new Map<Expression, Local>();
  const emit = (x: Expression): void => {
    const local = held.get(x);
    if (local) {
      f.get(local);
      return;
    }
    if (x.kind === 'literal') emitLiteral(f, x.rep, x.value);
    else if (x.kind === 'load') {
      const pointer = pointers.get(x);
      invariant(pointer, 'an operand has a pointer');
      loadScalar(f, x.source.dtype, pointer);
    } else operate(f, x, emit, math);
    if (x.kind === 'operation' && (shape.uses.get(x) ?? 0) > 1) {
      const kept = f.local(typeOf(x.rep));
      f.tee(kept);
      held.set(x, kept);
    }
  };
  emit(root);
}

function emitLiteral(f: FunctionBuilder, rep: Rep, value: number): void {
  if (isFloatRep(rep)) {
    f.f32(value);
    if (rep === 'f64') f.op('f64.promote_f32');
    // A double is the sum of three float32, each taking up what the one before leaves.
    let rest = value - Math.fround(value);
    while (rep === 'f64' && Number.isFinite(rest) && rest !== 0 && Math.fround(rest) !== 0) {
      f.f32(rest).op('f64.promote_f32').op('f64.add');
      rest -= Math.fround(rest);
    }
  } else {
    f.i32(value);
    if (rep === 'i64') f.op('i64.extend_i32_s');
  }
}

const LOADS = {
  float32: 'f32.load',
  float64: 'f64.load',
  float16: 'i32.load16_u',
  bfloat16: 'i32.load16_u',
  int8: 'i32.load8_s',
  int16: 'i32.load16_s',
  int32: 'i32.load',
  int64: 'i64.load',
  uint8: 'i32.load8_u',
  uint16: 'i32.load16_u',
  uint32: 'i32.load',
  uint64: 'i64.load',
  bool: 'i32.load8_u',
} as const satisfies Record<DType, string>;

const STORES = {
  float32: 'f32.store',
  float64: 'f64.store',
  float16: 'i32.store16',
  bfloat16: 'i32.store16',
  int8: 'i32.store8',
  int16: 'i32.store16',
  int32: 'i32.store',
  int64: 'i64.store',
  uint8: 'i32.store8',
  uint16: 'i32.store16',
  uint32: 'i32.store',
  uint64: 'i64.store',
  bool: 'i32.store8',
} as const satisfies Record<DType, string>;

/** Puts the element at `pointer` on the stack, as {@link Rep} says. */
export function loadScalar(f: FunctionBuilder, dtype: DType, pointer: Local<'i32'>): void {
  f.get(pointer).memory(LOADS[dtype]);
  if (dtype === 'bfloat16') f.i32(16).op('i32.shl').op('f32.reinterpret_i32');
  if (dtype === 'float16') halfToSingle(f);
}

/** Stores the value on the stack to the address below it. */
export function storeScalar(f: FunctionBuilder, dtype: DType): void {
  if (dtype === 'bfloat16') singleToBrain(f);
  if (dtype === 'float16') singleToHalf(f);
  f.memory(STORES[dtype]);
}

/** Bits of a binary16 to a float32: its exponent is 112 lower, which one exact product mends, subnormals included. */
function halfToSingle(f: FunctionBuilder): void {
  const bits = f.local('i32');
  const result = f.local('i32');
  f.tee(bits).i32(0x7fff).op('i32.and').i32(13).op('i32.shl').op('f32.reinterpret_i32');
  f.f32(2 ** 112)
    .op('f32.mul')
    .op('i32.reinterpret_f32')
    .set(result);
  f.get(bits)
    .i32(0x7fff)
    .op('i32.and')
    .i32(0x7c00)
    .op('i32.ge_u')
    .if(() => {
      f.get(result).i32(0x7f800000).op('i32.or').set(result);
    });
  f.get(bits).i32(0x8000).op('i32.and').i32(16).op('i32.shl').get(result).op('i32.or').op('f32.reinterpret_i32');
}

/** A float32 to the bits of the nearest binary16, ties to even. */
function singleToHalf(f: FunctionBuilder): void {
  const bits = f.local('i32');
  const magnitude = f.local('i32');
  const result = f.local('i32');
  f.op('i32.reinterpret_f32').tee(bits).i32(0x7fffffff).op('i32.and').set(magnitude);
  f.get(magnitude).i32(0x47800000).op('i32.ge_u');
  f.if(
    // 65536 and more, infinity, NaN.
    () => f.i32(0x7e00).i32(0x7c00).get(magnitude).i32(0x7f800000).op('i32.gt_u').op('i32.select').set(result),
    () => {
      f.get(magnitude).i32(0x38800000).op('i32.lt_u');
      f.if(
        // Subnormal: adding 0.5 puts the last bit that counts at the end of the fraction, and rounds there.
        () => {
          f.get(magnitude).op('f32.reinterpret_i32').f32(0.5).op('f32.add').op('i32.reinterpret_f32');
          f.i32(0x3f000000).op('i32.sub').set(result);
        },
        () => {
          f.get(magnitude)
            .i32(-(112 << 23))
            .op('i32.add')
            .i32(0xfff)
            .op('i32.add');
          f.get(magnitude)
            .i32(13)
            .op('i32.shr_u')
            .i32(1)
            .op('i32.and')
            .op('i32.add')
            .i32(13)
            .op('i32.shr_u')
            .set(result);
        },
      );
    },
  );
  f.get(bits).i32(16).op('i32.shr_u').i32(0x8000).op('i32.and').get(result).op('i32.or');
}

/** A float32 to the bits of the nearest bfloat16, ties to even. */
function singleToBrain(f: FunctionBuilder): void {
  const bits = f.local('i32');
  f.op('i32.reinterpret_f32').set(bits);
  f.i32(0x7fc0);
  f.get(bits).i32(16).op('i32.shr_u').i32(1).op('i32.and').i32(0x7fff).op('i32.add').get(bits).op('i32.add');
  f.i32(16).op('i32.shr_u');
  f.get(bits).i32(0x7fffffff).op('i32.and').i32(0x7f800000).op('i32.gt_u').op('i32.select');
}

function operate(f: FunctionBuilder, x: Operation, emit: (arg: Expression) => void, math: MathCode): void {
  const [a, b, c] = x.args;
  invariant(a, `${x.name} has arguments`);
  const from = typeOf(a.rep);
  if (isFunction(x.name)) {
    emit(a);
    f.op('f32x4.splat');
    math(x.name);
    f.lane('f32x4.extract_lane', 0);
    return;
  }
  if (x.name === 'select') {
    invariant(b && c, 'select has three arguments');
    emit(b);
    emit(c);
    emit(a);
    f.op(`${typeOf(x.rep)}.select`);
    return;
  }
  emit(a);
  if (b) emit(b);
  switch (x.name) {
    case 'mask_and':
      f.op('i32.and');
      return;
    case 'mask_or':
      f.op('i32.or');
      return;
    case 'mask_xor':
      f.op('i32.xor');
      return;
    case 'mask_not':
      f.op('i32.eqz');
      return;
    case 'wrap8_s':
      f.op('i32.extend8_s');
      return;
    case 'wrap16_s':
      f.op('i32.extend16_s');
      return;
    case 'wrap8_u':
      f.i32(0xff).op('i32.and');
      return;
    case 'wrap16_u':
      f.i32(0xffff).op('i32.and');
      return;
    case 'bits':
      f.op(`${typeOf(x.rep)}.reinterpret_${from}` as 'f32.reinterpret_i32');
      return;
    case 'to_s':
    case 'to_u':
      convert(f, a.rep, x.rep, x.name === 'to_s');
      return;
    case 'div_s':
    case 'div_u':
    case 'rem_s':
    case 'rem_u':
      divide(f, x.name, from);
      return;
    case 'pmin':
    case 'pmax':
      choose(f, x.name, from);
      return;
    case 'fmod':
      remainder(f, from);
      return;
    default:
      f.op(`${from}.${x.name}` as 'f32.add');
  }
}

function convert(f: FunctionBuilder, from: Rep, to: Rep, signed: boolean): void {
  const sign = signed ? 's' : 'u';
  const source = typeOf(from);
  if (to === 'mask') {
    if (source === 'i32') f.i32(0).op('i32.ne');
    else if (source === 'i64') f.op('i64.eqz').op('i32.eqz');
    else if (source === 'f32') f.f32(0).op('f32.ne');
    else f.f32(0).op('f64.promote_f32').op('f64.ne');
    return;
  }
  if (isFloatRep(to)) {
    if (source === 'f32') f.op('f64.promote_f32');
    else if (source === 'f64') f.op('f32.demote_f64');
    else f.op(`${to as 'f32'}.convert_${source}_${from === 'mask' ? 'u' : sign}`);
    return;
  }
  if (!isFloatRep(from)) {
    if (source === typeOf(to)) return;
    if (to === 'i32') f.op('i32.wrap_i64');
    else f.op(`i64.extend_i32_${from === 'mask' ? 'u' : sign}`);
    return;
  }
  wholeOf(f, source as 'f32' | 'f64', sign);
  if (to === 'i32') f.op('i32.wrap_i64');
}

/** The float on the stack as an i64, cut toward zero; 0 where the type cannot hold it, and for NaN. */
function wholeOf(f: FunctionBuilder, from: 'f32' | 'f64', sign: 's' | 'u'): void {
  const x = f.local('f64');
  if (from === 'f32') f.op('f64.promote_f32');
  f.set(x);
  const constant = (value: number) => f.f32(value).op('f64.promote_f32');
  // Conversions trap on what does not fit, and comparisons with NaN are false.
  f.get(x);
  constant(0).get(x).op('f64.abs');
  constant(2 ** 63)
    .op('f64.lt')
    .op('f64.select')
    .op('i64.trunc_f64_s');
  if (sign === 's') return;
  // Negative numbers wrap in an unsigned type and go the way of the signed one.
  const inUpperHalf = () => {
    f.get(x);
    constant(2 ** 63)
      .op('f64.ge')
      .get(x);
    return constant(2 ** 64)
      .op('f64.lt')
      .op('i32.and');
  };
  const signed = f.local('i64');
  f.set(signed).get(x);
  constant(0);
  inUpperHalf().op('f64.select').op('i64.trunc_f64_u').get(signed);
  inUpperHalf().op('i64.select');
}

/** Quotient or remainder of the two integers on the stack, without the traps. */
function divide(f: FunctionBuilder, name: 'div_s' | 'div_u' | 'rem_s' | 'rem_u', type: ScalarType): void {
  invariant(type === 'i32' || type === 'i64', `${name} of ${type}`);
  const a = f.local(type);
  const b = f.local(type);
  const safe = f.local(type);
  const integer = (value: number) => {
    f.i32(value);
    if (type === 'i64') f.op('i64.extend_i32_s');
    return f;
  };
  const isSpecial = () => {
    f.get(b).op(`${type}.eqz`);
    if (!name.endsWith('_s')) return f;
    f.get(b);
    return integer(-1).op(`${type}.eq`).op('i32.or');
  };
  f.set(b).set(a);
  integer(1).get(b);
  isSpecial().op(`${type}.select`).set(safe);
  // Special divisors are 0, whose result is 0, and −1, which negates and leaves no remainder.
  integer(0);
  if (name === 'div_s') {
    f.get(a).op(`${type}.sub`);
    integer(0).get(b);
    integer(0).op(`${type}.ne`).op(`${type}.select`);
  }
  f.get(a).get(safe).op(`${type}.${name}`);
  isSpecial().op(`${type}.select`);
}

/** `b < a ? b : a` or `a < b ? b : a` of the two floats on the stack. */
function choose(f: FunctionBuilder, name: 'pmin' | 'pmax', type: ScalarType): void {
  const a = f.local(type);
  const b = f.local(type);
  f.set(b).set(a).get(b).get(a);
  if (name === 'pmin') f.get(b).get(a);
  else f.get(a).get(b);
  f.op(`${type}.lt` as 'f32.lt').op(`${type}.select` as 'f32.select');
}

/** C's fmod of the two floats on the stack: the divisor is taken off in multiples by powers of two, all exact. */
function remainder(f: FunctionBuilder, type: ScalarType): void {
  invariant(type === 'f32' || type === 'f64', `fmod of ${type}`);
  const x = f.local('f64');
  const y = f.local('f64');
  const rest = f.local('f64');
  const part = f.local('f64');
  const widen = () => (type === 'f32' ? f.op('f64.promote_f32') : f);
  widen().set(y);
  widen().set(x);
  const zero = () => f.f32(0).op('f64.promote_f32');
  const infinity = () => f.f32(Number.POSITIVE_INFINITY).op('f64.promote_f32');
  f.get(x).op('f64.abs').set(rest).get(y).op('f64.abs').set(y);
  f.get(y);
  zero().op('f64.gt').get(rest);
  infinity().op('f64.lt').op('i32.and');
  f.if(
    () => {
      f.block((done) => {
        f.loop((again) => {
          f.get(rest).get(y).op('f64.lt').brIf(done);
          // The quotient rounded down to few bits, so that its product with y is exact.
          f.get(y).set(part);
          f.block((found) => {
            f.loop((double) => {
              f.get(part).get(part).op('f64.add').get(rest).op('f64.gt').brIf(found);
              f.get(part).get(part).op('f64.add').set(part).br(double);
            });
          });
          f.get(rest).get(part).op('f64.sub').set(rest).br(again);
        });
      });
    },
    // x / 0, ∞ / y and NaN give NaN.
    () => {
      zero();
      zero().op('f64.div').set(rest);
    },
  );
  f.get(rest).get(x).op('f64.copysign');
  if (type === 'f32') f.op('f32.demote_f64');
}
