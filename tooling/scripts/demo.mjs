// npm run demo: set-up, build, then the small model of this repository from ONNX to numbers: looked into, verified, compiled
// with its zeros and without them, run, compared with the reference, and timed.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
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
  const inputs = { image: tensor('input_0.pb').data };
  const expected = tensor('output_0.pb').data;
  const forms = ['dense', 'pruned'];
  const found = [];
  for (const form of forms) {
    const bytes = readFileSync(join(folder, `${form}.grim`));
    found.push({ form, file: bytes.length, model: await loadModel(bytes), times: [] });
  }
  for (const one of found) {
    const { probabilities } = await one.model.run(inputs);
    one.error = probabilities.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  }
  // In turn, so that what disturbs the machine disturbs both.
  for (let i = -WARM_UP; i < RUNS; i++)
    for (const { model, times } of found) {
      const start = performance.now();
      await model.run(inputs);
      if (i >= 0) times.push(performance.now() - start);
    }
  const rows = found.map(({ form, file, model, times, error }) => [
    form,
    kilobytes(file),
    kilobytes(model.bytes.constants),
    `${median(times).toFixed(3)} ms`,
    error.toExponential(1),
  ]);
  const titles = ['', 'file', 'constants', 'ten pictures', 'largest error'];
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  for (const row of [titles, ...rows])
    console.log(`  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')}`);
  const [dense, pruned] = found.map(({ times }) => median(times));
  console.log(`  pruned against dense: ${(dense / pruned).toFixed(2)} times as fast`);
  console.log(
    `  (one thread, ${found[0].model.simd} SIMD, this machine, now: medians of ${RUNS} runs in turn after ${WARM_UP}; a model of ` +
      'this size is mostly calls and copies)',
  );
  return found.every(({ error }) => error < 1e-4);
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
