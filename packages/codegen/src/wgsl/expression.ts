/**
 * Element-wise expressions in WGSL: one line for each operation.
 *
 * f32, i32 and masks are what WGSL has; int64 and float64 are pairs of words with functions over them (`wide.ts`). Shader compilers may take NaN and infinities for
 * absent, so nothing is decided by comparing with them: x ≠ x becomes a test of bits, functions are kept inside the range in
 * which their parts are finite.
 */
import { invariant } from '@grim/ir';
import { type Expression, isUnsigned, type Operation, type Rep, type Shape } from '../map/expression.ts';
import { isWide, wideFunctions, wideLiteral } from './wide.ts';

/** What a value of each rep is in a shader. */
export const TYPES: Readonly<Record<Rep, string>> = {
  f32: 'f32',
  i32: 'i32',
  mask: 'bool',
  i64: 'vec2<u32>',
  f64: 'vec2<u32>',
};

/** Sine of x + quarter · π/2. */
function quarter(name: string): string[] {
  return [
    `fn ${name}_quarter(x: f32, quarter: i32) -> f32 {`,
    '  let n = round(x * 0.636619772);',
    '  let r = ((x - n * 1.5703125) - n * 4.837512969970703e-4) - n * 7.549789954891882e-8;',
    '  let z = r * r;',
    '  let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;',
    '  let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;',
    '  let q = (i32(n - 4.0 * floor(n * 0.25)) + quarter) & 3;',
    '  let y = select(s, c, (q & 1) == 1);',
    '  return select(y, -y, q >= 2);',
    '}',
  ];
}

/** Arc sine; NaN beyond 1, made when the shader runs. */
function arcSine(name: string): string {
  return [
    `fn ${name}_arc(x: f32) -> f32 {`,
    '  let a = abs(x);',
    '  if (a > 1.0) { return bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u); }',
    '  let large = a > 0.5;',
    '  let z = select(a * a, 0.5 * (1.0 - a), large);',
    '  let t = select(a, sqrt(z), large);',
    '  let p = ((((4.2163199048e-2 * z + 2.4181311049e-2) * z + 4.5470025998e-2) * z + 7.4953002686e-2) * z + 1.6666752422e-1) * z * t + t;',
    '  let y = select(p, 1.57079633 - 2.0 * p, large);',
    '  return bitcast<f32>((bitcast<u32>(y) & 0x7fffffffu) | (bitcast<u32>(x) & 0x80000000u));',
    '}',
  ].join('\n');
}

