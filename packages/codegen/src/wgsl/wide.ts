/**
 * 64-bit integers and float64 in a language that has neither: pairs of u32, the low word first, and functions over them.
 *
 * float64 follows IEEE 754 to the bit, rounding to nearest even, subnormals included; the method is that of Berkeley SoftFloat
 * (significands with their first bit at place 62, ten bits to round, what is shifted out kept as one sticky bit). All is
 * integer arithmetic, so no driver may contract or reorder it. An operation costs some fifty instructions: operators that
 * want it are rare and small.
 * @see J. Hauser, Berkeley SoftFloat Release 3
 */
import { invariant } from '@grim/ir';

const V = 'vec2<u32>';

/** By name: the text, and the functions that it calls. */
const LIBRARY: Readonly<Record<string, readonly [text: string, ...uses: string[]]>> = {
  add64: [`fn add64(a: ${V}, b: ${V}) -> ${V} { let x = a.x + b.x; return ${V}(x, a.y + b.y + u32(x < a.x)); }`],
  sub64: [`fn sub64(a: ${V}, b: ${V}) -> ${V} { return ${V}(a.x - b.x, a.y - b.y - u32(a.x < b.x)); }`],
  neg64: [`fn neg64(a: ${V}) -> ${V} { return sub64(${V}(), a); }`, 'sub64'],
  lt64_u: [`fn lt64_u(a: ${V}, b: ${V}) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }`],
  lt64_s: [
    `fn lt64_s(a: ${V}, b: ${V}) -> bool { return lt64_u(a ^ ${V}(0u, 0x80000000u), b ^ ${V}(0u, 0x80000000u)); }`,
    'lt64_u',
  ],
  shl64: [
    [
      `fn shl64(a: ${V}, by: u32) -> ${V} {`,
      '  let n = by & 63u;',
      '  if (n == 0u) { return a; }',
      `  if (n >= 32u) { return ${V}(0u, a.x << (n - 32u)); }`,
      `  return ${V}(a.x << n, (a.y << n) | (a.x >> (32u - n)));`,
      '}',
    ].join('\n'),
  ],
  shr64_u: [
    [
      `fn shr64_u(a: ${V}, by: u32) -> ${V} {`,
      '  let n = by & 63u;',
      '  if (n == 0u) { return a; }',
      `  if (n >= 32u) { return ${V}(a.y >> (n - 32u), 0u); }`,
      `  return ${V}((a.x >> n) | (a.y << (32u - n)), a.y >> n);`,
      '}',
    ].join('\n'),
  ],
  shr64_s: [
    [
      `fn shr64_s(a: ${V}, by: u32) -> ${V} {`,
      '  if ((a.y >> 31u) == 0u) { return shr64_u(a, by); }',
      '  return ~shr64_u(~a, by);',
      '}',
    ].join('\n'),
    'shr64_u',
  ],
  wide32: [
    [
      `fn wide32(a: u32, b: u32) -> ${V} {`,
      '  let low = (a & 0xffffu) * (b & 0xffffu);',
      '  let one = (a >> 16u) * (b & 0xffffu);',
      '  let two = (a & 0xffffu) * (b >> 16u);',
      '  let mid = (low >> 16u) + (one & 0xffffu) + (two & 0xffffu);',
      `  return ${V}((low & 0xffffu) | (mid << 16u), (a >> 16u) * (b >> 16u) + (one >> 16u) + (two >> 16u) + (mid >> 16u));`,
      '}',
    ].join('\n'),
  ],
  mul64: [
    `fn mul64(a: ${V}, b: ${V}) -> ${V} { return wide32(a.x, b.x) + ${V}(0u, a.x * b.y + a.y * b.x); }`,
    'wide32',
  ],
  // Quotient, then remainder; both 0 for a divisor of 0.
  divide64: [
    [
      `fn divide64(a: ${V}, b: ${V}) -> vec4<u32> {`,
      `  if (all(b == ${V}())) { return vec4<u32>(); }`,
      `  var quotient = ${V}();`,
      `  var rest = ${V}();`,
      '  for (var i = 63i; i >= 0; i--) {',
      '    let carry = rest.y >> 31u;',
      `    rest = shl64(rest, 1u) | ${V}(shr64_u(a, u32(i)).x & 1u, 0u);`,
      '    quotient = shl64(quotient, 1u);',
      '    if (carry == 1u || !lt64_u(rest, b)) { rest = sub64(rest, b); quotient.x |= 1u; }',
      '  }',
      '  return vec4<u32>(quotient, rest);',
      '}',
    ].join('\n'),
    ...['shl64', 'shr64_u', 'lt64_u', 'sub64'],
  ],
  abs64: [`fn abs64(a: ${V}) -> ${V} { return select(a, neg64(a), (a.y >> 31u) == 1u); }`, 'neg64'],
  div64_u: [`fn div64_u(a: ${V}, b: ${V}) -> ${V} { return divide64(a, b).xy; }`, 'divide64'],
  rem64_u: [`fn rem64_u(a: ${V}, b: ${V}) -> ${V} { return divide64(a, b).zw; }`, 'divide64'],
  div64_s: [
    [
      `fn div64_s(a: ${V}, b: ${V}) -> ${V} {`,
      '  let q = divide64(abs64(a), abs64(b)).xy;',
      '  return select(q, neg64(q), ((a.y ^ b.y) >> 31u) == 1u);',
      '}',
    ].join('\n'),
    ...['divide64', 'abs64', 'neg64'],
  ],
  rem64_s: [
    [
      `fn rem64_s(a: ${V}, b: ${V}) -> ${V} {`,
      '  let r = divide64(abs64(a), abs64(b)).zw;',
      '  return select(r, neg64(r), (a.y >> 31u) == 1u);',
      '}',
    ].join('\n'),
    ...['divide64', 'abs64', 'neg64'],
  ],
  first64: [
    `fn first64(a: ${V}) -> u32 { return select(32u + countLeadingZeros(a.x), countLeadingZeros(a.y), a.y != 0u); }`,
  ],
  jam64: [
    [
      `fn jam64(a: ${V}, n: u32) -> ${V} {`,
      '  if (n == 0u) { return a; }',
      `  if (n >= 64u) { return ${V}(u32(any(a != ${V}())), 0u); }`,
      `  let lost = any(shl64(a, 64u - n) != ${V}());`,
      `  return shr64_u(a, n) | ${V}(u32(lost), 0u);`,
      '}',
    ].join('\n'),
    ...['shl64', 'shr64_u'],
  ],
  // The first bit of the significand stands at place 62; the exponent is one less than it will be.
  pack: [
    [
      `fn pack(sign: u32, exponent: i32, significand: ${V}) -> ${V} {`,
      '  var e = exponent;',
      '  var s = significand;',
      '  if (e < 0) { s = jam64(s, u32(-e)); e = 0; }',
      `  let rounded = add64(s, ${V}(0x200u, 0u));`,
      `  if (e > 0x7fd || (e == 0x7fd && (rounded.y >> 31u) == 1u)) { return ${V}(0u, sign | 0x7ff00000u); }`,
      '  let half = (s.x & 0x3ffu) == 0x200u;',
      '  s = shr64_u(rounded, 10u);',
      '  if (half) { s.x &= 0xfffffffeu; }',
      `  if (all(s == ${V}())) { e = 0; }`,
      `  return add64(${V}(0u, sign | (u32(e) << 20u)), s);`,
      '}',
    ].join('\n'),
    ...['jam64', 'add64', 'shr64_u'],
  ],
  normal: [
    [
      `fn normal(sign: u32, exponent: i32, significand: ${V}) -> ${V} {`,
      `  if (all(significand == ${V}())) { return ${V}(0u, sign); }`,
      '  let n = i32(first64(significand)) - 1;',
      '  if (n < 0) { return pack(sign, exponent + 1, jam64(significand, 1u)); }',
      '  return pack(sign, exponent - n, shl64(significand, u32(n)));',
      '}',
    ].join('\n'),
    ...['pack', 'first64', 'jam64', 'shl64'],
  ],
  nan64: [
    `fn nan64(a: ${V}) -> bool { return (a.y & 0x7fffffffu) > 0x7ff00000u || ((a.y & 0x7fffffffu) == 0x7ff00000u && a.x != 0u); }`,
  ],
  infinite64: [`fn infinite64(a: ${V}) -> bool { return (a.y & 0x7fffffffu) == 0x7ff00000u && a.x == 0u; }`],
  zero64: [`fn zero64(a: ${V}) -> bool { return ((a.y & 0x7fffffffu) | a.x) == 0u; }`],
  // Exponent and significand with its first bit at place 52; a subnormal number is brought there.
  exponent64: [
    [
      `fn exponent64(a: ${V}) -> i32 {`,
      '  let e = i32((a.y >> 20u) & 0x7ffu);',
      `  return select(12 - i32(first64(${V}(a.x, a.y & 0xfffffu))), e, e != 0);`,
      '}',
    ].join('\n'),
    'first64',
  ],
  significand64: [
    [
      `fn significand64(a: ${V}) -> ${V} {`,
      `  let s = ${V}(a.x, a.y & 0xfffffu);`,
      `  if ((a.y & 0x7ff00000u) != 0u) { return s | ${V}(0u, 0x100000u); }`,
      '  return shl64(s, first64(s) - 11u);',
      '}',
    ].join('\n'),
    ...['first64', 'shl64'],
  ],
  f64_add: [
    [
      `fn f64_add(a: ${V}, b: ${V}) -> ${V} {`,
      '  if (nan64(a) || (infinite64(a) && !infinite64(b))) { return a; }',
      '  if (nan64(b) || (infinite64(b) && !infinite64(a))) { return b; }',
      `  if (infinite64(a)) { return select(${V}(0u, 0x7ff80000u), a, a.y == b.y); }`,
      `  if (zero64(a)) { return select(b, ${V}(0u, a.y & b.y), zero64(b)); }`,
      '  if (zero64(b)) { return a; }',
      '  let larger = lt64_u(a & vec2<u32>(0xffffffffu, 0x7fffffffu), b & vec2<u32>(0xffffffffu, 0x7fffffffu));',
      '  let x = select(a, b, larger);',
      '  let y = select(b, a, larger);',
      '  let e = exponent64(x);',
      '  let s = shl64(significand64(x), 9u);',
      '  let t = jam64(shl64(significand64(y), 9u), u32(e - exponent64(y)));',
      '  let sign = x.y & 0x80000000u;',
      '  if (((a.y ^ b.y) >> 31u) == 0u) { return normal(sign, e, add64(s, t)); }',
      '  let rest = sub64(s, t);',
      `  return normal(select(sign, 0u, all(rest == ${V}())), e, rest);`,
      '}',
    ].join('\n'),
    ...['nan64', 'infinite64', 'zero64', 'exponent64', 'significand64', 'shl64', 'jam64', 'normal', 'add64', 'sub64'],
    'lt64_u',
  ],
  f64_sub: [`fn f64_sub(a: ${V}, b: ${V}) -> ${V} { return f64_add(a, b ^ ${V}(0u, 0x80000000u)); }`, 'f64_add'],
  f64_mul: [
    [
      `fn f64_mul(a: ${V}, b: ${V}) -> ${V} {`,
      '  let sign = (a.y ^ b.y) & 0x80000000u;',
      '  if (nan64(a)) { return a; }',
      '  if (nan64(b)) { return b; }',
      `  if (infinite64(a) || infinite64(b)) { return ${V}(0u, select(sign | 0x7ff00000u, 0x7ff80000u, zero64(a) || zero64(b))); }`,
      `  if (zero64(a) || zero64(b)) { return ${V}(0u, sign); }`,
      '  let s = shl64(significand64(a), 10u);',
      '  let t = shl64(significand64(b), 11u);',
      '  let low = wide32(s.x, t.x);',
      '  let one = wide32(s.x, t.y);',
      '  let two = wide32(s.y, t.x);',
      `  let mid = add64(add64(one, ${V}(low.y, 0u)), ${V}(two.x, 0u));`,
      `  var high = add64(add64(wide32(s.y, t.y), ${V}(mid.y, 0u)), ${V}(two.y, 0u));`,
      '  high.x |= u32((low.x | mid.x) != 0u);',
      '  return normal(sign, exponent64(a) + exponent64(b) - 0x3ff, high);',
      '}',
    ].join('\n'),
    ...['nan64', 'infinite64', 'zero64', 'exponent64', 'significand64', 'shl64', 'wide32', 'normal', 'add64'],
  ],
  f64_div: [
    [
      `fn f64_div(a: ${V}, b: ${V}) -> ${V} {`,
      '  let sign = (a.y ^ b.y) & 0x80000000u;',
      '  if (nan64(a)) { return a; }',
      '  if (nan64(b)) { return b; }',
      `  if (infinite64(a)) { return ${V}(0u, select(sign | 0x7ff00000u, 0x7ff80000u, infinite64(b))); }`,
      `  if (zero64(b)) { return ${V}(0u, select(sign | 0x7ff00000u, 0x7ff80000u, zero64(a))); }`,
      `  if (zero64(a) || infinite64(b)) { return ${V}(0u, sign); }`,
      '  var rest = significand64(a);',
      '  let by = significand64(b);',
      `  var quotient = ${V}();`,
      '  for (var i = 0; i < 63; i++) {',
      '    quotient = shl64(quotient, 1u);',
      '    if (!lt64_u(rest, by)) { rest = sub64(rest, by); quotient.x |= 1u; }',
      '    rest = shl64(rest, 1u);',
      '  }',
      `  quotient.x |= u32(any(rest != ${V}()));`,
      '  return normal(sign, exponent64(a) - exponent64(b) + 0x3fe, quotient);',
      '}',
    ].join('\n'),
    ...['nan64', 'infinite64', 'zero64', 'exponent64', 'significand64', 'shl64', 'normal', 'lt64_u', 'sub64'],
  ],
  f64_sqrt: [
    [
      `fn f64_sqrt(a: ${V}) -> ${V} {`,
      '  if (nan64(a) || zero64(a)) { return a; }',
      `  if ((a.y >> 31u) == 1u) { return ${V}(0u, 0x7ff80000u); }`,
      '  if (infinite64(a)) { return a; }',
      '  let e = exponent64(a) - 0x3ff;',
      '  // A whole number of pairs of bits before the point.',
      '  let s = shl64(significand64(a), 10u + u32(e & 1));',
      `  var root = ${V}();`,
      `  var rest = ${V}();`,
      '  for (var i = 0u; i < 55u; i++) {',
      `    let next = select(0u, shr64_u(s, 62u - min(62u, 2u * i)).x & 3u, i < 32u);`,
      `    rest = shl64(rest, 2u) | ${V}(next, 0u);`,
      `    let test = shl64(root, 2u) | ${V}(1u, 0u);`,
      '    root = shl64(root, 1u);',
      '    if (!lt64_u(rest, test)) { rest = sub64(rest, test); root.x |= 1u; }',
      '  }',
      `  return pack(0u, (e >> 1u) + 0x3fe, shl64(root, 8u) | ${V}(u32(any(rest != ${V}())), 0u));`,
      '}',
    ].join('\n'),
    ...['nan64', 'infinite64', 'zero64', 'exponent64', 'significand64', 'shl64', 'shr64_u', 'pack', 'lt64_u', 'sub64'],
  ],
  f64_lt: [
    [
      `fn f64_lt(a: ${V}, b: ${V}) -> bool {`,
      '  if (nan64(a) || nan64(b) || (zero64(a) && zero64(b))) { return false; }',
      '  if (((a.y ^ b.y) >> 31u) == 1u) { return (a.y >> 31u) == 1u; }',
      '  return select(lt64_u(a, b), lt64_u(b, a), (a.y >> 31u) == 1u);',
      '}',
    ].join('\n'),
    ...['nan64', 'zero64', 'lt64_u'],
  ],
  f64_eq: [
    `fn f64_eq(a: ${V}, b: ${V}) -> bool { return !nan64(a) && !nan64(b) && (all(a == b) || (zero64(a) && zero64(b))); }`,
    ...['nan64', 'zero64'],
  ],
  f64_trunc: [
    [
      `fn f64_trunc(a: ${V}) -> ${V} {`,
      '  let e = i32((a.y >> 20u) & 0x7ffu) - 0x3ff;',
      `  if (e < 0) { return ${V}(0u, a.y & 0x80000000u); }`,
      '  if (e >= 52) { return a; }',
      `  return a & shl64(${V}(0xffffffffu, 0xffffffffu), u32(52 - e));`,
      '}',
    ].join('\n'),
    'shl64',
  ],
  f64_floor: [
    [
      `fn f64_floor(a: ${V}) -> ${V} {`,
      '  let t = f64_trunc(a);',
      `  return select(t, f64_add(t, ${V}(0u, 0xbff00000u)), (a.y >> 31u) == 1u && !nan64(a) && any(t != a));`,
      '}',
    ].join('\n'),
    ...['f64_trunc', 'f64_add', 'nan64'],
  ],
  f64_ceil: [
    `fn f64_ceil(a: ${V}) -> ${V} { return f64_floor(a ^ ${V}(0u, 0x80000000u)) ^ ${V}(0u, 0x80000000u); }`,
    'f64_floor',
  ],
  f64_nearest: [
    [
      `fn f64_nearest(a: ${V}) -> ${V} {`,
      '  // 2^52 has no bits behind the point: adding it rounds.',
      '  if (((a.y >> 20u) & 0x7ffu) >= 0x433u) { return a; }',
      `  let x = f64_add(${V}(a.x, a.y & 0x7fffffffu), ${V}(0u, 0x43300000u));`,
      `  return f64_sub(x, ${V}(0u, 0x43300000u)) | ${V}(0u, a.y & 0x80000000u);`,
      '}',
    ].join('\n'),
    ...['f64_add', 'f64_sub'],
  ],
  f64_min: [
    [
      `fn f64_min(a: ${V}, b: ${V}) -> ${V} {`,
      '  if (nan64(a)) { return a; }',
      `  if (zero64(a) && zero64(b)) { return a | b; }`,
      '  return select(a, b, nan64(b) || f64_lt(b, a));',
      '}',
    ].join('\n'),
    ...['nan64', 'zero64', 'f64_lt'],
  ],
  f64_max: [
    [
      `fn f64_max(a: ${V}, b: ${V}) -> ${V} {`,
      '  if (nan64(a)) { return a; }',
      `  if (zero64(a) && zero64(b)) { return a & b; }`,
      '  return select(a, b, nan64(b) || f64_lt(a, b));',
      '}',
    ].join('\n'),
    ...['nan64', 'zero64', 'f64_lt'],
  ],
  f64_of_f32: [
    [
      `fn f64_of_f32(x: f32) -> ${V} {`,
      '  let b = bitcast<u32>(x);',
      '  let sign = b & 0x80000000u;',
      '  let e = (b >> 23u) & 0xffu;',
      '  let s = b & 0x7fffffu;',
      `  if (e == 0xffu) { return ${V}(s << 29u, sign | 0x7ff00000u | (s >> 3u)); }`,
      `  if (e == 0u) { return normal(sign, 1 - 127 + 1023, shl64(${V}(s, 0u), 38u)); }`,
      `  return ${V}(s << 29u, (sign | ((e + 896u) << 20u)) | (s >> 3u));`,
      '}',
    ].join('\n'),
    ...['normal', 'shl64'],
  ],
  f32_of_f64: [
    [
      `fn f32_of_f64(a: ${V}) -> f32 {`,
      '  let sign = a.y & 0x80000000u;',
      '  if (nan64(a)) { return bitcast<f32>(sign | 0x7fc00000u); }',
      '  let e = i32((a.y >> 20u) & 0x7ffu) - 896;',
      '  if (e > 254) { return bitcast<f32>(sign | 0x7f800000u); }',
      '  if (e < -24) { return bitcast<f32>(sign); }',
      '  // 24 bits are kept, of a subnormal number fewer; the rest rounds.',
      '  let lost = 29u + select(0u, u32(1 - e), e < 1);',
      `  let s = ${V}(a.x, (a.y & 0xfffffu) | 0x100000u);`,
      '  let kept = shr64_u(s, lost).x;',
      '  let rest = shl64(s, 64u - lost);',
      '  let up = rest.y > 0x80000000u || (rest.y == 0x80000000u && (rest.x != 0u || (kept & 1u) == 1u));',
      '  let bits = select(u32(e - 1) << 23u, 0u, e < 1) + kept + u32(up);',
      '  return bitcast<f32>(sign | min(bits, 0x7f800000u));',
      '}',
    ].join('\n'),
    ...['nan64', 'shr64_u', 'shl64'],
  ],
  f64_of_u64: [`fn f64_of_u64(a: ${V}) -> ${V} { return normal(0u, 0x3ff + 61, a); }`, 'normal'],
  f64_of_i64: [
    `fn f64_of_i64(a: ${V}) -> ${V} { return normal(a.y & 0x80000000u, 0x3ff + 61, abs64(a)); }`,
    ...['normal', 'abs64'],
  ],
  // Bits that float64 would round away are gathered in one that it keeps.
  f32_of_u64: [
    `fn f32_of_u64(a: ${V}) -> f32 { return f32_of_f64(f64_of_u64(shl64(jam64(a, 11u * u32(a.y >= 0x200000u)), 11u * u32(a.y >= 0x200000u)))); }`,
    ...['f32_of_f64', 'f64_of_u64', 'shl64', 'jam64'],
  ],
  f32_of_i64: [
    `fn f32_of_i64(a: ${V}) -> f32 { let x = f32_of_u64(abs64(a)); return select(x, -x, (a.y >> 31u) == 1u); }`,
    ...['f32_of_u64', 'abs64'],
  ],
  // Cut toward zero; what does not fit becomes the nearest that does, NaN 0.
  u64_of_f64: [
    [
      `fn u64_of_f64(a: ${V}) -> ${V} {`,
      '  let e = i32((a.y >> 20u) & 0x7ffu) - 0x3ff;',
      `  if (nan64(a) || e < 0 || (a.y >> 31u) == 1u) { return ${V}(); }`,
      `  if (e > 63) { return ${V}(0xffffffffu, 0xffffffffu); }`,
      `  let s = ${V}(a.x, (a.y & 0xfffffu) | 0x100000u);`,
      '  if (e >= 52) { return shl64(s, u32(e - 52)); }',
      '  return shr64_u(s, u32(52 - e));',
      '}',
    ].join('\n'),
    ...['nan64', 'shl64', 'shr64_u'],
  ],
  i64_of_f64: [
    [
      `fn i64_of_f64(a: ${V}) -> ${V} {`,
      `  let m = u64_of_f64(${V}(a.x, a.y & 0x7fffffffu));`,
      '  if ((a.y >> 31u) == 1u) {',
      `    return select(neg64(m), ${V}(0u, 0x80000000u), (m.y >> 31u) == 1u);`,
      '  }',
      `  return select(m, ${V}(0xffffffffu, 0x7fffffffu), (m.y >> 31u) == 1u);`,
      '}',
    ].join('\n'),
    ...['u64_of_f64', 'neg64'],
  ],
  i32_of_f64: [
    [
      `fn i32_of_f64(a: ${V}) -> i32 {`,
      '  let x = i64_of_f64(a);',
      '  let most = select(2147483647, -2147483647 - 1, (x.y >> 31u) == 1u);',
      '  return select(most, bitcast<i32>(x.x), x.y == u32(bitcast<i32>(x.x) >> 31u));',
      '}',
    ].join('\n'),
    'i64_of_f64',
  ],
  u32_of_f64: [
    `fn u32_of_f64(a: ${V}) -> i32 { let x = u64_of_f64(a); return bitcast<i32>(select(0xffffffffu, x.x, x.y == 0u)); }`,
    'u64_of_f64',
  ],
  // x mod y with the sign of x: remainders of halving distances are exact.
  f64_fmod: [
    [
      `fn f64_fmod(x: ${V}, y: ${V}) -> ${V} {`,
      `  if (nan64(x) || nan64(y) || infinite64(x) || zero64(y)) { return ${V}(0u, 0x7ff80000u); }`,
      '  if (zero64(x) || infinite64(y)) { return x; }',
      '  var e = exponent64(x);',
      '  let last = exponent64(y);',
      '  if (e < last) { return x; }',
      '  var s = significand64(x);',
      '  let t = significand64(y);',
      '  for (; e > last; e--) {',
      '    if (!lt64_u(s, t)) { s = sub64(s, t); }',
      '    s = shl64(s, 1u);',
      '  }',
      '  if (!lt64_u(s, t)) { s = sub64(s, t); }',
      '  return normal(x.y & 0x80000000u, last, shl64(s, 9u));',
      '}',
    ].join('\n'),
    ...['nan64', 'infinite64', 'zero64', 'exponent64', 'significand64', 'lt64_u', 'sub64', 'shl64', 'normal'],
  ],
};

/** The text of the functions named, and of all that they call, each once. */
export function wideFunctions(names: Iterable<string>): string[] {
  const found = new Map<string, string>();
  const add = (name: string): void => {
    if (found.has(name)) return;
    const entry = LIBRARY[name];
    invariant(entry, `function ${name} of the wide library`);
    const [text, ...uses] = entry;
    found.set(name, text);
    for (const used of uses) add(used);
  };
  for (const name of names) add(name);
  return [...found.values()];
}

export function isWide(name: string): boolean {
  return Object.hasOwn(LIBRARY, name);
}

/** A literal of either type. */
export function wideLiteral(rep: 'i64' | 'f64', value: number): string {
  const view = new DataView(new ArrayBuffer(8));
  if (rep === 'f64') view.setFloat64(0, value);
  else view.setBigInt64(0, BigInt(value));
  return `vec2<u32>(0x${view.getUint32(4).toString(16)}u, 0x${view.getUint32(0).toString(16)}u)`;
}
