/** `grim compile` and `grim run`, from files to files. */
import nodeFs, { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attachPatterns } from '@grim/bcr';
import { type Graph, GrimError, graph, type Tensor } from '@grim/ir';
import { fromOnnx, readTensorFile, toOnnx, writeTensorFile } from '@grim/ir/onnx';
import { describe, expect, it, vi } from 'vitest';
import { writeWhole } from '../src/files.ts';
import { DEMO, grim, start, TINY, temporaryFolder } from './grim.ts';

const PICTURES = join(DEMO, 'tiny-cnn/test_data_set_0/input_0.pb');
const ANSWERS = join(DEMO, 'tiny-cnn/test_data_set_0/output_0.pb');

const float32 = (shape: readonly number[], values: readonly number[]): Tensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from(values),
});

/** y = 2x of an open length, and total = the sum of n. */
function pair(): string {
  const path = join(temporaryFolder(), 'pair.onnx');
  const one = graph('pair', (b) => {
    const x = b.input('x', 'float32', ['L', 2]);
    const n = b.input('n', 'int64', [3]);
    b.output('y', b.add('Add', [x, x], {}, { output: 'y' }));
    b.output('twice', b.add('Add', [n, n], {}, { output: 'twice' }));
  });
  writeFileSync(path, toOnnx(one));
  return path;
}

function write(name: string, content: string | Uint8Array): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, content);
  return path;
}

/** A model with operators that nothing compiles, and one that is. */
function strange(): string {
  const one = graph('strange', (b) => {
    const x = b.input('x', 'float32', [6]);
    const unique = b.add('Unique', [x], { sorted: 1 });
    const where = b.add('NonZero', [b.add('Abs', [x])]);
    b.output('u', unique);
    b.output('w', where);
  });
  return write('strange.onnx', toOnnx(one));
}

