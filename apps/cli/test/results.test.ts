/** `grim results`: what is recorded, what a damaged, foreign, locked or full database does, and how runs read. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RESULTS_EXAMPLES } from '../src/results/args.ts';
import { commitOf } from '../src/results/commit.ts';
import { sparkline } from '../src/results/pages.ts';
import { type Finished, measured, thisMachine, type Value } from '../src/results/run.ts';
import { openResults, type Results, resultsPath } from '../src/results/store.ts';
import { judge } from '../src/results/verdict.ts';
import { FROM_SOURCE, grim, ROOT, start, TINY, temporaryFolder } from './grim.ts';

const shell = promisify(execFile);
const BENCH = ['bench', TINY, '--dim', 'N=1', '--runs', '2', '--against', 'none'];

/** A run of a model that took so many milliseconds. */
function finished(ms: number, over: Partial<Finished> = {}): Finished & Parameters<Results['add']>[0] {
  return {
    ...{ kind: 'bench', model: 'nets/model.onnx', modelSha256: 'a'.repeat(64), setting: { pruning: null } },
    report: { schema: 'grim.bench/1', rounds: 3 },
    values: [
      { what: 'ms of grim', value: ms, low: 0.99 * ms, high: 1.01 * ms, better: 'less' },
      { what: 'bytes', value: 1000, better: 'less' },
    ],
    ...{ at: '2026-01-02T03:04:05.678Z', device: thisMachine(), commit: null, argv: ['bench', 'nets/model.onnx'] },
    versions: { grim: '0.1.0', node: '24.0.0', v8: '13' },
    ...over,
  };
}

async function database(...runs: readonly ReturnType<typeof finished>[]): Promise<string> {
  const path = join(temporaryFolder(), 'sub', 'results.sqlite');
  using results = await openResults(path, 'write');
  for (const run of runs) results.add(run);
  return path;
}

