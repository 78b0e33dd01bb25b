// npm run rows: which rows of docs/bad-input.md no test covers; with --all, the test files of every row. A test covers a row whose id stands at the front of its
// name, alone or in a list: `it('G9: …')`, `it.for(…)('X1, X2: …')`. Rows marked as waiting need none yet.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '../..');
const GROUPS = 'PGTXCFRLWBDSMU';

/** The rows of a table in Markdown: `| P1 | title | why it waits, or nothing |`. */
export function readRows(markdown) {
  const rows = [];
  for (const line of markdown.split('\n')) {
    const [, id, title, waits] = /^\| ([A-Z]\d+) \| ([^|]+) \|([^|]*)\|$/.exec(line) ?? [];
    if (id !== undefined) rows.push({ id, title: title.trim(), waits: waits.trim() });
  }
  return rows;
}

/** Ids in the names of the tests of one file. */
export function idsIn(source) {
  const ids = new Set();
  // Other ids of the design (numeric gates, outcomes) may stand beside those of rows.
  for (const [, list] of source.matchAll(/['"`]((?:[A-Z]\d+(?:, )?)+): /g))
    for (const id of list.split(', ')) if (GROUPS.includes(id[0])) ids.add(id);
  return ids;
}

/** Row id → the test files that have it, over the whole repository. */
export function coverage(folder = root) {
  const covered = new Map();
  const pending = ['packages', 'apps', 'conformance', 'tooling'].map((name) => join(folder, name));
  for (let path = pending.pop(); path !== undefined; path = pending.pop())
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (['node_modules', 'dist', 'coverage', '.results', '.turbo'].includes(entry.name)) continue;
      const inner = join(path, entry.name);
      if (entry.isDirectory()) pending.push(inner);
      else if (/\.test\.(ts|mjs)$/.test(entry.name) && entry.name !== 'rows.test.mjs')
        for (const id of idsIn(readFileSync(inner, 'utf8'))) covered.set(id, [...(covered.get(id) ?? []), inner]);
    }
  return covered;
}

export const rows = () => readRows(readFileSync(join(root, 'docs/bad-input.md'), 'utf8'));

/** Rows that need a test and have none. */
export function uncovered() {
  const covered = coverage();
  return rows().filter(({ id, waits }) => waits === '' && !covered.has(id));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const missing = uncovered();
  if (process.argv.includes('--all')) {
    const covered = coverage();
    for (const { id } of rows())
      console.log(`${id}: ${(covered.get(id) ?? []).map((file) => relative(root, file)).join(', ')}`);
  }
  for (const { id, title } of missing) console.log(`${id} has no test: ${title}`);
  const waiting = rows().filter(({ waits }) => waits !== '');
  for (const { id, waits } of waiting) console.log(`${id} waits: ${waits}`);
  console.log(`${rows().length} rows, ${missing.length} without a test, ${waiting.length} waiting`);
  process.exitCode = missing.length === 0 ? 0 : 1;
}
