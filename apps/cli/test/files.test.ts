import { execFileSync } from 'node:child_process';
import nodeFs, {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { GrimError } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { type FileSystem, kindOfPath, readExternalData, readRegularFile, writeWhole } from '../src/files.ts';
import { grim, TINY, temporaryFolder } from './grim.ts';
import { modelBytes, value, weight } from './onnx-bytes.ts';

/** The code and the sentence of what `work` throws. */
function failure(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof GrimError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'nothing was thrown';
}

const isRoot = process.getuid?.() === 0;
const options = { force: false, inputs: [] };

describe('reading a model file', () => {
  it('L2, X5: refuses what is no regular file, without waiting for it', () => {
    const folder = temporaryFolder();
    execFileSync('/usr/bin/mkfifo', [join(folder, 'fifo')]);
    expect(failure(() => readRegularFile(join(folder, 'fifo')))).toMatch(/^GRIM_CLI_NOT_A_FILE: it is a FIFO/);
    expect(failure(() => readRegularFile(folder))).toMatch(/^GRIM_CLI_NOT_A_FILE: it is a folder/);
    expect(failure(() => readRegularFile('/dev/zero'))).toMatch(/^GRIM_CLI_NOT_A_FILE: it is a device/);
    expect(failure(() => readRegularFile(join(folder, 'none')))).toMatch(/^GRIM_CLI_NOT_FOUND/);
    expect(failure(() => readRegularFile(join(TINY, 'below')))).toMatch(/^GRIM_CLI_NOT_FOUND/);
    expect(failure(() => kindOfPath(join(folder, 'fifo')))).toMatch(/^GRIM_CLI_NOT_A_FILE/);
  });

  it('L2: refuses a file that may not be read', (ctx) => {
    if (isRoot) ctx.skip('root may read every file');
    const path = join(temporaryFolder(), 'secret');
    writeFileSync(path, 'x');
    chmodSync(path, 0);
    expect(failure(() => readRegularFile(path))).toMatch(/^GRIM_CLI_UNREADABLE/);
  });

  it.for([
    [['inspect', 'none.onnx'], 1, /^grim: none.onnx: there is no such file. \[GRIM_CLI_NOT_FOUND\]\n$/],
    [['inspect', '.'], 1, /^grim: \.: it is a folder.*\[GRIM_CLI_NOT_A_FILE\]\n$/],
    [['verify', 'none'], 1, /\[GRIM_CLI_NOT_FOUND\]\n$/],
    [['verify', '/dev/null'], 1, /\[GRIM_CLI_NOT_A_FILE\]\n$/],
    [['conformance', 'none'], 1, /^grim: none: .*\[GRIM_CLI_NOT_FOUND\]\n$/],
  ] as const)('L2: grim %j ends with %i and one sentence', async ([argv, expected, says]) => {
    const { code, out, err } = await grim(argv);
    expect([code, out]).toEqual([expected, '']);
    expect(err).toMatch(says);
  });

  it('L2: says that a folder holds no model, and that a filter leaves none', async () => {
    const folder = temporaryFolder();
    expect(await grim(['verify', folder])).toMatchObject({
      code: 1,
      err: expect.stringContaining('there is no .onnx file'),
    });
    expect(await grim(['conformance', folder])).toMatchObject({
      code: 1,
      err: expect.stringContaining('GRIM_CLI_NO_CASES'),
    });
    const filtered = await grim(['conformance', join(TINY, '../..'), '--filter', 'nothing-like-it']);
    expect(filtered).toMatchObject({ code: 1, err: expect.stringContaining('/nothing-like-it/') });
  });

  it('L2: a tree too deep for the file system is a sentence, not a bug', async () => {
    const folder = temporaryFolder();
    const start = process.cwd();
    try {
      process.chdir(folder);
      for (let i = 0; i < 25; i++) {
        mkdirSync('d'.repeat(200));
        process.chdir('d'.repeat(200));
      }
    } finally {
      process.chdir(start);
    }
    for (const command of ['verify', 'conformance']) {
      const { code, err } = await grim([command, folder]);
      expect([code, err]).toEqual([1, expect.stringMatching(/\[GRIM_CLI_(NOT_FOUND|NO_CASES)\]\n$/)]);
    }
    execFileSync('rm', ['-rf', folder]);
  });

  it('L2, P13: reads up to the limit and not one byte more', () => {
    const path = join(temporaryFolder(), 'model.onnx');
    writeFileSync(path, new Uint8Array(100));
    expect(readRegularFile(path, 100)).toHaveLength(100);
    expect(failure(() => readRegularFile(path, 99))).toMatch(/^GRIM_CLI_TOO_LARGE: it has 100 bytes; at most 99/);
  });

  it('X5: notices a file that grows or shrinks while it is read', () => {
    const path = join(temporaryFolder(), 'model.onnx');
    for (const change of [
      (): void => writeFileSync(path, 'longer than it was'),
      (): void => nodeFs.truncateSync(path, 2),
    ]) {
      writeFileSync(path, 'as it was');
      let reads = 0;
      const fs = {
        ...nodeFs,
        readSync: ((...args: Parameters<typeof nodeFs.readSync>) => {
          if (reads++ === 0) change();
          return nodeFs.readSync(...args);
        }) as typeof nodeFs.readSync,
      };
      expect(failure(() => readRegularFile(path, 1000, fs))).toMatch(/^GRIM_CLI_CHANGED/);
    }
  });

  it('X5: a file of /proc, whose size is a lie, is no endless read', (ctx) => {
    if (!existsSync('/proc/self/maps')) ctx.skip('there is no /proc here');
    expect(failure(() => readRegularFile('/proc/self/maps'))).toMatch(/^GRIM_CLI_CHANGED/);
  });

  it('P1: an HTML page saved as .onnx is named', async () => {
    const path = join(temporaryFolder(), 'model.onnx');
    writeFileSync(path, '<!DOCTYPE html>\n<html><head><title>404</title></head></html>');
    const { code, err } = await grim(['inspect', path]);
    expect(code).toBe(1);
    expect(err).toMatch(/HTML.*\[GRIM_ONNX_NOT_ONNX\]\n$/);
  });

  it('L11: an archive is named and never unpacked', async () => {
    const folder = temporaryFolder();
    for (const [name, magic] of [
      ['a.zip', 'PK\x03\x04../../evil'],
      ['a.gz', '\x1f\x8b\x08'],
    ] as const) {
      writeFileSync(join(folder, name), Buffer.from(magic, 'latin1'));
      const { code, err } = await grim(['inspect', join(folder, name)]);
      expect(code, name).toBe(1);
      expect(err).toMatch(/(zip archive|gzip).*\[GRIM_ONNX_NOT_ONNX\]/);
    }
    expect(readdirSync(folder)).toEqual(['a.gz', 'a.zip']);
  });

  it.for(['with space', '100%25', 'größe', '模型', '🧱', "it's", 'a'.repeat(200), '-dash', 'CON', 'trailing.'])(
    'L12: a folder named "%s" works',
    async (name) => {
      const folder = join(temporaryFolder(), name, 'b'.repeat(100));
      mkdirSync(folder, { recursive: true });
      nodeFs.copyFileSync(TINY, join(folder, 'model.onnx'));
      expect(await grim(['inspect', join(folder, 'model.onnx')])).toMatchObject({ code: 0, err: '' });
      expect(await grim(['verify', `${folder}/`])).toMatchObject({ code: 0, err: '' });
    },
  );
});

describe('external data', () => {
  function setUp(): { folder: string; model: string } {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'model/sub'), { recursive: true });
    mkdirSync(join(folder, 'outside'));
    for (const path of ['model/data.bin', 'model/sub/data.bin', 'outside/data.bin'])
      writeFileSync(join(folder, path), new Uint8Array(16));
    return { folder: join(folder, 'model'), model: join(folder, 'model/model.onnx') };
  }

  it("X1: is read from the model's own folder and below", () => {
    const { model } = setUp();
    expect(readExternalData(model, 'data.bin')).toHaveLength(16);
    expect(readExternalData(model, 'sub/data.bin')).toHaveLength(16);
  });

  it.for([
    ...[
      '../outside/data.bin',
      'sub/../../outside/data.bin',
      'sub/../data.bin',
      '..',
      '.',
      '',
      '/etc/hostname',
      '//etc/hostname',
    ],
    ...[
      'C:\\data.bin',
      'C:data.bin',
      '\\\\server\\share',
      'sub\\data.bin',
      'data.bin\0',
      'sub//data.bin',
      'sub/',
      './data.bin',
    ],
    ...['%2e%2e/outside/data.bin', 'nothing.bin', 'sub', 'data.bin/x'],
  ])('X1: "%s" is refused', (location) => {
    const { model } = setUp();
    expect(failure(() => readExternalData(model, location))).toMatch(/^GRIM_ONNX_EXTERNAL_DATA|^GRIM_CLI_NOT/);
  });

  it('X2: a symbolic link is refused, the file itself and a folder on the way', () => {
    const { folder, model } = setUp();
    symlinkSync(join(folder, '../outside/data.bin'), join(folder, 'link.bin'));
    symlinkSync(join(folder, '../outside'), join(folder, 'linked'));
    symlinkSync(join(folder, 'data.bin'), join(folder, 'inside.bin'));
    for (const location of ['link.bin', 'linked/data.bin', 'inside.bin'])
      expect(failure(() => readExternalData(model, location))).toMatch(/^GRIM_ONNX_EXTERNAL_DATA.*symbolic link/);
  });

  it('X2: a hard link is refused', () => {
    const { folder, model } = setUp();
    linkSync(join(folder, '../outside/data.bin'), join(folder, 'hard.bin'));
    expect(failure(() => readExternalData(model, 'hard.bin'))).toMatch(/^GRIM_ONNX_EXTERNAL_DATA.*hard link/);
  });

  it('X2: what is swapped between the look and the opening is noticed', () => {
    const swaps: ((folder: string) => void)[] = [
      (folder) => {
        renameSync(join(folder, 'sub'), join(folder, 'was'));
        symlinkSync(join(folder, '../outside'), join(folder, 'sub'));
      },
      (folder) => {
        renameSync(join(folder, 'sub/data.bin'), join(folder, 'sub/was.bin'));
        symlinkSync(join(folder, '../outside/data.bin'), join(folder, 'sub/data.bin'));
      },
    ];
    for (const swap of swaps) {
      const { folder, model } = setUp();
      const fs: FileSystem = {
        ...nodeFs,
        openSync: (...args) => {
          swap(folder);
          return nodeFs.openSync(...args);
        },
      };
      expect(failure(() => readExternalData(model, 'sub/data.bin', 100, fs))).toMatch(
        /^GRIM_ONNX_EXTERNAL_DATA|^GRIM_CLI_UNREADABLE/,
      );
    }
  });

  it('X2: swapped in for the opening and back again is noticed too', () => {
    const { folder, model } = setUp();
    const fs: FileSystem = {
      ...nodeFs,
      openSync: (...args) => {
        renameSync(join(folder, 'sub'), join(folder, 'was'));
        symlinkSync(join(folder, '../outside'), join(folder, 'sub'));
        const handle = nodeFs.openSync(...args);
        nodeFs.unlinkSync(join(folder, 'sub'));
        renameSync(join(folder, 'was'), join(folder, 'sub'));
        return handle;
      },
    };
    expect(failure(() => readExternalData(model, 'sub/data.bin', 100, fs))).toMatch(/replaced while it was opened/);
  });

  it('X5: a FIFO or a folder beside the model is refused', () => {
    const { folder, model } = setUp();
    execFileSync('/usr/bin/mkfifo', [join(folder, 'fifo.bin')]);
    expect(failure(() => readExternalData(model, 'fifo.bin'))).toMatch(/a FIFO/);
    expect(failure(() => readExternalData(model, 'sub'))).toMatch(/a folder/);
  });

  it('X1, X2: the command reads data beside the model and nothing else', async () => {
    const { folder, model } = setUp();
    symlinkSync(join(folder, '../outside/data.bin'), join(folder, 'link.bin'));
    const write = (location: string): void =>
      writeFileSync(
        model,
        modelBytes({
          nodes: [{ op: 'Add', name: 'n', inputs: ['x', 'w'], outputs: ['y'] }],
          inputs: [value('x', [4])],
          outputs: [value('y', [4])],
          weights: [weight('w', [4], { location, offset: '0', length: '16' })],
        }),
      );
    write('data.bin');
    expect(await grim(['inspect', model, '--strict'])).toMatchObject({ code: 0, err: '' });
    for (const location of ['link.bin', '../outside/data.bin']) {
      write(location);
      const { out, code } = await grim(['inspect', model, '--strict']);
      expect(code, location).toBe(3);
      expect(out).toContain('GRIM_ONNX_EXTERNAL_DATA');
    }
  });
});