/** Functions that an expression may need, by name. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  // Beyond ±87 the exponential is no float32 any more; 1 / (1 + e^87) is as good as 0.
  sigmoid: 'fn sigmoid_(x: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-x, -87.0, 87.0))); }',
  // Some drivers compute tanh with two exponentials, whose quotient is NaN for large arguments.
  tanh: 'fn tanh_(x: f32) -> f32 { return tanh(clamp(x, -15.0, 15.0)); }',
  // Abramowitz and Stegun, 7.1.26: at most 1.5e-7 off.
  erf: [
    'fn erf_(x: f32) -> f32 {',
    '  let a = min(abs(x), 9.0);',
    '  let t = 1.0 / (1.0 + 0.3275911 * a);',
    '  let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;',
    '  return sign(x) * (1.0 - p * exp(-a * a));',
    '}',
  ].join('\n'),
  // Method and constants of Cephes: π/2 in three parts, whose products with n are exact up to |x| = 8192; beyond that the error
  // grows by 10⁻⁷·|x|. Polynomials on [−π/4, π/4].
  sin: [...quarter('sin'), 'fn sin_(x: f32) -> f32 { return sin_quarter(x, 0); }'].join('\n'),
  cos: [...quarter('cos'), 'fn cos_(x: f32) -> f32 { return cos_quarter(x, 1); }'].join('\n'),
  tan: [...quarter('tan'), 'fn tan_(x: f32) -> f32 { return tan_quarter(x, 0) / tan_quarter(x, 1); }'].join('\n'),
  atan: [
    'fn atan_(x: f32) -> f32 {',
    '  let a = abs(x);',
    '  let steep = a > 2.41421356;',
    '  let upper = a > 0.41421356 && !steep;',
    '  let t = select(select(a, (a - 1.0) / (a + 1.0), upper), -1.0 / max(a, 1.0), steep);',
    '  let z = t * t;',
    '  let p = (((8.05374449538e-2 * z - 1.38776856032e-1) * z + 1.99777106478e-1) * z - 3.33329491539e-1) * z * t + t;',
    '  let y = p + select(select(0.0, 0.785398163, upper), 1.57079633, steep);',
    '  return bitcast<f32>((bitcast<u32>(y) & 0x7fffffffu) | (bitcast<u32>(x) & 0x80000000u));',
    '}',
  ].join('\n'),
  asin: [arcSine('asin'), 'fn asin_(x: f32) -> f32 { return asin_arc(x); }'].join('\n'),
  acos: [
    arcSine('acos'),
    'fn acos_(x: f32) -> f32 {',
    '  if (x > 0.5 && x <= 1.0) { return 2.0 * acos_arc(sqrt(0.5 - 0.5 * x)); }',
    '  return 1.57079633 - acos_arc(x);',
    '}',
  ].join('\n'),
  // The bits of what is no finite number are made when the shader runs: in the language they may be absent.
  log: [
    'fn log_(x: f32) -> f32 {',
    '  let b = bitcast<u32>(x);',
    '  if (b > 0u && b < 0x7f800000u) { return log(x); }',
    '  if (b == 0x7f800000u) { return x; }',
    '  return bitcast<f32>(select(0x7fc00000u, 0xff800000u, (b & 0x7fffffffu) == 0u) | (b & 0u));',
    '}',
  ].join('\n'),
  // As C's: one bit of the quotient after the other, exact.
  fmod: [
    'fn fmod_(x: f32, y: f32) -> f32 {',
    '  let sign = bitcast<u32>(x) & 0x80000000u;',
    '  let a = bitcast<u32>(x) & 0x7fffffffu;',
    '  let b = bitcast<u32>(y) & 0x7fffffffu;',
    '  if (a >= 0x7f800000u || b > 0x7f800000u || b == 0u) { return bitcast<f32>(0x7fc00000u | sign); }',
    '  if (a < b) { return x; }',
    '  var e = max(i32(a >> 23u), 1);',
    '  let last = max(i32(b >> 23u), 1);',
    '  var s = (a & 0x7fffffu) | select(0u, 0x800000u, a >= 0x800000u);',
    '  let t = (b & 0x7fffffu) | select(0u, 0x800000u, b >= 0x800000u);',
    '  for (; e > last; e--) { s = 2u * select(s, s - t, s >= t); }',
    '  s = select(s, s - t, s >= t);',
    '  if (s == 0u) { return bitcast<f32>(sign); }',
    '  let up = min(i32(countLeadingZeros(s)) - 8, e - 1);',
    '  s = s << u32(up);',
    '  e -= up;',
    '  return bitcast<f32>(sign | select(s, (u32(e) << 23u) | (s & 0x7fffffu), s >= 0x800000u));',
    '}',
  ].join('\n'),
};

export interface Written {
  /** In order; they define what `value` names. */
  readonly lines: readonly string[];
  readonly value: string;
  readonly functions: readonly string[];
}

/** Bits of the literals that a shader cannot spell, in the order in which it wants them as arguments. */
export function unspellable(shape: Shape): readonly number[] {
  const bits = new DataView(new ArrayBuffer(4));
  return shape.literals
    .filter(({ rep, value }) => rep === 'f32' && !Number.isFinite(value))
    .map(({ value }) => {
      bits.setFloat32(0, value);
      return bits.getInt32(0);
    });
}

/**
 * @param load  the text of operand number i, of the type of its rep
 * @param bits  the text of the i-th of {@link unspellable}
 * @param prefix  of the names that are defined
 * @param also  functions of `wide.ts` that are wanted besides
 */
export function writeExpression(
  root: Expression,
  shape: Shape,
  load: (operand: number) => string,
  bits: (index: number) => string,
  prefix = 'v',
  also: readonly string[] = [],
): Written {
  const lines: string[] = [];
  const names = new Map<Expression, string>();
  const functions = new Set<string>(also);
  shape.loads.forEach(({ rep }, i) => {
    lines.push(`let ${prefix}x${i}: ${TYPES[rep]} = ${load(i)};`);
  });
  for (const [x, i] of shape.operandOf) names.set(x, `${prefix}x${i}`);
  let special = 0;
  for (const x of shape.literals) {
    const { rep, value } = x;
    if (rep === 'f32') names.set(x, Number.isFinite(value) ? floatText(value) : `bitcast<f32>(${bits(special++)})`);
    else if (rep === 'i64' || rep === 'f64') names.set(x, wideLiteral(rep, value));
    else names.set(x, rep === 'mask' ? `${value !== 0}` : `i32(${value === -(2 ** 31) ? '-2147483647 - 1' : value})`);
  }
  const name = (x: Expression) => names.get(x) ?? '';
  shape.operations.forEach((x, i) => {
    const text = operationText(x, x.args.map(name), functions);
    names.set(x, `${prefix}${i}`);
    lines.push(`let ${prefix}${i}: ${TYPES[x.rep]} = ${text};`);
  });
  const own = Array.from(functions).filter((key) => !isWide(key));
  return {
    lines,
    value: name(root),
    functions: [...own.map((key) => FUNCTIONS[key] ?? ''), ...wideFunctions([...functions].filter(isWide))],
  };
}

