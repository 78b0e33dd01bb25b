/** `grim tune`: what it writes, keeps, takes up again and refuses. Which schedules win is never judged. */
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { loadModel } from '@grim/runtime';
import { describe, expect, it } from 'vitest';
import { compileModel } from '../src/compile-model.ts';
import { fingerprint } from '../src/results/run.ts';
import { thisDevice } from '../src/tune/cache.ts';
import { grim, start, TINY, temporaryFolder } from './grim.ts';

const QUICK = ['tune', TINY, '--dim', 'N=1', '-o', 'tuned.grim', '--json', '--trials'];

function lines(folder: string): readonly string[] {
  const [file = ''] = readdirSync(folder);
  return readFileSync(join(folder, file), 'utf8').trimEnd().split('\n');
}

/** Of made-up inputs. */
async function results(file: string | Uint8Array | undefined) {
  const model = await loadModel(file as Uint8Array);
  const inputs = Object.entries(model.inputs).map(([name, { shape }]) => {
    const length = shape.reduce((all, dim) => all * dim, 1);
    return [name, Float32Array.from({ length }, (_, i) => Math.sin(i))] as const;
  });
  return model.run(Object.fromEntries(inputs));
}

describe('grim tune', () => {
  it('writes a model that runs, and a report of schema grim.tune/1', async () => {
    const cache = join(temporaryFolder(), 'not', 'there', 'yet');
    const { code, out, err, files } = await grim([...QUICK, '4', '--cache', cache]);
    expect(code).toBe(0);
    expect(err).toMatch(/^grim: trial 4 of 4 for 3 kinds of layer, \d+ s: best so far [\d.]+ of the default's time\n$/);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ schema: 'grim.tune/1', target: 'wasm', trials: 4, seed: 0, known: 0 });
    expect(report.measured).toBeGreaterThan(8);
    expect(report.ratio).toBeLessThanOrEqual(1);
    expect(report.products).toHaveLength(3);
    expect(report.bytes).toBe(files[0]?.content.length);
    const plain = await grim(['compile', TINY, '--dim', 'N=1', '-o', 'plain.grim']);
    const [tuned, wanted] = await Promise.all([files, plain.files].map(([file]) => results(file?.content)));
    expect(Object.keys(tuned ?? {})).toEqual(Object.keys(wanted ?? {}));
    for (const [name, values] of Object.entries(wanted ?? {}))
      for (const [i, value] of values.entries()) expect(Number(tuned?.[name]?.[i])).toBeCloseTo(Number(value), 4);
  });

  it('measures nothing twice, skips lines that an abort cut off, and measures again when asked', async () => {
    const cache = temporaryFolder();
    const first = JSON.parse((await grim([...QUICK, '4', '--cache', cache])).out);
    expect(lines(cache)).toHaveLength(1 + first.measured);
    appendFileSync(join(cache, readdirSync(cache)[0] ?? ''), '{"key":"half a li');
    const second = JSON.parse((await grim([...QUICK, '4', '--cache', cache])).out);
    expect(second).toMatchObject({ measured: 0, known: first.measured });
    const third = JSON.parse((await grim([...QUICK, '4', '--cache', cache, '--fresh'])).out);
    expect(third).toMatchObject({ measured: first.measured, known: 0 });
    // What was cut off stays a line of its own.
    const broken = lines(cache).filter((line) => line !== '' && !line.endsWith('}'));
    expect(broken).toEqual(['{"key":"half a li']);
  });

  it.each(['SIGINT', 'SIGKILL'] as const)(
    'L5: keeps what was measured at %s, writes no model, and goes on',
    async (signal) => {
      const folder = temporaryFolder();
      const cache = join(folder, 'cache');
      const argv = ['tune', TINY, '--dim', 'N=1', '-o', join(folder, 'tuned.grim'), '--cache', cache, '--trials'];
      const { child, ended } = start([...argv, '400']);
      child.stderr?.on('data', () => child.kill(signal));
      const { code, err } = await ended;
      expect(code).toBe(signal === 'SIGINT' ? 130 : null);
      if (signal === 'SIGINT') expect(err).toContain('[GRIM_CLI_INTERRUPTED]');
      expect(existsSync(join(folder, 'tuned.grim'))).toBe(false);
      const kept = lines(cache).length - 1;
      expect(kept).toBeGreaterThan(8);
      const report = JSON.parse((await grim([...argv, '4', '--json'])).out);
      expect(report).toMatchObject({ measured: 0 });
      expect(report.known).toBeGreaterThan(8);
    },
  );

  it('measures on threads, and keeps that apart', async () => {
    const cache = temporaryFolder();
    const { code, out } = await grim([...QUICK, '2', '--cache', cache, '--threads', '2']);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ threads: 2, known: 0, device: { threads: 2 } });
    expect(report.ratio).toBeLessThanOrEqual(1);
    const kept = lines(cache)
      .slice(1)
      .map((line) => JSON.parse(line).schedule);
    expect(kept.some(({ split, pieces }) => split !== undefined && pieces !== undefined)).toBe(true);
    const alone = JSON.parse((await grim([...QUICK, '1', '--cache', cache])).out);
    expect(alone).toMatchObject({ threads: 1, known: 0 });
    expect(readdirSync(cache)).toHaveLength(2);
  });

  it('keeps measurements of different devices apart', () => {
    const device = thisDevice('relaxed');
    const others = [
      { ...device, cpu: 'another' },
      { ...device, engine: 'another' },
      { ...device, simd: 'plain' as const },
      { ...device, version: '9.9.9' },
    ];
    expect(new Set([device, ...others].map(fingerprint)).size).toBe(5);
    expect(fingerprint(device)).toBe(fingerprint({ ...device }));
  });

  it('refuses a cache that it cannot write to before it compiles anything for long', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    const { code, err, files } = await grim([...QUICK, '1', '--cache', join(folder, 'file', 'inside')]);
    expect([code, files]).toEqual([1, []]);
    expect(err).toMatch(
      /measurements cannot be kept \(ENOTDIR\)\. Choose another folder with --cache\. \[GRIM_CLI_WRITE\]/,
    );
  });

  it.each<readonly [string, readonly string[], RegExp]>([
    ['no output', ['tune', TINY], /-o <file> is missing/],
    ['a target that is not there', [...QUICK, '1', '--target', 'cuda'], /wasm/],
    ['half a trial', [...QUICK, '0.5'], /whole number/],
    ['a negative seed', [...QUICK, '1', '--seed', '-1'], /seed/],
  ])('refuses %s', async (_, argv, sentence) => {
    const { code, err } = await grim(argv);
    expect(code).toBe(2);
    expect(err).toMatch(sentence);
  });
});

