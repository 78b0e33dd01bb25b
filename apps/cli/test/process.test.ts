/** What only a real process shows: pipes, signals, the environment, memory, the built program. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { DEMO, FROM_SOURCE, grim, ROOT, start, TINY, temporaryFolder } from './grim.ts';

const shell = promisify(execFile);
const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ');
const program = quoted([process.execPath, ...FROM_SOURCE]);

/** A case whose evaluation takes minutes, so that a signal always comes in the middle of it. */
function endless(): string {
  const folder = temporaryFolder();
  const one = graph('slow', (b) => {
    let x = b.input('x', 'float32', [300, 300]);
    for (let i = 0; i < 200; i++) x = b.add('MatMul', [x, x]);
    b.output('y', x);
  });
  mkdirSync(join(folder, 'test_data_set_0'));
  writeFileSync(join(folder, 'model.onnx'), toOnnx(one));
  const raw = new Uint8Array(300 * 300 * 4);
  const size = [(raw.length & 127) | 128, ((raw.length >> 7) & 127) | 128, raw.length >> 14];
  const tensor = Uint8Array.from([0x08, 0xac, 0x02, 0x08, 0xac, 0x02, 0x10, 1, 0x4a, ...size, ...raw]);
  for (const name of ['input_0.pb', 'output_0.pb']) writeFileSync(join(folder, 'test_data_set_0', name), tensor);
  return folder;
}

