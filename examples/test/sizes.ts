/**
 * What an installation takes: bytes of tarballs and of what they unpack to, packages that come with each, and what entries
 * of the runtime add to a page. `npm run sizes` in this folder writes docs/sizes.md; a test compares it with what is there now.
 */
import { existsSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { brotliCompressSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { makeConsumer, publishedFolders, ROOT, readManifest } from './consumer.ts';

export interface PackageSize {
  readonly name: string;
  readonly tarballBytes: number;
  readonly unpackedBytes: number;
  readonly files: number;
  /** Packages that npm installs with it, itself included; optional and peer dependencies are not. */
  readonly packages: number;
}

export interface EntrySize {
  readonly entry: string;
  /** A bundle of all that the entry exports, minified; a worker's script is apart. */
  readonly minified: number;
  readonly brotli: number;
}

export interface Sizes {
  readonly packages: readonly PackageSize[];
  readonly entries: readonly EntrySize[];
}

export const PATH: string = join(ROOT, 'docs/sizes.md');

/** @param consumer  of {@link makeConsumer} */
export async function measure(consumer: string): Promise<Sizes> {
  const tarballs = join(consumer, 'tarballs');
  const packages = publishedFolders().map((folder) => {
    const { name, version } = readManifest(folder);
    const unpacked = filesBelow(join(consumer, 'node_modules', name));
    return {
      name,
      tarballBytes: statSync(join(tarballs, `${name.slice(1).replace('/', '-')}-${version}.tgz`)).size,
      unpackedBytes: unpacked.reduce((sum, file) => sum + statSync(file).size, 0),
      files: unpacked.length,
      packages: installed(join(consumer, 'node_modules', name), consumer).size,
    };
  });
  const { exports = {} } = readManifest(join(consumer, 'node_modules/@grim/runtime')) as { exports?: object };
  const names = Object.keys(exports).filter((key) => key !== './package.json');
  const entries = await Promise.all(names.map((key) => entrySize(key.replace('.', '@grim/runtime'), consumer)));
  return { packages, entries };
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

/** Names and versions of what stands in the way of a bare `npm install`. */
function installed(folder: string, consumer: string, found: Set<string> = new Set()): Set<string> {
  const real = realpathSync(folder);
  const { name, version, dependencies = {} } = readManifest(real);
  const key = `${name}@${version}`;
  if (found.has(key)) return found;
  found.add(key);
  for (const dependency of Object.keys(dependencies)) {
    let at = real;
    while (!existsSync(join(at, 'node_modules', dependency)) && dirname(at) !== at) at = dirname(at);
    const next = join(dirname(at) === at ? consumer : at, 'node_modules', dependency);
    if (existsSync(next)) installed(next, consumer, found);
    else throw new Error(`${name} needs ${dependency}, which is not there.`);
  }
  return found;
}

/** As size-limit has it, which guards the core entry. */
async function entrySize(entry: string, consumer: string): Promise<EntrySize> {
  const input = join(consumer, `entry-${entry.replaceAll('/', '-')}.mjs`);
  // Imported besides, for the entries that export nothing: they are the scripts of workers.
  writeFileSync(input, `import '${entry}';\nexport * from '${entry}';\n`);
  const bundle = await rolldown({ input, external: /^node:/, logLevel: 'silent' });
  const { output } = await bundle.generate({ format: 'esm', minify: true, codeSplitting: false });
  await bundle.close();
  const code = Buffer.from(output[0].code);
  return { entry, minified: code.length, brotli: brotliCompressSync(code).length };
}

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;

export function sizesText({ packages, entries }: Sizes): string {
  const rows = packages.map(
    (one) =>
      `| \`${one.name}\` | ${kilobytes(one.tarballBytes)} | ${kilobytes(one.unpackedBytes)} | ${one.files} | ${one.packages} |`,
  );
  const scripts = entries.map(
    ({ entry, minified, brotli }) => `| \`${entry}\` | ${kilobytes(minified)} | ${kilobytes(brotli)} |`,
  );
  return `# Sizes

Written by \`npm run sizes\` in \`examples/\`; a test fails where a figure of the runtime is off by more than a tenth, or another by more than
a third.

| package | tarball | unpacked | files | packages installed |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

\`npm install @grim/runtime\` installs one package and runs no script. Peer dependencies (Vite) are not counted.

What each entry of the runtime adds to a page, bundled and minified by Rolldown with everything it exports:

| entry | minified | brotli |
| --- | --- | --- |
${scripts.join('\n')}

\`worker-thread\` and \`threads-worker\` are scripts of their own, loaded by workers. \`node\` is for Node alone.
`;
}

/** Figures of such a text, by the first cell of their row. */
export function figuresOf(text: string): ReadonlyMap<string, readonly number[]> {
  const rows = text.matchAll(/^\| `(.+?)` \| (.*) \|$/gm);
  return new Map(Array.from(rows, ([, name = '', cells = '']) => [name, cells.split(' | ').map(Number.parseFloat)]));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const consumer = makeConsumer();
  try {
    writeFileSync(PATH, sizesText(await measure(consumer)));
  } finally {
    rmSync(consumer, { recursive: true, force: true });
  }
}
