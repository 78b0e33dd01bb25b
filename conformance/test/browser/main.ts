/**
 * Everything in Chromium, in a page and in a worker, with and without cross-origin isolation and under a strict content
 * security policy, against the same in Node: `npm run browser` in conformance/. Results must be equal to the bit.
 */
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { findChromium, launchChromium, NO_CHROMIUM } from '@grim/browser';
import { TASKS } from '../../src/index.ts';
import { type Answers, casesHere, openSuite, pageScript, sharedCases, taskHere } from './suite.ts';

const data = resolve(import.meta.dirname, '../../..', process.env['GRIM_DATA'] ?? '../shared/data');
const program = findChromium();
if (!program) throw new Error(NO_CHROMIUM);
const cases = sharedCases(data);
if (cases.length === 0) throw new Error(`no data at ${data}: point GRIM_DATA at the folder with onnx-node-tests/`);

let wrong = 0;
const complain = (what: string): void => {
  wrong++;
  console.log(`  WRONG ${what}`);
};
const totals = (results: readonly { readonly status: string }[]): string =>
  ['passed', 'failed', 'skipped']
    .map((status) => `${results.filter((result) => result.status === status).length} ${status}`)
    .join(', ');

const wanted = await casesHere(cases);
console.log(`Node: ${totals(wanted)}`);
const answers = new Map<string, Answers>();
for (const task of TASKS) {
  const found = await taskHere(task, data);
  answers.set(task.name, found);
  console.log(`Node: ${task.name} ${found.right} of ${found.of}`);
}

const script = await pageScript();
const browser = await launchChromium(program);
try {
  console.log(`Chromium ${browser.version()}`);
  for (const mode of ['isolated', 'open', 'strict'] as const)
    for (const place of ['page', 'module'] as const) {
      const start = performance.now();
      await using suite = await openSuite(browser, data, script, { mode, place });
      console.log(`${mode}, ${place}: ${JSON.stringify(await suite.where())}`);
      const results = await suite.cases(cases);
      console.log(`  cases: ${totals(results)}`);
      for (const [i, result] of results.entries())
        if (!isDeepStrictEqual(result, wanted[i]))
          complain(`${result.name}: ${JSON.stringify(result)}, in Node ${JSON.stringify(wanted[i])}`);
      for (const task of TASKS) {
        const found = await suite.task(task);
        console.log(`  ${task.name} ${found.right} of ${found.of}`);
        if (Math.abs(found.right - task.wanted) > task.tolerance) complain(`${task.name}: ${task.wanted} are wanted`);
        if (!isDeepStrictEqual(found, answers.get(task.name))) complain(`${task.name}: not what Node computes`);
      }
      for (const trouble of await suite.troubles()) complain(trouble);
      console.log(`  ${((performance.now() - start) / 1000).toFixed(0)} s`);
    }
} finally {
  await browser.close();
}
console.log(wrong === 0 ? 'all equal' : `${wrong} wrong`);
process.exitCode = wrong === 0 ? 0 : 1;
