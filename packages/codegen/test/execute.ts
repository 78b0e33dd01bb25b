/** Runs compiled models in the test process: memory of exactly the planned size, every step called in order. */
import { bytesPerElement, type CompiledModel, type DType, type Tensor, type TensorArray, viewAs } from '@grim/ir';

export interface ExecuteOptions {
  readonly family?: 'relaxed' | 'plain';
  /** The byte that fills the arena before the run. */
  readonly poison?: number;
}

const PAGE = 65536;

/** A memory with the constants in it, set up, and what runs steps over it. */
function open(model: CompiledModel, family: 'relaxed' | 'plain', poison: number) {
  const { manifest, constants } = model;
  const pages = Math.ceil((manifest.constantBytes + manifest.arenaBytes) / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const bytes = new Uint8Array(memory.buffer);
  bytes.fill(poison);
  bytes.set(constants);
  const module = new WebAssembly.Module(model.wasm[family] as Uint8Array<ArrayBuffer>);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const kernels = manifest.kernels.map(({ name }) => exports[name] as (...args: number[]) => void);
  const run = (steps: readonly number[]): void => {
    for (let at = 0; at < steps.length; ) {
      const kernel = steps[at++] ?? 0;
      if (kernel === -1) {
        const [condition = 0, then = 0, otherwise = 0] = steps.slice(at, at + 3);
        at += 3;
        run(bytes[condition] ? steps.slice(at, at + then) : steps.slice(at + then, at + then + otherwise));
        at += then + otherwise;
        continue;
      }
      if (kernel === -2) {
        at++;
        continue;
      }
      const count = manifest.kernels[kernel]?.parameters ?? 0;
      kernels[kernel]?.(...steps.slice(at, at + count));
      at += count;
    }
  };
  if (manifest.setup) run(manifest.setup.steps);
  return { bytes, run };
}

/** Constants as the setup leaves them. */
export function constantsOf(model: CompiledModel): Uint8Array {
  return open(model, 'plain', 0).bytes.slice(0, model.manifest.constantBytes);
}

/** @returns the outputs by name, copied out */
export function execute(
  model: CompiledModel,
  inputs: Readonly<Record<string, Tensor | TensorArray>>,
  { family = 'relaxed', poison = 0 }: ExecuteOptions = {},
): Record<string, Tensor> {
  const { manifest } = model;
  const { bytes, run } = open(model, family, poison);
  for (const { name, offset } of manifest.inputs) {
    const given = inputs[name];
    if (!given) throw new Error(`no input ${name}`);
    const data = ArrayBuffer.isView(given) ? given : given.data;
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
  }
  run(manifest.steps);
  const outputs: Record<string, Tensor> = Object.create(null);
  for (const { name, dtype, shape, offset } of manifest.outputs) {
    const length = shape.reduce((all, dim) => all * dim, 1);
    outputs[name] = { dtype, shape, data: arrayOf(dtype, bytes, offset, length) } as Tensor;
  }
  return outputs;
}

function arrayOf(dtype: DType, bytes: Uint8Array, offset: number, length: number): TensorArray {
  const copy = bytes.slice(offset, offset + length * bytesPerElement(dtype));
  return viewAs(dtype, copy.buffer, 0, length);
}