/** A float32 literal whose value is exactly the one given. */
export function floatText(value: number): string {
  const text = Object.is(value, -0) ? '-0' : `${Math.fround(value)}`;
  return `${text}f`;
}

const INFIX: Readonly<Record<string, string>> = {
  add: '+',
  sub: '-',
  mul: '*',
  div: '/',
  and: '&',
  or: '|',
  xor: '^',
  eq: '==',
  ne: '!=',
  mask_and: '&&',
  mask_or: '||',
  mask_xor: '!=',
};
const RELATIONS: Readonly<Record<string, string>> = { lt: '<', le: '<=', gt: '>', ge: '>=' };

function operationText(operation: Operation, [a = '', b = '', c = '']: string[], functions: Set<string>): string {
  const { name, rep, args } = operation;
  const from = args[0]?.rep ?? 'f32';
  if (name === 'select') return `select(${c}, ${b}, ${a})`;
  const wide = [from, rep].find((one) => one === 'i64' || one === 'f64');
  if (wide) return wideText(operation, [a, b], wide, functions);
  if (Object.hasOwn(FUNCTIONS, name)) {
    functions.add(name);
    return name === 'fmod' ? `fmod_(${a}, ${b})` : `${name}_(${a})`;
  }
  if (name === 'ne' && from === 'f32' && a === b) return `(bitcast<u32>(${a}) & 0x7fffffffu) > 0x7f800000u`;
  const infix = INFIX[name];
  if (infix) return `${a} ${infix} ${b}`;
  const relation = RELATIONS[name.slice(0, 2)];
  if (relation) return name.endsWith('_u') ? `u32(${a}) ${relation} u32(${b})` : `${a} ${relation} ${b}`;
  const unsigned = (text: string) => `bitcast<i32>(${text})`;
  switch (name) {
    case 'mask_not':
      return `!${a}`;
    case 'neg':
      return `-${a}`;
    case 'nearest':
      return `round(${a})`;
    case 'pmin':
      return `select(${a}, ${b}, ${b} < ${a})`;
    case 'pmax':
      return `select(${a}, ${b}, ${a} < ${b})`;
    case 'copysign':
      return `bitcast<f32>((bitcast<u32>(${a}) & 0x7fffffffu) | (bitcast<u32>(${b}) & 0x80000000u))`;
    case 'shl':
      return `${a} << (u32(${b}) & 31u)`;
    case 'shr_s':
      return `${a} >> (u32(${b}) & 31u)`;
    case 'shr_u':
      return unsigned(`u32(${a}) >> (u32(${b}) & 31u)`);
    // A divisor of 0 gives 0, and −1 wraps; both are undefined, or the dividend, in the language.
    case 'div_s':
      return `select(select(${a} / select(${b}, 1, ${b} == 0 || ${b} == -1), -${a}, ${b} == -1), 0, ${b} == 0)`;
    case 'rem_s':
      return `select(${a} % select(${b}, 1, ${b} == 0 || ${b} == -1), 0, ${b} == 0 || ${b} == -1)`;
    case 'div_u':
      return `select(${unsigned(`u32(${a}) / u32(select(${b}, 1, ${b} == 0))`)}, 0, ${b} == 0)`;
    case 'rem_u':
      return `select(${unsigned(`u32(${a}) % u32(select(${b}, 1, ${b} == 0))`)}, 0, ${b} == 0)`;
    case 'wrap8_s':
      return `(${a} << 24u) >> 24u`;
    case 'wrap16_s':
      return `(${a} << 16u) >> 16u`;
    case 'wrap8_u':
      return `${a} & 0xff`;
    case 'wrap16_u':
      return `${a} & 0xffff`;
    case 'bits':
      return `bitcast<${rep}>(${a})`;
    case 'to_s':
    case 'to_u':
      return conversionText(a, from, rep, name === 'to_u');
    default:
      return `${name}(${[a, b].filter((text) => text !== '').join(', ')})`;
  }
}

