// Every ```sh and ```ts block of every README, and of the pages named below, runs. Set-up commands (npm test and the like) are checked against
// package.json instead: they are what runs this test.
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const fromSource = ['--conditions=@grim/source'];
const folders = ['packages', 'apps'].flatMap((group) =>
  readdirSync(join(root, group)).map((name) => join(root, group, name)),
);
const readmes = [
  ...[root, ...folders].map((folder) => join(folder, 'README.md')).filter(existsSync),
  // Pages with programs in them.
  ...['reram', 'start-web', 'start-shell', 'start-research', 'concepts', 'comparison', 'migrating'].map((name) =>
    join(root, 'docs', `${name}.md`),
  ),
];

/** The fenced blocks of a Markdown text, with the line they begin in. */
function blocksOf(text) {
  const blocks = [];
  let open;
  text.split('\n').forEach((line, i) => {
    const [, language] = /^```(\w*)\s*$/.exec(line) ?? [];
    if (language === undefined) open?.lines.push(line);
    else if (open) {
      blocks.push(open);
      open = undefined;
    } else open = { language, line: i + 1, lines: [] };
  });
  return blocks;
}

/** Words of a command line, quotes taken off, the comment left out. */
function wordsOf(line) {
  const words = line.matchAll(/'([^']*)'|"([^"]*)"|(#.*$)|(\S+)/g);
  return [...words].filter(([, , , comment]) => comment === undefined).map(([, a, b, , c]) => a ?? b ?? c);
}

let work = '';
beforeAll(() => {
  mkdirSync(join(import.meta.dirname, '.results'), { recursive: true });
  work = mkdtempSync(join(import.meta.dirname, '.results', 'readme-'));
  mkdirSync(join(work, 'node_modules', '@grim'), { recursive: true });
  for (const folder of folders) {
    const { name } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    if (name.startsWith('@grim/')) symlinkSync(folder, join(work, 'node_modules', name));
  }
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

// What was measured here is of no use to anybody else.
const environment = () => ({
  ...process.env,
  XDG_CACHE_HOME: join(work, 'cache'),
  GRIM_RESULTS: join(work, 'results.sqlite'),
});

const run = (args) =>
  execFileSync(process.execPath, [...fromSource, ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: 'pipe',
    env: environment(),
  });

/** What goes on until Ctrl-C: is told to end once it says where it is. */
async function startAndStop(args) {
  const child = spawn(process.execPath, [...fromSource, ...args], { cwd: root, env: environment() });
  let told = false;
  const [code, signal] = await new Promise((done) => {
    child.on('close', (...how) => done(how));
    child.stdout.setEncoding('utf8').on('data', (text) => {
      // Told twice, it ends at once.
      if (!told && text.includes('http://127.0.0.1:')) told = child.kill('SIGTERM');
    });
  });
  expect([code, signal]).toEqual([0, null]);
}

function runCommand(line) {
  const [program, ...args] = wordsOf(line.replace(/^\$ /, ''));
  if (program === 'npx' && args[0] === 'grim') {
    // What is written must not stay in the repository.
    const words = args
      .slice(1)
      .map((word) => (/^[\w-]+\.(grim|onnx)(\.run\.json)?$/.test(word) ? join(work, word) : word));
    const command = [join(root, 'apps/cli/src/main.ts'), ...words];
    return words[0] === 'dashboard' && !words.includes('--help')
      ? startAndStop([...command, '--port', '0'])
      : run(command);
  }
  // Where they are run from, this has been done.
  if (program === 'git' && args[0] === 'clone') return expect(args.length).toBe(3);
  if (program === 'cd') return expect(args).toHaveLength(1);
  if (program === 'npm' && args[0] === 'test') return expect(scripts).toHaveProperty('test');
  if (program === 'npm' && args[0] === 'run') return expect(scripts, line).toHaveProperty([args[1]]);
  if (program === 'npm' && /^i(nstall)?$/.test(args[0]))
    return expect(args.slice(1).filter((name) => !existsSync(join(work, 'node_modules', name)))).toEqual([]);
  throw new Error(
    `${line}: a README may use npm test, npm run, npm install @grim/… and npx grim; teach this test the rest.`,
  );
}

describe.each(readmes.map((path) => [relative(root, path), path]))('%s', (_, path) => {
  const blocks = blocksOf(readFileSync(path, 'utf8'));

  it('states the language of every block, so that none goes untried unseen', () => {
    expect(blocks.filter(({ language }) => language === '').map(({ line }) => `line ${line}`)).toEqual([]);
  });

  for (const { language, line, lines } of blocks) {
    if (language === 'sh')
      // One after the other, as they stand there: a block of many takes long on a busy machine.
      it(`line ${line}: the commands run`, { timeout: 60_000 * lines.length }, async () => {
        for (const command of lines) if (wordsOf(command).length > 0) await runCommand(command);
      });
    if (language === 'ts')
      it(`line ${line}: the program runs`, () => {
        const file = join(work, `line-${line}-${lines.length}.ts`);
        writeFileSync(file, lines.join('\n'));
        run([file]);
      });
  }
});

it('splits a README into blocks and a command into words', () => {
  const text = 'a\n```sh\nnpx grim doctor  # what is here\n```\n```ts\nconst a = 1;\n```\n';
  expect(blocksOf(text)).toEqual([
    { language: 'sh', line: 2, lines: ['npx grim doctor  # what is here'] },
    { language: 'ts', line: 5, lines: ['const a = 1;'] },
  ]);
  expect(wordsOf('npx grim inspect \'a b.onnx\' --dim "N=1"  # why')).toEqual([
    ...['npx', 'grim', 'inspect', 'a b.onnx', '--dim', 'N=1'],
  ]);
});
