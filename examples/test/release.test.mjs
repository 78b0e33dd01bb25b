// A release as far as it goes without a registry: the version that changesets make, every tarball, and what npm would publish.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { prepare, problemsOf, publishDry, published, repositoryUrl } from '../../tooling/scripts/release.mjs';

const root = resolve(import.meta.dirname, '../..');
const URL = 'git+https://example.org/grim/grim.git';

let release = { folder: '', packages: [], problems: [] };
beforeAll(() => {
  release = prepare(root, { apply: true, remote: URL });
});
afterAll(() => release.folder && rmSync(release.folder, { recursive: true, force: true }));

it('packs every package with what a reader, npm and provenance need', () => {
  expect(release.problems).toEqual([]);
  expect(release.packages.map(({ name }) => name).sort()).toEqual(
    published(root)
      .map(({ manifest }) => manifest.name)
      .sort(),
  );
  for (const { manifest, files } of release.packages) {
    expect(manifest.repository).toEqual({
      type: 'git',
      url: URL,
      directory: expect.stringMatching(/^(packages|apps)\//),
    });
    expect(files).toContain('LICENSE');
  }
});

it('gives all packages one version, and a CHANGELOG to each that changed', () => {
  const versions = new Set(release.packages.map(({ version }) => version));
  expect(versions.size).toBe(1);
  const changed = release.packages.filter(({ files }) => files.includes('CHANGELOG.md'));
  const before = published(root)[0].manifest.version;
  // Right after a release there are no changesets.
  if (!versions.has(before)) expect(changed.map(({ name }) => name)).toContain('@grim/runtime');
  for (const { files, version } of changed)
    expect([files.includes('README.md'), /^\d+\.\d+\.\d+$/.test(version)]).toEqual([true, true]);
});

it('publishes dependencies before what needs them', () => {
  const names = release.packages.map(({ name }) => name);
  for (const { name, manifest } of release.packages)
    for (const other of Object.keys(manifest.dependencies ?? {}).filter((one) => one.startsWith('@grim/')))
      expect(names.indexOf(other), `${other} before ${name}`).toBeLessThan(names.indexOf(name));
});

it('is what npm would publish', () => {
  for (const { name, version, tarball, files } of release.packages) {
    const said = publishDry(tarball);
    const { entryCount, ...one } = said[name] ?? said;
    expect([one.name, one.version, entryCount]).toEqual([name, version, files.length]);
  }
});

it('leaves the repository as it was', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'packages/runtime/package.json'), 'utf8'));
  expect(readFileSync(join(root, 'packages/codegen/src/compile.ts'), 'utf8')).toContain(
    `const VERSION = '${version}';`,
  );
  expect(existsSync(join(root, 'packages/runtime/LICENSE'))).toBe(false);
});

it.each([
  ['git@example.org:grim/grim.git', URL],
  ['https://example.org/grim/grim', URL],
  ['https://user@example.org/grim/grim.git', undefined],
  ['ssh://git@example.org/grim/grim.git', URL],
  ['/home/somebody/grim', undefined],
])('knows the address %s', (remote, url) => {
  expect(repositoryUrl(remote)).toBe(url);
});

const GOOD = {
  ...{ name: '@grim/x', version: '1.0.0', description: 'x', license: 'Apache-2.0', type: 'module' },
  ...{ engines: { node: '>=22' }, publishConfig: { access: 'public' }, repository: { url: URL } },
  ...{
    exports: { '.': { '@grim/source': './src/index.ts', default: './dist/index.js' } },
    dependencies: { '@grim/y': '1.0.0' },
  },
};
const FILES = ['package.json', 'README.md', 'LICENSE', 'dist/index.js'];
const problems = (manifest, files = FILES) =>
  problemsOf({ ...GOOD, ...manifest }, files, { versions: new Map([['@grim/y', '1.0.0']]), repository: URL });

it('finds nothing wrong with a good package', () => {
  expect(problems({})).toEqual([]);
});

it.each([
  [{ license: 'MIT' }, undefined, 'the licence is missing'],
  [{}, FILES.filter((file) => file !== 'README.md'), 'README.md is missing'],
  [{ description: '' }, undefined, 'no description'],
  [{ type: 'commonjs' }, undefined, 'it must be a module'],
  [{ publishConfig: {} }, undefined, 'access must be public'],
  [{ repository: undefined }, undefined, 'repository must be'],
  [{ scripts: { postinstall: 'x' } }, undefined, 'install script, postinstall'],
  [{ dependencies: { z: 'workspace:*' } }, undefined, 'z is asked for as workspace:*'],
  [{ dependencies: { '@grim/y': '0.9.0' } }, undefined, '@grim/y is asked for as 0.9.0, and is 1.0.0'],
  [{ exports: {} }, undefined, 'exports nothing'],
  [{ exports: './dist/other.js' }, undefined, './dist/other.js is named and not in the tarball'],
  [{}, [...FILES, 'src/index.ts'], 'the tarball holds src/index.ts'],
  [{}, [...FILES, 'dist/index.js.map'], 'the tarball holds dist/index.js.map'],
])('finds what is wrong with %j', (manifest, files, sentence) => {
  expect(problems(manifest, files)).toEqual([expect.stringContaining(sentence)]);
});
