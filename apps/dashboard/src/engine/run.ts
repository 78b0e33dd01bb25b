/** One run of a network on one of its sample inputs: what comes out, largest first, and how long it took. */
import { show, type Tensor, type TensorArray } from '@grim/ir';
import { median } from '@grim/measure';
import { loadModel } from '@grim/runtime';
import type { Context, Which } from './messages.ts';
import { classesOf, type Feed } from './samples.ts';
import { networkOf, theSession } from './session.ts';

export interface RunAsk {
  readonly which: Which;
  readonly sample: number;
}

export interface RunAnswer {
  readonly ms: number;
  readonly simd: string;
  readonly outputs: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    /** The largest elements: position, name where the class has one, value. */
    readonly top: readonly (readonly [index: number, label: string, value: number])[];
  }[];
  /** Class of the input, where it is known. */
  readonly wanted: string | undefined;
}

/** Optimised code comes after whole runs, and some time. */
const WARM_UP_MS = 200;

export type Outputs = Readonly<Record<string, TensorArray>>;

export function dataOf(feed: Feed): Record<string, TensorArray> {
  return Object.fromEntries(Object.entries(feed).map(([name, { data }]: [string, Tensor]) => [name, data]));
}

export async function run({ which, sample }: RunAsk, { stage, signal }: Context): Promise<RunAnswer> {
  const session = theSession();
  const { compiled } = networkOf(session, which);
  const { feeds, labels, kind } = session.samples;
  await stage('Running');
  using model = await loadModel(compiled.file, { signal });
  const feed = feeds[sample % feeds.length] as Feed;
  let outputs: Outputs = {};
  const times: number[] = [];
  for (const end = performance.now() + WARM_UP_MS; times.length < 5 || performance.now() < end; ) {
    await stage('Running');
    model.reset();
    const start = performance.now();
    outputs = await model.run(dataOf(feed));
    times.push(performance.now() - start);
  }
  const ms = median(times);
  const classes = classesOf(kind);
  const label = labels?.[sample % feeds.length];
  return {
    ms,
    simd: model.simd,
    wanted: label === undefined ? undefined : (classes?.[label] ?? String(label)),
    outputs: compiled.manifest.outputs.map(({ name, shape, labels: own }) => ({
      ...{ name: show(name), shape },
      top: largest(outputs[name] ?? new Float32Array(), 5).map((index) => [
        index,
        show(own?.[index] ?? classes?.[index] ?? ''),
        Number(outputs[name]?.[index]),
      ]),
    })),
  };
}

/** Positions of the largest elements, largest first. */
export function largest(values: TensorArray, count: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    let at = found.length;
    while (at > 0 && Number(values[found[at - 1] as number]) < value) at--;
    if (at < count) {
      found.splice(at, 0, i);
      found.length = Math.min(found.length, count);
    }
  }
  return found;
}
