/** Vector instructions, all behind the prefix 0xfd: fixed-width SIMD and relaxed SIMD of the core specification. */

export const SIMD = {
  'i32x4.splat': [0x11, 'i', 'v'],
  'f32x4.splat': [0x13, 'f', 'v'],
  'i32x4.gt_s': [0x3b, 'vv', 'v'],
  'i32x4.eq': [0x37, 'vv', 'v'],
  'f32x4.eq': [0x41, 'vv', 'v'],
  'f32x4.ne': [0x42, 'vv', 'v'],
  'f32x4.lt': [0x43, 'vv', 'v'],
  'f32x4.gt': [0x44, 'vv', 'v'],
  'f32x4.le': [0x45, 'vv', 'v'],
  'f32x4.ge': [0x46, 'vv', 'v'],
  'v128.not': [0x4d, 'v', 'v'],
  'v128.and': [0x4e, 'vv', 'v'],
  'v128.andnot': [0x4f, 'vv', 'v'],
  'v128.or': [0x50, 'vv', 'v'],
  'v128.xor': [0x51, 'vv', 'v'],
  'v128.bitselect': [0x52, 'vvv', 'v'],
  'f32x4.ceil': [0x67, 'v', 'v'],
  'f32x4.floor': [0x68, 'v', 'v'],
  'f32x4.trunc': [0x69, 'v', 'v'],
  'f32x4.nearest': [0x6a, 'v', 'v'],
  'i8x16.narrow_i16x8_s': [0x65, 'vv', 'v'],
  'i16x8.narrow_i32x4_s': [0x85, 'vv', 'v'],
  'i16x8.extend_low_i8x16_u': [0x89, 'v', 'v'],
  'i32x4.neg': [0xa1, 'v', 'v'],
  'i32x4.extend_low_i16x8_u': [0xa9, 'v', 'v'],
  'i32x4.shl': [0xab, 'vi', 'v'],
  'i32x4.shr_s': [0xac, 'vi', 'v'],
  'i32x4.shr_u': [0xad, 'vi', 'v'],
  'i32x4.add': [0xae, 'vv', 'v'],
  'i32x4.sub': [0xb1, 'vv', 'v'],
  'i32x4.mul': [0xb5, 'vv', 'v'],
  'f32x4.abs': [0xe0, 'v', 'v'],
  'f32x4.neg': [0xe1, 'v', 'v'],
  'f32x4.sqrt': [0xe3, 'v', 'v'],
  'f32x4.add': [0xe4, 'vv', 'v'],
  'f32x4.sub': [0xe5, 'vv', 'v'],
  'f32x4.mul': [0xe6, 'vv', 'v'],
  'f32x4.div': [0xe7, 'vv', 'v'],
  'f32x4.min': [0xe8, 'vv', 'v'],
  'f32x4.max': [0xe9, 'vv', 'v'],
  'f32x4.pmin': [0xea, 'vv', 'v'],
  'f32x4.pmax': [0xeb, 'vv', 'v'],
  'i32x4.trunc_sat_f32x4_s': [0xf8, 'v', 'v'],
  'f32x4.convert_i32x4_s': [0xfa, 'v', 'v'],
  'f32x4.relaxed_madd': [0x105, 'vvv', 'v'],
  'f32x4.relaxed_nmadd': [0x106, 'vvv', 'v'],
} as const;

export const SIMD_LANE = {
  'f32x4.extract_lane': [0x1f, 'v', 'f'],
  'f32x4.replace_lane': [0x20, 'vf', 'v'],
} as const;

export const SIMD_MEMORY = {
  'v128.load': [0x00, '', 'v', 16],
  'v128.load8_splat': [0x07, '', 'v', 1],
  'v128.load16_splat': [0x08, '', 'v', 2],
  'v128.load32_splat': [0x09, '', 'v', 4],
  'v128.store': [0x0b, 'v', '', 16],
  'v128.load32_zero': [0x5c, '', 'v', 4],
} as const;

/** Stores of one lane; the immediate is the lane. */
export const SIMD_LANE_MEMORY = {
  'v128.store8_lane': [0x58, 'v', '', 1],
  'v128.store32_lane': [0x5a, 'v', '', 4],
} as const;
