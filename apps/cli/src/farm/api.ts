/** What the pages of devices tell, and are told. Every call may come from anybody who has the address; nothing is believed. */
import { GrimError } from '@grim/ir';
import type { ServerOptions } from '../dashboard/server.ts';
import { type Facts, factsOf, type Measurement, measurementOf, nameOf } from './protocol.ts';
import type { LeaseQueue } from './queue.ts';

export interface Job {
  /** The file's own name. */
  readonly name: string;
  /** Below the page. */
  readonly url: string;
  readonly bytes: number;
}

interface Listener {
  joined(device: string, facts: Facts): void;
  measured(device: string, job: number, measurement: Measurement): void;
  lost(device: string, job: number): void;
}

const MOST_DEVICES = 200;
/** Of a device for which there is nothing at the moment. */
const ASK_AGAIN_MS = 2000;

/**
 * - `join` facts → `{ device }`
 * - `ask` `{ device }` → `{ job: { lease, name, url, bytes } }`, `{ wait }` in milliseconds, or `{ done }`
 * - `beat` `{ lease }` → `{ yours }`: false when another device has the job
 * - `tell` `{ lease, result }` → `{ counts }`
 * - `leave` `{ device }`, when the page goes
 */
export function farmApi(
  queue: LeaseQueue,
  jobs: readonly Job[],
  listener: Listener,
): NonNullable<ServerOptions['post']> {
  const lose = (leases: readonly { readonly device: string; readonly job: number }[]) => {
    for (const { device, job } of leases) listener.lost(device, job);
  };
  const answers: Readonly<Record<string, (body: unknown) => object>> = {
    join(body) {
      const facts = factsOf(body);
      if (queue.devices >= MOST_DEVICES)
        throw new GrimError('GRIM_CLI_BAD_REQUEST', `${MOST_DEVICES} devices have joined: start the farm anew.`);
      const device = queue.join();
      listener.joined(device, facts);
      return { device };
    },
    ask(body) {
      lose(queue.expire());
      const turn = queue.ask(nameOf(body, 'device'));
      if (!turn)
        throw new GrimError('GRIM_CLI_BAD_REQUEST', 'This farm does not know the device: load the page again.');
      if (turn.kind === 'job') return { job: { lease: turn.lease.id, ...(jobs[turn.lease.job] as Job) } };
      return turn.kind === 'wait' ? { wait: ASK_AGAIN_MS } : { done: true };
    },
    beat: (body) => ({ yours: queue.beat(nameOf(body, 'lease')) }),
    tell(body) {
      const id = nameOf(body, 'lease');
      const measurement = measurementOf((body as { readonly result?: unknown }).result);
      const lease = queue.tell(id);
      if (lease) listener.measured(lease.device, lease.job, measurement);
      return { counts: lease !== undefined };
    },
    leave(body) {
      lose(queue.leave(nameOf(body, 'device')));
      return {};
    },
  };
  return async (path, body) => {
    const answer = Object.hasOwn(answers, path) ? answers[path] : undefined;
    if (!answer) return undefined;
    try {
      return { status: 200, body: answer(body) };
    } catch (error) {
      if (!(error instanceof GrimError)) throw error;
      return { status: 400, body: { error: { code: error.code, message: error.message } } };
    }
  };
}