describe('the program', () => {
  it('ends with each documented exit status', async () => {
    const statuses = await Promise.all(
      [['inspect', TINY], ['inspect', 'none'], ['inspect'], ['inspect', join(ROOT, 'README.md')]].map(
        (argv) => start(argv).ended,
      ),
    );
    expect(statuses.map(({ code }) => code)).toEqual([0, 1, 2, 1]);
    for (const { code, out, err } of statuses)
      expect([out === '', err === '']).toEqual(code === 0 ? [false, true] : [true, false]);
  });

  it('shows a stack with --verbose only', async () => {
    const [brief, verbose] = await Promise.all([
      start(['inspect', 'none']).ended,
      start(['inspect', 'none', '--verbose']).ended,
    ]);
    expect(brief.err.trimEnd().split('\n')).toHaveLength(1);
    expect(verbose.err).toMatch(/\n {4}at /);
  });

  it('L8: writes no colour and no cursor codes to a pipe, also when forced terminals are in the air', async () => {
    for (const env of [{}, { FORCE_COLOR: '1' }, { CI: '1' }, { NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      const { code, out } = await start(['inspect', TINY], { env: { ...process.env, ...env } }).ended;
      expect(code).toBe(0);
      expect(out).not.toContain('\u001b');
    }
  });

  it('L8: uses colour in a terminal, unless NO_COLOR is set, and keeps to its width', async (ctx) => {
    if (!existsSync('/usr/bin/script')) ctx.skip('there is no script(1) to make a terminal');
    const inTerminal = async (env: NodeJS.ProcessEnv): Promise<string> => {
      const command = `stty cols 60; ${program} inspect '${TINY}'`;
      const { stdout } = await shell('/usr/bin/script', ['-qec', command, '/dev/null'], {
        env: { ...process.env, TERM: 'xterm', ...env },
      });
      return stdout;
    };
    const colored = await inTerminal({ NO_COLOR: '' });
    expect(colored).toContain('\u001b[1m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape codes are what is taken out.
    const plain = colored.replace(/\u001b\[\d+m/g, '').replace(/^Next: .*/m, '');
    expect(Math.max(...plain.split(/\r?\n/).map((line) => line.length))).toBeLessThanOrEqual(60);
    expect(await inTerminal({ NO_COLOR: '1' })).not.toContain('\u001b[1m');
  });

  it('L8: ends quietly when the reader goes away, and reaches a slow one', async () => {
    const gone = await shell('bash', [
      '-c',
      `${program} inspect '${TINY}' --json | head -c 1 >/dev/null; echo "\${PIPESTATUS[0]}"`,
    ]);
    expect(gone).toMatchObject({ stdout: '0\n', stderr: '' });
    const slow = await shell('bash', ['-c', `${program} inspect '${TINY}' --json | (sleep 0.5; cat)`]);
    expect(JSON.parse(slow.stdout).name).toBe('tiny-cnn');
  });

  it('L4, L8: says so when stdout cannot take the text', async (ctx) => {
    if (!existsSync('/dev/full')) ctx.skip('there is no /dev/full here');
    const { stdout, stderr } = await shell('bash', ['-c', `${program} inspect '${TINY}' > /dev/full; echo $?`]);
    expect([stdout, stderr]).toEqual(['1\n', expect.stringContaining('[GRIM_CLI_WRITE]')]);
  });

  it.for(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'L5: %s in the middle of a computation: 130, a sentence, no file',
    async (signal) => {
      const folder = endless();
      const target = join(folder, 'report.json');
      const { child, ended } = start(['conformance', folder, '--json', target]);
      await new Promise((done) => setTimeout(done, 1500));
      child.kill(signal);
      const { code, err } = await ended;
      expect([code, err]).toEqual([130, expect.stringMatching(/^grim: interrupted.*\[GRIM_CLI_INTERRUPTED\]\n$/)]);
      expect(readdirSync(folder).sort()).toEqual(['model.onnx', 'test_data_set_0']);
    },
  );

  it('L5: killed at any moment, a report is the old one or the new one, never a mixture', async () => {
    const folder = temporaryFolder();
    const target = join(folder, 'report.json');
    const seen = new Set<string>();
    for (let i = 0; i < 12; i++) {
      writeFileSync(target, '{\n  "schema": "grim.old/1"\n}\n');
      const { child, ended } = start(['verify', DEMO, '--json', target]);
      setTimeout(() => child.kill('SIGKILL'), 200 + 40 * i);
      await ended;
      seen.add(JSON.parse(readFileSync(target, 'utf8')).schema);
    }
    for (const schema of seen) expect(['grim.old/1', 'grim.verify/1']).toContain(schema);
  });

  it('L12, L13: gives the same bytes whatever the time zone, locale, home, umask and folder', async () => {
    const folder = temporaryFolder();
    copyFileSync(TINY, join(folder, 'm.onnx'));
    const base: NodeJS.ProcessEnv = { PATH: process.env['PATH'] };
    const variants: NodeJS.ProcessEnv[] = [
      base,
      { ...base, TZ: 'Pacific/Kiritimati', LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8' },
      { ...base, TZ: 'America/St_Johns', HOME: undefined },
      { ...base, HOME: '/nonexistent', TMPDIR: '/nonexistent', XDG_CONFIG_HOME: '/nonexistent' },
    ];
    const reports = await Promise.all(
      variants.map((env) => start(['inspect', 'm.onnx', '--json'], { cwd: folder, env }).ended),
    );
    for (const mask of ['000', '077']) {
      const { stdout } = await shell('bash', ['-c', `umask ${mask}; ${program} inspect m.onnx --json`], {
        cwd: folder,
      });
      expect(stdout).toBe(reports[0]?.out);
    }
    expect(reports[0]?.out.length).toBeGreaterThan(1000);
    for (const { code, out } of reports) expect([code, out]).toEqual([0, reports[0]?.out]);
  });

  it('L3, L13: a report gets the rights that the umask leaves', async () => {
    const folder = temporaryFolder();
    for (const [mask, mode] of [
      ['022', '644'],
      ['077', '600'],
      ['000', '666'],
    ] as const) {
      const target = join(folder, `${mask}.json`);
      await shell('bash', ['-c', `umask ${mask}; ${program} doctor --json '${target}' >/dev/null`]);
      expect(Number.parseInt(execFileSync('stat', ['-c', '%a', target], { encoding: 'utf8' }), 10).toString()).toBe(
        mode,
      );
    }
  });

  it('L13: works, or says so, in a folder that has been deleted', async () => {
    const folder = temporaryFolder();
    const command = `cd '${folder}' && rmdir '${folder}' && ${program} inspect '${TINY}'`;
    const { out, err, code } = await new Promise<{ out: string; err: string; code: number | null }>((done) => {
      const child = spawn('bash', ['-c', command]);
      let [out, err] = ['', ''];
      child.stdout.on('data', (text) => {
        out += text;
      });
      child.stderr.on('data', (text) => {
        err += text;
      });
      child.on('close', (code) => done({ out, err, code }));
    });
    if (code === 0) expect(out).toContain('tiny-cnn');
    else expect(err).toMatch(/cwd/);
  });

  it('L14: reads no configuration from the folder it runs in', async () => {
    const folder = temporaryFolder();
    for (const name of ['grim.config.ts', 'grim.config.js', 'grim.config.mjs', '.grimrc.js', 'index.js'])
      writeFileSync(join(folder, name), "throw new Error('I was run')");
    writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs", "grim": { "__proto__": { "strict": true } } }');
    writeFileSync(join(folder, '.grimrc'), '{ "__proto__": { "json": "-" } }');
    const { code, out, err } = await start(['inspect', TINY], { cwd: folder }).ended;
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('5,258 parameters');
  });

  it('L16: inspects a model of 200 MiB with a heap of 64 MiB', async () => {
    const path = join(temporaryFolder(), 'large.onnx');
    const large = graph('large', (b) => {
      let x = b.input('x', 'float32', [1, 1024]);
      for (let i = 0; i < 50; i++) {
        const w = b.weight(`w${i}`, {
          dtype: 'float32',
          shape: [1024, 1024],
          data: new Float32Array(2 ** 20).fill(1 + i),
        });
        x = b.add('MatMul', [x, w]);
      }
      b.output('y', x);
    });
    writeFileSync(path, toOnnx(large));
    const { code, out, err } = await start(['inspect', path, '--top', '1'], { node: ['--max-old-space-size=64'] })
      .ended;
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('52,428,800 parameters');
  });

  it('L16: running out of memory is a sentence, not a crash', async () => {
    const path = join(temporaryFolder(), 'many.onnx');
    const many = graph('many', (b) => {
      let x = b.input('x', 'float32', [1]);
      for (let i = 0; i < 90_000; i++) x = b.add('Neg', [x]);
      b.output('y', x);
    });
    writeFileSync(path, toOnnx(many));
    const { code, err } = await start(['inspect', path], { node: ['--max-old-space-size=24'] }).ended;
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^grim: there is not enough memory.*\[GRIM_CLI_OUT_OF_MEMORY\]\n$/),
    ]);
  });

  it('runs as the built program with the same output', async (ctx) => {
    const built = join(ROOT, 'apps/cli/dist/main.js');
    if (!existsSync(built)) ctx.skip('not built: npm run build');
    const { stdout } = await shell(process.execPath, [join(ROOT, 'apps/cli/bin/grim.js'), 'inspect', TINY]);
    expect(stdout).toBe((await grim(['inspect', TINY])).out);
  });

  it('keeps and lists runs as the built program, too', async (ctx) => {
    if (!existsSync(join(ROOT, 'apps/cli/dist/main.js'))) ctx.skip('not built: npm run build');
    const env = { ...process.env, GRIM_RESULTS: join(temporaryFolder(), 'r.sqlite') };
    const built = (...argv: string[]) =>
      shell(process.execPath, [join(ROOT, 'apps/cli/bin/grim.js'), ...argv], { env });
    const { stderr } = await built('bench', TINY, '--dim', 'N=1', '--runs', '2', '--against', 'none');
    expect(stderr).toBe('grim: recorded as run 1: grim results show 1\n');
    expect((await built('results', '--json')).stdout).toContain('"id": 1');
  });
});
