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
  openPage,
  type Place,
  SOFTWARE_WEBGPU,
} from '@grim/browser';
import { compile, pack } from '@grim/codegen';
import { graph } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

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
});
