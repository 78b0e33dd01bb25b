/** What the engine can do, asked with tiny modules: each is one function that uses one instruction. */
import type { WasmFamily } from '@grim/ir';
import { PREAMBLE } from './wasm.ts';

/** A vector of zeros: i32.const 0, i8x16.splat. */
const ZEROS = [0x41, 0, 0xfd, 0x0f];

export function supports(family: WasmFamily, validate: (module: Uint8Array<ArrayBuffer>) => boolean): boolean {
  // i8x16.popcnt: of the final SIMD instructions, not of their drafts. f32x4.relaxed_madd
  const code = family === 'plain' ? [0xfd, 0x62] : [...ZEROS, ...ZEROS, 0xfd, 0x85, 2];
  const body = [0, ...ZEROS, ...code, 0x0b];
  const module = [...PREAMBLE, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0];
  return (
    typeof WebAssembly === 'object' &&
    validate(Uint8Array.from([...module, 0x0a, body.length + 2, 1, body.length, ...body]))
  );
}
