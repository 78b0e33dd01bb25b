import { pack } from '@grim/codegen';
import { describe, expect, it } from 'vitest';
import type { Model } from '../src/index.ts';
import { load } from '../src/load.ts';
import type { ModelSource } from '../src/source.ts';
import { SYSTEM, type System } from '../src/system.ts';
import { affine, counter } from './models.ts';

/** Counts the calls of a system, and makes the n-th fail, once or from then on. */
function failing(n: number, sticky: boolean): { system: System; calls: () => number } {
  let calls = 0;
  const wrap =
    <A extends unknown[], R>(call: (...args: A) => R) =>
    (...args: A): R => {
      calls++;
      if (calls === n || (sticky && calls > n)) throw new RangeError(`call ${calls} fails`);
      return call(...args);
    };
  const system = Object.fromEntries(
    Object.entries(SYSTEM).map(([name, call]) => [name, wrap(call as (...args: unknown[]) => unknown)]),
  ) as unknown as System;
  return { system, calls: () => calls };
}

const bytes = pack(counter(), { weights: 'f16' });
const inputs = () => ({ x: Float32Array.of(1, 2, 3, 4) });
const response = async () => new Response(bytes.slice());

/** A file of one piece; opening and reading are calls that may fail. */
async function* fileOf({ now }: System): AsyncIterable<Uint8Array> {
  now();
  yield bytes;
}

const scenarios: Record<string, (system: System) => Promise<Model>> = {
  bytes: (system) => load(bytes, {}, system),
  path: (system) => load('model.grim', {}, { ...system, readFile: () => fileOf(system) }),
  fetch: (system) => load('https://models.test/m.grim', {}, { ...system, fetch: () => system.pause().then(response) }),
  response: (system) => load(response() as ModelSource, {}, system),
  plain: (system) => load(pack(affine()), { simd: 'plain' }, system),
};

describe.each(Object.entries(scenarios))('loading from %s', (_, scenario) => {
  it.each([false, true])(
    'R4, O5, O7: whichever call fails (from then on: %s), the error has a code and the next load works',
    async (sticky) => {
      const healthy = failing(0, false);
      const right = await scenario(healthy.system);
      const total = healthy.calls();
      expect(total).toBeGreaterThan(4);
      for (let n = 1; n <= total; n++) {
        const { system } = failing(n, sticky);
        const result = await scenario(system).catch((error: unknown) => error);
        if (result instanceof Error)
          expect(result, `call ${n}`).toMatchObject({
            name: 'RuntimeError',
            code: expect.stringMatching(/^GRIM_RUNTIME_/),
          });
        const again = await scenario(SYSTEM);
        expect(Object.keys(again.outputs)).toEqual(Object.keys(right.outputs));
      }
    },
  );
});

it('R4, O7: whichever call of a paused run fails, it rejects, and the next run is right', async () => {
  for (let n = 1; n < 30; n++) {
    let broken = false;
    let calls = 0;
    let time = 0;
    const check = () => {
      if (broken && ++calls === n) throw new Error('no more');
    };
    const model: Model = await load(
      pack(counter(30)),
      {},
      {
        ...SYSTEM,
        now: () => {
          check();
          time += 5;
          return time;
        },
        pause: async () => check(),
      },
    );
    broken = true;
    const { signal } = new AbortController();
    const run = await model.run(inputs(), { signal }).catch((error: Error) => error.message);
    if (typeof run === 'string') expect(run).toBe('no more');
    broken = false;
    model.reset();
    expect((await model.run(inputs()))['sum']).toEqual(inputs().x);
  }
});

it('R1, O7: aborted at every event of loading, it rejects with the reason and lets the source go', async () => {
  const reason = new Error('stop');
  for (let at = 0; at < 40; at++) {
    const controller = new AbortController();
    let pieces = 0;
    let cancelled = false;
    const stream = new ReadableStream<Uint8Array>(
      {
        pull(c) {
          if (pieces === at) controller.abort(reason);
          const piece = bytes.slice(pieces * 90, (pieces + 1) * 90);
          pieces++;
          if (piece.length === 0) c.close();
          else c.enqueue(piece);
        },
        cancel: () => {
          cancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    const result = await load(stream, { signal: controller.signal }, SYSTEM).catch((error: unknown) => error);
    if (controller.signal.aborted) {
      expect(result).toBe(reason);
      await new Promise((resolve) => setTimeout(resolve));
      expect(cancelled || pieces * 90 >= bytes.length).toBe(true);
    } else expect(result).toHaveProperty('device', 'wasm');
  }
});
