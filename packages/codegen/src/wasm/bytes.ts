/** A growing byte buffer with the LEB128 integers of the WebAssembly binary format (core specification, chapter 5.2). */
import { invariant } from '@grim/ir';

export class ByteWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  byte(value: number): this {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  raw(values: ArrayLike<number>): this {
    if (this.#length + values.length > this.#bytes.length) this.#grow(values.length);
    this.#bytes.set(values, this.#length);
    this.#length += values.length;
    return this;
  }

  /** Unsigned LEB128 of an integer in [0, 2^32). */
  u32(value: number): this {
    invariant(Number.isInteger(value) && value >= 0 && value < 2 ** 32, `u32 of ${value}`);
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    return this.byte(rest);
  }

  /** Signed LEB128 of an integer in [-2^31, 2^32): the upper half stands for the same 32 bits read as unsigned. */
  s32(value: number): this {
    invariant(Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 32, `s32 of ${value}`);
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      const done = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
      this.byte(done ? low : low | 0x80);
      if (done) return this;
    }
  }

  /** The four bytes of a float32. A NaN keeps no payload: JavaScript does not promise one. */
  f32(value: number): this {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, value, true);
    return this.raw(new Uint8Array(view.buffer));
  }

  /** A name: ASCII only, as every name here is generated. */
  ascii(text: string): this {
    invariant(/^[\x20-\x7e]*$/.test(text), 'a name in a module is printable ASCII');
    this.u32(text.length);
    return this.raw(Array.from(text, (character) => character.charCodeAt(0)));
  }

  /** `content`, preceded by its length. */
  sized(content: ByteWriter): this {
    return this.u32(content.length).raw(content.bytes());
  }

  /** A copy of what was written. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(by: number): void {
    const next = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + by));
    next.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = next;
  }
}
