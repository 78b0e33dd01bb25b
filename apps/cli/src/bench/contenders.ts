/** What can run a network: compiled by us, or by onnxruntime where that is installed. One thread each. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GrimError, type Tensor, type TensorArray } from '@grim/ir';
import { loadModel } from '@grim/runtime';
import { loadModel as loadOnGpu } from '@grim/runtime/webgpu';
import type { Contender } from './rounds.ts';

export type Inputs = Readonly<Record<string, Tensor>>;
type Outputs = Readonly<Record<string, TensorArray>>;

export interface OpenContender extends Contender {
  /** Of the engine, where it is not ours. */
  readonly version?: string;
  /** Bytes of the model that it read. */
  readonly bytes: number;
  /** From the bytes to a model that can run, without importing the engine. */
  readonly openMs: number;
  /** Of the first run. */
  readonly firstMs: number;
  /** Of that run. */
  readonly outputs: Outputs;
  run(): Promise<Outputs>;
}

/** Opens it and runs it once, both timed. */
async function opened(
  name: string,
  bytes: number,
  version: string | undefined,
  open: () => Promise<() => Promise<Outputs>>,
): Promise<OpenContender> {
  const start = performance.now();
  const run = await open();
  const middle = performance.now();
  const outputs = await run();
  const firstMs = performance.now() - middle;
  return { name, bytes, openMs: middle - start, firstMs, outputs, run, ...(version !== undefined && { version }) };
}

/**
 * @param file  the bytes of a `.grim` file
 * @param gpu  what it runs on, in place of the CPU
 */
export function openGrim(name: string, file: Uint8Array, inputs: Inputs, gpu?: GPUDevice): Promise<OpenContender> {
  return opened(name, file.length, undefined, async () => {
    const model = await (gpu ? loadOnGpu(file, { device: 'webgpu', gpu }) : loadModel(file));
    const data = Object.fromEntries(Object.entries(inputs).map(([key, tensor]) => [key, tensor.data]));
    return () => model.run(data);
  });
}

/** The part of onnxruntime's interface that is used. */
interface Ort {
  readonly env: { readonly wasm: { numThreads?: number; proxy?: boolean } };
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: object,
    ): Promise<{
      run(feeds: object): Promise<Readonly<Record<string, { readonly data: TensorArray }>>>;
    }>;
  };
  readonly Tensor: new (type: string, data: TensorArray, shape: readonly number[]) => object;
}

export const PEERS = { 'ort-web': 'onnxruntime-web', 'ort-node': 'onnxruntime-node' } as const;
export type Peer = keyof typeof PEERS;

const PLACES = [join(process.cwd(), 'package.json'), import.meta.filename];

/**
 * The engine, if it is installed.
 * @param places  files from which it is looked for; by default where the command runs, and this program
 */
export async function findPeer(
  peer: Peer,
  places: readonly string[] = PLACES,
): Promise<{ readonly ort: Ort; readonly version: string } | undefined> {
  // Both register a backend "cpu" in the same onnxruntime-common, where the first one stays: the native one must.
  if (peer === 'ort-web') await findPeer('ort-node', places);
  for (const from of places) {
    const { resolve } = createRequire(from);
    try {
      const module = (await import(pathToFileURL(resolve(PEERS[peer])).href)) as { default?: Ort } & Partial<Ort>;
      const ort = (module.InferenceSession ? module : module.default) as Ort;
      const versions = (ort.env as { versions?: Readonly<Record<string, string>> }).versions;
      return { ort, version: versions?.[peer.slice(4)] ?? versions?.['common'] ?? '' };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'MODULE_NOT_FOUND' && code !== 'ERR_MODULE_NOT_FOUND') throw error;
    }
  }
  return undefined;
}

/**
 * @param model  the bytes of an ONNX file
 * @throws {GrimError} GRIM_CLI_PEER when the engine refuses the model
 */
export async function openPeer(
  peer: Peer,
  { ort, version }: { readonly ort: Ort; readonly version: string },
  model: Uint8Array,
  inputs: Inputs,
  name: string = peer,
): Promise<OpenContender> {
  if (peer === 'ort-web') Object.assign(ort.env.wasm, { numThreads: 1, proxy: false });
  try {
    return await opened(name, model.length, version, async () => {
      const session = await ort.InferenceSession.create(model, {
        executionProviders: [peer === 'ort-web' ? 'wasm' : 'cpu'],
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        graphOptimizationLevel: 'all',
      });
      const feeds = Object.fromEntries(
        Object.entries(inputs).map(([key, { dtype, data, shape }]) => [key, new ort.Tensor(dtype, data, shape)]),
      );
      return async () =>
        Object.fromEntries(Object.entries(await session.run(feeds)).map(([key, { data }]) => [key, data]));
    });
  } catch (error) {
    throw new GrimError('GRIM_CLI_PEER', `${PEERS[peer]} does not run the model: ${String(error)}`);
  }
}

/**
 * The largest difference of any output, as a share of the largest value of that output.
 * @throws {GrimError} GRIM_CLI_DIFFERENT beyond `tolerance`, or where outputs are missing
 */
export function requireEqual(a: OpenContender, b: OpenContender, tolerance: number): number {
  let worst = 0;
  for (const [output, found] of Object.entries(a.outputs)) {
    const wanted = b.outputs[output];
    const fail = (what: string): never => {
      throw new GrimError(
        'GRIM_CLI_DIFFERENT',
        `${a.name} and ${b.name} compute different values for output "${output}": ${what}. Nothing was timed.`,
      );
    };
    if (wanted?.length !== found.length) fail(`${found.length} elements and ${wanted?.length ?? 'none'}`);
    let [scale, difference] = [0, 0];
    for (let i = 0; i < found.length; i++) {
      const [x, y] = [Number(found[i]), Number(wanted?.[i])];
      scale = Math.max(scale, Number.isFinite(y) ? Math.abs(y) : 0);
      if (Object.is(x, y)) continue;
      difference = Math.max(difference, Math.abs(x - y));
      if (Number.isNaN(x - y)) fail(`${x} and ${y} at element ${i}`);
    }
    const relative = difference === 0 ? 0 : difference / Math.max(scale, 1e-6);
    if (!(relative <= tolerance)) fail(`they differ by ${difference.toExponential(1)} of ${scale.toExponential(1)}`);
    worst = Math.max(worst, relative);
  }
  return worst;
}
