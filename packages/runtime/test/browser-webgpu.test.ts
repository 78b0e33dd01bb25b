/** `@grim/runtime/webgpu` as it is published, in Chromium, on its software adapter. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Browser,
  bundle,
  findChromium,
  launchChromium,
  type Mode,
  NO_CHROMIUM,
  type Opened,
  openPage,
  type Place,
  SOFTWARE_WEBGPU,
} from '@grim/browser';
import { compile, pack } from '@grim/codegen';
import { graph } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { afterAll, beforeAll, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { workOfPage } from './browser/main-thread.ts';

const network = graph('layers', (b) => {
  const weights = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
  const w = b.weight('w', { dtype: 'float32', shape: [5, 2, 3, 3], data: weights(90) });
  const x = b.input('x', 'float32', [1, 2, 8, 8]);
  const y = b.add('Relu', [b.add('Conv', [x, w], { pads: [1, 1, 1, 1] })]);
  b.output('y', b.add('GlobalAveragePool', [y]));
});
const inputs = { x: Array.from({ length: 128 }, (_, i) => Math.fround(Math.cos(i))) };
const [wanted = []] = Object.values(
  evaluate(network, { x: { dtype: 'float32', shape: [1, 2, 8, 8], data: Float32Array.from(inputs.x) } }),
).map(({ data }) => Array.from(data as Float32Array));

/** Products that take WebAssembly long; nearly all of it in eight calls of a thread. */
const heavy = graph('heavy', (b) => {
  const shape = [64, 64, 3, 3];
  let y = b.input('x', 'float32', [1, 64, 32, 32]);
  for (let i = 0; i < 12; i++) {
    const data = Float32Array.from({ length: 64 * 64 * 9 }, (_, j) => Math.sin(1.7 * j + i) / 24);
    y = b.add('Relu', [
      b.add('Conv', [y, b.weight(`w${i}`, { dtype: 'float32', shape, data })], { pads: [1, 1, 1, 1] }),
    ]);
  }
  b.output('y', b.add('GlobalAveragePool', [y]));
});

const program = findChromium();
let browser: Browser;
let script: string;
beforeAll(async () => {
  if (!program) return;
  const external = { '@grim/runtime/webgpu': '/runtime/webgpu.js' };
  script = await bundle(fileURLToPath(new URL('./browser/webgpu.ts', import.meta.url)), { external });
  browser = await launchChromium(program, SOFTWARE_WEBGPU);
});
afterAll(() => browser?.close());
beforeEach((ctx) => {
  if (!program) ctx.skip(NO_CHROMIUM);
});

const open = (mode: Mode, place: Place) =>
  openPage(browser, {
    mode,
    place,
    routes: {
      '/': '<!doctype html><script type="module" src="/webgpu.js"></script>',
      '/webgpu.js': script,
      '/runtime/': { folder: join(import.meta.dirname, '../dist') },
      '/model.grim': Buffer.from(pack(compile(network, { targets: ['wasm', 'webgpu'] }))),
      '/heavy.grim': Buffer.from(pack(compile(heavy, { targets: ['wasm', 'webgpu'] }))),
    },
  });

interface Result {
  readonly device: string;
  readonly reasons: readonly string[];
  readonly outputs: Readonly<Record<string, readonly number[]>>;
}

function expectRight({ outputs }: Result): void {
  outputs['y']?.forEach((value, i) => {
    expect(value).toBeCloseTo(wanted[i] ?? Number.NaN, 5);
  });
  expect(outputs['y']?.length).toBe(wanted.length);
}

