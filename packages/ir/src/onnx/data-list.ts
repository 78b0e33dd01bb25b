/**
 * The numbers of one `*_data` field, gathered in file order from packed and unpacked pieces in any mixture.
 *
 * One packed piece of floats or doubles, which is what writers produce, stays where it is in the file. Anything else is
 * copied into one growing array, so that a million pieces of one number cost no more than one piece of a million.
 * Elements are little-endian, in the file and, as on every platform that runs JavaScript, in memory.
 */
export class DataList {
  /** The only piece so far, still in the file. */
  private piece: Uint8Array | undefined;
  private words = new Uint32Array(0);
  private used = 0;

  /** Makes room for `words` more 32-bit words. */
  reserve(words: number): void {
    const needed = this.used + words;
    if (needed <= this.words.length) return;
    const grown = new Uint32Array(this.used === 0 ? needed : Math.max(needed, 2 * this.words.length, 8));
    grown.set(this.words.subarray(0, this.used));
    this.words = grown;
  }

  push32(bits: number): void {
    this.leaveFile();
    this.reserve(1);
    this.words[this.used++] = bits;
  }

  push64(bits: number | bigint): void {
    this.leaveFile();
    this.reserve(2);
    const low = typeof bits === 'number' ? bits : Number(bits & 0xffffffffn);
    this.words[this.used++] = low;
    this.words[this.used++] = typeof bits === 'number' ? 0 : Number(bits >> 32n);
  }

  /** Elements as they lie in the file; a multiple of 4 bytes. */
  pushBytes(bytes: Uint8Array): void {
    if (this.piece === undefined && this.used === 0) {
      this.piece = bytes;
      return;
    }
    this.leaveFile();
    this.append(bytes);
  }

  get byteLength(): number {
    return this.piece?.length ?? this.used * 4;
  }

  /** All elements, as a view on the file where they were in one piece. */
  bytes(): Uint8Array {
    return this.piece ?? new Uint8Array(this.words.buffer, 0, this.used * 4);
  }

  private leaveFile(): void {
    const { piece } = this;
    if (piece === undefined) return;
    this.piece = undefined;
    this.append(piece);
  }

  private append(bytes: Uint8Array): void {
    this.reserve(bytes.length / 4);
    new Uint8Array(this.words.buffer).set(bytes, this.used * 4);
    this.used += bytes.length / 4;
  }
}
