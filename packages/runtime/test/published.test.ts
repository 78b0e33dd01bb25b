/**
 * What the built core may not contain, so that it runs unchanged under a strict policy, in workers of every kind and in
 * every bundler: looked for in its syntax, not in its text.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

const start = join(import.meta.dirname, '../dist/index.js');

/** Names that evaluate text, make scripts out of data, load scripts, or exist in pages or in Node alone. */
const FORBIDDEN = [
  ...['eval', 'Function', 'importScripts', 'require', 'createObjectURL'],
  ...['document', 'window', 'XMLHttpRequest', 'localStorage', 'Buffer', '__dirname', '__filename'],
];

/** Offences in the text of one script, and the scripts that it imports. */
function examine(text: string): { readonly offences: string[]; readonly imports: string[] } {
  const source = ts.createSourceFile('core.js', text, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const offences: string[] = [];
  const imports: string[] = [];
  const visit = (node: ts.Node, inFunction: boolean): void => {
    const bad = (what: string) =>
      offences.push(`${what} on line ${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}`);
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier)
      imports.push((node.moduleSpecifier as ts.StringLiteral).text);
    if (node.kind === ts.SyntaxKind.ImportKeyword && ts.isCallExpression(node.parent)) bad('import()');
    if (ts.isMetaProperty(node) && node.keywordToken === ts.SyntaxKind.ImportKeyword) bad('import.meta');
    if (ts.isIdentifier(node) && FORBIDDEN.includes(node.text)) bad(node.text);
    if (ts.isAwaitExpression(node) && !inFunction) bad('await at the top');
    if (ts.isCallExpression(node) && /^set(Timeout|Interval)$/.test(node.expression.getText(source)))
      if (node.arguments[0] && ts.isStringLiteralLike(node.arguments[0])) bad('a timer of text');
    ts.forEachChild(node, (child) => visit(child, inFunction || ts.isFunctionLike(node)));
  };
  visit(source, false);
  return { offences, imports };
}

it('R13: the built core evaluates, imports and asks for nothing that a policy or a worker lacks', () => {
  expect(existsSync(start), 'dist is missing: npm run build').toBe(true);
  const seen = new Set<string>();
  const pending = [start];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const { offences, imports } = examine(readFileSync(path, 'utf8'));
    expect(offences, path).toEqual([]);
    for (const specifier of imports) {
      expect(specifier, path).toMatch(/^\.\//);
      pending.push(join(dirname(path), specifier));
    }
  }
});

it.each([
  ['eval("1")', 'eval on line 1'],
  ['const f = new Function("a")', 'Function on line 1'],
  ['\nf = () => import("./x.js")', 'import() on line 2'],
  ['new Worker(new URL("w.js", import.meta.url))', 'import.meta on line 1'],
  ['new Worker(URL.createObjectURL(new Blob([])))', 'createObjectURL on line 1'],
  ['await f()', 'await at the top on line 1'],
  ['setTimeout("f()", 1)', 'a timer of text on line 1'],
  ['document.title', 'document on line 1'],
])('finds %j', (text, offence) => {
  expect(examine(text).offences).toEqual([offence]);
});

it('takes text and comments for what they are', () => {
  expect(
    examine('/* eval */ fail("wasm-unsafe-eval, import()"); const f = async () => { await g(); };').offences,
  ).toEqual([]);
});
