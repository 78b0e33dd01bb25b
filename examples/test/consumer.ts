/**
 * An empty project outside of the repository that has the packages as they would be published: packed by pnpm, unpacked
 * into `node_modules`. What they depend on besides each other is linked from the workspace, so that no registry is asked.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';

export const ROOT: string = resolve(import.meta.dirname, '../..');

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

/** Folders of what is published. */
export function publishedFolders(root: string = ROOT): string[] {
  return ['packages', 'apps']
    .flatMap((group) => readdirSync(join(root, group)).map((name) => join(root, group, name)))
    .filter((folder) => existsSync(join(folder, 'package.json')) && !readManifest(folder).private);
}

/** Packs everything that is published. @returns the tarballs, by package name */
export function packAll(into: string, root: string = ROOT): ReadonlyMap<string, string> {
  const filters = publishedFolders(root).flatMap((folder) => ['--filter', `./${relative(root, folder)}`]);
  const pnpm = join(ROOT, 'node_modules/.bin/pnpm');
  execFileSync(pnpm, ['-r', ...filters, 'pack', '--pack-destination', into], { cwd: root, stdio: 'pipe' });
  return new Map(
    publishedFolders(root).map((folder) => {
      const { name, version } = readManifest(folder);
      return [name, join(into, `${name.slice(1).replace('/', '-')}-${version}.tgz`)];
    }),
  );
}

/** @returns the folder; the tarballs are in `tarballs` */
export function makeConsumer(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'grim-consumer-')));
  try {
    const tarballs = join(folder, 'tarballs');
    mkdirSync(tarballs);
    for (const [name, tarball] of packAll(tarballs)) unpack(tarball, join(folder, 'node_modules', name));
    for (const one of publishedFolders()) linkOthers(join(folder, 'node_modules'), one, readManifest(one).dependencies);
    const own = join(ROOT, 'examples');
    linkOthers(join(folder, 'node_modules'), own, readManifest(own)['devDependencies'] as Record<string, string>);
    return folder;
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

export function unpack(tarball: string, into: string): void {
  mkdirSync(into, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', into, '--strip-components=1']);
}

function linkOthers(modules: string, from: string, dependencies: Readonly<Record<string, string>> = {}): void {
  for (const name of Object.keys(dependencies)) {
    const target = join(modules, name);
    if (name.startsWith('@grim/') || existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(realpathSync(join(from, 'node_modules', name)), target, 'junction');
  }
}

/** The `grim` command of the tarball. */
export function grim(consumer: string, ...args: readonly string[]): string {
  const program = join(consumer, 'node_modules/@grim/cli/bin/grim.js');
  return execFileSync(process.execPath, [program, ...args], { cwd: consumer, encoding: 'utf8', stdio: 'pipe' });
}

/** `npx vite build`: a program of its own, as conditions of the test's process would reach into its imports. */
export function viteBuild(consumer: string, folder: string, mode: 'production' | 'development' = 'production'): void {
  const program = join(consumer, 'node_modules/vite/bin/vite.js');
  const env = { ...process.env, NODE_ENV: mode };
  execFileSync(process.execPath, [program, 'build', '--mode', mode], { cwd: folder, env, stdio: 'pipe' });
}

/** Copies an example into the project, with files beside it. @returns its folder */
export function copyExample(consumer: string, name: string, ...files: readonly string[]): string {
  const folder = join(consumer, name);
  cpSync(join(ROOT, 'examples', name), folder, { recursive: true });
  for (const file of files) cpSync(join(consumer, file), join(folder, file));
  return folder;
}
