/** Memory that threads share is written into a module as such. */

/** Limits with a maximum; the same and shared. */
const [OWN, SHARED] = [1, 3];

/**
 * The module with its memory declared as shared: one byte differs. Modules without an imported memory stay as they are.
 * The bytes were checked before: types, then the one import.
 */
export function withSharedMemory(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  let at = 8;
  const u32 = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  /** The id of a section, its length behind it. */
  const id = (): number | undefined => bytes[at++];
  if (id() !== 1) return bytes;
  const types = u32();
  at += types;
  if (id() !== 2) return bytes;
  u32();
  // One import, "env" "memory", of the kind memory.
  at += 1 + 4 + 7 + 1;
  if (bytes[at] !== OWN) return bytes;
  const copy = bytes.slice();
  copy[at] = SHARED as number;
  return copy;
}
