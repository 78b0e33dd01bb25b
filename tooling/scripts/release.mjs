// npm run release [-- --dry-run]: packs what is published, checks every tarball, and publishes them, dependencies first.
//
// Works on a copy, so that nothing here changes. The copy's package.json files get the `repository` that provenance is checked
// against, from the address of the remote `origin`. With --dry-run changesets are applied in the copy first, and npm says
// what it would publish, without asking the registry. Without, changesets must have been applied and committed
// (npm run version), everything must be committed, and a version that is published already is left out: after a failure in
// the middle run it again. npm signs the provenance where CI can prove what it runs (`id-token: write`).
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = resolve(import.meta.dirname, '../..');
const STAMP = { file: 'packages/codegen/src/compile.ts', line: /^const VERSION = '(.*)';$/m };

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** Runs a program and gives what it writes; its complaints are those of the error. */
function run(program, args, options = {}) {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
}

/** Published packages: folder and package.json, each behind those that it depends on. */
export function published(root) {
  const all = ['packages', 'apps']
    .flatMap((group) => readdirSync(join(root, group)).map((name) => `${group}/${name}`))
    .filter((folder) => existsSync(join(root, folder, 'package.json')))
    .map((folder) => ({ folder, manifest: readJson(join(root, folder, 'package.json')) }))
    .filter(({ manifest }) => !manifest.private);
  const ordered = [];
  const place = (one) => {
    if (ordered.includes(one)) return;
    for (const name of Object.keys(one.manifest.dependencies ?? {}))
      for (const other of all) if (other.manifest.name === name) place(other);
    ordered.push(one);
  };
  for (const one of all) place(one);
  return ordered;
}

/** Writes the version of @grim/codegen where its source states it. */
export function stamp(root) {
  const path = join(root, STAMP.file);
  const { version } = readJson(join(root, 'packages/codegen/package.json'));
  const text = readFileSync(path, 'utf8');
  if (!STAMP.line.test(text)) throw new Error(`${STAMP.file}: no line "const VERSION = '…';".`);
  writeFileSync(path, text.replace(STAMP.line, `const VERSION = '${version}';`));
}

/** The address of a remote as package.json wants it; undefined for one that nobody else can read. */
export function repositoryUrl(remote) {
  const [, host, path] =
    /^(?:git\+)?(?:https:\/\/|ssh:\/\/git@|git@)([^/:@]+)[/:](.+?)(?:\.git)?\/?$/.exec(remote) ?? [];
  return host && path ? `git+https://${host}/${path}.git` : undefined;
}

function originOf(root) {
  try {
    return repositoryUrl(run('git', ['remote', 'get-url', 'origin'], { cwd: root }).trim());
  } catch {
    return undefined;
  }
}

/** A copy of what git knows and of what was built; a repository of its own, as changesets ask git. */
function stage(root, into) {
  const files = run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root }).split('\0');
  for (const file of files.filter((file) => file !== '' && existsSync(join(root, file)))) {
    mkdirSync(dirname(join(into, file)), { recursive: true });
    cpSync(join(root, file), join(into, file));
  }
  const git = (...args) =>
    run('git', ['-c', 'user.name=release', '-c', 'user.email=release@localhost', ...args], { cwd: into });
  git('init', '-q', '-b', 'main');
  git('add', '-A');
  git('commit', '-qm', 'copy');
  for (const { folder } of published(root)) {
    const dist = join(root, folder, 'dist');
    if (!existsSync(dist)) throw new Error(`${folder}: it is not built. Run npm run build.`);
    cpSync(dist, join(into, folder, 'dist'), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(into, 'node_modules'), 'junction');
}

const pendingChangesets = (root) =>
  readdirSync(join(root, '.changeset')).filter((name) => name.endsWith('.md') && name !== 'README.md');

