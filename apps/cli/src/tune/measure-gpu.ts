/**
 * Times candidates on an adapter, in turn. Where the device has timestamps each dispatch is timed, and the times of a product are
 * added up; elsewhere the whole run by the clock on the wall stands for every product. A candidate that computes something else
 * fails the self-test of its file when it is loaded.
 */
import { type GpuCandidate, type GpuMeasure, pack, type Timed } from '@grim/codegen';
import { type TensorArray, viewAs } from '@grim/ir';
import { loadModel, type WebGpuModel } from '@grim/runtime/webgpu';

const WARM_UP = 3;

interface Open {
  readonly model: WebGpuModel;
  readonly inputs: Readonly<Record<string, TensorArray>>;
  /** Of each dispatch: the key of its product. */
  readonly products: readonly (string | undefined)[];
}

export function measureOnGpu(gpu: GPUDevice): GpuMeasure {
  const timed = gpu.features.has('timestamp-query');
  // The default is measured again and again.
  let first: { readonly candidate: GpuCandidate; readonly open: Open } | undefined;
  return async (candidates, { rounds, signal }) => {
    const opened: Open[] = [];
    try {
      for (const candidate of candidates) {
        signal?.throwIfAborted();
        const open = first?.candidate === candidate ? first.open : await openCandidate(candidate, gpu);
        first ??= { candidate, open };
        for (let run = 0; run < WARM_UP; run++) await open.model.run(open.inputs);
        opened.push(open);
      }
      const samples = opened.map((open) => ({ open, run: [] as number[], products: new Map<string, number[]>() }));
      for (let round = 0; round < rounds; round++) {
        signal?.throwIfAborted();
        for (const { open, run, products } of round % 2 === 0 ? samples : samples.toReversed()) {
          const start = performance.now();
          await open.model.run(open.inputs);
          const whole = performance.now() - start;
          run.push(whole);
          const times = timed ? await timesOf(open) : new Map(open.products.map((key) => [key, whole]));
          for (const [key, ms] of times) if (key !== undefined) products.set(key, [...(products.get(key) ?? []), ms]);
        }
      }
      return samples.map(({ run, products }): Timed => ({ run, products }));
    } finally {
      for (const open of opened) if (open !== first?.open) open.model.dispose();
    }
  };
}

async function openCandidate(candidate: GpuCandidate, gpu: GPUDevice): Promise<Open> {
  const compiled = candidate.compile();
  const model = await loadModel(pack(compiled), { device: 'webgpu', gpu });
  const inputs = Object.values(model.inputs).map(({ name, dtype, shape }) => {
    const length = shape.reduce((all, dim) => all * dim, 1);
    const data = viewAs(dtype, new ArrayBuffer(8 * length), 0, length);
    if (data instanceof Float32Array) for (let i = 0; i < length; i++) data[i] = Math.sin(i);
    return [name, data] as const;
  });
  return { model, inputs: Object.fromEntries(inputs), products: compiled.dispatches ?? [] };
}

async function timesOf({ model, inputs, products }: Open): Promise<ReadonlyMap<string | undefined, number>> {
  const sums = new Map<string | undefined, number>();
  for (const [i, { ms }] of (await model.profile(inputs)).entries())
    sums.set(products[i], (sums.get(products[i]) ?? 0) + ms);
  return sums;
}
