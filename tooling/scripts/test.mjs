// npm test: the set-up, then every check. Whatever happens, the last line is `N passed, N failed, N skipped`.
// Where no browser is found and none can be installed, the tests that need one are skipped with that reason.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { browser, root, setup, step } from './steps.mjs';

const tasks = ['build', 'typecheck', 'lint:style', 'lint:unused', 'lint:imports', 'lint:package', 'test', 'size'];
const summaries = join(root, '.turbo', 'runs');
const total = { passed: 0, failed: 0, skipped: 0 };

try {
  if (setup()) {
    browser();
    check();
  } else total.failed += 1;
} catch (error) {
  console.error(error);
  total.failed += 1;
} finally {
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
}

function check() {
  const packages = findPackages();
  rmSync(summaries, { recursive: true, force: true });
  for (const { results } of packages) rmSync(results, { force: true });

  const ok = step('turbo', [
    ...['run', ...tasks, '--continue', '--concurrency=2', '--output-logs=errors-only', '--summarize'],
  ]);

  const failures = [];
  const skipped = new Map();
  for (const { name, results } of packages.filter(({ results }) => existsSync(results))) {
    const count = readResults(name, JSON.parse(readFileSync(results, 'utf8')), failures, skipped);
    console.log(`  ${name}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
    for (const key of Object.keys(total)) total[key] += count[key];
  }
  // A failed task counts as one failure, unless it is a test run whose failures are counted above.
  for (const { taskId, task, directory } of failedTasks()) {
    const results = join(root, directory ?? '', '.results', 'vitest.json');
    if (task === 'test' && failures.some((failure) => failure.results === results)) continue;
    failures.push({ title: `task ${taskId}` });
    total.failed += 1;
  }
  if (!ok && total.failed === 0) {
    failures.push({ title: 'turbo itself' });
    total.failed += 1;
  }
  if (skipped.size > 0) console.log('\nSkipped:');
  for (const [reason, titles] of skipped) {
    console.log(`  ${titles.length} × ${reason}`);
    for (const title of titles.slice(0, 5)) if (title !== reason) console.log(`      ${title}`);
    if (titles.length > 5) console.log(`      and ${titles.length - 5} more`);
  }
  if (failures.length > 0) console.log('\nFailed:');
  for (const { title } of failures) console.log(`  ${title}`);
  console.log('');
}

/** Every workspace folder that may hold tests, with the place of its vitest report. */
function findPackages() {
  const inside = (group) =>
    existsSync(join(root, group)) ? readdirSync(join(root, group)).map((n) => `${group}/${n}`) : [];
  return [...['packages', 'apps', 'tooling'].flatMap(inside), 'conformance', 'bench', 'examples'].map((name) => ({
    name,
    results: join(root, name, '.results', 'vitest.json'),
  }));
}

/** Counts one vitest report; a test file that could not be loaded is one failure. */
function readResults(name, report, failures, skipped) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  const results = join(root, name, '.results', 'vitest.json');
  for (const file of report.testResults) {
    const path = file.name.replace(/\\/g, '/').split(`/${name}/`).pop();
    for (const test of file.assertionResults) {
      const title = `${name}/${path}: ${[...test.ancestorTitles, test.title].filter(Boolean).join(' > ')}`;
      if (test.status === 'passed') count.passed += 1;
      else if (test.status === 'failed') {
        count.failed += 1;
        failures.push({ title, results });
      } else {
        count.skipped += 1;
        const reason = test.meta?.note ?? 'no reason given';
        skipped.set(reason, [...(skipped.get(reason) ?? []), title]);
      }
    }
    if (file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed')) {
      count.failed += 1;
      failures.push({ title: `${name}/${path}: ${file.message.split('\n')[0]}`, results });
    }
  }
  return count;
}

/** The tasks that turbo's own summary of the run calls failed. */
function failedTasks() {
  if (!existsSync(summaries)) return [];
  return readdirSync(summaries)
    .filter((file) => file.endsWith('.json'))
    .flatMap((file) => JSON.parse(readFileSync(join(summaries, file), 'utf8')).tasks ?? [])
    .filter(({ execution }) => execution && execution.exitCode !== 0);
}