/** What is wrong with a tarball, as sentences. @param files  their paths in it */
export function problemsOf(manifest, files, { versions, repository }) {
  const found = [];
  const must = (ok, sentence) => ok || found.push(`${manifest.name}: ${sentence}`);
  must(manifest.license === 'Apache-2.0' && files.includes('LICENSE'), 'the licence is missing.');
  must(files.includes('README.md'), 'README.md is missing.');
  must(Boolean(manifest.description), 'there is no description.');
  must(manifest.type === 'module' && manifest.engines?.node, 'it must be a module and say which Node it needs.');
  must(manifest.publishConfig?.access === 'public', 'publishConfig.access must be public.');
  must(!repository || manifest.repository?.url === repository, `repository must be ${repository}.`);
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare'])
    must(manifest.scripts?.[script] === undefined, `it has an install script, ${script}.`);
  for (const [name, range] of Object.entries({ ...manifest.dependencies, ...manifest.peerDependencies })) {
    must(!/^(workspace|catalog|file|link):/.test(range), `${name} is asked for as ${range}.`);
    must(
      !name.startsWith('@grim/') || range === versions.get(name),
      `${name} is asked for as ${range}, and is ${versions.get(name)}.`,
    );
  }
  const targets = (value, key) =>
    key === '@grim/source'
      ? []
      : typeof value === 'string'
        ? [value]
        : Object.entries(value).flatMap(([k, v]) => targets(v, k));
  const named = [...targets(manifest.exports ?? {}, ''), ...Object.values(manifest.bin ?? {})];
  must(named.length > 0, 'it exports nothing.');
  for (const target of named)
    must(files.includes(target.replace(/^\.\//, '')), `${target} is named and not in the tarball.`);
  const odd = files.filter(
    (file) =>
      !/^(dist|bin)\/|^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/.test(file) || /\.(map|test\.\w+)$/.test(file),
  );
  must(odd.length === 0, `the tarball holds ${odd.join(', ')}.`);
  return found;
}

/**
 * Packs all packages of a copy of `root`.
 * @returns name, version, tarball of each, in order; the caller removes `folder`
 */
export function prepare(root, { apply, remote = originOf(root) }) {
  const folder = mkdtempSync(join(tmpdir(), 'grim-release-'));
  const copy = join(folder, 'copy');
  try {
    mkdirSync(copy);
    stage(root, copy);
    if (apply && pendingChangesets(copy).length > 0) {
      run(join(root, 'node_modules/.bin/changeset'), ['version'], { cwd: copy });
      stamp(copy);
    }
    for (const { folder, manifest } of published(copy)) {
      const repository = remote && { type: 'git', url: remote, directory: folder };
      writeFileSync(
        join(copy, folder, 'package.json'),
        `${JSON.stringify({ ...manifest, ...(repository && { repository }) }, undefined, 2)}\n`,
      );
    }
    const list = published(copy);
    const versions = new Map(list.map(({ manifest }) => [manifest.name, manifest.version]));
    const packages = list.map(({ folder: own, manifest: { name, version } }) => {
      const pnpm = join(root, 'node_modules/.bin/pnpm');
      run(pnpm, ['pack', '--pack-destination', folder], { cwd: join(copy, own) });
      const tarball = join(folder, `${name.slice(1).replace('/', '-')}-${version}.tgz`);
      const files = run('tar', ['-tzf', tarball])
        .trim()
        .split('\n')
        .map((file) => file.replace(/^package\//, ''));
      const manifest = JSON.parse(run('tar', ['-xzOf', tarball, 'package/package.json']));
      return {
        name,
        version,
        tarball,
        files,
        manifest,
        problems: problemsOf(manifest, files, { versions, repository: remote }),
      };
    });
    const [, stated] = STAMP.line.exec(readFileSync(join(copy, STAMP.file), 'utf8')) ?? [];
    const stale =
      stated === versions.get('@grim/codegen') ? [] : [`${STAMP.file}: VERSION is ${stated}. Run npm run version.`];
    return {
      folder,
      packages,
      repository: remote,
      problems: [...packages.flatMap(({ problems }) => problems), ...stale],
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** @returns what npm says of one tarball that it would publish; no registry is asked */
export function publishDry(tarball) {
  return JSON.parse(
    run('npm', ['publish', tarball, '--dry-run', '--offline', '--json', '--access', 'public'], {
      cwd: dirname(tarball),
    }),
  );
}

function isPublished(name, version) {
  try {
    return run('npm', ['view', `${name}@${version}`, 'version']).trim() === version;
  } catch {
    return false;
  }
}

function main(dry) {
  const refuse = (sentence) => {
    throw new Error(sentence);
  };
  if (!dry) {
    if (pendingChangesets(ROOT).length > 0) refuse('there are changesets: npm run version, then commit.');
    if (run('git', ['status', '--porcelain'], { cwd: ROOT }).trim() !== '') refuse('not everything is committed.');
    if (!originOf(ROOT)) refuse('the remote `origin` has no public address, which provenance needs.');
  }
  const { folder, packages, problems, repository } = prepare(ROOT, { apply: dry });
  try {
    for (const sentence of problems) console.error(sentence);
    if (problems.length > 0) refuse('nothing is published.');
    if (!repository) console.log('No remote `origin`: `repository` is left out, and a release would be refused.');
    for (const { name, version, tarball } of packages) {
      if (dry) {
        const [{ size, unpackedSize, entryCount }] = [publishDry(tarball)].map((said) => said[name] ?? said);
        console.log(`${name}@${version}: ${size} bytes packed, ${unpackedSize} unpacked, ${entryCount} files`);
      } else if (isPublished(name, version)) console.log(`${name}@${version}: is published already`);
      else {
        run('npm', ['publish', tarball, '--provenance', '--access', 'public'], { stdio: 'inherit' });
        console.log(`${name}@${version}: published`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    if (process.argv[2] === '--stamp') stamp(ROOT);
    else main(process.argv.includes('--dry-run'));
  } catch (error) {
    console.error(`release: ${error.stderr || error.message}`);
    process.exitCode = 1;
  }
}
