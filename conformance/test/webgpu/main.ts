/**
 * Every conformance case and model and `--patterns` layers with random BCR patterns on WebGPU, in Node through Dawn and in
 * Chromium: `npm run conformance:webgpu` at the root.
 * `-- --node` and `-- --chromium` run one of them, `-- --write` writes expected-failures-webgpu.txt from what fails in Node.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { findChromium, launchChromium, NO_CHROMIUM, NO_GPU, nodeAdapter, SOFTWARE_WEBGPU } from '@grim/browser';
import { loadModel } from '@grim/runtime/webgpu';
import { type CaseResult, defaultExpectedFailures, runCase, webgpuBackend } from '../../src/index.ts';
import { openSuite, pageScript, sharedCases } from '../browser/suite.ts';
import { PATIENCE, type PatternResult, runPattern, summarizePatterns } from './patterns.ts';

const { values } = parseArgs({
  options: {
    node: { type: 'boolean' },
    chromium: { type: 'boolean' },
    write: { type: 'boolean' },
    /** Cases whose name has this in it. */
    only: { type: 'string' },
    patterns: { type: 'string', default: '600' },
  },
});
const data = resolve(import.meta.dirname, '../../..', process.env['GRIM_DATA'] ?? '../shared/data');
const cases = sharedCases(data).filter(({ name }) => name.includes(values.only ?? ''));
if (cases.length === 0) throw new Error(`no data at ${data}: point GRIM_DATA at the folder with onnx-node-tests/`);
const expected = defaultExpectedFailures('webgpu');
let wrong = 0;
const patterns = Number(values.patterns);
if (!(Number.isSafeInteger(patterns) && patterns >= 0))
  throw new Error(`--patterns ${values.patterns}: a count is needed`);

function report(where: string, results: readonly CaseResult[]): void {
  const count = (status: CaseResult['status']) => results.filter((result) => result.status === status).length;
  console.log(`${where}: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`);
  for (const { name, status, reason } of results) {
    const known = expected.has(name);
    if (status === 'failed' && !known) console.log(`  WRONG ${name}: ${reason}`);
    if (status === 'passed' && known) console.log(`  PASSES ${name}: take it out of the list`);
    if ((status === 'failed') !== known) wrong++;
  }
}

function reportPatterns(where: string, results: readonly PatternResult[]): void {
  const { cases, sparse, outputs, worst, wrong: bad } = summarizePatterns(results);
  const errors = `worst error ${worst.toFixed(2)} of what is allowed`;
  console.log(`${where}: ${cases} random patterns, ${sparse} in sparse kernels, ${outputs} outputs, ${errors}`);
  for (const one of bad) console.log(`  WRONG ${JSON.stringify(one)}`);
  wrong += bad.length;
}

if (!values.chromium) {
  const adapter = await nodeAdapter();
  if (!adapter) throw new Error(NO_GPU);
  const { vendor, architecture, description } = adapter.info;
  console.log(`Node: ${[vendor, architecture, description].filter(Boolean).join(', ')}`);
  // What the adapter has is used here, and in Chromium it is not: both texts of a shader are run.
  const requiredFeatures = (['subgroups', 'shader-f16'] as const).filter((feature) => adapter.features.has(feature));
  const gpu = await adapter.requestDevice({ requiredFeatures });
  const backend = webgpuBackend(gpu);
  const results: CaseResult[] = [];
  for (const [i, one] of cases.entries()) {
    const start = performance.now();
    results.push(await runCase(one, backend, { read: (path) => readFileSync(path) }));
    const seconds = (performance.now() - start) / 1000;
    if (seconds > 10) console.log(`  ${one.name}: ${seconds.toFixed(0)} s`);
    if ((i + 1) % 100 === 0) console.log(`  ${i + 1} of ${cases.length}`);
  }
  if (values.write) {
    const head = `# Cases that the backend webgpu is known to fail, one per line: "path: reason". \`npm run conformance:webgpu -- --node --write\`
# writes the list anew; a wrong result is no reason to be put on it.
`;
    const lines = results
      .filter(({ status }) => status === 'failed')
      .map(({ name, reason = '' }) => `${name}: ${reason.replace(/ \[GRIM_\w+\]$/, '')}\n`);
    writeFileSync(join(import.meta.dirname, '../../expected-failures-webgpu.txt'), head + lines.join(''));
  }
  report('Node', results);
  const layers: PatternResult[] = [];
  for (let seed = 1; seed <= patterns; seed++)
    layers.push(await runPattern(seed, (file) => loadModel(file, { device: 'webgpu', gpu, patience: PATIENCE })));
  if (patterns > 0) reportPatterns('Node', layers);
}

if (!values.node) {
  const program = findChromium();
  if (!program) throw new Error(NO_CHROMIUM);
  const browser = await launchChromium(program, SOFTWARE_WEBGPU);
  try {
    await using suite = await openSuite(browser, data, await pageScript(), { mode: 'open', place: 'module' });
    const where = `Chromium ${browser.version()}`;
    report(where, await suite.cases(cases, 'webgpu'));
    if (patterns > 0) reportPatterns(where, await suite.patterns(1, patterns));
    for (const trouble of await suite.troubles()) {
      console.log(`  WRONG ${trouble}`);
      wrong++;
    }
  } finally {
    await browser.close();
  }
}
console.log(wrong === 0 ? 'as expected' : `${wrong} wrong`);
process.exit(wrong === 0 ? 0 : 1);
