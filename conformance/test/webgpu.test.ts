/**
 * Some of the cases on WebGPU, in Node through Dawn and in Chromium; `npm run conformance:webgpu` does all of them. A software
 * adapter takes a tenth of a second for each, most of it for building pipelines.
 */
import { readFileSync } from 'node:fs';
import { findChromium, launchChromium, NO_CHROMIUM, NO_GPU, nodeAdapter, SOFTWARE_WEBGPU } from '@grim/browser';
import { describe, expect, it } from 'vitest';
import { type Case, type CaseResult, defaultExpectedFailures, runCase, webgpuBackend } from '../src/index.ts';
import { openSuite, pageScript, sharedCases } from './browser/suite.ts';

const DATA = process.env['GRIM_DATA'] ?? '';
/** float64 is computed in software: its shaders take a software adapter up to 20 seconds each. */
const LONG = /qlinear/;
const cases = sharedCases(DATA).filter(({ name }) => !LONG.test(name));
const some = (every: number): readonly Case[] =>
  cases.filter(({ path }, i) => i % every === 0 && !path.includes('/models/'));
const NONE = 'GRIM_DATA is not there: no onnx-node-tests, no models';

function expectAsListed(results: readonly CaseResult[]): void {
  const expected = defaultExpectedFailures('webgpu');
  const wrong = results.filter(({ name, status }) => (status === 'failed') !== expected.has(name));
  expect(wrong).toEqual([]);
  expect(results.filter(({ status }) => status === 'passed').length).toBeGreaterThan(20);
}

describe('cases on WebGPU', () => {
  it('every tenth, and the smallest model, in Node', { timeout: 300_000 }, async (ctx) => {
    if (cases.length === 0) ctx.skip(NONE);
    const adapter = await nodeAdapter();
    if (!adapter) ctx.skip(NO_GPU);
    const backend = webgpuBackend((await adapter?.requestDevice()) as GPUDevice);
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
