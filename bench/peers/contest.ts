/**
 * One network in every engine of the browser, each in its own best form, in one page: {@link contest}. TensorFlow.js has fused
 * kernels, LiteRT.js a `.tflite` with fused activations and, where a mask is unstructured, weights as CSR, the form that its
 * sparse kernels need. What each computes is compared with onnxruntime's answer to the same weights before anything is timed.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, bundle, openPage } from '@grim/browser';
import { compile, pack } from '@grim/codegen';
import type { Graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import type { ContenderFile, Engine, Measured, Scene } from './page.ts';
import { flattened, planOf } from './plan.ts';
import { writeTflite } from './tflite.ts';

export interface Entry {
  readonly graph: Graph;
  /** What is said of its weights. */
  readonly weights: string;
  /** Its mask has no structure: LiteRT.js runs it as CSR. */
  readonly unstructured: boolean;
}

export interface Contest extends Omit<Measured, 'contenders'> {
  readonly contenders: readonly (Measured['contenders'][number] & {
    readonly engine: Engine;
    readonly weights: string;
    readonly bytes: number;
  })[];
}

const PEERS = ['onnxruntime-web', '@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-wasm', '@litertjs/core'];

/** @param dense  runs in every engine; `pruned` in ours, and in those that gain from it */
export async function contest(
  browser: Browser,
  dense: Graph,
  pruned: readonly Entry[],
  samples: number,
): Promise<Contest> {
  const files = new Map<string, Uint8Array>();
  const contenders: (ContenderFile & { readonly weights: string })[] = [];
  const add = (engine: Engine, weights: string, reference: string, bytes: Uint8Array): string => {
    const name = `${engine}, ${weights}`;
    files.set(name, bytes);
    contenders.push({ name, engine, weights, file: name, reference });
    return name;
  };
  const onnx = (graph: Graph, weights: string): string => {
    files.set(`reference, ${weights}`, toOnnx(graph));
    return `reference, ${weights}`;
  };
  const reference = onnx(dense, 'dense');
  const plan = planOf(dense);
  add('grim', 'dense', reference, pack(compile(dense)));
  add('onnxruntime-web', 'dense', reference, files.get(reference) as Uint8Array);
  const { json, numbers } = flattened(plan);
  const tfjs = add('tfjs', 'dense', reference, new Uint8Array(numbers.buffer));
  files.set(`${tfjs}.json`, new TextEncoder().encode(json));
  add('litert', 'dense', reference, writeTflite(plan));
  for (const { graph, weights, unstructured } of pruned) {
    const own = onnx(graph, weights);
    add('grim', weights, own, pack(compile(graph)));
    if (unstructured) add('litert', weights, own, writeTflite(planOf(graph), { sparse: true }));
  }
  await using page = await openPage(browser, {
    // Nobody has threads here.
    mode: 'open',
    place: 'page',
    routes: {
      '/': '<!doctype html><script type="module" src="/page.js"></script>',
      '/page.js': await bundle(fileURLToPath(new URL('./page.ts', import.meta.url))),
      '/ort/': { folder: folderOf('onnxruntime-web') },
      '/tfjs/': { folder: folderOf('@tensorflow/tfjs-backend-wasm') },
      '/litert/': { folder: join(folderOf('@litertjs/core'), '../wasm') },
      '/file': (request, response) => {
        const content = files.get(new URL(request.url ?? '', 'http://localhost').searchParams.get('name') ?? '');
        if (content) response.end(content);
        else response.writeHead(404).end();
      },
    },
  });
  const shape = dense.inputs.values().next().value?.shape as readonly number[];
  const scene: Scene = { contenders, shape, samples };
  const measured = (await page.call('measure', scene)) as Measured;
  return {
    ...measured,
    contenders: measured.contenders.map((one, i) => ({
      ...one,
      ...{ engine: contenders[i]?.engine ?? 'grim', weights: contenders[i]?.weights ?? '' },
      bytes: files.get(one.name)?.length ?? 0,
    })),
  };
}

/** Of the installed packages. */
export function versions(): Readonly<Record<string, string>> {
  return Object.fromEntries(PEERS.map((peer) => [peer, versionOf(peer)]));
}

function folderOf(name: string): string {
  return dirname(fileURLToPath(import.meta.resolve(name)));
}

function versionOf(name: string): string {
  for (let folder = folderOf(name); dirname(folder) !== folder; folder = dirname(folder))
    try {
      const { name: found, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (found === name) return version;
    } catch {
      // The next folder up.
    }
  throw new Error(`${name} is not installed: npm run setup`);
}
