/**
 * Other engines than Node and browsers: Deno, Bun and workerd (what Cloudflare runs), each where its program is on the PATH.
 * `npm install --ignore-scripts deno bun workerd` brings all three; they are too large to be brought for every test run.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { buildSync } from 'esbuild';
import { expect, inject, it, onTestFinished, type TestContext } from 'vitest';
import { copyExample, grim } from './consumer.ts';

const consumer = inject('consumer');

/** Probabilities, or the code of an error. */
type Answers = readonly (readonly number[] | string)[];

/** A model by its address and by its bytes, its answers, and what a wrong input and a wrong file are told. */
const PROGRAM = `import { loadModel } from '@grim/runtime';
import { readFileSync } from 'node:fs';
const image = new Float32Array(400).fill(51 / 255);
const answers = [];
for (const source of [new URL('./digits.grim', import.meta.url), readFileSync('digits.grim')]) {
  const model = await loadModel(source);
  answers.push([...(await model.run({ image })).probabilities]);
  answers.push(await model.run({ image: image.subarray(1) }).catch(({ code }) => code));
  model.dispose();
}
answers.push(await loadModel(new Uint8Array(64)).catch(({ code }) => code));
console.log(JSON.stringify(answers));
`;

function program(context: TestContext, name: string): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  return context.skip(`there is no ${name} here`);
}

/** Which SIMD family an engine has decides about the last digit. */
function agree(given: Answers, wanted: Answers): void {
  expect(given.length).toBe(wanted.length);
  for (const [i, want] of wanted.entries()) {
    if (typeof want === 'string') expect(given[i]).toBe(want);
    else for (const [j, value] of want.entries()) expect((given[i] as readonly number[])[j]).toBeCloseTo(value, 6);
  }
}

function answersOf(command: string, ...args: readonly string[]): Answers {
  const folder = join(consumer, 'platforms');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'program.mjs'), PROGRAM);
  execFileSync('cp', [join(consumer, 'digits.grim'), folder]);
  return JSON.parse(execFileSync(command, [...args, 'program.mjs'], { cwd: folder, encoding: 'utf8', stdio: 'pipe' }));
}

it('Deno answers as Node does', (context) => {
  const deno = program(context, 'deno');
  const args = ['run', '--quiet', '--no-config', '--node-modules-dir=manual', '--allow-read', '--allow-env'];
  agree(answersOf(deno, ...args), answersOf(process.execPath));
});

it('Bun answers as Node does', (context) => {
  const bun = program(context, 'bun');
  agree(answersOf(bun, 'run'), answersOf(process.execPath));
});

it('edge-worker: workerd answers as Node does', async (context) => {
  const workerd = program(context, 'workerd');
  const folder = copyExample(consumer, 'edge-worker');
  const [model, grimFile] = ['apps/cli/demo/tiny-cnn/model.onnx', join(folder, 'digits.grim')];
  grim(consumer, 'compile', model, '--dim', 'N=1', '--split', '-o', grimFile);
  buildSync({
    ...{ entryPoints: [join(folder, 'worker.js')], outfile: join(folder, 'bundle.js'), bundle: true, format: 'esm' },
    ...{ external: ['*.grim', '*.wasm'] },
  });
  const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .digits)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const digits :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "bundle.js"),
    (name = "digits.grim", data = embed "digits.grim"),
    (name = "digits.plain.wasm", wasm = embed "digits.plain.wasm")
  ],
  compatibilityDate = "2026-01-01"
);
`;
  writeFileSync(join(folder, 'config.capnp'), config);
  const server = spawn(workerd, ['serve', '--control-fd=3', 'config.capnp'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  });
  onTestFinished(() => void server.kill());
  const [line] = await once(server.stdio[3] as NodeJS.ReadableStream, 'data');
  const { port } = JSON.parse(String(line)) as { readonly port: number };
  const post = (length: number) =>
    fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: new Uint8Array(length).fill(51) });
  const [right, wrong] = [await post(400), await post(399)];
  expect(wrong.status).toBe(400);
  agree([(await right.json()) as readonly number[]], answersOf(process.execPath).slice(0, 1));
});
