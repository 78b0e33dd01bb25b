/**
 * Whole networks on a GPU, against onnxruntime-web's WebGPU provider, in Chromium: `npx pnpm --filter @grim/bench run webgpu`.
 *
 * For each network, on one adapter, in one page: ours dense, ours at `--density`, and onnxruntime's dense one, in turn; medians of
 * `--samples` rounds after a warm-up. What they compute is compared before anything is timed: the dense two with one another, the
 * pruned one with its own WebAssembly. Where there is no real adapter it says so and writes nothing: times of a software one say
 * nothing of a GPU. `--software` tries the whole out on it, and writes nothing either.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle, findChromium, launchChromium, NO_CHROMIUM, openPage, SOFTWARE_WEBGPU } from '@grim/browser';
import { compile, pack } from '@grim/codegen';
import type { WeightEncoding } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { ARCHITECTURES, blockOf } from '../models/architectures.ts';
import type { Adapter, Measured } from './page.ts';

const { values } = parseArgs({
  options: {
    networks: { type: 'string', default: 'resnet18,vgg16-224,mobilenet-v2,gru2x1024-t100' },
    density: { type: 'string', default: '0.125' },
    block: { type: 'string', default: '32x128' },
    samples: { type: 'string', default: '30' },
    seed: { type: 'string', default: '7' },
    software: { type: 'boolean', default: false },
    /** `f16`: ours hold and read weights as float16; onnxruntime's stay float32. */
    weights: { type: 'string', default: 'f32' },
  },
});
const [density, samples, seed] = [values.density, values.samples, values.seed].map(Number) as [number, number, number];

const { weights: asked } = values;
if (asked !== 'f32' && asked !== 'f16') throw new Error(`--weights ${asked}: f32 or f16`);
const weights: WeightEncoding = asked;

const program = findChromium();
if (!program) throw new Error(NO_CHROMIUM);
const HARDWARE = ['--enable-unsafe-webgpu', '--enable-features=Vulkan', '--ignore-gpu-blocklist'];
const browser = await launchChromium(program, values.software ? SOFTWARE_WEBGPU : HARDWARE);
try {
  const files = new Map<string, Uint8Array>();
  const script = await bundle(fileURLToPath(new URL('./page.ts', import.meta.url)));
  await using page = await openPage(browser, {
    mode: 'isolated',
    place: 'page',
    routes: {
      '/': '<!doctype html><script type="module" src="/page.js"></script>',
      '/page.js': script,
      '/ort/': { folder: dirname(fileURLToPath(import.meta.resolve('onnxruntime-web'))) },
      '/file': (request, response) => {
        const found = files.get(new URL(request.url ?? '', 'http://localhost').searchParams.get('name') ?? '');
        if (found) response.end(found);
        else response.writeHead(404).end();
      },
    },
  });
  const adapter = (await page.call('adapter')) as Adapter | null;
  if (!adapter || (adapter.software && !values.software)) {
    const found = adapter ? `only a software adapter (${adapter.name})` : 'no WebGPU adapter';
    console.log(`${found}: nothing is timed, and the table of docs/webgpu.md stays empty.`);
  } else {
    console.log(`${adapter.name}; Chromium ${browser.version()}`);
    const networks: Record<string, Measured> = {};
    for (const name of values.networks.split(',')) {
      const architecture = ARCHITECTURES[name];
      if (!architecture) throw new Error(`no network ${name}: ${Object.keys(ARCHITECTURES).join(', ')}`);
      const dense = architecture({ seed });
      const pruned = architecture({ seed, pruning: { density, ...blockOf(values.block) } });
      const grim = (graph: typeof dense) => pack(compile(graph, { targets: ['wasm', 'webgpu'], weights }));
      files.clear();
      files.set('dense', grim(dense)).set('pruned', grim(pruned)).set('onnx', toOnnx(dense));
      const found = (await page.call('measure', { samples })) as Measured;
      networks[name] = found;
      const { medians } = found;
      const ratio = (of: number | undefined) => `${((medians['onnxruntime'] ?? 0) / (of ?? 1)).toFixed(2)}×`;
      console.log(
        `${name}: onnxruntime ${medians['onnxruntime']?.toFixed(3)} ms; dense ${ratio(medians['dense'])}, pruned ${ratio(medians['pruned'])} its speed`,
      );
    }
    const result = {
      ...{
        date: new Date().toISOString(),
        chromium: browser.version(),
        adapter,
        density,
        block: values.block,
        weights,
        samples,
      },
      ...{ machine: { cpu: cpus()[0]?.model.trim(), load: loadavg() }, networks },
    };
    if (values.software) console.log('a software adapter: nothing is written');
    else {
      const folder = join(import.meta.dirname, '../results');
      const path = join(folder, `${result.date.slice(0, 10)}-webgpu${weights === 'f16' ? '-f16' : ''}.json`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(`${path}.part`, `${JSON.stringify(result, undefined, 1)}\n`);
      renameSync(`${path}.part`, path);
      console.log(path);
    }
  }
} finally {
  await browser.close();
}