describe('in Chromium', () => {
  for (const [mode, place] of [
    ['strict', 'page'],
    ['open', 'module'],
  ] as const)
    it(`a model runs on the GPU in a ${place}, headers: ${mode}`, { timeout: 60_000 }, async (ctx) => {
      await using page = await open(mode, place);
      if (!(await page.evaluate('navigator.gpu && navigator.gpu.requestAdapter().then(Boolean)')))
        ctx.skip('this Chromium has no WebGPU adapter');
      const result = (await page.call('run', { path: '/model.grim', inputs })) as Result;
      expect([result.device, result.reasons]).toEqual(['webgpu', []]);
      expectRight(result);
      expect(await page.troubles()).toEqual([]);
    });

  it('U2: a device that is destroyed under a model: WebAssembly goes on', { timeout: 60_000 }, async (ctx) => {
    await using page = await open('open', 'page');
    if (!(await page.evaluate('navigator.gpu && navigator.gpu.requestAdapter().then(Boolean)')))
      ctx.skip('this Chromium has no WebGPU adapter');
    const result = (await page.call('destroyed', { path: '/model.grim', inputs })) as Result & { before: string };
    expect([result.before, result.device]).toEqual(['webgpu', 'wasm']);
    expect(result.reasons.join()).toContain('the device was lost (destroyed)');
    expectRight(result);
  });

  const scene = async (ctx: TestContext): Promise<Opened> => {
    const page = await open('open', 'page');
    if (!(await page.evaluate('navigator.gpu && navigator.gpu.requestAdapter().then(Boolean)')))
      ctx.skip('this Chromium has no WebGPU adapter');
    return page;
  };

  it('loading and running leave the page its frames: no piece of work is half as long as the model in WebAssembly', {
    timeout: 120_000,
  }, async (ctx) => {
    await using page = await scene(ctx);
    const keep = (device: string) => () => page.call('keep', { path: '/heavy.grim', device });
    // Of everything that happens for the first time in a page.
    await page.call('run', { path: '/model.grim', inputs });
    const onGpu = [
      ...(await workOfPage(browser, page, keep('webgpu'))),
      ...(await workOfPage(browser, page, () => page.call('run', { path: '/model.grim', inputs }))),
    ];
    await keep('wasm')();
    // It runs at once, as a whole: what must not happen on the way to a GPU.
    const [whole = 0] = await workOfPage(browser, page, () => page.call('again', { runs: 1 }));
    expect(onGpu.length).toBeGreaterThan(10);
    console.log(
      `the longest pieces of work: ${onGpu.toSorted((a, b) => b - a).slice(0, 3)} ms; the model in one: ${whole} ms`,
    );
    expect(Math.max(...onGpu)).toBeLessThan(whole / 2);
  });

  it('U8, U9: 300 runs create nothing, take no more memory, and give the same bits', {
    timeout: 120_000,
  }, async (ctx) => {
    await using page = await scene(ctx);
    await page.call('keep', { path: '/model.grim', device: 'webgpu' });
    const once = (await page.call('again', { runs: 1 })) as { gpuBytes: number };
    const { created, answers, gpuBytes } = (await page.call('again', { runs: 300 })) as Record<string, number>;
    expect([created, answers, gpuBytes]).toEqual([0, 1, once.gpuBytes]);
    expect(gpuBytes).toBeGreaterThan(0);
    expect(await page.troubles()).toEqual([]);
  });

  for (const device of ['auto', 'webgpu'] as const)
    it(`U2, U6: a device that is lost in mid-run, device ${device}: what comes after is right`, {
      timeout: 60_000,
    }, async (ctx) => {
      await using page = await scene(ctx);
      const found = (await page.call('lostInRun', { path: '/model.grim', inputs, device })) as Result & {
        first: string;
        devices: number;
      };
      expectRight(found);
      // With auto WebAssembly does the run again; otherwise the next run takes another device.
      if (device === 'auto') expect(found.first).toBe('answered');
      else expect(['answered', 'GRIM_RUNTIME_DEVICE_LOST']).toContain(found.first);
      expect([found.device, found.devices]).toEqual(device === 'auto' ? ['wasm', 1] : ['webgpu', 2]);
      expect(await page.troubles()).toEqual([]);
    });

  it('U7: a device that gets other bytes fails the self-test and is not used', { timeout: 60_000 }, async (ctx) => {
    await using page = await scene(ctx);
    const found = (await page.call('corrupted', { path: '/model.grim', inputs })) as Result;
    expect([found.device, found.reasons.length]).toEqual(['wasm', 1]);
    expect(found.reasons[0]).toContain('self-test');
    expectRight(found);
  });

  it('U12: two models on one device of the page: the end of one leaves the other alone', {
    timeout: 60_000,
  }, async (ctx) => {
    await using page = await scene(ctx);
    const found = (await page.call('together', { path: '/model.grim', inputs })) as Result;
    expect([found.device, found.reasons]).toEqual(['webgpu', []]);
    expectRight(found);
    expect(await page.troubles()).toEqual([]);
  });
});
