/** `grim reram check`: runs reference vectors and prints each case's error beside what it may be. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { GrimError, show } from '@grim/ir';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { kindOfPath, readRegularFile } from '../files.ts';
import { type Io, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { fit, wrap } from '../table.ts';
import type { ReramCheckOptions } from './args.ts';
import { runVectors, type VectorResult } from './vectors.ts';

export function checkVectors(options: ReramCheckOptions, io: Io): number {
  const files = options.files.flatMap(filesOf);
  checkReport(options, files);
  const cases: (VectorResult & { readonly file: string })[] = [];
  const talk = options.json !== '-';
  for (const file of files) {
    if (talk) io.out(`${styled(io, 'bold', show(file))}\n`);
    about(file, () => {
      for (const result of runVectors(parsed(readRegularFile(file)))) {
        if (options.filter && !options.filter.test(result.id)) continue;
        cases.push({ file, ...result });
        if (talk) io.out(`${line(result, io)}\n`);
      }
    });
  }
  const count = (status: VectorResult['status']) => cases.filter((one) => one.status === status).length;
  const [passed, failed, skipped] = [count('passed'), count('failed'), count('skipped')];
  sendReport({ schema: 'grim.reram.check/1', passed, failed, skipped, cases }, options, files, io);
  if (talk) {
    const text = `${passed} passed, ${failed} failed, ${skipped} skipped`;
    io.out(`${styled(io, failed > 0 ? 'red' : 'green', text)}\n`);
  }
  if (cases.length === 0) throw new GrimError('GRIM_CLI_NO_CASES', 'no case of these files matches.');
  return failed > 0 ? EXIT.failed : EXIT.done;
}

function filesOf(path: string): readonly string[] {
  return about(path, () => {
    if (kindOfPath(path) === 'file') return [path];
    const found = readdirSync(path)
      .filter((name) => name.endsWith('.json'))
      .sort()
      .map((name) => join(path, name));
    if (found.length === 0) throw new GrimError('GRIM_CLI_NO_CASES', 'there is no .json file in it.');
    return found;
  });
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new GrimError('GRIM_RERAM_BAD_VECTORS', `this is no JSON: ${(error as Error).message}.`);
  }
}

const COLOURS = { passed: 'green', failed: 'red', skipped: 'yellow' } as const;

function line({ id, status, error, tolerance, reason }: VectorResult, io: Io): string {
  const numbers = error === undefined || tolerance === undefined ? '' : `${number(error)} of ${number(tolerance)}`;
  const room = io.columns - 11 - numbers.length - 1;
  const name = fit(show(id), room);
  const head = `  ${styled(io, COLOURS[status], status.padEnd(7))}  ${name.padEnd(room)}${numbers.padStart(numbers.length + 1)}`;
  const why =
    reason === undefined || status === 'passed' ? [] : wrap(`           ${show(reason)}`, io.columns, '           ');
  return [head.trimEnd(), ...why].join('\n');
}

function number(value: number): string {
  return value === 0 || (Number.isInteger(value) && value < 1000) ? String(value) : value.toExponential(1);
}
