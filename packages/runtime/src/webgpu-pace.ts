/**
 * Loading for a GPU leaves the page its frames: what WebAssembly computes before the GPU takes over, its setup and its
 * self-test, is done in slices, and constants go to the device in pieces. Between them the event loop turns.
 */
import type { FileManifest } from '@grim/ir';
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

/** The bytes piece by piece, and where each begins; a turn of the event loop between two. */
export async function* pieces(
  bytes: Uint8Array,
): AsyncGenerator<readonly [at: number, piece: Uint8Array<ArrayBuffer>]> {
  for (let at = 0; at < bytes.length; at += PIECE) {
    if (at > 0) await turn();
    yield [at, bytes.subarray(at, at + PIECE) as Uint8Array<ArrayBuffer>];
  }
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
