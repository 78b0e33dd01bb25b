// Steps that `npm test` and `npm run demo` share. This file and its users start before anything is installed:
// no dependencies here, and nothing newer than Node 20.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(fileURLToPath(import.meta.url), '../../..');
const bin = join(root, 'node_modules', '.bin');
const windows = process.platform === 'win32';

/** The environment of every step: the pinned programs first on PATH, no telemetry. */
const env = () => {
  const key = Object.keys(process.env).find((name) => name.toUpperCase() === 'PATH') ?? 'PATH';
  return {
    ...process.env,
    [key]: `${bin}${delimiter}${process.env[key] ?? ''}`,
    TURBO_TELEMETRY_DISABLED: '1',
    DO_NOT_TRACK: '1',
  };
};

/** Runs a program at the repository root. True: it ended with 0. Otherwise says in one sentence what failed. */
export function step(program, args) {
  const { status, signal, error } = spawnSync(program, args, {
    cwd: root,
    env: env(),
    stdio: 'inherit',
    shell: windows,
  });
  if (status === 0) return true;
  const how = error ? error.message : signal ? `was ended by ${signal}` : `ended with ${status}`;
  console.error(`\n${program} ${args.join(' ')}: ${how}`);
  return false;
}

/** Installs what the lockfile names, then checks which Node the next steps will get. */
export function setup() {
  if (!step('npm', ['run', '--silent', 'setup'])) return false;
  if (!existsSync(bin)) {
    console.error(`The set-up ended without an error but left no ${bin}.`);
    return false;
  }
  const { stdout } = spawnSync('node', ['--version'], { cwd: root, env: env(), encoding: 'utf8', shell: windows });
  const version = String(stdout ?? '').trim();
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return true;
  console.error(
    `The steps after the set-up need Node 22.18 or newer and would get ${version || 'none'}: the set-up brings its own ` +
      'on Linux (x64 and arm64); elsewhere install Node 24.',
  );
  return false;
}

/** Installs a browser where there is none and that is allowed. The tests go on without. */
export function browser() {
  spawnSync('node', [join(root, 'tooling', 'scripts', 'browser.mjs')], {
    cwd: root,
    env: env(),
    stdio: 'inherit',
    shell: windows,
  });
}

/** The grim program as the packages link it. */
export const grim = join(bin, windows ? 'grim.cmd' : 'grim');