/** An operation on int64 or float64, or one between such a value and another. */
function wideText(
  { name, rep, args }: Operation,
  [a = '', b = '']: string[],
  wide: 'i64' | 'f64',
  functions: Set<string>,
): string {
  const from = args[0]?.rep ?? wide;
  const call = (key: string, ...given: readonly string[]) => {
    functions.add(key);
    return `${key}(${given.join(', ')})`;
  };
  const SIGN = 'vec2<u32>(0u, 0x80000000u)';
  if (name === 'to_s' || name === 'to_u') return wideConversionText(a, from, rep, name === 'to_u', call);
  if (name === 'bits') return a;
  if (name === 'and' || name === 'or' || name === 'xor') return `${a} ${INFIX[name]} ${b}`;
  if (wide === 'i64') {
    if (name === 'eq') return `all(${a} == ${b})`;
    if (name === 'ne') return `any(${a} != ${b})`;
    const relation = RELATIONS[name.slice(0, 2)];
    if (relation) {
      const less = `lt64_${name.at(-1)}`;
      const [x, y] = relation.startsWith('>') ? [b, a] : [a, b];
      return relation.endsWith('=') ? `!${call(less, y, x)}` : call(less, x, y);
    }
    if (name === 'shl') return call('shl64', a, `${b}.x`);
    if (name === 'shr_s' || name === 'shr_u') return call(`shr64_${name.at(-1)}`, a, `${b}.x`);
    if (name === 'div_s' || name === 'div_u' || name === 'rem_s' || name === 'rem_u')
      return call(`${name.slice(0, 3)}64_${name.at(-1)}`, a, b);
    return call(`${name}64`, a, b);
  }
  switch (name) {
    case 'neg':
      return `${a} ^ ${SIGN}`;
    case 'abs':
      return `${a} & ~${SIGN}`;
    case 'copysign':
      return `(${a} & ~${SIGN}) | (${b} & ${SIGN})`;
    case 'eq':
      return call('f64_eq', a, b);
    case 'ne':
      return `!${call('f64_eq', a, b)}`;
    case 'lt':
      return call('f64_lt', a, b);
    case 'gt':
      return call('f64_lt', b, a);
    case 'le':
      return `${call('f64_lt', a, b)} || ${call('f64_eq', a, b)}`;
    case 'ge':
      return `${call('f64_lt', b, a)} || ${call('f64_eq', a, b)}`;
    case 'pmin':
      return `select(${a}, ${b}, ${call('f64_lt', b, a)})`;
    case 'pmax':
      return `select(${a}, ${b}, ${call('f64_lt', a, b)})`;
    default:
      return call(`f64_${name}`, ...[a, b].filter((text) => text !== ''));
  }
}

function wideConversionText(
  a: string,
  from: Rep,
  to: Rep,
  unsigned: boolean,
  call: (key: string, ...given: readonly string[]) => string,
): string {
  const kind = unsigned ? 'u64' : 'i64';
  if (to === 'f64') {
    if (from === 'f32') return call('f64_of_f32', a);
    const whole = from === 'i64' ? a : wideConversionText(a, from, 'i64', unsigned, call);
    return call(`f64_of_${kind}`, whole);
  }
  if (to === 'i64') {
    if (from === 'mask') return `vec2<u32>(u32(${a}), 0u)`;
    if (from === 'i32')
      return unsigned ? `vec2<u32>(u32(${a}), 0u)` : `vec2<u32>(bitcast<u32>(${a}), bitcast<u32>(${a} >> 31u))`;
    return call(`${kind}_of_f64`, from === 'f32' ? call('f64_of_f32', a) : a);
  }
  if (to === 'mask') return from === 'i64' ? `any(${a} != vec2<u32>())` : `!${call('f64_eq', a, 'vec2<u32>()')}`;
  if (from === 'f64') return to === 'f32' ? call('f32_of_f64', a) : call(`${unsigned ? 'u' : 'i'}32_of_f64`, a);
  invariant(from === 'i64', `a conversion of ${from} to ${to}`);
  if (to === 'i32') return `bitcast<i32>(${a}.x)`;
  // By way of float64, whose 53 bits may round before the 24 do: the bits below count as one.
  return call(`f32_of_${kind}`, a);
}

function conversionText(a: string, from: Rep, to: Rep, unsigned: boolean): string {
  if (to === 'mask') return `${a} != ${from === 'f32' ? '0.0' : '0'}`;
  if (from === 'mask') return to === 'f32' ? `select(0.0, 1.0, ${a})` : `select(0, 1, ${a})`;
  if (to === 'f32') return unsigned ? `f32(u32(${a}))` : `f32(${a})`;
  return unsigned ? `select(bitcast<i32>(u32(${a})), i32(${a}), ${a} < 0.0)` : `i32(${a})`;
}

/** Whether loads of the type extend their sign. */
export function isSigned(dtype: Parameters<typeof isUnsigned>[0]): boolean {
  return !isUnsigned(dtype) && dtype !== 'bool';
}
