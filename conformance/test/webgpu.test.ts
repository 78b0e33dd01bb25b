/**
 * Some of the cases on WebGPU, in Node through Dawn and in Chromium; `npm run conformance:webgpu` does all of them. A software
 * adapter takes a tenth of a second for each, most of it for building pipelines.
 */
import { readFileSync } from 'node:fs';
import { findChromium, launchChromium, NO_CHROMIUM, NO_GPU, nodeAdapter, SOFTWARE_WEBGPU } from '@grim/browser';
import { loadModel } from '@grim/runtime/webgpu';
import { describe, expect, it } from 'vitest';
import { type Case, type CaseResult, defaultExpectedFailures, runCase, webgpuBackend } from '../src/index.ts';
import { openSuite, pageScript, sharedCases } from './browser/suite.ts';
import { largestError, type PatternResult, patternCase, runPattern, summarizePatterns } from './webgpu/patterns.ts';

const DATA = process.env['GRIM_DATA'] ?? '';
/** float64 is computed in software: its shaders take a software adapter up to 20 seconds each. */
const LONG = /qlinear/;
const cases = sharedCases(DATA).filter(({ name }) => !LONG.test(name));
const some = (every: number): readonly Case[] =>
  cases.filter(({ path }, i) => i % every === 0 && !path.includes('/models/'));
const NONE = 'GRIM_DATA is not there: no onnx-node-tests, no models';

let device: Promise<GPUDevice | undefined> | undefined;
/** An adapter gives one device, which all tests of this file share. */
function nodeDevice(): Promise<GPUDevice | undefined> {
  device ??= nodeAdapter().then((adapter) => adapter?.requestDevice());
  return device;
}

function expectAsListed(results: readonly CaseResult[]): void {
  const expected = defaultExpectedFailures('webgpu');
  const wrong = results.filter(({ name, status }) => (status === 'failed') !== expected.has(name));
  expect(wrong).toEqual([]);
  expect(results.filter(({ status }) => status === 'passed').length).toBeGreaterThan(20);
}

describe('cases on WebGPU', () => {
  it('every tenth, and the smallest model, in Node', { timeout: 300_000 }, async (ctx) => {
    if (cases.length === 0) ctx.skip(NONE);
    const gpu = await nodeDevice();
    if (!gpu) ctx.skip(NO_GPU);
    const backend = webgpuBackend(gpu as GPUDevice);
    const results: CaseResult[] = [];
    for (const one of [...some(10), ...cases.filter(({ name }) => name === 'dtln_model_1')])
      results.push(await runCase(one, backend, { read: (path) => readFileSync(path) }));
    expectAsListed(results);
  });

  it('every twentieth in Chromium', { timeout: 300_000 }, async (ctx) => {
    if (cases.length === 0) ctx.skip(NONE);
    const program = findChromium();
    if (!program) ctx.skip(NO_CHROMIUM);
    const browser = await launchChromium(program as string, SOFTWARE_WEBGPU);
    try {
      await using suite = await openSuite(browser, DATA, await pageScript(), { mode: 'open', place: 'module' });
      expectAsListed(await suite.cases(some(20), 'webgpu'));
      expect(await suite.troubles()).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});

function expectRight(results: readonly PatternResult[]): void {
  const { cases, sparse, outputs, worst, wrong } = summarizePatterns(results);
  expect(wrong).toEqual([]);
  // What is measured is there: sparse kernels ran, and real sums are rounded.
  expect(sparse).toBeGreaterThan(cases / 2);
  expect(outputs).toBeGreaterThan(cases * 10);
  expect(worst).toBeGreaterThan(0.001);
}

describe('layers with random BCR patterns on WebGPU', () => {
  it('lose rows and columns, have blocks that do not divide them, strides, groups, one column, and states', () => {
    const cases = Array.from({ length: 60 }, (_, i) => patternCase(i + 1));
    expect([...new Set(cases.map(({ kind }) => kind))].sort()).toEqual([
      'conv',
      'gemm',
      'gemv',
      'groups',
      'gru',
      'lstm',
    ]);
    const patterns = cases.map(({ graph }) => graph.weights.get('w')?.pattern);
    const grids = patterns.flatMap((pattern) => (pattern ? [pattern.grid] : []));
    expect(grids.some(({ rows, blockRows }) => blockRows > 1 && rows % blockRows !== 0)).toBe(true);
    expect(grids.some(({ cols, blockCols }) => blockCols > 1 && cols % blockCols !== 0)).toBe(true);
    const pruned = patterns.some((pattern) =>
      pattern?.keptRows.some((rows) => rows.length > 0 && rows.length < pattern.grid.blockRows - 1),
    );
    expect(pruned).toBe(true);
  });

  it('are compared so that a wrong element, a missing one and NaN show', () => {
    const right = Float32Array.of(1, 2, 3);
    const error = (...found: number[]) => largestError(right, Float32Array.from(found), () => 0.1);
    expect(error(1, 2, 3)).toBe(0);
    expect(error(1, 2.05, 3)).toBeCloseTo(0.5, 3);
    expect(error(1, 2, 3.2)).toBeGreaterThan(1);
    expect(error(1, Number.NaN, 3)).toBe(Number.POSITIVE_INFINITY);
    expect(error(1, 2)).toBe(Number.POSITIVE_INFINITY);
  });

  it('C2, N1: 18 in Node are within the bound of rounding', { timeout: 300_000 }, async (ctx) => {
    const gpu = (await nodeDevice()) as GPUDevice;
    if (!gpu) ctx.skip(NO_GPU);
    const results: PatternResult[] = [];
    for (let seed = 1; seed <= 18; seed++)
      results.push(await runPattern(seed, (file) => loadModel(file, { device: 'webgpu', gpu })));
    expectRight(results);
  });

  it('C2, N1: 24 others in Chromium are within the bound of rounding', { timeout: 300_000 }, async (ctx) => {
    const program = findChromium();
    if (!program) ctx.skip(NO_CHROMIUM);
    const browser = await launchChromium(program as string, SOFTWARE_WEBGPU);
    try {
      await using suite = await openSuite(browser, DATA, await pageScript(), { mode: 'open', place: 'module' });
      expectRight(await suite.patterns(101, 24));
      expect(await suite.troubles()).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
