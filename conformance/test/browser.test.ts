/**
 * The conformance cases, the models and the tasks inside Chromium, compiled there by the built packages. Everything in an
 * isolated worker, a sample in a page that is not isolated; `npm run browser` in this folder does all of it everywhere.
 */
import { type Browser, findChromium, launchChromium, NO_CHROMIUM } from '@grim/browser';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CaseResult, defaultExpectedFailures, TASKS } from '../src/index.ts';
import { casesHere, openSuite, pageScript, type Suite, sharedCases, taskHere } from './browser/suite.ts';

const DATA = process.env['GRIM_DATA'] ?? '';
const program = findChromium();
const cases = sharedCases(DATA);
let browser: Browser;
let script: string;
beforeAll(async () => {
  if (!program) return;
  [browser, script] = await Promise.all([launchChromium(program), pageScript()]);
});
afterAll(() => browser?.close());
beforeEach((ctx) => {
  if (!program) ctx.skip(NO_CHROMIUM);
  if (cases.length === 0) ctx.skip('GRIM_DATA is not there: no onnx-node-tests, no models');
});

const namesOf = (results: readonly CaseResult[], status: CaseResult['status']): string[] =>
  results.filter((result) => result.status === status).map(({ name }) => name);

describe('a worker of an isolated page', () => {
  const open = (): Promise<Suite> => openSuite(browser, DATA, script, { mode: 'isolated', place: 'module' });

  it('passes every case but those that are expected to fail, and skips what Node skips', async () => {
    await using suite = await open();
    expect(await suite.where()).toEqual({ isolated: true, scope: 'DedicatedWorkerGlobalScope' });
    const results = await suite.cases(cases);
    expect(results.map(({ name }) => name)).toEqual(cases.map(({ name }) => name));
    const failed = results.filter(({ status }) => status === 'failed');
    const expected = defaultExpectedFailures('wasm');
    expect(failed.filter(({ name }) => !expected.has(name))).toEqual([]);
    expect(failed.map(({ name }) => name).sort()).toEqual([...expected.keys()].sort());
    const skipped = new Set(namesOf(results, 'skipped'));
    const here = await casesHere(cases.filter(({ name }) => skipped.has(name)));
    expect(results.filter(({ name }) => skipped.has(name))).toEqual(here);
    expect(await suite.troubles()).toEqual([]);
    console.log(
      `in Chromium: ${namesOf(results, 'passed').length} passed, ${failed.length} failed, ${skipped.size} skipped`,
    );
  });

  it('gives as many right answers in every task as onnxruntime', async () => {
    await using suite = await open();
    for (const task of TASKS) {
      const { right } = await suite.task(task);
      expect(Math.abs(right - task.wanted), `${task.name}: ${right}`).toBeLessThanOrEqual(task.tolerance);
    }
    expect(await suite.troubles()).toEqual([]);
  });
});

describe('a page that is not isolated', () => {
  const open = (): Promise<Suite> => openSuite(browser, DATA, script, { mode: 'open', place: 'page' });

  it('gives what Node gives, errors included, for every tenth case and all models', async () => {
    await using suite = await open();
    expect(await suite.where()).toEqual({ isolated: false, scope: 'Window' });
    const some = cases.filter(({ path }, i) => i % 10 === 0 || path.includes('/models/'));
    expect(await suite.cases(some)).toEqual(await casesHere(some));
    expect(await suite.troubles()).toEqual([]);
  });

  it('compiles the same file and computes the same bits as Node', async () => {
    await using suite = await open();
    for (const task of TASKS.filter(({ name }) => ['dscnn_kws', 'silero_vad_16k'].includes(name)))
      expect(await suite.task(task), task.name).toEqual(await taskHere(task, DATA));
    expect(await suite.troubles()).toEqual([]);
  });
});
