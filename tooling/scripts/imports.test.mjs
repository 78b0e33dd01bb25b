import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { offences } from './imports.mjs';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'grim-imports-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (path, text) => {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const manifest = (folder, name, more = {}) =>
  write(`${folder}/package.json`, JSON.stringify({ name: `@grim/${name}`, ...more }, null, 2));

it('accepts what the table allows', () => {
  manifest('packages/ir', 'ir');
  write('packages/ir/src/index.ts', "import type { B } from './b.ts';\nexport const a = 1 as unknown as B;\n");
  write('packages/ir/src/b.ts', "import { a } from './index.ts';\nexport type B = typeof a;\n");
  write('packages/ir/src/index.test.ts', "import 'node:fs';\nimport 'onnxruntime-node';\n");
  manifest('packages/runtime', 'runtime', { dependencies: { '@grim/ir': 'workspace:*' } });
  write('packages/runtime/src/index.ts', "import type { A } from '@grim/ir';\nconst fs = import('node:fs');\n");
  expect(offences(root)).toEqual([]);
});

it('names a sibling that the table does not name, in package.json and in an import', () => {
  manifest('packages/bcr', 'bcr', { dependencies: { '@grim/prune': 'workspace:*' } });
  write('packages/bcr/src/index.ts', "// one\nexport { x } from '@grim/prune';\n");
  expect(offences(root)).toEqual([
    'packages/bcr/package.json:4: @grim/bcr must not depend on @grim/prune: it may import @grim/ir.',
    'packages/bcr/src/index.ts:2: @grim/bcr must not import @grim/prune: it may import @grim/ir.',
  ]);
});

it('tells a type import from a value import', () => {
  manifest('packages/train', 'train', { dependencies: { '@grim/prune': 'workspace:*' } });
  write('packages/train/src/ok.ts', "import type { Trainer } from '@grim/prune';\n");
  write('packages/train/src/bad.ts', "import { type Trainer } from '@grim/prune';\n");
  expect(offences(root)).toEqual([
    'packages/train/src/bad.ts:1: @grim/train may import the types of @grim/prune only (write `import type { … }`).',
  ]);
});

it('finds platform modules, other engines, undeclared packages and paths out of the package', () => {
  manifest('packages/ir', 'ir', { devDependencies: { 'onnxruntime-node': '1.0.0' } });
  write(
    'packages/ir/src/index.ts',
    "import 'node:fs';\nimport 'onnxruntime-node';\nimport 'left-pad';\nimport '../../bcr/src/index.ts';\nimport '@grim/ir/onnx';\n",
  );
  expect(offences(root)).toEqual([
    "packages/ir/src/index.ts:1: @grim/ir runs everywhere and must not import 'node:fs' in src.",
    "packages/ir/src/index.ts:2: 'onnxruntime-node' may be imported by @grim/train and by tests only.",
    "packages/ir/src/index.ts:3: 'left-pad' is not among the dependencies of @grim/ir.",
    "packages/ir/src/index.ts:4: '../../bcr/src/index.ts' leaves the package; import the sibling by its name.",
    "packages/ir/src/index.ts:5: '@grim/ir/onnx' is this very package; import the file instead.",
  ]);
});

it('finds a cycle of value imports', () => {
  manifest('packages/ir', 'ir');
  write('packages/ir/src/a.ts', "import { b } from './b.ts';\nexport const a = b;\n");
  write('packages/ir/src/b.ts', "\nimport { a } from './a.ts';\nexport const b = a;\n");
  expect(offences(root)).toEqual([
    'packages/ir/src/b.ts:2: import cycle: packages/ir/src/a.ts → packages/ir/src/b.ts → packages/ir/src/a.ts.',
  ]);
});

it('wants a row for every package', () => {
  manifest('packages/new', 'new');
  expect(offences(root)).toHaveLength(1);
});

it('keeps addresses out of the lockfile', () => {
  const lockfile = readFileSync(resolve(import.meta.dirname, '../../pnpm-lock.yaml'), 'utf8');
  expect(lockfile).not.toMatch(/:\/\/|tarball:/);
});
