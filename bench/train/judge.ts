/** What a trained network is judged by: counts with their interval, weights outside the masks, answers on WebAssembly. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile, pack } from '@grim/codegen';
import { bind, type Graph, patternMask } from '@grim/ir';
import { loadModel } from '@grim/runtime';
import type { JournalStore } from '@grim/train';

/** Examples as the network takes them. */
export interface Judged {
  readonly data: Float32Array;
  /** Of one example. */
  readonly shape: readonly number[];
  readonly labels: readonly number[];
}

/** Right answers of the compiled network on WebAssembly. */
export async function answeredByGrim(graph: Graph, { data, shape, labels }: Judged): Promise<number> {
  const batch = 20;
  const [[input, type] = ['', { shape: null }]] = graph.inputs;
  const model = await loadModel(pack(compile(bind(graph, { dims: { [String(type.shape?.[0])]: batch } }))));
  const size = shape.reduce((all, length) => all * length, 1);
  let right = 0;
  for (let first = 0; first < labels.length; first += batch) {
    const part = data.subarray(first * size, (first + batch) * size);
    const [scores] = Object.values(await model.run({ [input]: part })) as Float32Array[];
    const classes = (scores?.length ?? 0) / batch;
    for (let i = 0; i < batch; i++) {
      const own = Array.from(scores?.subarray(i * classes, (i + 1) * classes) ?? []);
      if (own.indexOf(Math.max(...own)) === labels[first + i]) right++;
    }
  }
  model.dispose();
  return right;
}

/** Weights outside their pattern that are not zero, and the share inside. Of weights that lie as their matrix. */
export function masksOf(graph: Graph): { readonly violations: number; readonly density: number } {
  let [violations, kept, all] = [0, 0, 0];
  for (const { pattern, data } of graph.weights.values()) {
    if (!pattern) continue;
    all += data.length;
    patternMask(pattern).forEach((lives, at) => {
      if (lives) kept++;
      else if (data[at] !== 0) violations++;
    });
  }
  return { violations, density: round(kept / all) };
}

/** 95 % interval of a share, in counts. @see Wilson, "Probable inference", 1927 */
export function wilson(hits: number, of: number): readonly [number, number] {
  const z = 1.96;
  const p = hits / of;
  const middle = (p + (z * z) / (2 * of)) / (1 + (z * z) / of);
  const half = (z / (1 + (z * z) / of)) * Math.sqrt((p * (1 - p)) / of + (z * z) / (4 * of * of));
  return [Math.round((middle - half) * of), Math.round((middle + half) * of)];
}

export function round(value: number): number {
  return Number(value.toFixed(4));
}

export function writeWhole(path: string, content: Uint8Array | string): void {
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}

/** Where a journal of `@grim/train` lies. */
export function storeIn(folder: string): JournalStore {
  return {
    read: (name) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : undefined),
    write: (name, content) => writeWhole(join(folder, name), content),
  };
}

/** Replaces the record of the same run and seed. */
export function keepRecord(file: string, record: { readonly run: string; readonly seed: number }): void {
  const all = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as (typeof record)[]) : [];
  const others = all.filter(({ run, seed }) => run !== record.run || seed !== record.seed);
  writeWhole(file, `${JSON.stringify([...others, record], null, 1)}\n`);
}
