/**
 * What every command does with `--json`: the report on stdout instead of the text, or in a file beside it.
 */
import { about } from './errors.ts';
import { checkTarget } from './files.ts';
import { type Io, jsonText } from './output.ts';

export interface ReportOptions {
  /** See `--json`. */
  readonly json: string | undefined;
  readonly force: boolean;
}

/** Fails before the work, rather than after it, when the report could not be written. */
export function checkReport(options: ReportOptions, inputs: readonly string[]): void {
  const { json, force } = options;
  if (json !== undefined && json !== '-') about(json, () => checkTarget(json, { force, inputs }));
}

/** @returns true when the text is wanted too */
export function sendReport(report: object, options: ReportOptions, inputs: readonly string[], io: Io): boolean {
  const { json, force } = options;
  if (json === '-') io.out(jsonText(report));
  else if (json !== undefined) io.write({ path: json, content: jsonText(report), kind: 'report', force, inputs });
  return json !== '-';
}
