/**
 * Random numbers that are functions: the number at (seed, stream, index) does not depend on what was drawn before, so
 * results do not depend on chunking, order or the number of workers.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the key is the seed,
 * the counter is (index, stream). Each block of four words gives two uniforms of 53 bits, or two normals by Box–Muller.
 */
import { checkInteger } from './errors.ts';

/** The four words of the last block; one buffer, as a block is consumed before the next is made. */
const block = new Uint32Array(4);

/** High word of a·b, for 32-bit a and b, without 64-bit integers. */
function high(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const middleLow = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(middleLow / 0x10000)) >>> 0;
}

/** One block of Philox4x32-10. Exported for its known-answer test. */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): readonly number[] {
  fill(counter[0], counter[1], counter[2], counter[3], key[0], key[1]);
  return Array.from(block);
}

function fill(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): void {
  let [a, b, c, d, k, l] = [c0 | 0, c1 | 0, c2 | 0, c3 | 0, k0 | 0, k1 | 0];
  for (let round = 0; round < 10; round++) {
    const highA = high(a >>> 0, 0xd2511f53);
    const highC = high(c >>> 0, 0xcd9e8d57);
    const lowA = Math.imul(a, 0xd2511f53);
    const lowC = Math.imul(c, 0xcd9e8d57);
    [a, b, c, d] = [highC ^ b ^ k, lowC, highA ^ d ^ l, lowA];
    k = (k + 0x9e3779b9) | 0;
    l = (l + 0xbb67ae85) | 0;
  }
  block[0] = a;
  block[1] = b;
  block[2] = c;
  block[3] = d;
}

/** What is drawn: each purpose has its own stream, so that adding one leaves the others as they were. */
export const STREAMS = {
  programming: 1,
  drift: 2,
  retention: 3,
  stuck: 4,
  read: 5,
  converter: 6,
  auxiliary: 7,
} as const;

/** Numbers of one (seed, stream): uniforms in (0, 1) and standard normals, each by its index alone. */
export interface RandomStream {
  /** @param index  integer from 0 to 2^52 */
  uniform(index: number): number;
  normal(index: number): number;
}

/** @param seed, stream  integers from 0 to 2^53 − 1; `stream` is cut to 32 bits and `layer` (also 32 bits) is beside it */
export function randomStream(seed: number, stream: number, layer = 0): RandomStream {
  checkInteger('GRIM_RERAM_BAD_DEVICE', 'random numbers: seed', seed, 0, Number.MAX_SAFE_INTEGER);
  const k0 = seed >>> 0;
  const k1 = Math.floor(seed / 2 ** 32) >>> 0;
  let cachedPair = -1;
  let first = 0;
  let second = 0;
  const uniformPair = (pair: number): void => {
    fill(pair >>> 0, Math.floor(pair / 2 ** 32) >>> 0, stream, layer, k0, k1);
    // 53 bits, moved by half a step off both ends: a logarithm of it is finite.
    first = ((block[0] ?? 0) * 2097152 + ((block[1] ?? 0) >>> 11) + 0.5) / 9007199254740992;
    second = ((block[2] ?? 0) * 2097152 + ((block[3] ?? 0) >>> 11) + 0.5) / 9007199254740992;
  };
  return {
    uniform(index) {
      cachedPair = -1;
      uniformPair(Math.floor(index / 2));
      return index % 2 === 0 ? first : second;
    },
    normal(index) {
      const pair = Math.floor(index / 2);
      if (pair !== cachedPair) {
        uniformPair(pair);
        const radius = Math.sqrt(-2 * Math.log(first));
        const angle = 2 * Math.PI * second;
        first = radius * Math.cos(angle);
        second = radius * Math.sin(angle);
        cachedPair = pair;
      }
      return index % 2 === 0 ? first : second;
    },
  };
}
