/**
 * Element-wise expressions in WGSL: one line for each operation.
 *
 * f32, i32 and masks are what WGSL has; int64 and float64 it has not. Shader compilers may take NaN and infinities for
 * absent, so nothing is decided by comparing with them: x ≠ x becomes a test of bits, functions are kept inside the range in
 * which their parts are finite.
 */
import { type Expression, isUnsigned, type Operation, type Rep, type Shape } from '../map/expression.ts';

const TYPES: Partial<Record<Rep, string>> = { f32: 'f32', i32: 'i32', mask: 'bool' };

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
};

/** What WGSL cannot say of an expression, or undefined. */
export function obstacle(root: Expression, shape: Shape): string | undefined {
  const all: readonly Expression[] = [root, ...shape.loads, ...shape.literals, ...shape.operations];
  const wide = all.find(({ rep }) => rep === 'i64' || rep === 'f64');
  if (wide) return wide.rep === 'i64' ? '64-bit integers' : 'float64';
  return shape.operations.some(({ name }) => name === 'fmod') ? 'fmod' : undefined;
}

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
 */
export function writeExpression(
  root: Expression,
  shape: Shape,
  load: (operand: number) => string,
  bits: (index: number) => string,
  prefix = 'v',
): Written {
  const lines: string[] = [];
  const names = new Map<Expression, string>();
  const functions = new Set<string>();
  shape.loads.forEach(({ rep }, i) => {
    lines.push(`let ${prefix}x${i}: ${TYPES[rep]} = ${load(i)};`);
  });
  for (const [x, i] of shape.operandOf) names.set(x, `${prefix}x${i}`);
  let special = 0;
  for (const x of shape.literals) {
    const { rep, value } = x;
    if (rep === 'f32') names.set(x, Number.isFinite(value) ? floatText(value) : `bitcast<f32>(${bits(special++)})`);
    else names.set(x, rep === 'mask' ? `${value !== 0}` : `i32(${value === -(2 ** 31) ? '-2147483647 - 1' : value})`);
  }
  const name = (x: Expression) => names.get(x) ?? '';
  shape.operations.forEach((x, i) => {
    const text = operationText(x, x.args.map(name), functions);
    names.set(x, `${prefix}${i}`);
    lines.push(`let ${prefix}${i}: ${TYPES[x.rep]} = ${text};`);
  });
  return { lines, value: name(root), functions: Array.from(functions, (key) => FUNCTIONS[key] ?? '') };
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

function operationText(
  { name, rep, args }: Operation,
  [a = '', b = '', c = '']: string[],
  functions: Set<string>,
): string {
  const from = args[0]?.rep ?? 'f32';
  if (Object.hasOwn(FUNCTIONS, name)) {
    functions.add(name);
    return `${name}_(${a})`;
  }
  if (name === 'ne' && from === 'f32' && a === b) return `(bitcast<u32>(${a}) & 0x7fffffffu) > 0x7f800000u`;
  const infix = INFIX[name];
  if (infix) return `${a} ${infix} ${b}`;
  const relation = RELATIONS[name.slice(0, 2)];
  if (relation) return name.endsWith('_u') ? `u32(${a}) ${relation} u32(${b})` : `${a} ${relation} ${b}`;
  const unsigned = (text: string) => `bitcast<i32>(${text})`;
  switch (name) {
    case 'select':
      return `select(${c}, ${b}, ${a})`;
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