describe('recording', () => {
  it('keeps a bench with its device, commit, options and versions, and says so', async () => {
    const path = join(temporaryFolder(), 'deep', 'er', 'r.sqlite');
    const { code, out, err } = await start([...BENCH, '--json'], { env: { ...process.env, GRIM_RESULTS: path } }).ended;
    expect([code, err]).toEqual([0, 'grim: recorded as run 1: grim results show 1\n']);
    using results = await openResults(path, 'read');
    const found = results.get(1);
    expect(found?.report).toEqual(JSON.parse(out));
    expect(found?.run).toMatchObject({
      kind: 'bench',
      model: TINY,
      device: thisMachine(),
      argv: [...BENCH, '--json'],
      versions: { grim: expect.stringMatching(/^\d/), node: process.versions.node, v8: process.versions.v8 },
      setting: { pruning: null, dims: [['N', 1]] },
    });
    expect(found?.run.commit).toBe((await shell('git', ['rev-parse', 'HEAD'], { cwd: ROOT })).stdout.trim());
    expect(found?.run.values.map(({ what }) => what)).toEqual(['ms of grim', 'bytes']);
  });

  it('keeps nothing with --no-record, with GRIM_RESULTS=off, or of a run that failed', async () => {
    const path = join(temporaryFolder(), 'r.sqlite');
    const quiet = await start([...BENCH, '--no-record'], { env: { ...process.env, GRIM_RESULTS: path } }).ended;
    const off = await start(BENCH, { env: { ...process.env, GRIM_RESULTS: 'off' } }).ended;
    const failed = await start(['bench', 'none.onnx'], { env: { ...process.env, GRIM_RESULTS: path } }).ended;
    expect([quiet.code, quiet.err, off.code, off.err, failed.code]).toEqual([0, '', 0, '', 1]);
    expect(existsSync(path)).toBe(false);
  });

  it('hands over what tune and prune found', async () => {
    const folder = temporaryFolder();
    const runs: Finished[] = [];
    const collect = (message: { kind: string; run?: Finished }) => message.run && runs.push(message.run);
    const { runSession } = await import('../src/session.ts');
    const setting = { color: false, columns: 80, verbose: false };
    const tune = ['tune', TINY, '--dim', 'N=1', '--trials', '2', '--cache', folder, '-o', 'out.grim'];
    const data = join(ROOT, 'apps/cli/demo/digits');
    const small = join(ROOT, 'apps/cli/demo/small-cnn/model.onnx');
    const prune = [
      'prune',
      small,
      '--data',
      data,
      '--density',
      '0.5',
      '--fast',
      '--examples',
      '8',
      '-o',
      join(folder, 'p.onnx'),
    ];
    for (const argv of [tune, prune, [...prune, '--no-record']]) await runSession({ argv, ...setting }, collect);
    expect(runs.map(({ kind, values }) => [kind, values.map(({ what }) => what)])).toEqual([
      ['tune', ["share of the default's time", 'bytes']],
      ['prune', ['bytes', 'share of weights kept', 'share of multiply-adds kept', 'loss']],
    ]);
  });

  it("is where GRIM_RESULTS says, among the user's data, or nowhere", () => {
    expect(resultsPath({ GRIM_RESULTS: 'off' })).toBeUndefined();
    expect(resultsPath({ GRIM_RESULTS: '/x/y.db' })).toBe('/x/y.db');
    expect(resultsPath({ XDG_DATA_HOME: '/data' })).toBe(join('/data', 'grim', 'results.sqlite'));
    expect(resultsPath({ GRIM_RESULTS: '' })).toMatch(/[/\\]\.local[/\\]share[/\\]grim[/\\]results\.sqlite$/);
  });

  it('B6: two processes at once both record', async () => {
    const path = join(temporaryFolder(), 'r.sqlite');
    const env = { ...process.env, GRIM_RESULTS: path };
    const ended = await Promise.all([1, 2].map(() => start(BENCH, { env }).ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    using results = await openResults(path, 'read');
    expect(results.list().map(({ id }) => id)).toEqual([2, 1]);
  });
});

describe('a database that cannot be used', () => {
  const cases: readonly (readonly [what: string, make: (path: string) => void, says: RegExp])[] = [
    ['B1: text', (path) => writeFileSync(path, 'results\n'.repeat(999)), /it is no database/],
    ['B1: an empty file that is read', (path) => writeFileSync(path, ''), /it is empty/],
    ['B1: a folder', (path) => mkdirSync(path), /no regular file/],
    ['B2: half of a file', (path) => truncateSync(path, 4096), /damaged|other tables/],
    ['B2: bytes that were overwritten', (path) => writeFileSync(path, readFileSync(path).fill(0xa5, 4096)), /damaged/],
    ['B3: one of another program', (path) => change(path, 'PRAGMA application_id = 7'), /of something else/],
    ['B3: one without our mark', (path) => change(path, 'PRAGMA application_id = 0'), /of something else/],
    ['B4: a newer version', (path) => change(path, 'PRAGMA user_version = 2'), /of version 2.*Use a newer grim/],
    [
      'B5: a trigger',
      (path) => change(path, 'CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END'),
      /other tables/,
    ],
    ['B5: a view', (path) => change(path, 'CREATE VIEW v AS SELECT * FROM runs'), /other tables/],
    ['B5: other columns', (path) => change(path, 'ALTER TABLE runs ADD COLUMN more TEXT'), /other tables/],
    ['B5: a row that is no JSON', (path) => change(path, "UPDATE runs SET facts = '{'"), /a row of it is damaged/],
  ];
  const change = (path: string, sql: string) => {
    const opened = new DatabaseSync(path);
    opened.exec(sql);
    opened.close();
  };

  it.for(cases)('%s is told in one sentence and left as it is', async ([, make, says]) => {
    const path = await database(finished(1), finished(2));
    const folder = String(says).includes('no regular');
    if (folder) rmSync(path);
    make(path);
    const before = folder ? '' : readFileSync(path, 'latin1');
    const { code, err } = await grim(['results', 'list', '--database', path]);
    expect(err).toMatch(says);
    expect([code, err]).toEqual([1, expect.stringMatching(/^grim: .*\[GRIM_CLI_RESULTS\]\n$/)]);
    if (!folder) expect(readFileSync(path, 'latin1')).toBe(before);
  });

  it('B1, B3: the run is done all the same, and nothing is written into a foreign file', async () => {
    const path = join(temporaryFolder(), 'mine.txt');
    writeFileSync(path, 'my notes');
    const { code, out, err } = await start(BENCH, { env: { ...process.env, GRIM_RESULTS: path } }).ended;
    expect([code, out.length > 0]).toEqual([0, true]);
    expect(err).toMatch(/^grim: .*it is no database.*The run is done, and not recorded; --no-record says nothing\.\n$/);
    expect(readFileSync(path, 'utf8')).toBe('my notes');
  });

  it('B6: one that stays locked is waited for, then told', async () => {
    const path = await database(finished(1));
    const other = new DatabaseSync(path);
    onTestFinished(() => other.close());
    other.exec('BEGIN EXCLUSIVE');
    const { code, err } = await start(BENCH, { env: { ...process.env, GRIM_RESULTS: path } }).ended;
    expect([code, err]).toEqual([0, expect.stringMatching(/another process has been writing.*not recorded/)]);
    other.exec('ROLLBACK');
    expect(other.prepare('SELECT count(*) AS n FROM runs').get()).toEqual({ n: 1 });
  });

  it('B7: a full disk costs the record, and no run that was there', async (ctx) => {
    if (process.platform === 'win32') ctx.skip('ulimit is of POSIX shells');
    const path = await database(finished(1), finished(2));
    // Files of this process may have at most so many blocks of 1024 bytes: the database has them already.
    const program = [process.execPath, ...FROM_SOURCE, ...BENCH].map((word) => `'${word}'`).join(' ');
    const limited = `trap '' XFSZ; ulimit -f ${Math.ceil(readFileSync(path).length / 1024)}; ${program}`;
    const { stdout, stderr } = await shell('bash', ['-c', limited], { env: { ...process.env, GRIM_RESULTS: path } });
    expect(stdout).toContain('tiny-cnn');
    expect(stderr).toMatch(/disk.*not recorded/);
    using results = await openResults(path, 'read');
    expect(results.list()).toHaveLength(2);
  });

  it('B8: names with escape sequences, HTML, formulas and separators stay text', async () => {
    const evil = '=cmd|"x",\u001b[2J<img src=x>|\u202e`.onnx';
    const values: Value[] = [{ what: evil, value: 1, better: 'less' }];
    const path = await database(finished(1, { model: evil, values }));
    for (const argv of [
      ['list'],
      ['show', '1'],
      ['history', '1'],
      ['compare', '1', '1'],
      ['export', '--format', 'csv'],
      ['export', '--format', 'md'],
    ]) {
      const { code, out } = await grim(['results', ...argv, '--database', path]);
      expect([argv, code]).toEqual([argv, 0]);
      expect(['\u001b', '\u202e'].filter((one) => out.includes(one))).toEqual([]);
    }
    const csv = (await grim(['results', 'export', '--format', 'csv', '--database', path])).out;
    expect(csv.split('\r\n')[1]).toContain(`"'=cmd|""x"",`);
    const markdown = (await grim(['results', 'export', '--format', 'md', '--database', path])).out;
    expect(markdown.split('\n')[2]).toContain('\\<img src=x\\>\\|');
  });

  it('says that nothing was recorded yet, or that there is no such run', async () => {
    const none = await grim(['results', '--database', join(temporaryFolder(), 'none.sqlite')]);
    expect(none).toMatchObject({
      code: 1,
      err: expect.stringMatching(/no runs were recorded yet.*\[GRIM_CLI_NOT_FOUND\]/),
    });
    const path = await database(finished(1));
    const far = await grim(['results', 'show', '9', '--database', path]);
    expect(far).toMatchObject({ code: 1, err: expect.stringContaining('there is no run 9. The newest is 1') });
  });
});

describe('grim results', () => {
  it('lists the newest first, within 80 columns', async () => {
    const path = await database(finished(1), finished(2, { kind: 'tune' }), finished(3, { model: 'x'.repeat(200) }));
    const { code, out } = await grim(['results', '--database', path]);
    expect(code).toBe(0);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(
      out
        .split('\n')
        .slice(1, 4)
        .map((line) => Number.parseInt(line, 10)),
    ).toEqual([3, 2, 1]);
    const { out: json } = await grim(['results', 'nets', '--kind', 'tune', '--json', '--database', path]);
    expect(JSON.parse(json)).toMatchObject({ schema: 'grim.results/1', runs: [{ id: 2 }] });
  });

  it('compares two runs, and says what else differs', async () => {
    const path = await database(finished(10), finished(8, { modelSha256: 'b'.repeat(64) }));
    const { out } = await grim(['results', 'compare', '1', '2', '--database', path]);
    expect(out).toMatch(/ms of grim +10 +8 +0\.800 +better/);
    expect(out).toMatch(/bytes +1,000 +1,000 +1\.000 +same/);
    expect(out).toContain('They differ in the bytes of the model: aaaaaaaaaaaa and bbbbbbbbbbbb.');
    expect(out).not.toContain('the device');
  });

  it('follows one measurement over time, and is a gate', async () => {
    const path = await database(
      ...[10, 10.1, 9.9, 10].map((ms) => finished(ms)),
      finished(99, { setting: { other: 1 } }),
      finished(13),
    );
    const argv = ['results', 'history', 'model.onnx', '--database', path];
    const { code, out } = await grim(argv);
    expect([code, out]).toEqual([0, expect.stringContaining('model.onnx: ms of grim, 5 runs')]);
    expect(out).toMatch(/ms of grim +▁▁▁▁█ +worse +1\.300 of the median before/);
    expect(out).not.toMatch(/^ +5 /m);
    expect((await grim([...argv, '--fail-if-worse', '20'])).code).toBe(3);
    expect((await grim([...argv, '--fail-if-worse', '40'])).code).toBe(0);
    expect((await grim([...argv, '--what', 'bytes', '--fail-if-worse', '1'])).code).toBe(0);
    const unknown = await grim([...argv, '--what', 'ms of grmi']);
    expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining('Did you mean ms of grim?') });
  });

  it('draws what it follows', async () => {
    const path = await database(finished(10), finished(12));
    const { files } = await grim(['results', 'history', 'last', '--plot', 'h.svg', '--database', path]);
    expect(String(files[0]?.content)).toMatch(/^<svg[\s\S]*ms of grim[\s\S]*<\/svg>\n$/);
  });

  it('exports whole reports, and forgets runs for good', async () => {
    const path = await database(finished(1), finished(2));
    const { out } = await grim(['results', 'export', '--database', path]);
    expect(JSON.parse(out).runs.map((run: { report: object }) => run.report)).toEqual([
      { schema: 'grim.bench/1', rounds: 3 },
      { schema: 'grim.bench/1', rounds: 3 },
    ]);
    expect((await grim(['results', 'remove', '2', '7', '--database', path])).out).toBe('1 of 2 removed.\n');
    using results = await openResults(path, 'write');
    // Its number is not given again: what was written down about run 2 stays about run 2.
    expect([results.list().length, results.add(finished(3))]).toEqual([1, 3]);
  });

  it('L1: wrong usage is told in one line', async () => {
    for (const [argv, says] of [
      [['show'], /the number of a run is missing/],
      [['show', '0'], /0 is not the number of a run/],
      [['compare', '1'], /the number of a run is missing/],
      [['history'], /<run\|model> is missing/],
      [['history', '1', '--fail-if-worse', '-3'], /--fail-if-worse/],
      [['remove', 'last'], /removed by its number/],
      [['export', '--format', 'xml'], /Allowed choices are json, csv, md/],
    ] as const) {
      const { code, err } = await grim(['results', ...argv]);
      expect([argv, code, err]).toEqual([argv, 2, expect.stringMatching(says)]);
    }
  });

  it.for(Object.keys(RESULTS_EXAMPLES))('prints help for "%s" and runs its examples', async (name) => {
    const help = await grim(['results', name, '--help']);
    expect(Math.max(...help.out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const [line] of RESULTS_EXAMPLES[name] ?? []) {
      vi.stubEnv('GRIM_RESULTS', await database(finished(1), finished(1.01)));
      onTestFinished(() => void vi.unstubAllEnvs());
      expect(help.out).toContain(`\n  grim ${line}`);
      const { code, out, err } = await grim(line.split(' '));
      expect([line, code, err]).toEqual([line, 0, '']);
      expect(out.length).toBeGreaterThan(0);
      if (line.includes('--json')) expect(JSON.parse(out).schema).toMatch(/^grim\.results(-\w+)?\/1$/);
    }
  });
});

describe('numbers', () => {
  it('the interval of a median holds the middle of the samples', () => {
    const samples = Array.from({ length: 101 }, (_, i) => i);
    expect(measured('ms', samples, 'less')).toEqual({ what: 'ms', value: 50, low: 40, high: 61, better: 'less' });
    expect(measured('ms', [7], 'less')).toMatchObject({ value: 7, low: 7, high: 7 });
  });

  it('two runs differ when their intervals are apart and the difference is no noise', () => {
    const ms = (value: number, half: number): Value => ({
      what: 'ms',
      value,
      low: value - half,
      high: value + half,
      better: 'less',
    });
    expect(judge(ms(10, 1), ms(11.5, 1)).verdict).toBe('same');
    expect(judge(ms(10, 0.1), ms(10.25, 0.1)).verdict).toBe('same');
    expect(judge(ms(10, 0.1), ms(11, 0.1)).verdict).toBe('worse');
    expect(judge(ms(10, 0.1), ms(9, 0.1)).verdict).toBe('better');
    const speed = (value: number): Value => ({ what: 'speed', value, better: 'more' });
    expect([judge(speed(1), speed(2)).verdict, judge(speed(2), speed(1)).verdict]).toEqual(['better', 'worse']);
  });

  it('a line of bars has one for each of the last 40 values', () => {
    expect(sparkline([1, 2, 3, 8])).toBe('▁▂▃█');
    expect(sparkline([5, 5])).toBe('▄▄');
    expect(sparkline(Array.from({ length: 100 }, (_, i) => i))).toHaveLength(40);
  });
});

describe('the commit of a folder', () => {
  const hash = '0123456789abcdef0123456789abcdef01234567';
  function repository(files: Readonly<Record<string, string>>): string {
    const folder = temporaryFolder();
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return folder;
  }

  it('is found from the head, a branch, packed references, and a worktree', () => {
    expect(commitOf(repository({ '.git/HEAD': `${hash}\n` }))).toBe(hash);
    expect(commitOf(repository({ '.git/HEAD': 'ref: refs/heads/a/b\n', '.git/refs/heads/a/b': `${hash}\n` }))).toBe(
      hash,
    );
    const packed = repository({
      '.git/HEAD': 'ref: refs/heads/main\n',
      '.git/packed-refs': `# pack\n${hash} refs/heads/main\n`,
    });
    mkdirSync(join(packed, 'deep', 'er'), { recursive: true });
    expect(commitOf(join(packed, 'deep', 'er'))).toBe(hash);
    const tree = repository({
      'tree/.git': 'gitdir: ../main/.git/worktrees/tree\n',
      'main/.git/worktrees/tree/HEAD': 'ref: refs/heads/x\n',
      'main/.git/worktrees/tree/commondir': '../..\n',
      'main/.git/refs/heads/x': hash,
    });
    expect(commitOf(join(tree, 'tree'))).toBe(hash);
  });

  it('B9: is null of what leads out, in circles or nowhere, and no file outside is shown', () => {
    const secret = join(temporaryFolder(), 'secret');
    writeFileSync(secret, 'secret');
    const linked = repository({ '.git/x': '' });
    symlinkSync(secret, join(linked, '.git/HEAD'));
    for (const folder of [
      linked,
      repository({ '.git/HEAD': 'ref: refs/heads/../../../../secret' }),
      repository({ '.git/HEAD': 'ref: refs/heads/a', '.git/refs/heads/a': 'ref: refs/heads/a' }),
      repository({ '.git/HEAD': 'ref: refs/heads/none' }),
      repository({ '.git/HEAD': `${hash} and more` }),
      repository({ '.git/x': '' }),
      repository({ '.git': 'gitdir: nowhere' }),
    ])
      expect(commitOf(folder)).toBeNull();
  });
});
