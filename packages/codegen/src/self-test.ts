/** Runs a compiled model once, on seeded inputs, with the plain instructions: where a file's expected values come from. */
import { type CompiledModel, invariant, type TensorArray, viewAs } from '@grim/ir';

const PAGE_BYTES = 65536;

/**
 * Inputs follow from the seed as docs/formats.md says; states are zeros.
 * @param constants  what the memory holds from address 0, in pieces
 * @returns copies, by output name
 */
export function runOnce(
  { manifest, wasm }: CompiledModel,
  constants: readonly Uint8Array[],
  seed: number,
): ReadonlyMap<string, TensorArray> {
  const { inputs, outputs, states, kernels, setup, steps, constantBytes, arenaBytes } = manifest;
  const pages = Math.ceil((constantBytes + arenaBytes) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const bytes = new Uint8Array(memory.buffer);
  let address = 0;
  for (const piece of constants) {
    bytes.set(piece, address);
    address += piece.length;
  }
  const view = ({ dtype, shape, offset }: (typeof inputs)[number]) =>
    viewAs(
      dtype,
      memory.buffer,
      offset,
      shape.reduce((product, dim) => product * dim, 1),
    );
  const fed = new Set(states.map(({ input }) => input));
  let x = seed;
  for (const input of inputs) {
    if (fed.has(input.name)) continue;
    const data = view(input);
    for (let i = 0; i < data.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      if (input.dtype === 'float32' || input.dtype === 'float64') data[i] = (x >>> 8) / 2 ** 23 - 1;
      else data[i] = typeof data[i] === 'bigint' ? BigInt(x >>> 31) : x >>> 31;
    }
  }
  const module = new WebAssembly.Module(new Uint8Array(wasm.plain));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const functions = kernels.map(({ name }) => exports[name] as (...args: readonly number[]) => void);
  const walk = (steps: readonly number[], from = 0, end: number = steps.length): void => {
    for (let at = from; at < end; ) {
      const index = steps[at++] ?? 0;
      const [condition = 0, then = 0, otherwise = 0] = steps.slice(at, at + 3);
      if (index >= 0) {
        const next = at + (kernels[index]?.parameters ?? 0);
        functions[index]?.(...steps.slice(at, next));
        at = next;
      } else if (index === -2) at++;
      else {
        at += 3;
        if (bytes[condition]) walk(steps, at, at + then);
        else walk(steps, at + then, at + then + otherwise);
        at += then + otherwise;
      }
    }
  };
  const stored = constantBytes - (setup?.bytes ?? 0);
  invariant(address === stored, `constants of ${address} bytes, ${stored} declared`);
  if (setup) walk(setup.steps);
  walk(steps);
  return new Map(outputs.map((output) => [output.name, view(output).slice()]));
}
