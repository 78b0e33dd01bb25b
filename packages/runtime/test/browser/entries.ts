/** The browser's side of browser-entries.test.ts: the entries beside the core, which use what only browsers have. */
import { stage } from '@grim/browser/stage';
import { loadModel } from '@grim/runtime';
import { cached } from '@grim/runtime/cache';
import { soundInput } from '@grim/runtime/sound';
import { loadModel as loadVerified } from '@grim/runtime/verify';
import { loadModel as loadInWorker } from '@grim/runtime/worker';

const X = Float32Array.of(1, 2, 3, 4, 5, 6);
const COUNT = Float32Array.of(1, 2, 3, 4);
const listOf = (tensor: unknown): number[] => Array.from(tensor as Float32Array);

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'it did not fail',
    ({ name, code, message }: { name: string; code?: string; message: string }) => ({ name, code, message }),
  );
}

stage(
  {
    /** What a load through the cache gives, where the bytes came from, and what the cache complained of. */
    async kept(path: string) {
      const reasons: string[] = [];
      const fromCache = new Set<boolean>();
      const loadKept = cached(loadModel, { partBytes: 20_000, onUncached: (reason) => reasons.push(String(reason)) });
      try {
        using model = await loadKept(path, { onProgress: (progress) => fromCache.add(progress.fromCache) });
        return { y: listOf((await model.run({ x: X }))['y']), fromCache: [...fromCache], reasons };
      } catch (error) {
        return { code: (error as { code: string }).code, reasons };
      }
    },

    /** The input that the file makes of samples at 8 kHz. */
    async sound(samples: readonly number[]) {
      using model = await loadModel('/sound.grim');
      return listOf(soundInput(model, Float32Array.from(samples), { sampleRate: 8000 })['x']);
    },

    /** Changes one byte of the last part that is kept, or takes it away. Gives the number of entries. */
    async damage(how: 'change' | 'remove') {
      const cache = await caches.open('grim');
      const requests = await cache.keys();
      const parts = requests.filter(({ url }) => new URL(url).searchParams.has('grim-part'));
      const last = parts.at(-1) as Request;
      if (how === 'remove') await cache.delete(last);
      else {
        const bytes = new Uint8Array(await ((await cache.match(last)) as Response).arrayBuffer());
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
        await cache.put(last, new Response(bytes));
      }
      return requests.length;
    },

    /** States, several runs at once, arrays given away; then what a call after the end says. */
    async inWorker(path: string) {
      const model = await loadInWorker(path);
      const sum = async () => listOf((await model.run({ x: COUNT }))['sum']);
      const found = await Promise.all([sum(), sum(), sum()]);
      const given = COUNT.slice();
      const last = listOf((await model.run({ x: given }, { transfer: true }))['sum']);
      model.reset();
      const first = await sum();
      model.dispose();
      return { found, last, given: given.length, first, after: await failure(sum()) };
    },

    workerFails: (path: string) => failure(loadInWorker(path)),

    /** Code that never ends is stopped, and the page goes on. */
    async endless(path: string) {
      const model = await loadInWorker(path, { timeoutMs: 3000 });
      let ticks = 0;
      const timer = setInterval(() => ticks++, 10);
      const error = await failure(model.run({ x: Float32Array.of(1) }));
      clearInterval(timer);
      return { error, alive: ticks > 5 };
    },

    async verified(path: string) {
      using model = await loadVerified(path);
      return model.verify();
    },
  },
  { module: '/entries.js' },
);
