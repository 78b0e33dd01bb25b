/** Many inferences of several models in turn: outputs must keep their bits, and memory must stay what it is. */
import type { Model, Tensors } from '@grim/runtime';
import type { SoakModel } from './models.ts';

export interface Memory {
  /** Inferences before. */
  readonly run: number;
  /** Bytes, after a garbage collection where there is one to be had. */
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
}

export interface Soak {
  readonly runs: number;
  /** Inferences whose outputs had other bits than the first one of that model. */
  readonly different: number;
  readonly memory: readonly Memory[];
}

export interface SoakOptions {
  /** Of all models together. */
  readonly runs: number;
  /** Between two looks at the memory. */
  readonly every: number;
  readonly load: (grim: Uint8Array) => Promise<Model>;
  readonly onLook?: (memory: Memory) => void;
}

export async function soak(models: readonly SoakModel[], { runs, every, load, onLook }: SoakOptions): Promise<Soak> {
  using open = new DisposableStack();
  const loaded: { model: Model; inputs: Tensors; first: string }[] = [];
  for (const { grim, inputs } of models) {
    const model = open.use(await load(grim));
    loaded.push({ model, inputs, first: bitsOf(await model.run(inputs)) });
  }
  const memory: Memory[] = [];
  let different = 0;
  for (let run = 0; run < runs; run++) {
    if (run % every === 0) look(run);
    const { model, inputs, first } = loaded[run % loaded.length] as (typeof loaded)[number];
    if (bitsOf(await model.run(inputs)) !== first) different++;
  }
  look(runs);
  return { runs, different, memory };

  function look(run: number): void {
    // Twice: what a finaliser lets go is free only after the next one.
    for (let i = 0; i < 2; i++) (globalThis as { gc?: () => void }).gc?.();
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
    const found = { run, rss, heapUsed, external, arrayBuffers };
    memory.push(found);
    onLook?.(found);
  }
}

function bitsOf(outputs: Tensors): string {
  return Object.values(outputs)
    .map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength).toString('latin1'))
    .join();
}

/** The most that it differs from the median, as a share of it; looks before `from` inferences do not count. */
export function spread(memory: readonly Memory[], of: Exclude<keyof Memory, 'run'>, from: number): number {
  const values = memory.filter(({ run }) => run >= from).map((one) => one[of]);
  const middle = values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
  return Math.max(...values.map((value) => Math.abs(value / middle - 1)));
}

/** How much the least of the last third is above the least of the first, as a share of it: single looks find what is still to be freed. */
export function growth(memory: readonly Memory[], of: Exclude<keyof Memory, 'run'>): number {
  const third = Math.ceil(memory.length / 3);
  const least = (some: readonly Memory[]) => Math.min(...some.map((one) => one[of]));
  return least(memory.slice(-third)) / least(memory.slice(0, third)) - 1;
}
