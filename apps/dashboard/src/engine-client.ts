/**
 * The page's side of the engine. A job can always be cancelled: where the engine is deep in one piece of work and does not
 * hear, it is ended and started anew, and what was open is opened again.
 */
import type { FromPage, Jobs, SentError, Stage, ToPage } from './engine/messages.ts';

/** What went wrong in the engine, as it was sent. */
export class EngineError extends Error {
  readonly code: string;
  readonly more: readonly string[];
  readonly lengths: NonNullable<SentError['lengths']>;

  constructor({ code, message, more, lengths = [] }: SentError) {
    super(message);
    this.code = code;
    this.more = more;
    this.lengths = lengths;
  }
}

export interface AskOptions {
  readonly signal?: AbortSignal;
  readonly onStage?: (stage: Stage) => void;
}

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  readonly onStage: AskOptions['onStage'];
}

/** How long a job that was cancelled may take to stop. */
const PATIENCE_MS = 1500;

const waiting = new Map<number, Waiting>();
let next = 1;
let worker: Worker | undefined;
let onRestart: () => void = () => {};

/** Is told when the engine had to be started anew, and so has forgotten everything. */
export function whenRestarted(listener: () => void): void {
  onRestart = listener;
}

export function ask<J extends keyof Jobs>(
  job: J,
  argument: Jobs[J][0],
  { signal, onStage }: AskOptions = {},
): Promise<Jobs[J][1]> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(cancelled());
      return;
    }
    const id = next++;
    const cancel = () => {
      post({ kind: 'cancel', id });
      setTimeout(() => waiting.has(id) && restart(cancelled()), PATIENCE_MS);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    const done =
      <T>(settle: (value: T) => void) =>
      (value: T) => {
        waiting.delete(id);
        signal?.removeEventListener('abort', cancel);
        settle(value);
      };
    waiting.set(id, { resolve: done(resolve), reject: done(reject), onStage });
    post({ kind: 'ask', id, job, argument });
  });
}

const cancelled = () => new EngineError({ code: 'AbortError', message: 'Cancelled.', more: [] });

function post(message: FromPage): void {
  worker ??= start();
  worker.postMessage(message);
}

function start(): Worker {
  const fresh = new Worker(new URL('./engine/worker.ts', import.meta.url), { type: 'module', name: 'engine' });
  fresh.addEventListener('message', ({ data }: MessageEvent<ToPage>) => {
    const one = waiting.get(data.id);
    if (data.kind === 'stage') one?.onStage?.(data.stage);
    else if (data.kind === 'answer') one?.resolve(data.value as never);
    else one?.reject(new EngineError(data.error));
  });
  fresh.addEventListener('error', (event) => {
    // Said to the person who waits; not once more on the console.
    event.preventDefault();
    const message = `The engine stopped: ${event.message || 'its script did not load'}. It was started anew.`;
    restart(new EngineError({ code: 'GRIM_DASHBOARD_ENGINE', message, more: [] }));
  });
  return fresh;
}

function restart(error: EngineError): void {
  worker?.terminate();
  worker = undefined;
  for (const { reject } of [...waiting.values()]) reject(error);
  onRestart();
}
