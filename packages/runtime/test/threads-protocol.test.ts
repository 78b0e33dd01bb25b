/**
 * The protocol of `threads-share.ts`, checked exhaustively: every interleaving of a caller and two threads over three groups, at
 * the granularity of single atomic operations. The steps of the model are those that the code makes, in its order, which a
 * recording of the code confirms; and mistakes put into the model on purpose are all found.
 */
import { describe, expect, it, vi } from 'vitest';
import { startPool } from '../src/threads-pool.ts';
import { CONTROL } from '../src/threads-share.ts';

type Mistake =
  | 'group read before the call is taken'
  | 'left before group'
  | 'done after left'
  | 'wake before left'
  | 'parks unseen';

interface Thread {
  /** What it does next. */
  at:
    | 'look'
    | 'take'
    | 'read'
    | 'run'
    | 'finish'
    | 'park'
    | 'sleep'
    | 'asleep'
    | 'woken'
    | 'published'
    | 'done'
    | 'end'
    | number;
  left: number;
  group: number;
}

interface State {
  left: number;
  group: number;
  done: number;
  parked: number;
  /** How often each call of each group ran. */
  ran: number[];
  /** The group that the caller has opened; threads must run no other. */
  truth: number;
  threads: Thread[];
}

const GROUPS = 3;
const SIZE = 2;

/** What the caller does to open a group: operations on shared words, in order. */
function opening(mistake: Mistake | undefined): ('done' | 'group' | 'left' | 'wake')[] {
  if (mistake === 'left before group') return ['done', 'left', 'group', 'wake'];
  if (mistake === 'done after left') return ['group', 'left', 'done', 'wake'];
  if (mistake === 'wake before left') return ['done', 'group', 'wake', 'left'];
  return ['done', 'group', 'left', 'wake'];
}

/** Explores all interleavings. @returns what went wrong first, or undefined; and how many states there are */
function explore(mistake?: Mistake): { readonly wrong: string | undefined; readonly states: number } {
  const steps = opening(mistake);
  const early = mistake === 'group read before the call is taken';
  const start: State = {
    left: 0,
    group: -1,
    done: 0,
    parked: 0,
    ran: new Array<number>(GROUPS * SIZE).fill(0),
    truth: -1,
    threads: [
      { at: 0, left: 0, group: 0 },
      { at: 'look', left: 0, group: 0 },
      { at: 'look', left: 0, group: 0 },
    ],
  };
  const seen = new Set<string>();
  const stack: State[] = [start];
  let wrong: string | undefined;
  while (stack.length > 0 && !wrong) {
    const state = stack.pop() as State;
    const key = JSON.stringify(state);
    if (seen.has(key)) continue;
    seen.add(key);
    let moves = 0;
    for (let i = 0; i < state.threads.length; i++) {
      const next = structuredClone(state);
      const thread = next.threads[i] as Thread;
      const caller = i === 0;
      // In the code the group is read behind the take; the mistake reads it before.
      const claim = () => {
        if (next.left === thread.left) {
          next.left--;
          thread.at = early ? 'run' : 'read';
        } else thread.at = 'look';
      };
      switch (thread.at) {
        case 'look':
          thread.left = next.left;
          if (next.left > 0) thread.at = early ? 'read' : 'take';
          else thread.at = caller ? 'done' : 'park';
          break;
        case 'take':
          claim();
          break;
        case 'read':
          thread.group = next.group;
          thread.at = early ? 'take' : 'run';
          break;
        case 'run': {
          if (thread.group !== next.truth) wrong = `a call of group ${thread.group} runs in group ${next.truth}`;
          const call = thread.group * SIZE + SIZE - thread.left;
          next.ran[call] = (next.ran[call] ?? 0) + 1;
          thread.at = 'finish';
          break;
        }
        case 'finish':
          next.done++;
          thread.at = 'look';
          break;
        case 'park':
          if (mistake !== 'parks unseen') next.parked++;
          thread.at = 'sleep';
          break;
        case 'sleep':
          // Compares and falls asleep in one step, as Atomics.wait does.
          thread.at = next.left === 0 ? 'asleep' : 'woken';
          break;
        case 'woken':
          if (mistake !== 'parks unseen') next.parked--;
          thread.at = 'look';
          break;
        case 'asleep':
        case 'end':
          continue;
        case 'done':
          if (next.done < SIZE) continue;
          if (next.truth + 1 < GROUPS) thread.at = 0;
          else thread.at = 'end';
          for (let call = 0; call < SIZE; call++)
            if (next.ran[next.truth * SIZE + call] !== 1)
              wrong = `a call ran ${next.ran[next.truth * SIZE + call]} times`;
          break;
        case 'published':
          // Everything is said: nobody may sleep while there is work.
          if (next.left > 0 && next.threads.some(({ at }) => at === 'asleep'))
            wrong = 'a thread sleeps through its work';
          thread.at = 'look';
          break;
        default: {
          const step = steps[thread.at as number];
          if (thread.at === 0) next.truth++;
          if (step === 'done') next.done = 0;
          else if (step === 'group') next.group = next.truth;
          else if (step === 'left') next.left = SIZE;
          else if (next.parked > 0) for (const one of next.threads) if (one.at === 'asleep') one.at = 'woken';
          thread.at = (thread.at as number) + 1 < steps.length ? (thread.at as number) + 1 : 'published';
        }
      }
      moves++;
      stack.push(next);
    }
    // Threads that sleep in the end are as it should be.
    if (moves === 0 && state.threads[0]?.at !== 'end') wrong = `the caller waits for ever (${state.done} calls done)`;
  }
  return { wrong, states: seen.size };
}

describe('the protocol of the threads', () => {
  it('W5: runs every call once, in its group, and loses no wake-up, in every interleaving', () => {
    const { wrong, states } = explore();
    expect(wrong).toBeUndefined();
    expect(states).toBeGreaterThan(8000);
  });
  it.each<Mistake>([
    'group read before the call is taken',
    'left before group',
    'done after left',
    'wake before left',
    'parks unseen',
  ])('W5: the check finds the mistake "%s"', (mistake) => {
    expect(explore(mistake).wrong).toBeDefined();
  });
  it('W5: the code makes the steps of the model, in this order', async () => {
    const module = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const trace: string[] = [];
    const call = { kernel: () => void trace.push('run'), args: [] };
    const pool = await startPool({
      start: { module, memory, kernels: [], groups: [] },
      groups: [[call, call]],
      threads: 1,
      worker: () => expect.fail('one thread needs no worker'),
      onExit: () => {},
    });
    const names = new Map<number, string>(Object.entries(CONTROL).map(([name, word]) => [word, name]));
    for (const operation of ['load', 'store', 'add', 'compareExchange', 'exchange', 'notify'] as const) {
      const original = Atomics[operation] as (...args: unknown[]) => unknown;
      vi.spyOn(Atomics, operation).mockImplementation(((...args: unknown[]) => {
        trace.push(`${operation} ${names.get(args[1] as number)}`);
        return original.apply(Atomics, args);
      }) as never);
    }
    pool.run(0);
    vi.restoreAllMocks();
    const take = ['load left', 'compareExchange left', 'load group', 'run', 'add done'];
    expect(trace).toEqual([
      'store done',
      'store group',
      'store left',
      'load parked',
      ...take,
      ...take,
      'load left',
      'load done',
      'exchange trapped',
    ]);
  });
});
