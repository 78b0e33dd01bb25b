// Every regular expression of the sources that may meet input text, on text made to lead it astray: 100 KiB in which a
// pattern with nested or neighbouring repetitions would take minutes.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const LENGTH = 100 * 1024;
const SEEDS = [
  'a',
  '0',
  ' ',
  '=',
  '.',
  '/',
  '\\',
  '-',
  '"',
  "'",
  '\n',
  '(',
  '[',
  '{',
  ',',
  '_',
  '%',
  '\u0000',
  '\u001b',
  'é',
  '🧱',
];
const PAIRS = [
  'ab',
  'a0',
  'a ',
  '0.',
  '../',
  './',
  'a=',
  ' =',
  '\r\n',
  '->',
  'a,',
  ', ',
  '0,',
  '1e',
  '++',
  '%2',
  'C:',
  '""',
  '\\"',
  'a.b',
];
const ENDINGS = ['', '!', '\n', '"', 'x', '0'];
/** Far above what a linear pattern needs on a slow machine, far below what a quadratic one takes. */
const MOST_MS = 1000;

function* literals() {
  const pending = ['packages/ir/src', 'conformance/src', 'apps/cli/src']
    .map((folder) => join(root, folder))
    .filter(existsSync);
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop())
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) pending.push(path);
      else if (entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts')) yield* literalsOf(path);
    }
}

function literalsOf(path) {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const found = [];
  const visit = (node) => {
    if (ts.isRegularExpressionLiteral(node)) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
      found.push([`${relative(root, path)}:${line + 1} ${node.text}`, node.text]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const all = [...literals()];

it('L15: finds the regular expressions', () => {
  expect(all.length).toBeGreaterThan(10);
});

it.each(all)('L15: %s takes linear time', (_, text) => {
  const end = text.lastIndexOf('/');
  const pattern = new RegExp(text.slice(1, end), text.slice(end + 1));
  for (const seed of [...SEEDS, ...PAIRS])
    for (const ending of ENDINGS) {
      const hostile = seed.repeat(Math.ceil(LENGTH / seed.length)) + ending;
      const begin = performance.now();
      if (pattern.global) hostile.replace(pattern, '');
      else pattern.exec(hostile);
      expect(performance.now() - begin, JSON.stringify(seed + ending)).toBeLessThan(MOST_MS);
    }
});
