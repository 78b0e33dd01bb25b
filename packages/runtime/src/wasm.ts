/**
 * What a module of a `.grim` file may be, checked before an engine sees it: types, one imported memory, functions,
 * exports, code, in this order and nothing else. An engine would accept much more: a start function, a table, a memory
 * of its own, data, custom sections of any length.
 * @see WebAssembly core specification 3.0, chapter 5 (binary format)
 */
import type { FileManifest } from '@grim/ir';
import { corrupt } from './errors.ts';

/** `\0asm`, version 1. */
export const PREAMBLE: readonly number[] = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const I32 = 0x7f;
/** i64, f32, f64, v128 may stand in the types of inner functions. */
const VALUE_TYPES = [I32, 0x7e, 0x7d, 0x7c, 0x7b];
const MAX_BODY_BYTES = 2 ** 20;

/** @throws {RuntimeError} GRIM_RUNTIME_BAD_ARTIFACT */
export function checkModule(bytes: Uint8Array, { kernels }: Pick<FileManifest, 'kernels'>, pages: number): void {
  let at = 0;
  let end = bytes.length;
  const wrong = (): never => corrupt(`its module is not allowed, at byte ${at}`, { at });
  const byte = (): number => (at < end ? (bytes[at++] as number) : wrong());
  /** LEB128, in its shortest form. */
  const u32 = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const low = byte();
      value += (low & 127) * scale;
      if (value >= 2 ** 32 || (low === 0 && scale > 1)) wrong();
      if (low < 128) return value;
    }
  };
  const ascii = (): string => {
    const length = u32();
    if (length > end - at) wrong();
    const name = String.fromCharCode(...bytes.subarray(at, at + Math.min(length, 2000)));
    at += length;
    return name;
  };
  const repeat = (body: (index: number) => void): number => {
    const count = u32();
    for (let i = 0; i < count; i++) body(i);
    return count;
  };
  const section = (id: number, body: () => void): void => {
    if (byte() !== id) wrong();
    const length = u32();
    const outer = end;
    if (length > outer - at) wrong();
    end = at + length;
    body();
    if (at !== end) wrong();
    end = outer;
  };

  for (const expected of PREAMBLE) if (byte() !== expected) wrong();
  /** For each type: how many i32 it takes, -1 when it is no type of a kernel. */
  const arity: number[] = [];
  section(1, () => {
    repeat(() => {
      if (byte() !== 0x60) wrong();
      let plain = true;
      const parameters = repeat(() => {
        const type = byte();
        if (!VALUE_TYPES.includes(type)) wrong();
        plain &&= type === I32;
      });
      const results = repeat(() => {
        if (!VALUE_TYPES.includes(byte())) wrong();
      });
      arity.push(plain && results === 0 ? parameters : -1);
    });
  });
  section(2, () => {
    if (u32() !== 1 || ascii() !== 'env' || ascii() !== 'memory' || byte() !== 2) wrong();
    if (byte() !== 1 || u32() > pages || u32() < pages) wrong();
  });
  const functions: number[] = [];
  section(3, () => {
    repeat(() => {
      functions.push(arity[u32()] ?? wrong());
    });
  });
  section(7, () => {
    const count = repeat((i) => {
      const name = ascii();
      const kernel = kernels[i];
      if (name !== kernel?.name || byte() !== 0 || functions[u32()] !== kernel.parameters) wrong();
    });
    if (count !== kernels.length) wrong();
  });
  section(10, () => {
    const count = repeat(() => {
      const length = u32();
      if (length > MAX_BODY_BYTES || length > end - at) wrong();
      at += length;
    });
    if (count !== functions.length) wrong();
  });
  if (at !== end) wrong();
}
