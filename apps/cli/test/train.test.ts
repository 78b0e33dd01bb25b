/** `grim train` as a process: from a description to a network, killed and continued, and its mistakes. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { drawDigit, randomSource } from '@grim/demo-data';
import { writeNpy } from '@grim/files';
import { parse, type Weight } from '@grim/ir';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { zipSync } from 'fflate';
import { afterAll, describe, expect, it } from 'vitest';
import { openResults } from '../src/results/store.ts';

const folder = mkdtempSync(join(tmpdir(), 'grim-train-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const DATABASE = at('results.sqlite');

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

function grim(
  args: readonly string[],
  watch?: (err: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Ended> {
  const main = join(import.meta.dirname, '../src/main.ts');
  const child = spawn(process.execPath, ['--conditions=@grim/source', main, ...args], {
    cwd: folder,
    env: { ...process.env, GRIM_RESULTS: DATABASE },
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
    watch?.(err, (signal) => child.kill(signal));
  });
  return new Promise((resolve) => child.on('close', (status, signal) => resolve({ status, signal, out, err })));
}

const random = randomSource(1);
const count = 192;
const data = new Float32Array(count * 400);
for (let k = 0; k < count; k++) data.set(drawDigit(k % 3, random), k * 400);
const labels = Int32Array.from({ length: count }, (_, k) => k % 3);
writeFileSync(
  at('digits.npz'),
  zipSync({
    'x.npy': writeNpy({ dtype: 'float32', shape: [count, 1, 20, 20], data }),
    'y.npy': writeNpy({ dtype: 'int32', shape: [count], data: labels }),
  }),
);
writeFileSync(
  at('arch.json'),
  JSON.stringify({
    input: [1, 20, 20],
    layers: [{ conv: 6, stride: 2 }, { conv: 8, stride: 2 }, { globalpool: true }, { dense: 3 }],
  }),
);
const common = [
  'train',
  'arch.json',
  '--data',
  'digits.npz',
  '--batch',
  '32',
  '--epochs',
  '12',
  '--rate',
  '0.1',
  '--threads',
  '1',
];

/** Leaves the first example out of the first epoch, and takes it later. */
const SEED = '5';

