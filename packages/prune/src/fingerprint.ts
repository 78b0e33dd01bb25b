/** A short name for what a run depends on, so that a state is not applied to something else. Not a security measure. */
import type { Graph, TensorArray } from '@grim/ir';
import type { Feeds } from './calibrator.ts';

/** @param options  JSON apart from functions, which are left out, and infinities */
export function fingerprint(graph: Graph, batches: readonly Feeds[], options: object): string {
  const hash = hasher();
  for (const node of graph.nodes) hash.text(`${node.op} ${node.name} ${node.inputs.join()} ${node.outputs.join()}`);
  for (const [name, { shape, data }] of graph.weights) {
    hash.text(`${name} ${shape.join()}`);
    hash.data(data);
  }
  for (const batch of batches)
    for (const [name, { shape, data }] of Object.entries(batch)) {
      hash.text(`${name} ${shape.join()}`);
      hash.data(data);
    }
  const { signal, onProgress, onLayer, resume, ...rest } = options as Record<string, unknown>;
  hash.text(JSON.stringify(Object.entries(rest).sort(), (_, v) => (v === Number.POSITIVE_INFINITY ? 'inf' : v)));
  return hash.result();
}

/** Two 32-bit FNV-1a sums over 32-bit words with different primes. */
function hasher() {
  let a = 0x811c9dc5;
  let b = 0x1b873593;
  const word = (value: number) => {
    a = Math.imul(a ^ value, 0x01000193);
    b = Math.imul(b ^ value, 0x85ebca6b);
    b ^= b >>> 13;
  };
  return {
    text(text: string) {
      word(text.length);
      for (let i = 0; i < text.length; i++) word(text.charCodeAt(i));
    },
    data(data: TensorArray) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const whole = bytes.length & ~3;
      for (let i = 0; i < whole; i += 4)
        word(
          (bytes[i] as number) |
            ((bytes[i + 1] as number) << 8) |
            ((bytes[i + 2] as number) << 16) |
            ((bytes[i + 3] as number) << 24),
        );
      for (let i = whole; i < bytes.length; i++) word(bytes[i] as number);
    },
    result: () => [a, b].map((part) => (part >>> 0).toString(16).padStart(8, '0')).join(''),
  };
}
