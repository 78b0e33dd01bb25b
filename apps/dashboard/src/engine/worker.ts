/** The engine: a worker that opens, prunes, compiles, runs and measures, so that the page has nothing to do but draw. */
import '../trusted-types.ts';
import { GrimError } from '@grim/ir';
import { answer } from './answer.ts';
import { bench } from './bench.ts';
import { array, crossbar, explore } from './crossbar.ts';
import { heat } from './heat-map.ts';
import type { Context, FromPage, Jobs, SentError, ToPage } from './messages.ts';
import { nodes } from './node-rows.ts';
import { open } from './open.ts';
import { prune } from './prune.ts';
import { run } from './run.ts';
import { readSamples } from './samples.ts';
import { save } from './save.ts';
import { inputsOf, theSession } from './session.ts';

type Handlers = { readonly [J in keyof Jobs]: (ask: Jobs[J][0], context: Context) => Promise<Jobs[J][1]> | Jobs[J][1] };

const HANDLERS: Handlers = { open, nodes, heat, run, prune, bench, crossbar, explore, array, answer, samples, save };

async function samples(given: Jobs['samples'][0], { stage }: Context): Promise<Jobs['samples'][1]> {
  const session = theSession();
  const set = await readSamples({ inputs: inputsOf(session) }, given, (done) => stage('Reading the inputs', done));
  session.samples = set;
  return { kind: set.kind, count: set.feeds.length };
}

const running = new Map<number, AbortController>();
/** The page library types the global of a page; a worker's sends without a target. */
const post = (message: ToPage): void => (postMessage as (message: ToPage) => void)(message);

addEventListener('message', ({ data }: MessageEvent<FromPage>) => {
  if (data.kind === 'cancel') running.get(data.id)?.abort(new DOMException('Cancelled.', 'AbortError'));
  else void work(data.id, data.job, data.argument);
});

async function work(id: number, job: keyof Jobs, argument: unknown): Promise<void> {
  const control = new AbortController();
  running.set(id, control);
  try {
    const handler = HANDLERS[job] as (ask: unknown, context: Context) => unknown;
    post({ kind: 'answer', id, value: await handler(argument, contextOf(id, control.signal)) });
  } catch (error) {
    post({ kind: 'failed', id, error: sent(error) });
  } finally {
    running.delete(id);
  }
}

/** Milliseconds between two turns of the event loop, in which a cancellation is heard. */
const TURN_MS = 50;

function contextOf(id: number, signal: AbortSignal): Context {
  let turned = performance.now();
  let before = '';
  return {
    signal,
    async stage(text, done) {
      signal.throwIfAborted();
      const now = performance.now();
      const fresh = text !== before;
      if (!fresh && now - turned < TURN_MS) return;
      before = text;
      post({ kind: 'stage', id, stage: { text, done } });
      if (now - turned < TURN_MS) return;
      await new Promise((resolve) => setTimeout(resolve, 0));
      turned = performance.now();
      signal.throwIfAborted();
    },
  };
}

function sent(error: unknown): SentError {
  if (error instanceof DOMException && error.name === 'AbortError')
    return { code: 'AbortError', message: 'Cancelled.', more: [] };
  if (error instanceof RangeError)
    return {
      code: 'GRIM_DASHBOARD_MEMORY',
      message: `This browser has no memory for that: ${error.message}.`,
      more: [],
    };
  const { code, message, details } = error as Partial<GrimError>;
  const problems = (details?.['problems'] ?? []) as readonly unknown[];
  const more = error instanceof GrimError && Array.isArray(problems) ? problems.map(String) : [];
  const lengths = (details?.['lengths'] ?? []) as NonNullable<SentError['lengths']>;
  return { code: code ?? 'INTERNAL', message: message ?? String(error), more, lengths };
}
