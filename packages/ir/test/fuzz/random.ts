/** Seeded choices for the fuzzers: equal seeds give equal cases, on every machine. */
export class Random {
  private state: number;

  /** Case `index` of campaign `seed`: every case can be replayed alone. */
  constructor(seed: number, index: number) {
    this.state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) | 0;
    this.bits();
  }

  /** 32 random bits, unsigned: mulberry32. */
  bits(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0 … below − 1. */
  below(below: number): number {
    return Math.floor((this.bits() / 2 ** 32) * below);
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of the items; undefined when there is none. */
  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)];
  }
}
