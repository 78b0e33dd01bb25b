/** onnxruntime-web, where somebody put it beside the page: the part of its interface that is used, and nothing bundled. */
import { GrimError, type TensorArray } from '@grim/ir';
import type { Outputs } from './run.ts';
import type { Feed } from './samples.ts';

interface Ort {
  readonly env: { readonly wasm: { numThreads?: number; proxy?: boolean }; readonly versions?: Record<string, string> };
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<OrtSession>;
  };
  readonly Tensor: new (type: string, data: TensorArray, shape: readonly number[]) => object;
}

interface OrtSession {
  run(feeds: object): Promise<Readonly<Record<string, { readonly data: TensorArray }>>>;
  release(): Promise<void>;
}

interface Rival {
  readonly notes: readonly string[];
  readonly bytes: number;
  run(data: Outputs): Promise<Outputs>;
  dispose(): void;
}

/** @throws {GrimError} GRIM_DASHBOARD_NO_ORT when it is not there, on another origin, or refuses the network */
export async function loadOrt(url: string, model: Uint8Array, threads: number, feed: Feed): Promise<Rival> {
  const address = new URL(url, globalThis.location.origin);
  if (address.origin !== globalThis.location.origin)
    throw new GrimError(
      'GRIM_DASHBOARD_NO_ORT',
      'onnxruntime-web must lie beside this page: other origins are not asked.',
    );
  let ort: Ort;
  try {
    ort = (await import(/* @vite-ignore */ address.href)) as Ort;
  } catch {
    throw new GrimError(
      'GRIM_DASHBOARD_NO_ORT',
      `onnxruntime-web is not at ${address.pathname}. Put the files of its dist folder there to see it beside.`,
    );
  }
  Object.assign(ort.env.wasm, { numThreads: threads, proxy: false });
  let session: OrtSession;
  try {
    session = await ort.InferenceSession.create(model, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
  } catch (error) {
    throw new GrimError('GRIM_DASHBOARD_NO_ORT', `onnxruntime-web does not run this network: ${String(error)}`);
  }
  return {
    notes: [`version ${ort.env.versions?.['web'] ?? ort.env.versions?.['common'] ?? 'unknown'}`],
    bytes: model.length,
    async run(data) {
      const feeds = Object.fromEntries(
        Object.entries(feed).map(([name, { dtype, shape }]) => [
          name,
          new ort.Tensor(dtype, data[name] as TensorArray, shape),
        ]),
      );
      return Object.fromEntries(Object.entries(await session.run(feeds)).map(([name, one]) => [name, one.data]));
    },
    dispose: () => void session.release(),
  };
}