describe('grim train', () => {
  it('trains a description on an .npz file, better than chance', async () => {
    const { status, out, err } = await grim([...common, '-o', 'a.onnx', '--json']);
    expect(err).toContain('grim: recorded as run 1: grim results show 1');
    expect(status).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ schema: 'grim.train/1', steps: 60, resumed: 0, examples: 173 });
    expect(report.epochs).toHaveLength(12);
    expect(report.epochs[11].loss).toBeLessThan(report.epochs[0].loss);
    expect(report.validation.accuracy).toBeGreaterThan(0.6);
    expect(fromOnnx(readFileSync(at('a.onnx'))).nodes.some(({ op }) => op === 'Conv')).toBe(true);
    expect(existsSync(at('a.onnx.training'))).toBe(false);
    using results = await openResults(DATABASE, 'read');
    const recorded = results.get(1);
    expect(recorded?.report).toEqual(report);
    expect(recorded?.run).toMatchObject({
      kind: 'train',
      model: 'arch.json',
      argv: [...common, '-o', 'a.onnx', '--json'],
      setting: { data: 'digits.npz', steps: 60 },
      values: [
        { what: 'share right', value: report.validation.accuracy },
        { what: 'validation loss' },
        { what: 'bytes' },
      ],
    });
  }, 60_000);

  it('L5, L7: killed, it leaves no half-written file; the same command goes on to the same bytes', async () => {
    const args = [...common, '-o', 'b.onnx'];
    const killed = await grim(args, (err, kill) => {
      if (/epoch 3:/.test(err)) kill('SIGKILL');
    });
    expect(killed.signal).toBe('SIGKILL');
    expect(existsSync(at('b.onnx'))).toBe(false);
    expect(readdirSync(at('b.onnx.training'))).toContain('training.checkpoint');
    const other = await grim([...common.with(common.indexOf('0.1'), '0.2'), '-o', 'b.onnx']);
    expect(other.err).toContain('GRIM_TRAIN_BAD_CHECKPOINT');
    const resumed = await grim(args);
    expect(resumed.err).toContain('steps were done before');
    expect(resumed.status).toBe(0);
    await grim([...common, '-o', 'c.onnx']);
    expect(readFileSync(at('b.onnx')).equals(readFileSync(at('c.onnx')))).toBe(true);
  }, 120_000);

  it('what was pruned stays zero', async () => {
    const net = fromOnnx(readFileSync(at('a.onnx')));
    const [name = '', weight] =
      Array.from(net.weights).find(([, { shape }]) => shape.length === 4 && shape[0] === 8) ?? [];
    const data = Float32Array.from((weight?.data ?? []) as Float32Array, (value, i) => (i % 4 === 0 ? value : 0));
    const pruned = { ...net, weights: new Map(net.weights).set(name, { ...weight, data } as Weight) };
    writeFileSync(at('pruned.onnx'), toOnnx(pruned));
    const { out, err } = await grim([...common.with(1, 'pruned.onnx'), '-o', 'tuned.ir', '--json']);
    expect(err).toContain('1 layers are pruned, 25.0 % of their weights alive');
    expect(JSON.parse(out).pruned).toEqual({ layers: 1, density: 0.25 });
    const tuned = parse(readFileSync(at('tuned.ir'), 'utf8')).weights.get(name)?.data as Float32Array;
    expect(tuned.filter((_, i) => i % 4 !== 0).every((value) => value === 0)).toBe(true);
    expect(tuned.filter((value, i) => i % 4 === 0 && value !== data[i])).toHaveLength(tuned.length / 4);
  }, 60_000);

  it('records how it was trained; reproduce gives the same weights, and names the examples that changed', async () => {
    const quick = common.with(common.indexOf('12'), '2');
    expect((await grim([...quick, '-o', 'r.onnx'])).status).toBe(0);
    const record = JSON.parse(readFileSync(at('r.onnx.run.json'), 'utf8'));
    expect(record).toMatchObject({ schema: 'grim.train-run/1', argv: [...quick, '-o', 'r.onnx'], seed: 1 });
    expect(record.inputs).toMatchObject([{ path: 'arch.json' }, { path: 'digits.npz', examples: 192 }]);
    expect(record.versions['onnxruntime-node']).toMatch(/^\d+\.\d+\.\d+/);
    const before = readdirSync(folder);
    const same = await grim(['reproduce', 'r.onnx.run.json', '--json']);
    expect(JSON.parse(same.out)).toMatchObject({ command: 'train', identical: true, differences: [] });
    expect(same.status).toBe(0);
    expect(readdirSync(folder)).toEqual(before);

    const whole = readFileSync(at('digits.npz'));
    const other = data.slice().fill(0.5, 0, 40);
    writeFileSync(
      at('digits.npz'),
      zipSync({
        'x.npy': writeNpy({ dtype: 'float32', shape: [count, 1, 20, 20], data: other }),
        'y.npy': writeNpy({ dtype: 'int32', shape: [count], data: labels }),
      }),
    );
    const changed = await grim(['reproduce', 'r.onnx.run.json']);
    writeFileSync(at('digits.npz'), whole);
    expect(changed.status).toBe(3);
    expect(changed.out).toMatch(/^different: r\.onnx was (?s:.*) {2}input "digits\.npz" holds other examples\n$/);
  }, 60_000);

  it('M3: diverged, it says at which step and keeps the last good state as a network', async () => {
    // One example overflows; the first epochs happen to leave it out.
    const poisoned = data.slice(0, 64 * 400).fill(3e38, 0, 400);
    writeFileSync(
      at('poisoned.npz'),
      zipSync({
        'x.npy': writeNpy({ dtype: 'float32', shape: [64, 1, 20, 20], data: poisoned }),
        'y.npy': writeNpy({ dtype: 'int32', shape: [64], data: labels.slice(0, 64) }),
      }),
    );
    const { status, err } = await grim([
      ...['train', 'arch.json', '--data', 'poisoned.npz', '--validation', 'digits.npz', '--batch', '48'],
      ...['--epochs', '30', '--rate', '0.1', '--threads', '1', '--seed', SEED, '-o', 'f.onnx'],
    ]);
    expect(status).toBe(1);
    expect(err).toMatch(/the loss is NaN at step \d+ .*GRIM_TRAIN_DIVERGED/s);
    expect(err).toContain('last-good.onnx');
    expect(existsSync(at('f.onnx'))).toBe(false);
    const kept = fromOnnx(readFileSync(at('f.onnx.training/last-good.onnx')));
    for (const { data: values } of kept.weights.values())
      expect(Array.from(values as Float32Array, Number).every(Number.isFinite)).toBe(true);
  }, 60_000);

  it('L4: a disk that is full leaves nothing half-written', async (ctx) => {
    if (process.platform === 'win32') ctx.skip('files of a limited size: by ulimit');
    const main = join(import.meta.dirname, '../src/main.ts');
    const words = [process.execPath, '--conditions=@grim/source', main, ...common, '-o', 'g.onnx'];
    const script = `ulimit -f 1; exec ${words.map((word) => `'${word}'`).join(' ')}`;
    const { status, stderr } = spawnSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toContain('GRIM_CLI_WRITE');
    expect(existsSync(at('g.onnx'))).toBe(false);
    expect(readdirSync(at('g.onnx.training'))).toEqual([]);
  }, 60_000);

  it.each([
    [['train', 'arch.json', '-o', 'd.onnx'], '--data <path> is missing', 2],
    [['train', 'arch.json', '--data', 'digits.npz'], '-o <file> is missing', 2],
    [['train', 'arch.json', '--data', 'digits.npz', '-o', 'd.grim'], 'ends in .onnx or .ir', 2],
    [['train', 'arch.json', '--data', 'none', '-o', 'd.onnx'], 'GRIM_TRAIN_BAD_DATA', 1],
    [['train', 'digits.npz', '--data', 'digits.npz', '-o', 'd.onnx'], 'GRIM_ONNX', 1],
  ] as const)(
    '%s',
    async (args, wanted, code) => {
      const { status, err } = await grim(args);
      expect(err).toContain(wanted);
      expect(status).toBe(code);
      expect(existsSync(at('d.onnx'))).toBe(false);
    },
    60_000,
  );
});
