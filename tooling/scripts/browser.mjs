// npm run browser: makes sure that there is a Chromium for browser tests, and the Vulkan loader for WebGPU in Node.
// Installs Debian's where it may (root on a machine with apt); says what to do where it may not.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const known = [
  process.env.CHROME_PATH,
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];
const find = () => known.find((path) => path && existsSync(path));

if (!find() && process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    execFileSync('apt-get', ['update', '-qq'], { stdio: 'inherit', env });
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium', 'libvulkan1'], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env,
    });
  } catch (error) {
    console.error(`apt-get could not install chromium and libvulkan1: ${error.message}`);
  }
}
const found = find();
if (found) {
  console.log(`browser: ${found}`);
} else {
  console.error(
    'No Chrome or Chromium found: install one (on Debian, as root: apt-get install chromium libvulkan1), ' +
      'or set CHROME_PATH to the program.',
  );
  process.exitCode = 1;
}
