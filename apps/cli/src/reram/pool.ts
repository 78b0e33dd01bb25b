/**
 * Runs a network on many examples in worker threads. Results do not depend on how the work is cut: everything random is
 * drawn by seed, layer, cell and the position of the example in the whole job.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { GrimError } from '@grim/ir';
import type { Crossbar, Feed, LayerReport, QuantisedNetwork, SimulateOptions } from '@grim/reram';

export type Task =
  | { readonly kind: 'float' | 'digital'; readonly network: QuantisedNetwork; readonly output: string }
  | {
      readonly kind: 'simulate';
      readonly network: QuantisedNetwork;
      readonly output: string;
      readonly crossbar: Crossbar;
      readonly seed: number;
      readonly everyConversion: boolean;
      readonly statistics: boolean;
      readonly seconds: number;
      /** Lines without weights take no place in the arrays. */
      readonly compact?: boolean;
      /** Converters of each part of the network, by its index, instead of the crossbar's. */
      readonly bits?: readonly number[];
      readonly remap?: SimulateOptions['remap'];
    };

/** What one worker does at a time. */
export interface Share {
  readonly task: Task;
  readonly feeds: readonly Feed[];
  readonly firstFeed: number;
  readonly firstTrial: number;
  readonly trials: number;
}

/** What a worker is sent. */
export type Order = Share | 'close';

export interface Run {
  readonly trial: number;
  readonly feed: number;
  readonly values: Float64Array;
  /** With the first run of a share: of all of it. */
  readonly layers?: readonly LayerReport[];
}

export type Answer =
  | { readonly kind: 'progress'; readonly runs: number }
  | { readonly kind: 'done'; readonly runs: readonly Run[] }
  | {
      readonly kind: 'failed';
      readonly code: string | undefined;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

export interface Pool {
  /** @returns [trial][feed] */
  run(task: Task, feeds: readonly Feed[], options?: RunOptions): Promise<Results>;
  close(): Promise<void>;
}

interface RunOptions {
  readonly trials?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Results {
  readonly values: readonly (readonly Float64Array[])[];
  readonly layers: readonly LayerReport[];
}

/** @param threads  default: one for each core */
export function openPool(threads: number = availableParallelism()): Pool {
  const fromSource = import.meta.url.endsWith('.ts');
  const url = new URL(fromSource ? './worker.ts' : './reram-worker.js', import.meta.url);
  const execArgv = fromSource ? ['--conditions=@grim/source'] : [];
  const workers: { readonly worker: Worker; readonly exit: Promise<void>; busy: boolean }[] = [];
  const start = (): (typeof workers)[number] => {
    const worker = new Worker(url, { execArgv });
    const exit = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    return { worker, exit, busy: false };
  };
  return {
    async run(task, feeds, { trials = 1, onProgress } = {}) {
      const shares = cut(task, feeds, trials, threads);
      // Started when there is something to do: one that is never needed costs nothing.
      while (workers.length < shares.length) workers.push(start());
      const total = feeds.length * trials;
      let done = 0;
      const answers = await Promise.all(
        shares.map(async (share, i) => {
          const one = workers[i] as (typeof workers)[number];
          one.busy = true;
          const runs = await ask(one.worker, share, (more) => {
            done += more;
            onProgress?.(done, total);
          });
          one.busy = false;
          return runs;
        }),
      );
      const values = Array.from({ length: trials }, () => new Array<Float64Array>(feeds.length));
      const reports: (readonly LayerReport[])[] = [];
      for (const run of answers.flat()) {
        (values[run.trial] as Float64Array[])[run.feed] = run.values;
        if (run.layers) reports.push(run.layers);
      }
      return { values, layers: merged(reports) };
    },
    async close() {
      // One that waits for work ends by itself: to end a thread from outside, wherever it is, is for one that does not answer.
      await Promise.all(
        workers.map(({ worker, exit, busy }) => {
          if (busy) return worker.terminate();
          worker.postMessage('close' satisfies Order);
          return exit;
        }),
      );
    },
  };
}

/** By trials where there are enough of them, as programming arrays is work too; else by examples. */
function cut(task: Task, feeds: readonly Feed[], trials: number, threads: number): readonly Share[] {
  const byTrial = trials >= threads;
  const count = byTrial ? trials : feeds.length;
  const parts = Math.min(threads, count);
  return Array.from({ length: parts }, (_, i) => {
    const [from, to] = [Math.floor((i * count) / parts), Math.floor(((i + 1) * count) / parts)];
    return byTrial
      ? { task, feeds, firstFeed: 0, firstTrial: from, trials: to - from }
      : { task, feeds: feeds.slice(from, to), firstFeed: from, firstTrial: 0, trials };
  });
}

function ask(worker: Worker, share: Share, onProgress: (runs: number) => void): Promise<readonly Run[]> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      worker.off('message', listen);
      worker.off('error', fail);
    };
    const fail = (error: Error): void => {
      stop();
      reject(error);
    };
    const listen = (answer: Answer): void => {
      if (answer.kind === 'progress') {
        onProgress(answer.runs);
        return;
      }
      stop();
      if (answer.kind === 'done') resolve(answer.runs);
      else if (answer.code === undefined) reject(new Error(answer.message));
      else reject(new GrimError(answer.code, answer.message, answer.details));
    };
    worker.on('message', listen);
    worker.on('error', fail);
    worker.postMessage(share);
  });
}

/** Counts of the shares added up. */
function merged(reports: readonly (readonly LayerReport[])[]): readonly LayerReport[] {
  const [first = []] = reports;
  return first.map((layer, i) => {
    const all = reports.map((one) => one[i]);
    const sum = (of: (one: LayerReport) => number) => all.reduce((total, one) => total + (one ? of(one) : 0), 0);
    return {
      ...layer,
      vectors: sum(({ vectors }) => vectors),
      conversions: sum(({ conversions }) => conversions),
      inexact: layer.inexact === undefined ? undefined : sum(({ inexact = 0 }) => inexact),
    };
  });
}
