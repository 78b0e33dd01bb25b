/** `grim train` as a process: from a description to a network, killed and continued, and its mistakes. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { drawDigit, randomSource } from '@grim/demo-data';
import { fromOnnx } from '@grim/ir/onnx';
import { zipSync } from 'fflate';
import { afterAll, describe, expect, it } from 'vitest';
import { writeNpy } from '../src/npy.ts';

const folder = mkdtempSync(join(tmpdir(), 'grim-train-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

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
  const child = spawn(process.execPath, ['--conditions=@grim/source', main, ...args], { cwd: folder });
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

describe('grim train', () => {
  it('trains a description on an .npz file, better than chance', async () => {
    const { status, out } = await grim([...common, '-o', 'a.onnx', '--json']);
    expect(status).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ schema: 'grim.train/1', steps: 60, resumed: 0, examples: 173 });
    expect(report.epochs).toHaveLength(12);
    expect(report.epochs[11].loss).toBeLessThan(report.epochs[0].loss);
    expect(report.validation.accuracy).toBeGreaterThan(0.6);
    expect(fromOnnx(readFileSync(at('a.onnx'))).nodes.some(({ op }) => op === 'Conv')).toBe(true);
    expect(existsSync(at('a.onnx.training'))).toBe(false);
  }, 60_000);

  it('killed, it leaves no half-written file; the same command goes on to the same bytes', async () => {
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

  it.each([
    [['train', 'arch.json', '-o', 'd.onnx'], '--data <path> is missing', 2],
    [['train', 'arch.json', '--data', 'digits.npz'], '-o <file> is missing', 2],
    [['train', 'arch.json', '--data', 'digits.npz', '-o', 'd.grim'], 'ends in .onnx', 2],
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
