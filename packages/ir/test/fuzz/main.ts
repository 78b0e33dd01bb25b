/**
 * The fuzzers from the command line: `pnpm fuzz --cases 1000000 --seed 7 --kind bytes --target decode`.
 * `--first N --cases 1` replays one case. Findings are minimised and written to `findings/`, which the tests replay.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runCampaign } from './campaign.ts';
import { byteCase, corpus, modelCase } from './corpus.ts';
import { TARGETS } from './targets.ts';

const KINDS = { bytes: byteCase, models: modelCase };

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    first: { type: 'string', default: '0' },
    kind: { type: 'string', default: 'bytes' },
    target: { type: 'string', default: 'decode' },
    data: {
      type: 'string',
      default: process.env['GRIM_DATA'] ?? join(import.meta.dirname, '../../../../../shared/data'),
    },
  },
});
const target = TARGETS[values.target];
const kind = KINDS[values.kind as keyof typeof KINDS];
const [cases, seed, first] = [Number(values.cases), Number(values.seed), Number(values.first)];
if (target === undefined || kind === undefined || ![cases, seed, first].every(Number.isSafeInteger)) {
  console.error(
    `Usage: --kind ${Object.keys(KINDS).join('|')} --target ${Object.keys(TARGETS).join('|')} --cases N --seed N --first N`,
  );
  process.exit(2);
}

const files = corpus(resolve(values.data));
console.log(
  `${cases} cases of kind ${values.kind} from seed ${seed} on ${values.target}, ${files.length} models to start from`,
);
const began = performance.now();
const rate = (done: number) => `${Math.round((done * 1000) / (performance.now() - began))} cases/s`;
const { outcomes, findings, slowest } = runCampaign({
  seed,
  cases,
  first,
  target,
  make: (random) => kind(files, random),
  onProgress: (done) => done % 500_000 === 0 && console.log(`${done} cases, ${rate(done)}`),
});

const done = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
for (const [outcome, count] of [...outcomes].toSorted((a, b) => b[1] - a[1]))
  console.log(`${String(count).padStart(10)} ${outcome}`);
console.log(`slowest: case ${slowest.index}, ${slowest.ms.toFixed(1)} ms for ${slowest.bytes} bytes`);
const folder = join(import.meta.dirname, 'findings');
for (const { index, how, bytes, what } of findings) {
  const file = join(folder, `${values.kind}-${seed}-${index}.bin`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, bytes);
  console.log(`case ${index} (${how.join(', then ')}): ${what}, ${bytes.length} bytes in ${file}`);
}
console.log(`${done} cases, ${rate(done)}, ${findings.length} findings`);
process.exitCode = findings.length === 0 ? 0 : 1;
