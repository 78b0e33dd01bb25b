// npm run demo: set-up, build, then the small model of this repository from ONNX to numbers: looked into, verified, compiled
// with its zeros and without them, run, compared with the reference, and timed beside onnxruntime-web.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { grim, root, setup, step } from './steps.mjs';

const MODEL = 'apps/cli/demo/tiny-cnn/model.onnx';
const DATA = 'apps/cli/demo/tiny-cnn/test_data_set_0';
const WARM_UP = 100;
const RUNS = 200;

/** The part that needs what was built; runs in the Node that the set-up brings. */
async function measure(folder) {
  const load = (path) => import(pathToFileURL(join(root, path)).href);
  const [{ loadModel }, { readTensorFile }] = await Promise.all([
    load('packages/runtime/dist/index.js'),
    load('packages/ir/dist/onnx/index.js'),
  ]);
  const tensor = (name) => readTensorFile(readFileSync(join(root, DATA, name))).tensor;
  const image = tensor('input_0.pb');
  const inputs = { image: image.data };
  const expected = tensor('output_0.pb').data;
  const forms = ['dense', 'pruned'];
  const found = [];
  for (const form of forms) {
    const bytes = readFileSync(join(folder, `${form}.grim`));
    const model = await loadModel(bytes);
    const run = async () => (await model.run(inputs)).probabilities;
    found.push({ name: form, file: bytes.length, constants: kilobytes(model.bytes.constants), run, model, times: [] });
  }
  found.push(await peer(image));
  for (const one of found) {
    const probabilities = await one.run();
    one.error = probabilities.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  }
  // In turn, so that what disturbs the machine disturbs all.
  for (let i = -WARM_UP; i < RUNS; i++)
    for (const { run, times } of found) {
      const start = performance.now();
      await run();
      if (i >= 0) times.push(performance.now() - start);
    }
  const rows = found.map(({ name, file, constants, times, error }) => [
    name,
    kilobytes(file),
    constants,
    `${median(times).toFixed(3)} ms`,
    error.toExponential(1),
  ]);
  const titles = ['', 'file', 'constants', 'ten pictures', 'largest error'];
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  for (const row of [titles, ...rows])
    console.log(`  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')}`);
  const [dense, pruned, web] = found.map(({ times }) => median(times));
  console.log(
    `  pruned: ${(dense / pruned).toFixed(2)} times as fast as dense, ${(web / pruned).toFixed(2)} times as onnxruntime-web; ` +
      `dense: ${(web / dense).toFixed(2)} times as onnxruntime-web`,
  );
  console.log(
    `  (one thread, ${found[0].model.simd} SIMD, this machine, now: medians of ${RUNS} runs in turn after ${WARM_UP}; a model of ` +
      'this size is mostly calls and copies)',
  );
  return found.every(({ error }) => error < 1e-4);
}

/** The same model in onnxruntime-web, on one thread as ours. */
async function peer({ data, shape }) {
  const { resolve } = createRequire(join(root, 'bench', 'package.json'));
  const { env, InferenceSession, Tensor } = await import(pathToFileURL(resolve('onnxruntime-web')).href);
  env.wasm.numThreads = 1;
  const bytes = readFileSync(join(root, MODEL));
  const session = await InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const feeds = { image: new Tensor('float32', data, shape) };
  const run = async () => (await session.run(feeds)).probabilities.data;
  return { name: 'onnxruntime-web', file: bytes.length, constants: '', run, times: [] };
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

function show(...args) {
  console.log(`\n$ grim ${args.join(' ')}`);
  return step(grim, args);
}

function demo() {
  const folder = mkdtempSync(join(tmpdir(), 'grim-demo-'));
  const compile = (form, ...more) =>
    show('compile', MODEL, '--dim', 'N=10', '-o', join(folder, `${form}.grim`), ...more);
  try {
    return (
      show('inspect', MODEL) &&
      show('verify', 'apps/cli/demo') &&
      compile('pruned') &&
      compile('dense', '--dense') &&
      show('run', join(folder, 'pruned.grim'), '--input', `image=${DATA}/input_0.pb`, '--top', '1') &&
      show('verify', 'apps/cli/demo', '--backend', 'wasm') &&
      heading('The same model with its zeros multiplied and with its pattern, against the reference') &&
      step('node', [fileURLToPath(import.meta.url), '--measure', folder])
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function heading(text) {
  console.log(`\n${text}`);
  return true;
}

if (process.argv[2] === '--measure') process.exitCode = (await measure(process.argv[3])) ? 0 : 1;
else {
  const build = ['run', 'build', '--filter=@grim/cli...', '--output-logs=errors-only'];
  process.exitCode = setup() && step('turbo', build) && demo() ? 0 : 1;
}
