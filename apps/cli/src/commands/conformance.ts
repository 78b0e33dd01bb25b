/** `grim conformance`: every case of a tree against a backend, one line per failure, totals. */
import {
  type CaseResult,
  defaultExpectedFailures,
  findCases,
  parseExpectedFailures,
  type RunResult,
  runCases,
} from '@grim/conformance';
import { GrimError, show } from '@grim/ir';
import type { ConformanceOptions } from '../args.ts';
import { backendNamed } from '../backends.ts';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { kindOfPath, modelFiles, readingFolders, readRegularFile } from '../files.ts';
import { type Io, printable, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';

export async function conformance(options: ConformanceOptions, io: Io): Promise<number> {
  const { folder, filter, json } = options;
  checkReport(options, []);
  const expected =
    options.expected === undefined
      ? defaultExpectedFailures(options.backend)
      : about(options.expected, () => {
          const file = options.expected ?? '';
          return parseExpectedFailures(new TextDecoder().decode(readRegularFile(file)), 'line');
        });
  const cases = about(folder, () => {
    kindOfPath(folder);
    const found = readingFolders(() => findCases(folder)).filter(({ name }) => filter?.test(name) ?? true);
    if (found.length > 0) return found;
    const what = filter ? ` whose path matches ${filter}` : '';
    throw new GrimError('GRIM_CLI_NO_CASES', `there is no folder with a model.onnx${what} in it.`);
  });
  const quiet = json === '-';
  const result = await runCases(cases, backendNamed(options.backend, options), modelFiles, expected, (one) => {
    if (!quiet && one.status === 'failed') io.out(`${failureLine(one, io)}\n`);
  });
  const { passed, failed, skipped } = result;
  const report = {
    schema: 'grim.conformance/1',
    backend: options.backend,
    threads: options.threads,
    simd: options.simd,
    passed,
    failed,
    skipped,
    unexpectedPasses: result.unexpectedPasses,
    cases: result.cases,
  };
  if (sendReport(report, options, [], io)) io.out(summaryText(result, io));
  return result.ok ? EXIT.done : EXIT.failed;
}

/** `FAILED path: what differs, where, by how much`. One line, as long as it must be: it is for searching, too. */
export function failureLine(one: CaseResult, io: Io): string {
  const word = one.expected === undefined ? styled(io, 'red', 'FAILED') : styled(io, 'yellow', 'failed (expected)');
  const known = one.expected === undefined ? '' : ` (${show(one.expected)})`;
  return `${word} ${show(one.name)}: ${printable(one.reason ?? '')}${known}`;
}

/** Skips by reason, unexpected passes, totals. */
export function summaryText(result: RunResult, io: Io): string {
  const lines: string[] = [];
  const reasons = new Map<string, string[]>();
  for (const { name, status, reason = '' } of result.cases)
    if (status === 'skipped') reasons.set(reason, [...(reasons.get(reason) ?? []), name]);
  for (const [reason, names] of reasons)
    lines.push(`skipped ${names.length === 1 ? show(names[0] ?? '') : `${names.length} cases`}: ${printable(reason)}`);
  for (const name of result.unexpectedPasses)
    lines.push(
      `${styled(io, 'red', 'UNEXPECTEDLY PASSES')} ${show(name)}: take it out of the list of expected failures`,
    );
  const known = result.cases.filter(({ expected }) => expected !== undefined).length;
  const failed = known > 0 ? `${result.failed} failed (${known} expected)` : `${result.failed} failed`;
  const totals = `${result.passed} passed, ${failed}, ${result.skipped} skipped`;
  return `${[...lines, styled(io, result.ok ? 'green' : 'red', totals)].join('\n')}\n`;
}
