/** The side of the page: loads a network three times, compares, and times them in turn. */
import { stage } from '@grim/browser/stage';
import { loadModel } from '@grim/runtime/webgpu';

export interface Adapter {
  /** Vendor, architecture, device and driver, as far as the browser tells. */
  readonly name: string;
  readonly software: boolean;
  readonly features: readonly string[];
}

export interface Measured {
  /** Milliseconds of a run, by contender; and all of them. */
  readonly medians: Readonly<Record<string, number>>;
  readonly samples: Readonly<Record<string, readonly number[]>>;
  /** Largest differences: of the two dense ones, and of the pruned one on the GPU and on WebAssembly. */
  readonly differences: { readonly dense: number; readonly pruned: number };
}

type Ort = typeof import('onnxruntime-web');

/** A variable, so that a bundler leaves it to the browser. */
const ORT: string = '/ort/ort.webgpu.bundle.min.mjs';
const WARM_UP = 5;
/** A software adapter takes minutes to build pipelines. */
const PATIENCE = 900_000;
/** Of the largest value of an output. */
const TOLERANCE = 1e-2;

async function file(name: string): Promise<Uint8Array> {
  const response = await fetch(`/file?name=${name}`);
  if (!response.ok) throw new Error(`no ${name}`);
  return new Uint8Array(await response.arrayBuffer());
}

function difference(a: Float32Array, b: Float32Array): number {
  const largest = a.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  let most = 0;
  a.forEach((x, i) => {
    most = Math.max(most, Math.abs(x - (b[i] ?? Number.NaN)) / largest);
  });
  if (!(most <= TOLERANCE)) throw new Error(`outputs differ by ${most} of their largest value`);
  return most;
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0;
}

stage(
  {
    async adapter(): Promise<Adapter | null> {
      const found = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' });
      if (!found) return null;
      const { vendor, architecture, device, description, isFallbackAdapter } = found.info;
      return {
        name: [vendor, architecture, device, description].filter(Boolean).join(', '),
        software: isFallbackAdapter === true || architecture === 'swiftshader',
        features: [...found.features].sort(),
      };
    },

    async measure({ samples }: { readonly samples: number }): Promise<Measured> {
      const [denseFile, prunedFile, onnx] = await Promise.all(['dense', 'pruned', 'onnx'].map(file));
      const ort = (await import(ORT)) as Ort;
      const session = await ort.InferenceSession.create(onnx as Uint8Array, { executionProviders: ['webgpu'] });
      using dense = await loadModel(denseFile as Uint8Array, { device: 'webgpu', patience: PATIENCE });
      using pruned = await loadModel(prunedFile as Uint8Array, { device: 'webgpu', patience: PATIENCE });
      using cpu = await loadModel(prunedFile as Uint8Array, { device: 'wasm' });
      const given: Record<string, Float32Array> = {};
      const feeds: Record<string, InstanceType<Ort['Tensor']>> = {};
      for (const { name, shape } of dense.manifest.inputs) {
        const length = shape.reduce((product, dim) => product * dim, 1);
        const data = Float32Array.from({ length }, (_, i) => Math.sin(i * 0.7) * Math.cos(i * 0.013));
        given[name] = data;
        feeds[name] = new ort.Tensor('float32', data, shape);
      }
      const output = dense.manifest.outputs[0]?.name ?? '';
      // All of them end with the output in an array on the CPU.
      const contenders: Readonly<Record<string, () => Promise<Float32Array>>> = {
        onnxruntime: async () => (await session.run(feeds))[output]?.data as Float32Array,
        dense: async () => (await dense.run(given))[output] as Float32Array,
        pruned: async () => (await pruned.run(given))[output] as Float32Array,
      };
      const first: Record<string, Float32Array> = {};
      for (const [name, run] of Object.entries(contenders)) first[name] = await run();
      const { onnxruntime = new Float32Array(), dense: ours = new Float32Array() } = first;
      const differences = {
        dense: difference(onnxruntime, ours),
        pruned: difference((await cpu.run(given))[output] as Float32Array, first['pruned'] ?? new Float32Array()),
      };
      const times: Record<string, number[]> = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
      for (let round = -WARM_UP; round < samples; round++)
        for (const [name, run] of Object.entries(contenders)) {
          const start = performance.now();
          await run();
          if (round >= 0) times[name]?.push(performance.now() - start);
        }
      await session.release();
      const medians = Object.fromEntries(Object.entries(times).map(([name, list]) => [name, median(list)]));
      return { medians, samples: times, differences };
    },
  },
  { module: '/page.js' },
);
