/**
 * A trainer that can be stopped at any moment and goes on in another process, whatever loop drives it: each call and its
 * result is written down, with the state it left behind. When the same loop is started again, calls that are in the
 * journal are answered from it, and a call that was under way goes on at its last checkpoint, with the same bits.
 */
import { createHash } from 'node:crypto';
import type { Evaluation, Trainer, TrainOptions, TrainReport } from '@grim/prune';
import { fail } from './errors.ts';

/** Where a journal lies; a name is written whole or not at all. */
export interface JournalStore {
  read(name: string): Uint8Array | undefined;
  write(name: string, content: Uint8Array): void;
}

export interface JournalOptions {
  /** Time between two checkpoints within a call. Default 30,000 ms. */
  readonly everyMs?: number;
}

type Kind = 'train' | 'evaluate' | 'recalibrate' | 'setWeights' | 'resetOptimizer';

interface Call {
  readonly kind: Kind;
  /** Of the arguments; rates that are functions have none. */
  readonly asked: string;
  readonly result?: unknown;
}

/** A `train` call under way. */
interface Part {
  readonly asked: string;
  readonly steps: number;
  readonly loss: number;
  readonly correct: number;
  readonly seconds: number;
  readonly state: Uint8Array;
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/**
 * Calls that change nothing but weights and state are kept: `train`, `evaluate`, `recalibrate`, `setWeights` and
 * `resetOptimizer`; `save` and `restore` are refused.
 *
 * @throws {GrimError} GRIM_TRAIN_BAD_CHECKPOINT, from the calls, when they are not those of the journal, or when its states
 *   are of another network, other data or other options
 */
export function journaled(trainer: Trainer, store: JournalStore, { everyMs = 30_000 }: JournalOptions = {}): Trainer {
  const calls = callsOf(store);
  let next = 0;
  /** The state that the trainer has: that behind so many calls. */
  let stands = 0;

  async function catchUp(): Promise<void> {
    // The nearest state that was written; calls that leave none change nothing.
    for (let at = next; at > stands; at--) {
      const state = store.read(`state-${at}`);
      if (!state) continue;
      await trainer.restore(state);
      break;
    }
    stands = next;
  }

  async function call<T>(kind: Kind, args: unknown, changes: boolean, run: (asked: string) => Promise<T>): Promise<T> {
    const asked = digest([kind, args]);
    const known = calls[next];
    if (known) {
      if (known.kind !== kind || known.asked !== asked)
        fail(
          'GRIM_TRAIN_BAD_CHECKPOINT',
          `journal: call ${next + 1} was ${known.kind} there and is ${kind} now, or its arguments differ. Remove the journal to begin again, or give the options of that run.`,
          { call: next + 1 },
        );
      next++;
      return known.result as T;
    }
    await catchUp();
    const result = await run(asked);
    next++;
    stands = next;
    if (changes) store.write(`state-${next}`, await trainer.save());
    calls.push({ kind, asked, ...(result !== undefined && { result }) });
    store.write('journal.json', encode({ version: 1, calls }));
    return result;
  }

  async function train(asked: string, o: TrainOptions): Promise<TrainReport> {
    const before = partOf(store, asked, next);
    let { steps: done, loss, correct, seconds } = before ?? { steps: 0, loss: 0, correct: 0, seconds: 0 };
    if (before) await trainer.restore(before.state);
    const { rate, onStep, signal } = o;
    let last: TrainReport | undefined;
    while (done < o.steps) {
      const pause = new AbortController();
      const started = performance.now();
      const first = done;
      let examples = 0;
      try {
        last = await trainer.train({
          ...o,
          steps: o.steps - first,
          rate: typeof rate === 'number' ? rate : (step) => rate(first + step),
          signal: pause.signal,
          onStep: (progress) => {
            done++;
            loss += progress.loss;
            correct += progress.correct ?? 0;
            examples = progress.examples;
            onStep?.({ ...progress, step: done, steps: o.steps });
            if (signal?.aborted || performance.now() - started > everyMs) pause.abort(PAUSE);
          },
        });
      } catch (error) {
        if (error !== PAUSE) throw error;
      }
      seconds += (performance.now() - started) / 1000;
      if (done < o.steps) {
        const head = encode({ asked, steps: done, loss, correct, seconds });
        store.write(
          `part-${next}`,
          Buffer.concat([Uint32Array.of(head.length), head, await trainer.save()].map(bytesOf)),
        );
      }
      if (done === o.steps)
        return {
          ...{ steps: done, examples: done * examples, loss: loss / done, seconds },
          ...(last?.accuracy !== undefined && { accuracy: correct / (done * examples) }),
        };
      if (signal?.aborted) throw signal.reason;
    }
    return fail('GRIM_TRAIN_BAD_OPTION', `train: steps is ${o.steps}; a positive integer is needed.`);
  }

  const refuse = (): never =>
    fail('GRIM_TRAIN_BAD_OPTION', 'journal: its states are its own; save and restore the trainer within.');
  return {
    parameters: trainer.parameters,
    stepsPerEpoch: trainer.stepsPerEpoch,
    async graph() {
      await catchUp();
      return trainer.graph();
    },
    async weights(names) {
      await catchUp();
      return trainer.weights(names);
    },
    setWeights: (values) => call('setWeights', numbersIn(values), true, () => trainer.setWeights(values)),
    resetOptimizer: () => call('resetOptimizer', [], true, () => trainer.resetOptimizer()),
    train: (o) => call('train', trainArguments(o), true, (asked) => train(asked, o)),
    evaluate: ({ signal, ...o } = {}) =>
      call<Evaluation>('evaluate', o, false, () => trainer.evaluate({ ...o, ...(signal && { signal }) })),
    recalibrate: (batches) => call('recalibrate', batches, true, () => trainer.recalibrate(batches)),
    save: async () => refuse(),
    restore: async () => refuse(),
    dispose: () => trainer.dispose(),
  };
}

const PAUSE = Symbol('pause');

function callsOf(store: JournalStore): Call[] {
  const bytes = store.read('journal.json');
  if (!bytes) return [];
  const damaged = (): never => fail('GRIM_TRAIN_BAD_CHECKPOINT', 'journal: it is damaged. Remove it to begin again.');
  try {
    const { version, calls } = JSON.parse(new TextDecoder().decode(bytes)) as { version: number; calls: Call[] };
    return version === 1 && Array.isArray(calls) ? calls : damaged();
  } catch {
    return damaged();
  }
}

/** One file: a length, as much JSON, and the state of the trainer. */
function partOf(store: JournalStore, asked: string, at: number): Part | undefined {
  const bytes = store.read(`part-${at}`);
  if (!bytes) return undefined;
  const end = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, end))) as Omit<Part, 'state'>;
  return head.asked === asked ? { ...head, state: bytes.subarray(end) } : undefined;
}

function trainArguments({ steps, rate, masks, penalties }: TrainOptions): unknown {
  return [
    steps,
    typeof rate === 'number'
      ? rate
      : Array.from({ length: Math.min(steps, 8) }, (_, i) => rate(Math.floor((i * steps) / 8))),
    numbersIn(masks),
    Array.from(penalties ?? [], ([name, { strength, target }]) => [
      name,
      typeof strength === 'number' ? strength : hashOf(strength),
      target && hashOf(target),
    ]),
  ];
}

const numbersIn = (values: ReadonlyMap<string, Float32Array | Uint8Array> | undefined): unknown =>
  Array.from(values ?? [], ([name, own]) => [name, hashOf(own)]);

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const hashOf = (values: ArrayBufferView): string => createHash('sha256').update(bytesOf(values)).digest('hex');

const digest = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');
