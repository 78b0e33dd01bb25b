/** `grim bench`: what it measures, shows, writes and refuses. Times themselves are never judged. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile, pack } from '@grim/codegen';
import { graph } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { type OpenContender, requireEqual } from '../src/bench/contenders.ts';
import { profile } from '../src/bench/profile.ts';
import { pruneByMagnitude } from '../src/bench/prune.ts';
import { inRounds } from '../src/bench/rounds.ts';
import { traceOf } from '../src/bench/trace.ts';
import { grim, TINY, temporaryFolder } from './grim.ts';

const QUICK = ['--runs', '12', '--dim', 'N=1'];

describe('grim bench', () => {
  it('times a model against its dense form and states ratio, interval and verdict, within 80 columns', async () => {
    const { code, out, err } = await grim(['bench', TINY, ...QUICK, '--against', 'dense']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^tiny-cnn: 148 kMAC a run, 59\.1 kMAC on non-zeros\n/);
    expect(out).toMatch(/\n(faster|slower|same|unclear) +[\d.]+× the speed of dense \([\d.]+ to [\d.]+\)\n/);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('gives one object of schema grim.bench/1', async () => {
    const { code, out } = await grim(['bench', TINY, ...QUICK, '--against', 'dense', '--profile', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({
      schema: 'grim.bench/1',
      name: 'tiny-cnn',
      threads: 1,
      pruning: null,
      macs: 148_000,
      clock: expect.stringMatching(/^(wall|core)$/),
      contenders: [{ name: 'grim', version: null }, { name: 'dense' }],
      comparisons: [{ rival: 'dense', verdict: expect.stringMatching(/^(faster|slower|same|unclear)$/) }],
      skipped: [],
    });
    for (const { wallMs, coreMs, medianMs, spreadMs, openMs, firstMs, bytes } of report.contenders) {
      expect([wallMs.length, coreMs.length]).toEqual([12, 12]);
      for (const value of [medianMs, openMs, firstMs, bytes]) expect(value).toBeGreaterThan(0);
      expect(spreadMs).toBeGreaterThanOrEqual(0);
    }
    const [{ ratio, low, high, largestDifference }] = report.comparisons;
    expect(low).toBeLessThanOrEqual(ratio);
    expect(high).toBeGreaterThanOrEqual(ratio);
    expect(largestDifference).toBeLessThan(1e-3);
    expect(report.machine.gflops).toBeGreaterThan(0);
    const convolutions = report.profile.rows.filter(({ op }: { op: string }) => op === 'Conv');
    expect(convolutions.length).toBeGreaterThan(1);
    for (const row of convolutions)
      expect(row.layers[0].m * row.layers[0].k * row.layers[0].n).toBe(row.layers[0].macs);
    const shares = report.profile.rows.map(({ share }: { share: number }) => share);
    expect(shares.reduce((a: number, b: number) => a + b, 0)).toBeCloseTo(1, 6);
  });

  it('prunes first when it is told how much, and says that nothing is there to compare with', async () => {
    const args = ['--density', '0.3', '--block', '2xK', '--against', 'dense', '--json'];
    const { code, out, err } = await grim(['bench', TINY, ...QUICK, ...args]);
    expect([code, err]).toEqual([0, '']);
    const report = JSON.parse(out);
    expect(report.pruning).toEqual({ density: 0.3, rows: 2, cols: 'K' });
    expect(report.nonZeroMacs).toBeLessThan(report.macs);
    const path = join(temporaryFolder(), 'relu.onnx');
    writeFileSync(path, readFileSync(TINY));
    const dense = await grim(['bench', path, ...QUICK, '--against', 'ort-web,ort-node']);
    expect(dense.code).toBe(0);
  });

  it('profiles a compiled model by the layers that its file states, and writes a trace', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'tiny.grim');
    writeFileSync(path, pack(compile(fromOnnx(readFileSync(TINY), { dims: { N: 1 } }))));
    const trace = join(folder, 'trace.json');
    const { code, out, err, files } = await grim(['bench', path, '--runs', '12', '--trace', trace]);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('of peak');
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    const [file] = files;
    expect(file).toMatchObject({ path: trace, kind: 'other' });
    const { traceEvents } = JSON.parse(String(file?.content));
    expect(traceEvents.filter(({ cat }: { cat?: string }) => cat === 'call').length).toBeGreaterThan(3);
  });

  it('refuses what makes no sense', async () => {
    const path = join(temporaryFolder(), 'tiny.grim');
    writeFileSync(path, pack(compile(fromOnnx(readFileSync(TINY), { dims: { N: 1 } }))));
    for (const [args, sentence] of [
      [[path, '--against', 'dense'], 'the .onnx file is needed'],
      [[path, '--density', '0.1'], 'cannot be pruned'],
      [[TINY, '--block', '4xK'], 'without --density'],
      [[TINY, '--density', '1.5'], 'A share above 0'],
      [[TINY, '--density', '0.5', '--block', '4'], 'Rows and columns'],
      [[TINY, '--against', 'tfjs'], 'ort-web,ort-node,dense'],
      [[TINY, '--runs', '0'], 'whole number'],
      [[TINY], '--dim N=1'],
    ] as const) {
      const { code, err } = await grim(['bench', ...args]);
      expect([code, err.includes(sentence) ? sentence : err]).toEqual([2, sentence]);
    }
  });
});

const contender = (name: string, values: readonly number[]): OpenContender => {
  const outputs = { y: Float32Array.from(values) };
  return { name, bytes: 0, openMs: 0, firstMs: 0, outputs, run: async () => outputs };
};

describe('what is compared', () => {
  it('must be equal before anything is timed', () => {
    expect(requireEqual(contender('a', [1, 2]), contender('b', [1, 2]), 1e-3)).toBe(0);
    expect(requireEqual(contender('a', [1, 2]), contender('b', [1.001, 2]), 1e-3)).toBeCloseTo(0.0005, 4);
    expect(requireEqual(contender('a', [Number.NaN]), contender('b', [Number.NaN]), 1e-3)).toBe(0);
    for (const wrong of [[1, 2.1], [1], [1, Number.NaN], [1, Number.POSITIVE_INFINITY]])
      expect(() => requireEqual(contender('a', wrong), contender('b', [1, 2]), 1e-3)).toThrow(
        expect.objectContaining({ code: 'GRIM_CLI_DIFFERENT' }),
      );
  });

  it('runs in turn, each as often as the others, the order turned round every time', async () => {
    const order: string[] = [];
    const slow = (name: string) => ({
      name,
      run: async () => {
        order.push(name);
        for (const end = performance.now() + 8; performance.now() < end; );
      },
    });
    const { timings, comparisons } = await inRounds([slow('a'), slow('b'), slow('c')], { rounds: 4 });
    expect(order.slice(-12).join('')).toBe('abccbaabccba');
    expect(timings.map(({ runsPerSample, wallMs }) => [runsPerSample, wallMs.length])).toEqual([
      [1, 4],
      [1, 4],
      [1, 4],
    ]);
    expect(comparisons.map(({ rival, verdict }) => [rival, verdict])).toEqual([
      ['b', 'unclear'],
      ['c', 'unclear'],
    ]);
  });
});

it('prunes the layers between the first and the last', () => {
  const g = graph('mlp', (b) => {
    let x = b.input('x', 'float32', [1, 8]);
    for (const i of [0, 1, 2])
      x = b.add('Gemm', [
        x,
        b.weight(`w${i}`, {
          dtype: 'float32',
          shape: [8, 8],
          data: Float32Array.from({ length: 64 }, (_, j) => 1 + j),
        }),
      ]);
    b.output('y', x);
  });
  const zeros = Array.from(
    pruneByMagnitude(g, { density: 0.25, rows: 4, cols: Infinity }).weights.values(),
    ({ data }) => Array.from(data as Float32Array).filter((value) => value === 0).length,
  );
  expect(zeros).toEqual([0, 48, 0]);
});

it('a trace lists every call inside its node, end to end', async () => {
  const g = fromOnnx(readFileSync(TINY), { dims: { N: 1 } });
  const model = compile(g);
  const found = await profile(pack(model), { calls: model.calls, runs: 3 });
  const { traceEvents } = traceOf(found, 'tiny');
  const calls = traceEvents.filter(({ cat }) => cat === 'call');
  expect(calls).toHaveLength(model.calls?.length ?? 0);
  let at = 0;
  for (const { ts = -1, dur = 0 } of calls) {
    expect(ts).toBeCloseTo(at, 6);
    at += dur;
  }
  expect(at).toBeCloseTo(found.sumUs, 6);
  expect(found.rows.flatMap(({ layers }) => layers)).toHaveLength(model.manifest.layers.length);
});
