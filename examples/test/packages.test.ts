/** What somebody gets who installs a package: how much, how many, and nothing that runs. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { publishedFolders, ROOT, readManifest } from './consumer.ts';
import { figuresOf, measure, PATH, type Sizes, sizesText } from './sizes.ts';

const consumer = inject('consumer');
/** Of a figure in docs/sizes.md: what goes to every user is watched more closely than the tools that are being built. */
const toleranceOf = (name: string): number => (name.startsWith('@grim/runtime') ? 0.1 : 0.33);

let sizes: Sizes;
beforeAll(async () => {
  sizes = await measure(consumer);
});

it('the runtime installs by npm without a registry: one package, no script, no dependency', () => {
  const folder = join(consumer, 'install');
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true }');
  const [tarball = ''] = readdirSync(join(consumer, 'tarballs')).filter((name) => name.startsWith('grim-runtime-'));
  const args = ['install', '--offline', '--no-audit', '--no-fund', join(consumer, 'tarballs', tarball)];
  // With install scripts allowed: there are none. With an empty cache: nothing comes from one.
  execFileSync('npm', [...args, '--cache', join(folder, 'cache')], { cwd: folder, stdio: 'pipe' });
  const { packages } = JSON.parse(readFileSync(join(folder, 'node_modules/.package-lock.json'), 'utf8'));
  expect(Object.keys(packages)).toEqual(['node_modules/@grim/runtime']);
  const { dependencies, peerDependencies, optionalDependencies } = readManifest(
    join(folder, 'node_modules/@grim/runtime'),
  );
  expect([dependencies, peerDependencies, optionalDependencies]).toEqual([undefined, undefined, undefined]);
});

it('every package that is published is built before these tests', () => {
  const { devDependencies = {} } = readManifest(join(ROOT, 'examples')) as { devDependencies?: object };
  const names = publishedFolders().map((folder) => readManifest(folder).name);
  expect(names.filter((name) => !(name in devDependencies))).toEqual([]);
});

it('no package of this project runs a script when it is installed', () => {
  for (const folder of publishedFolders()) {
    const { name, scripts = {} } = readManifest(join(consumer, 'node_modules', readManifest(folder).name));
    const automatic = Object.keys(scripts).filter((script) => /^(pre|post)?(install|prepare)$/.test(script));
    expect([name, automatic]).toEqual([name, []]);
  }
});

describe('docs/sizes.md', () => {
  it('says what packages and entries take now', () => {
    const said = figuresOf(readFileSync(PATH, 'utf8'));
    const found = figuresOf(sizesText(sizes));
    expect([...said.keys()]).toEqual([...found.keys()]);
    const off = Array.from(found, ([name, figures]) => {
      const stated = said.get(name) ?? [];
      // And never less than what a little change of a small figure is.
      const wrong = figures.filter(
        (figure, i) => Math.abs(figure - (stated[i] ?? 0)) > Math.max(1, toleranceOf(name) * figure),
      );
      return wrong.length > 0 ? `${name}: ${figures.join(', ')}, not ${stated.join(', ')}; npm run sizes` : undefined;
    });
    expect(off.filter(Boolean)).toEqual([]);
  });

  it('notices a figure that is wrong', () => {
    const [first] = sizes.packages;
    const other = { ...sizes, packages: [{ ...first, unpackedBytes: 1 } as Sizes['packages'][number]] };
    expect(figuresOf(sizesText(other)).get(first?.name ?? '')?.[1]).toBe(0);
  });
});
