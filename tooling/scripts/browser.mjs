// npm run browser: makes sure that there is a Chromium for browser tests, and the Vulkan loader for WebGPU in Node.
// Installs Debian's where it may (root on a machine with apt); says what to do where it may not.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { findChromium } from '../browser/src/find.ts';

const PACKAGES = ['chromium', 'libvulkan1'];
/** A mirror that does not answer must not hold up the tests that need no browser. */
const LIMITS = ['-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=30', '-o', 'Acquire::https::Timeout=30'];
const MOST_MINUTES = 15;

/** What went wrong, or nothing. */
function aptGet(...args) {
  const { status, error, stderr } = spawnSync('apt-get', [...LIMITS, '-qq', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    timeout: MOST_MINUTES * 60_000,
  });
  if (status === 0) return undefined;
  return error?.message ?? stderr.trim().split('\n').at(-1);
}

if (!findChromium() && process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
  console.log(`browser: none found, installing Debian's (${PACKAGES.join(', ')}) …`);
  // The lists may be old and still good.
  const lists = aptGet('update');
  const failure = aptGet('install', '-y', '--no-install-recommends', ...PACKAGES);
  if (failure)
    console.error(`apt-get could not install ${PACKAGES.join(' and ')}: ${failure}${lists ? ` (${lists})` : ''}`);
}
const found = findChromium();
if (found) {
  console.log(`browser: ${found}`);
} else {
  console.error(
    'No Chrome or Chromium found: install one (on Debian, as root: apt-get install chromium libvulkan1), ' +
      'or set CHROME_PATH to the program.',
  );
  process.exitCode = 1;
}
