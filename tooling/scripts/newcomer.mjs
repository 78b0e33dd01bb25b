// npm run newcomer: does what the README says to somebody who has nothing yet, literally: its first commands, from `git clone` on, in an
// empty folder with an empty home; then presses the button of the page in a browser. Counts the commands, takes the time of each, says
// how much faster the pruned model is. Ends with 1 where a command fails or the model is no faster.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './steps.mjs';

const MOST_COMMANDS = 5;

/** The commands of the first block of a README. */
export function commandsOf(markdown) {
  const [, block = ''] = /```sh\n([\s\S]*?)```/.exec(markdown) ?? [];
  return block
    .split('\n')
    .map((line) => line.replace(/\s#.*$/, '').trim())
    .filter((line) => line !== '');
}

/** One shell, as a person has: `cd` lasts. Resolves when `until` appears or the command ends. */
function type(command, { cwd, env, until }) {
  const child = spawn('bash', ['-c', command], { cwd, env, detached: true });
  return new Promise((done) => {
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (more) => {
        text += more;
        if (until?.test(text)) done({ code: 0, text, child });
      });
    child.on('close', (code) => done({ code, text, child }));
  });
}

async function press(url) {
  const { chromium } = createRequire(join(root, 'tooling/browser/package.json'))('playwright-core');
  const found = ['/usr/bin/chromium', '/usr/bin/google-chrome'];
  const executablePath = process.env['CHROME_PATH'] ?? found.find((path) => existsSync(path));
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    await page.goto(`${url}plain/`);
    await page.getByRole('button', { name: 'Run them in turn' }).click();
    for (;;) {
      const said = await page.locator('#status').textContent();
      if (/Medians of|failed/.test(said)) return said;
      await new Promise((done) => setTimeout(done, 500));
    }
  } finally {
    await browser.close();
  }
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'grim-newcomer-'));
  const home = join(folder, 'home');
  mkdirSync(home);
  // What tells a stranger's shell from this one: no home, no settings, nothing of this repository on the path.
  const { PATH = '', LANG, TMPDIR } = process.env;
  const path = PATH.split(':')
    .filter((one) => !one.includes('node_modules'))
    .join(':');
  const env = { PATH: path, HOME: home, ...(LANG && { LANG }), ...(TMPDIR && { TMPDIR }) };
  const commands = commandsOf(readFileSync(join(root, 'README.md'), 'utf8'));
  console.log(`${commands.length} commands in the README`);
  let ok = commands.length <= MOST_COMMANDS;
  let cwd = folder;
  let server;
  try {
    const all = performance.now();
    for (const line of commands) {
      if (line.startsWith('cd ')) {
        cwd = join(cwd, line.slice(3));
        continue;
      }
      const command = line.replace('REPOSITORY', `'${root}'`).replace('dashboard', 'dashboard --port 0');
      const start = performance.now();
      const until = line.includes('dashboard') ? /http:\/\/127\.0\.0\.1:\d+\// : undefined;
      const { code, text, child } = await type(command, { cwd, env, until });
      console.log(`${((performance.now() - start) / 1000).toFixed(1).padStart(7)} s  ${line}`);
      if (code !== 0) {
        console.log(text);
        ok = false;
        break;
      }
      const [url] = (until && text.match(until)) ?? [];
      if (url) {
        server = child;
        const said = await press(url);
        console.log(`          ${said}`);
        const [, times] = /is (\d+\.\d\d) times as fast/.exec(said) ?? [];
        ok &&= Number(times) > 1;
      }
    }
    console.log(`${((performance.now() - all) / 1000).toFixed(1).padStart(7)} s  in all`);
  } finally {
    // The group: npx is the parent of what serves.
    if (server) process.kill(-server.pid, 'SIGTERM');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 500 });
  }
  process.exitCode = ok ? 0 : 1;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