describe('writing a report', () => {
  const report = '{\n  "schema": "grim.test/1"\n}\n';

  it('L3: writes a new file with the rights that the umask leaves', () => {
    const path = join(temporaryFolder(), 'report.json');
    const before = process.umask();
    writeWhole(path, report, options);
    expect(readFileSync(path, 'utf8')).toBe(report);
    expect(statSync(path).mode & 0o777).toBe(0o666 & ~before);
  });

  it('L3: replaces an earlier report and an empty file, and nothing else without --force', () => {
    const folder = temporaryFolder();
    const path = join(folder, 'report.json');
    for (const old of [report, '']) {
      writeFileSync(path, old);
      writeWhole(path, report, options);
      expect(readFileSync(path, 'utf8')).toBe(report);
    }
    writeFileSync(path, 'a novel');
    expect(failure(() => writeWhole(path, report, options))).toMatch(/^GRIM_CLI_OUTPUT: it exists.*--force/);
    expect(readFileSync(path, 'utf8')).toBe('a novel');
    writeWhole(path, report, { ...options, force: true });
    expect(readFileSync(path, 'utf8')).toBe(report);
    expect(readdirSync(folder)).toEqual(['report.json']);
  });

  it('L3: never writes to what it reads, through whatever name', async () => {
    const folder = temporaryFolder();
    const model = join(folder, 'model.onnx');
    nodeFs.copyFileSync(TINY, model);
    linkSync(model, join(folder, 'same.json'));
    const before = readFileSync(model);
    for (const target of [model, join(folder, 'same.json')])
      for (const force of [[], ['--force']]) {
        const { code, err } = await grim(['inspect', model, '--json', target, ...force]);
        expect([code, err]).toEqual([1, expect.stringContaining('it is the file that is read. [GRIM_CLI_OUTPUT]')]);
      }
    expect(readFileSync(model).equals(before)).toBe(true);
  });

  it('L3: refuses a folder, a link, a FIFO, and a folder that is not there', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'real'), report);
    symlinkSync(join(folder, 'real'), join(folder, 'link'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
    execFileSync('/usr/bin/mkfifo', [join(folder, 'fifo')]);
    mkdirSync(join(folder, 'sub'));
    const refused = (name: string): string =>
      failure(() => writeWhole(join(folder, name), 'x', { ...options, force: true }));
    expect(refused('sub')).toContain('it is a folder');
    expect(refused('sub/')).toContain('name of a folder');
    expect(refused('link')).toContain('a symbolic link');
    expect(refused('dangling')).toContain('a symbolic link');
    expect(refused('fifo')).toContain('a FIFO');
    expect(refused('none/report.json')).toContain('its folder does not exist');
    expect(refused('real/report.json')).toContain('not a folder');
    expect(readFileSync(join(folder, 'real'), 'utf8')).toBe(report);
    expect(existsSync(join(folder, 'nowhere'))).toBe(false);
  });

  it('L3: says so when the folder may not be written to', (ctx) => {
    if (isRoot) ctx.skip('root may write everywhere');
    const folder = temporaryFolder();
    chmodSync(folder, 0o500);
    expect(failure(() => writeWhole(join(folder, 'report.json'), report, options))).toMatch(
      /^GRIM_CLI_WRITE: you may not/,
    );
  });

  it('L4: whichever call fails, the old file is whole and no temporary file is left', () => {
    const path = join(temporaryFolder(), 'report.json');
    const calls = ['openSync', 'writeSync', 'fchmodSync', 'fsyncSync', 'closeSync', 'renameSync'] as const;
    const codes = ['ENOSPC', 'EIO', 'EMFILE', 'EXDEV', 'EROFS'];
    let failed = 0;
    for (const call of calls)
      for (const code of codes)
        for (let nth = 1; nth <= 4; nth++) {
          writeFileSync(path, report);
          let count = 0;
          const failing = (...args: never[]): unknown => {
            if (++count === nth) throw Object.assign(new Error(code), { code });
            return (nodeFs[call] as (...a: never[]) => unknown)(...args);
          };
          const fs = { ...nodeFs, [call]: failing } as FileSystem;
          const said = failure(() => writeWhole(path, report.replace('test', 'newer'), options, fs));
          const content = readFileSync(path, 'utf8');
          if (said !== 'nothing was thrown') {
            failed++;
            expect(said).toMatch(/^GRIM_CLI_/);
            expect(content, `${call} ${nth}`).toBe(report);
          } else expect(content).toContain('newer');
          expect(readdirSync(join(path, '..')), `${call} ${nth} ${code}`).toEqual(['report.json']);
        }
    expect(failed).toBeGreaterThan(calls.length * codes.length);
  });

  it('L4: goes on after a short write', () => {
    const path = join(temporaryFolder(), 'report.json');
    const fs = {
      ...nodeFs,
      writeSync: (handle: number, bytes: Uint8Array, offset: number, length: number) =>
        nodeFs.writeSync(handle, bytes, offset, Math.min(length, 3)),
    } as unknown as FileSystem;
    writeWhole(path, report, options, fs);
    expect(readFileSync(path, 'utf8')).toBe(report);
  });

  it('L5: flushes the file before it gets its name and the folder after', () => {
    const path = join(temporaryFolder(), 'report.json');
    const log: string[] = [];
    const traced = Object.fromEntries(
      (['openSync', 'writeSync', 'fsyncSync', 'renameSync', 'closeSync'] as const).map((call) => [
        call,
        (...args: never[]): unknown => {
          log.push(call);
          return (nodeFs[call] as (...a: never[]) => unknown)(...args);
        },
      ]),
    );
    writeWhole(path, report, options, { ...nodeFs, ...traced } as FileSystem);
    expect(log).toEqual([
      ...['openSync', 'writeSync', 'fsyncSync', 'closeSync', 'renameSync'],
      ...['openSync', 'fsyncSync', 'closeSync'],
    ]);
  });

  it('L5: clears away what killed runs left, once it is old and its process is gone', () => {
    const folder = temporaryFolder();
    const gone = execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }).trim();
    const names = {
      old: `.grim-${gone}-a.tmp`,
      young: `.grim-${gone}-b.tmp`,
      running: `.grim-${process.pid}-c.tmp`,
      other: 'x.tmp',
    };
    for (const name of Object.values(names)) writeFileSync(join(folder, name), '');
    for (const name of [names.old, names.running, names.other]) utimesSync(join(folder, name), 1000, 1000);
    writeWhole(join(folder, 'report.json'), report, options);
    expect(readdirSync(folder).sort()).toEqual([names.young, names.running, names.other, 'report.json'].sort());
  });
});
