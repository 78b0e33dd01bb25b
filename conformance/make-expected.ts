/**
 * Writes expected-failures-wasm.txt from what fails now, with the reason that each failure gives. Only for failures that
 * have been looked at: a wrong result is no reason to be put on the list.
 *
 *     cd conformance && npm run expected
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCases, runCase, wasmBackend } from './src/index.ts';

const DATA = process.env['GRIM_DATA'] ?? join(import.meta.dirname, '../../shared/data');
const lines: string[] = [];
const counts = { passed: 0, failed: 0, skipped: 0 };
for (const folder of ['onnx-node-tests', 'models'])
  for (const one of findCases(join(DATA, folder))) {
    const { status, reason = '' } = await runCase(one, wasmBackend, { read: (path) => readFileSync(path) });
    counts[status]++;
    if (status === 'failed') lines.push(`${one.name}: ${reason.replace(/ \[GRIM_\w+\]$/, '')}`);
  }
const head = `# Cases that the backend wasm is known to fail, one per line: "path: reason", the path as \`grim conformance\` prints it.
# An entry whose case passes makes the run fail: take it out. \`npm run expected\` in this folder writes the list anew.
`;
writeFileSync(join(import.meta.dirname, 'expected-failures-wasm.txt'), `${head}${lines.map((l) => `${l}\n`).join('')}`);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
