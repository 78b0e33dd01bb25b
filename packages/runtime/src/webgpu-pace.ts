/**
 * Loading for a GPU leaves the page its frames: what WebAssembly computes before the GPU takes over, its setup and its
 * self-test, is done in slices, and constants go to the device in pieces. Between them the event loop turns.
 */
import type { FileManifest, WebGpuProgram } from '@grim/ir';
import type { Engine } from './model.ts';
import { findMismatch } from './self-test.ts';

/** Bytes that are handed to a device at a time. */
const PIECE = 2 ** 21;
/** A slice of work ends with the first call after so many milliseconds. */
const SLICE_MS = 4;

/** Lets the event loop turn; sooner than a timer, which a page in the background has only once a second. */
function turn(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

/**
 * What a device gets of the constants, and where it goes, in pieces that end with a segment; a turn of the event loop after
 * every few of them.
 */
export async function* pieces(
  constants: Uint8Array,
  { copies, segmentBytes }: Pick<WebGpuProgram, 'copies' | 'segmentBytes'>,
): AsyncGenerator<readonly [at: number, piece: Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>]> {
  let handed = 0;
  for (let i = 0; i < copies.length; i += 4) {
    const [from, to, bytes, half] = copies.slice(i, i + 4) as [number, number, number, number];
    for (let done = 0; done < bytes; ) {
      const at = to + done / (1 + half);
      const left = (segmentBytes - (at % segmentBytes)) * (1 + half);
      const length = Math.min(bytes - done, PIECE, left);
      handed += length;
      if (handed > PIECE) {
        await turn();
        handed = length;
      }
      const piece = constants.subarray(from + done, from + done + length) as Uint8Array<ArrayBuffer>;
      yield [at, half ? halvesOf(piece) : piece];
      done += length;
    }
  }
}

/** float32 as float16, which all of them are: nothing is rounded. */
function halvesOf({ buffer, byteOffset, length }: Uint8Array): Uint16Array<ArrayBuffer> {
  const values = new Float32Array(buffer, byteOffset, length / 4);
  return Uint16Array.from(new Uint32Array(buffer, byteOffset, length / 4), (bits, i) => {
    const exponent = ((bits >>> 23) & 255) - 112;
    const size =
      exponent > 0 ? (Math.min(31, exponent) << 10) | ((bits >>> 13) & 1023) : Math.abs(values[i] as number) * 2 ** 24;
    return ((bits >>> 16) & 0x8000) | size;
  });
}

/**
 * As `Engine.selfTest`, in slices.
 * @param setup  an engine whose steps are those of the setup
 */
export async function selfTestInSlices(
  { seed, walk, outputs }: Engine,
  setup: Engine,
  { constantBytes, selfTest }: FileManifest,
  memory: WebAssembly.Memory,
): Promise<unknown> {
  const all = async (steps: Engine['walk']): Promise<void> => {
    for (let at = 0; at >= 0; await turn()) {
      const end = performance.now() + SLICE_MS;
      at = steps(at, () => performance.now() > end);
    }
  };
  try {
    await all(setup.walk);
    seed();
    await all(walk);
    return findMismatch(selfTest, new Map(outputs.map(({ name, data }) => [name, data])));
  } catch (error) {
    return { trap: String(error) };
  } finally {
    new Uint8Array(memory.buffer).fill(0, constantBytes);
  }
}
