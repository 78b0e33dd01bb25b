/**
 * Where trials of a search run: in this thread, or in worker threads, several at once. Asynchronous, so that a queue of
 * other machines can take its place. Results do not depend on where a trial ran.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { GrimError } from '@grim/ir';
import { evaluator, type Trial, type TrialContext, type TrialResult } from './evaluate.ts';

export interface TrialExecutor {
  /** How many run at once. */
  readonly width: number;
  run(trial: Trial): Promise<TrialResult>;
  close(): Promise<void>;
}

/** What a worker is sent: the context first, then trials. */
export type TrialMessage =
  | { readonly kind: 'context'; readonly context: TrialContext }
  | { readonly kind: 'trial'; readonly id: number; readonly trial: Trial };

export type TrialAnswer =
  | { readonly kind: 'done'; readonly id: number; readonly result: TrialResult }
  | {
      readonly kind: 'failed';
      readonly id: number;
      readonly code: string | undefined;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

/** @param threads  1: in this thread. Default: one for each core */
export function openExecutor(context: TrialContext, threads: number = availableParallelism()): TrialExecutor {
  return threads > 1 ? inWorkers(context, threads) : { width: 1, run: evaluator(context), close: async () => {} };
}

interface Job {
  readonly trial: Trial;
  readonly resolve: (result: TrialResult) => void;
  readonly reject: (error: Error) => void;
}

function inWorkers(context: TrialContext, threads: number): TrialExecutor {
  const fromSource = import.meta.url.endsWith('.ts');
  const url = new URL(fromSource ? './worker.ts' : './prune-worker.js', import.meta.url);
  const execArgv = fromSource ? ['--conditions=@grim/source'] : [];
  const waiting: Job[] = [];
  const idle: Worker[] = [];
  const busy = new Map<Worker, { readonly id: number; readonly job: Job }>();
  const all: Worker[] = [];
  let ids = 0;
  const next = (): void => {
    while (waiting.length > 0) {
      // Started when there is something to do: one that is never needed costs nothing.
      const worker = idle.pop() ?? (all.length < threads ? start() : undefined);
      if (!worker) return;
      const job = waiting.shift() as Job;
      const id = ids++;
      busy.set(worker, { id, job });
      worker.postMessage({ kind: 'trial', id, trial: job.trial } satisfies TrialMessage);
    }
  };
  const start = (): Worker => {
    const worker = new Worker(url, { execArgv });
    all.push(worker);
    worker.postMessage({ kind: 'context', context } satisfies TrialMessage);
    worker.on('message', (answer: TrialAnswer) => {
      const job = busy.get(worker)?.job;
      busy.delete(worker);
      idle.push(worker);
      if (answer.kind === 'done') job?.resolve(answer.result);
      else if (answer.code === undefined) job?.reject(new Error(answer.message));
      else job?.reject(new GrimError(answer.code, answer.message, answer.details));
      next();
    });
    worker.on('error', (error: Error) => {
      // As when it ran out of memory: its trial fails, the others go on without it.
      busy.get(worker)?.job.reject(error);
      busy.delete(worker);
      all.splice(all.indexOf(worker), 1);
      next();
    });
    return worker;
  };
  return {
    width: threads,
    run: (trial) =>
      new Promise((resolve, reject) => {
        waiting.push({ trial, resolve, reject });
        next();
      }),
    async close() {
      for (const { reject } of waiting.splice(0)) reject(new Error('internal: the executor was closed'));
      await Promise.all(all.map((worker) => worker.terminate()));
    },
  };
}