describe('--schedules', () => {
  const file = (content: unknown) => {
    const path = join(temporaryFolder(), 'schedules.json');
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };
  const compileWith = (path: string) =>
    grim(['compile', TINY, '--dim', 'N=1', '-o', 'x.grim', '--json', '--schedules', path]);
  const keyOf = (): string => {
    const { model } = compileModel(readFileSync(TINY), { dims: { N: 1 } });
    return model.calls?.find(({ product }) => product !== undefined)?.product ?? '';
  };

  it('compile and explain take what tune has found, of the layers that are in the model', async () => {
    const key = keyOf();
    const schedules = { [key]: { form: 'dense', unroll: 8, groups: 4 }, 'another model': { form: 'dense' } };
    const report = file({ schema: 'grim.tune/1', schedules });
    const [plain, given] = await Promise.all([compileWith(file({})), compileWith(report)]);
    expect(JSON.parse(plain.out).schedules).toBe(0);
    expect(JSON.parse(given.out).schedules).toBe(1);
    expect(given.files[0]?.content).not.toEqual(plain.files[0]?.content);
    const [wanted, found] = await Promise.all([plain, given].map(({ files }) => results(files[0]?.content)));
    for (const [name, values] of Object.entries(wanted ?? {}))
      for (const [i, value] of values.entries()) expect(Number(found?.[name]?.[i])).toBeCloseTo(Number(value), 4);
    const { out } = await grim(['explain', TINY, '--dim', 'N=1', '--schedules', report]);
    expect(out).not.toBe((await grim(['explain', TINY, '--dim', 'N=1'])).out);
  });

  it.each<readonly [string, unknown, RegExp]>([
    ['no JSON', '{"schedules": {', /no JSON.*\[GRIM_CLI_SCHEDULES\]/],
    ['a list', [1, 2], /no schedules in it.*\[GRIM_CLI_SCHEDULES\]/],
    ['schedules of another model', { k: { form: 'dense' } }, /none of the 1 schedules.*\[GRIM_CLI_SCHEDULES\]/],
    ['a file that is not there', undefined, /\[GRIM_CLI_NOT_FOUND\]/],
  ])('L2: refuses %s, and writes nothing', async (_, content, sentence) => {
    const path = content === undefined ? join(temporaryFolder(), 'missing.json') : file(content);
    const { code, err, files } = await compileWith(path);
    expect([code, files]).toEqual([1, []]);
    expect(err.replace(/\n/g, ' ')).toMatch(sentence);
  });

  it('refuses a schedule that the layer cannot have', async () => {
    const key = keyOf();
    const { code, err } = await compileWith(file({ [key]: { form: 'dense', groups: -1 } }));
    expect(code).toBe(1);
    expect(err).toContain('[GRIM_CODEGEN_BAD_SCHEDULE]');
  });
});

describe('grim explain --threads', () => {
  it('says which steps threads share, and into how many pieces they are cut', async () => {
    const large = graph('large', (b) => {
      const data = Float32Array.from({ length: 32 * 32 * 9 }, (_, i) => Math.sin(i));
      const w = b.weight('w', { dtype: 'float32', shape: [32, 32, 3, 3], data });
      b.output('y', b.add('Conv', [b.input('x', 'float32', [1, 32, 40, 40]), w], { kernel_shape: [3, 3] }));
    });
    const path = join(temporaryFolder(), 'large.onnx');
    writeFileSync(path, toOnnx(large));
    const lines = async (threads: number) =>
      (await grim(['explain', path, '--threads', String(threads)])).out.split('\n');
    const [one, two] = [await lines(1), await lines(2)];
    expect(one.filter((line) => line.includes(' pieces'))).toEqual([]);
    expect(two[2]).toMatch(/^[1-9]\d* of \d+ steps are cut into pieces for up to 2 threads$/);
    expect(two.filter((line) => / in [2-4] pieces$/.test(line)).length).toBeGreaterThan(0);
  });
});