describe('grim compile', () => {
  it('writes a file that runs and agrees with the model', async () => {
    const target = join(temporaryFolder(), 'tiny.grim');
    const { code, out, err } = await start(['compile', TINY, '--dim', 'N=10', '-o', target]).ended;
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('[10, 1, 20, 20]');
    expect(out).toMatch(/\nNext: grim run \S*tiny\.grim --input image=FILE\.npy\n$/);
    expect(
      Math.max(
        ...out
          .replace(/^Next: .*|^tiny-cnn: .*/gm, '')
          .split('\n')
          .map((l) => l.length),
      ),
    ).toBeLessThanOrEqual(80);
    const ran = await grim(['run', target, '--input', `image=${PICTURES}`, '--json']);
    const { outputs, simd } = JSON.parse(ran.out);
    expect(['relaxed', 'plain']).toContain(simd);
    const { tensor } = readTensorFile(readFileSync(ANSWERS));
    expect(outputs[0]).toMatchObject({ name: 'probabilities', dtype: 'float32', shape: [10, 10] });
    for (const [i, value] of outputs[0].data.entries()) expect(value).toBeCloseTo(Number(tensor.data[i]), 5);
  });

  it('finds the blocks that were pruned, and stores less with them', async () => {
    const sizes: number[] = [];
    for (const dense of [[], ['--dense']]) {
      const { out } = await grim(['compile', TINY, '--dim', 'N=1', '-o', 'x.grim', '--json', ...dense]);
      const report = JSON.parse(out);
      sizes.push(report.constantBytes);
      expect(report.patterns.map(({ layer }: { layer: string }) => layer)).toEqual(dense[0] ? [] : ['conv2', 'digits']);
    }
    expect(sizes[0]).toBeLessThan(sizes[1] ?? 0);
  });

  it.for(['f16', 'bf16', 'int8'] as const)('stores weights as %s, which makes the file smaller', async (encoding) => {
    const bytes = async (...more: string[]): Promise<number> =>
      JSON.parse((await grim(['compile', TINY, '--dim', 'N=1', '-o', 'x.grim', '--dense', '--json', ...more])).out)
        .bytes;
    expect(await bytes('--weights', encoding)).toBeLessThan(await bytes());
  });

  it('C10: gives the same bytes each time', async () => {
    const run = async () => (await grim(['compile', TINY, '--dim', 'N=1', '-o', 'x.grim'])).files[0]?.content;
    expect(await run()).toEqual(await run());
  });

  it('G6: names every operator that has no kernels, and writes nothing', async () => {
    const { code, err, files } = await grim(['compile', strange(), '-o', 'x.grim']);
    expect(err).toMatch(/2 nodes have no kernels: .*Unique.*NonZero.*\[GRIM_CODEGEN_UNSUPPORTED_OP\]\n$/);
    expect([code, files]).toEqual([1, []]);
  });

  it('G16: asks for open lengths with the option that binds them', async () => {
    const { code, err, files } = await grim(['compile', TINY, '-o', 'x.grim']);
    expect(err).toMatch(/"N" is open\. Add --dim N=1.*\[GRIM_IR_UNBOUND_DIM\]\n$/);
    expect([code, files]).toEqual([2, []]);
  });

  it('shows the steps with --explain', async () => {
    const { out } = await grim(['compile', TINY, '--dim', 'N=1', '-o', 'x.grim', '--explain']);
    expect(out).toMatch(/\n0\. conv1/);
  });

  it('L1: needs -o, and takes only known encodings', async () => {
    expect(await grim(['compile', TINY])).toMatchObject({
      code: 2,
      err: expect.stringContaining('-o <file> is missing'),
    });
    expect(await grim(['compile', TINY, '-o', 'x.grim', '--weights', 'f8'])).toMatchObject({ code: 2 });
  });

  it('L3: replaces an older .grim file, and nothing else without --force; never the model', async () => {
    const folder = temporaryFolder();
    const target = join(folder, 'x.grim');
    const model = join(folder, 'm.onnx');
    copyFileSync(TINY, model);
    const compile = (...more: string[]) => start(['compile', model, '--dim', 'N=1', '-o', target, ...more]).ended;
    expect((await compile()).code).toBe(0);
    const first = readFileSync(target);
    expect((await compile()).code).toBe(0);
    expect(readFileSync(target)).toEqual(first);
    writeFileSync(target, 'a novel');
    expect(await compile()).toMatchObject({
      code: 1,
      err: expect.stringMatching(/is no compiled model.*GRIM_CLI_OUTPUT/),
    });
    expect(readFileSync(target, 'utf8')).toBe('a novel');
    expect((await compile('--force')).code).toBe(0);
    const own = await grim(['compile', model, '--dim', 'N=1', '-o', model, '--force']);
    expect(own).toMatchObject({ code: 1, files: [], err: expect.stringContaining('it is the file that is read') });
    expect(readdirSync(folder).sort()).toEqual(['m.onnx', 'x.grim']);
  });

  it('C10, L13: gives the same bytes whatever the time zone, locale, home and folder', async () => {
    const base: NodeJS.ProcessEnv = { PATH: process.env['PATH'] };
    const variants: NodeJS.ProcessEnv[] = [
      base,
      { ...base, TZ: 'Pacific/Kiritimati', LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8' },
      { ...base, HOME: '/nonexistent', TMPDIR: '/nonexistent', UV_THREADPOOL_SIZE: '1' },
    ];
    const files = await Promise.all(
      variants.map(async (env) => {
        const folder = temporaryFolder();
        copyFileSync(TINY, join(folder, 'm.onnx'));
        await start(['compile', 'm.onnx', '--dim', 'N=1', '-o', 'x.grim'], { cwd: folder, env }).ended;
        return readFileSync(join(folder, 'x.grim'));
      }),
    );
    expect(files[0]?.length).toBeGreaterThan(1000);
    for (const file of files) expect(file).toEqual(files[0]);
  });

  it.each([false, true])(
    'F15, L4: whichever call of the file system fails (and all after it: %s), there is the old file or the new one',
    async (sticky) => {
      const folder = temporaryFolder();
      const [model, target] = [join(folder, 'm.onnx'), join(folder, 'x.grim')];
      copyFileSync(TINY, model);
      let [calls, nth] = [0, 0];
      /** From words to the file, as the program does it: the session reads, the supervisor writes. */
      const compile = async (): Promise<string> => {
        const { code, err, files } = await grim(['compile', model, '--dim', 'N=1', '-o', target]);
        try {
          for (const file of files) writeWhole(file.path, file.content, file);
        } catch (error) {
          if (!(error instanceof GrimError)) throw error;
          return error.code;
        }
        return code === 0 ? '' : (/\[(GRIM_[A-Z_]+)\]/.exec(err)?.[1] ?? err);
      };
      expect(await compile()).toBe('');
      const whole = readFileSync(target);
      const names = ['openSync', 'closeSync', 'fstatSync', 'lstatSync', 'statSync', 'readSync', 'writeSync'] as const;
      const more = ['fchmodSync', 'fsyncSync', 'renameSync', 'readdirSync'] as const;
      const { readdirSync: list, readFileSync: read, writeFileSync: write, existsSync: exists } = { ...nodeFs };
      const spies = [...names, ...more].map((name) => {
        const real = nodeFs[name] as (...args: unknown[]) => unknown;
        return vi.spyOn(nodeFs, name).mockImplementation(((...args: unknown[]) => {
          calls++;
          if (nth > 0 && (calls === nth || (sticky && calls > nth)))
            throw Object.assign(new Error('EIO'), { code: 'EIO' });
          return real(...args);
        }) as never);
      });
      try {
        await compile();
        const total = calls;
        expect(total).toBeGreaterThan(20);
        const said = new Set<string>();
        for (let n = 1; n <= total; n++) {
          for (const old of [Buffer.from('GRIM, an older one'), undefined]) {
            nth = 0;
            if (old) write(target, old);
            else nodeFs.rmSync(target, { force: true });
            [calls, nth] = [0, n];
            const code = await compile();
            nth = 0;
            said.add(code);
            expect(code, `call ${n}`).toMatch(/^$|^GRIM_CLI_/);
            const found = exists(target) ? read(target) : undefined;
            if (code === '') expect(found, `call ${n}`).toEqual(whole);
            else expect([old, whole], `call ${n}`).toContainEqual(found);
            const left = list(folder).filter((name) => name !== 'm.onnx' && name !== 'x.grim');
            // When even removing fails, the next run clears the temporary file away.
            if (!sticky) expect(left, `call ${n}`).toEqual([]);
            for (const name of left) nodeFs.rmSync(join(folder, name));
          }
        }
        expect(said.size).toBeGreaterThan(2);
        expect(await compile()).toBe('');
        expect(read(target)).toEqual(whole);
      } finally {
        for (const spy of spies) spy.mockRestore();
      }
    },
  );

  it('F15, L5: killed at any moment, the file is whole or not there', async () => {
    const folder = temporaryFolder();
    const target = join(folder, 'x.grim');
    await start(['compile', TINY, '--dim', 'N=1', '-o', target]).ended;
    const whole = readFileSync(target);
    for (let i = 0; i < 6; i++) {
      const path = join(folder, `${i}.grim`);
      const { child, ended } = start(['compile', TINY, '--dim', 'N=1', '-o', path]);
      setTimeout(() => child.kill('SIGKILL'), 250 + 120 * i);
      await ended;
      if (existsSync(path)) expect(readFileSync(path)).toEqual(whole);
    }
  });
});

describe('grim run', () => {
  const y = async (...argv: string[]): Promise<unknown> => {
    const { code, out, err } = await grim(['run', pair(), ...argv, '--json']);
    expect([code, err]).toEqual([0, '']);
    return JSON.parse(out).outputs.map(({ shape, data }: { shape: unknown; data: unknown }) => ({ shape, data }));
  };
  const X = write.bind(undefined, 'x.json');
  const N = write.bind(undefined, 'n.json');

  it('compiles an ONNX model for the shapes of its inputs', async () => {
    const inputs = ['--input', `x=${X('[[1, 2], [3, "Infinity"], [-4.5, "NaN"]]')}`, '--input', `n=${N('[1, 2, 3]')}`];
    expect(await y(...inputs)).toEqual([
      { shape: [3, 2], data: [2, 4, 6, 'Infinity', -9, 'NaN'] },
      { shape: [3], data: [2, 4, 6] },
    ]);
  });

  it('reads .npy, .pb and .json, and writes them so that they can be read again', async () => {
    const model = pair();
    const folder = temporaryFolder();
    const n = write('n.json', '{"shape": [3], "data": [1, 2, "4611686018427387904"]}');
    let x = write('x.pb', writeTensorFile('x', float32([1, 2], [0.5, -1])));
    for (const [i, end] of ['npy', 'json', 'pb'].entries()) {
      const target = join(folder, `y.${end}`);
      const argv = ['run', model, '--input', `x=${x}`, '--input', `n=${n}`, '--output', `y=${target}`];
      const { code, err, files } = await grim(argv);
      expect([code, err]).toEqual([0, '']);
      expect(files.map(({ path }) => path)).toEqual([target]);
      writeFileSync(target, files[0]?.content ?? '');
      x = target;
      const { out, err: again } = await grim(['run', model, '--input', `x=${target}`, '--input', `n=${n}`, '--json']);
      expect(again).toBe('');
      expect(JSON.parse(out).outputs[0].data).toEqual([2 ** (i + 1), -(2 ** (i + 2))]);
      expect(JSON.parse(out).outputs[1].data).toEqual([2, 4, '-9223372036854775808']);
    }
  });

  it('shows the largest values of each row', async () => {
    const { code, out } = await grim(['run', TINY, '--input', `image=${PICTURES}`, '--top', '2']);
    expect(code).toBe(0);
    const read = out.split('\n').flatMap((line) => /^ +(\d+) +(\d+) +(\S+)$/.exec(line)?.slice(1, 3) ?? []);
    for (let digit = 0; digit < 10; digit++)
      expect(read.slice(2 * digit, 2 * digit + 2)).toEqual([String(digit), String(digit)]);
  });

  it('names the indices', async () => {
    const labels = write('labels.txt', 'zero\none\ntwo\nthree\n\u001b[2Jfour\n5\n6\n7\n8\n9\n');
    const { out } = await grim(['run', TINY, '--input', `image=${PICTURES}`, '--top', '1', '--labels', labels]);
    expect(out).toMatch(/ 2 +2 +\S+ +two\n/);
    expect(out).not.toContain('\u001b');
  });

  it('makes up what is not given, the same each time', async () => {
    const run = async () => JSON.parse((await grim(['run', TINY, '--dim', 'N=2', '--random', '--json'])).out).outputs;
    expect(await run()).toEqual(await run());
  });

  it.for<readonly [what: string, name: string, content: string, says: RegExp]>([
    ['text', 'x.json', 'no JSON', /no JSON.*GRIM_CLI_BAD_TENSOR/],
    ['ragged lists', 'x.json', '[[1, 2], [3]]', /not all of shape \[2, 2\]/],
    ['a word', 'x.json', '[["one", 2]]', /"one" is no number/],
    ['another rank', 'x.json', '[1, 2]', /holds float64 \[2\], the input is float32 \[L, 2\]/],
    ['another length', 'x.json', '[[1, 2, 3]]', /the input is float32 \[L, 2\]/],
    ['lists a thousand deep', 'x.json', `${'['.repeat(1000)}1${']'.repeat(1000)}`, /nested more than/],
    ['a shape of 2^60', 'x.json', '{"shape": [1152921504606846976, 2], "data": []}', /GRIM_/],
    ['a negative shape', 'x.json', '{"shape": [-1, 2], "data": []}', /no list of lengths/],
    ['no .npy', 'x.npy', 'NUMPY', /does not begin with/],
    ['a .npy cut short', 'x.npy', '\x93NUMPY\x01\x00\xff\x00{', /cut short|begin/],
    ['no .pb', 'x.pb', 'hello', /GRIM_ONNX_/],
  ])('R7: refuses %s as an input', async ([, name, content, says]) => {
    const file = write(
      name,
      Uint8Array.from(content, (c) => c.charCodeAt(0)),
    );
    const { code, err, out } = await grim(['run', pair(), '--input', `x=${file}`, '--input', `n=${N('[1, 2, 3]')}`]);
    expect(err).toMatch(says);
    expect([code, out]).toEqual([1, '']);
  });

  it('refuses fractions and what an integer cannot hold', async () => {
    const run = (n: string) => grim(['run', pair(), '--input', `x=${X('[[1, 2]]')}`, '--input', `n=${N(n)}`]);
    expect((await run('[1, 2.5, 3]')).err).toMatch(/"2.5" is no whole number/);
    expect((await run('[1, "9223372036854775808", 3]')).err).toMatch(/beyond int64/);
  });

  it.for<readonly [what: string, argv: readonly string[], says: RegExp]>([
    ['a missing input', [], /inputs are missing: "image": float32 \[N, 1, 20, 20\]/],
    ['an unknown input', ['--input', `picture=${PICTURES}`], /"picture" is no input of the model: "image"/],
    ['an unknown kind of file', ['--input', 'image=x.tiff'], /no known kind: \.npy, \.pb, \.json/],
    ['an unknown output', ['--input', `image=${PICTURES}`, '--output', 'y=y.npy'], /"y" is no output of the model/],
    ['open lengths that are made up', ['--random'], /must be known \(--dim, --shape\)/],
  ])('L1: %s is wrong usage', async ([, argv, says]) => {
    const { code, out, err } = await grim(['run', TINY, ...argv]);
    expect(err).toMatch(says);
    expect([code, out]).toEqual([2, '']);
  });

  it('L3: writes outputs over nothing that it reads or does not know', async () => {
    const folder = temporaryFolder();
    const picture = join(folder, 'in.pb');
    copyFileSync(PICTURES, picture);
    const run = (target: string) =>
      grim(['run', TINY, '--input', `image=${picture}`, '--output', `probabilities=${target}`]);
    expect((await run(picture)).err).toContain('it is the file that is read');
    writeFileSync(join(folder, 'novel.npy'), 'a novel');
    expect((await run(join(folder, 'novel.npy'))).err).toContain('is no .npy file');
    const { files } = await run(join(folder, 'new.npy'));
    writeFileSync(join(folder, 'new.npy'), files[0]?.content ?? '');
    expect(await run(join(folder, 'new.npy'))).toMatchObject({ code: 0, err: '' });
  });

  it('F2: refuses a damaged .grim file with the code of the runtime', async () => {
    const { files } = await grim(['compile', TINY, '--dim', 'N=1', '-o', 'x.grim']);
    const bytes = Uint8Array.from(files[0]?.content as Uint8Array);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    const { code, err } = await grim(['run', write('x.grim', bytes), '--random']);
    expect([code, err]).toEqual([1, expect.stringMatching(/\[GRIM_RUNTIME_BAD_ARTIFACT\]\n$/)]);
  });
});

describe('attachPatterns', () => {
  const product = (weight: Tensor, twice = false): Graph =>
    graph('product', (b) => {
      const x = b.input('x', 'float32', [4, weight.shape[0] ?? 0]);
      const w = b.weight('w', weight);
      b.output('y', b.add('MatMul', [x, w]));
      if (twice) b.output('z', b.add('MatMul', [x, w]));
    });
  /** [K, M] whose GEMM view [M, K] keeps, in each block of 4 × 16, rows 0 and 1 and every other column. */
  const pruned = (m: number, k: number): Tensor =>
    float32(
      [k, m],
      Array.from({ length: m * k }, (_, i) => (((i % m) & 2) === 0 && Math.floor(i / m) % 2 === 0 ? 1 + (i % 7) : 0)),
    );

  it('finds the pattern of a matrix that lies the other way round', () => {
    const { graph: after, found } = attachPatterns(product(pruned(32, 64)));
    expect(found).toMatchObject([{ weight: 'w', m: 32, k: 64, density: 0.25 }]);
    expect(after.weights.get('w')?.pattern?.grid).toMatchObject({ rows: 32, cols: 64 });
  });

  it('leaves alone what is dense, scattered, or used twice', () => {
    const scattered = float32(
      [64, 32],
      Array.from({ length: 2048 }, (_, i) => (((i * 2654435761) >>> 8) % 10 < 2 ? 0 : 1)),
    );
    for (const one of [
      product(float32([8, 8], new Array(64).fill(1))),
      product(scattered),
      product(pruned(32, 64), true),
    ])
      expect(attachPatterns(one).found).toEqual([]);
  });

  it('keeps every weight that is not zero', () => {
    const { graph: after } = attachPatterns(fromOnnx(readFileSync(TINY), { dims: { N: 1 } }));
    for (const weight of after.weights.values()) {
      if (!weight.pattern) continue;
      const { keptRows, keptCols } = weight.pattern;
      const kept = keptRows.reduce((sum, rows, i) => sum + rows.length * (keptCols[i]?.length ?? 0), 0);
      expect(kept).toBeGreaterThanOrEqual((weight.data as Float32Array).filter((value) => value !== 0).length);
    }
  });
});
