/** Runs as other programs read them: CSV (RFC 4180), a Markdown table. Text of files is quoted, never syntax. */
import { show } from '@grim/ir';
import { minute, number } from './pages.ts';
import type { Run } from './run.ts';

const CSV = [
  'run',
  'at',
  'kind',
  'model',
  'model_sha256',
  'subject',
  'device',
  'cpu',
  'grim',
  'v8',
  'commit',
  'what',
  'value',
  'low',
  'high',
  'better',
];

/** A line for each number of each run. */
export function csvOf(runs: readonly Run[]): string {
  const rows = runs.flatMap(({ values, versions, device, ...run }) =>
    values.map(({ what, value, low, high, better }) => [
      ...[String(run.id), text(run.at), text(run.kind), text(run.model), text(run.modelSha256), text(run.subject)],
      ...[text(run.deviceKey), text(device.cpu), text(versions.grim), text(versions.v8), text(run.commit ?? '')],
      ...[text(what), String(value), String(low ?? ''), String(high ?? ''), better],
    ]),
  );
  return [CSV, ...rows].map((row) => `${row.join(',')}\r\n`).join('');
}

/** What a spreadsheet would compute becomes text. */
function text(value: string): string {
  const shown = show(value);
  const plain = /^[=+\-@]/.test(shown) ? `'${shown}` : shown;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

export function markdownOf(runs: readonly Run[]): string {
  const cell = (value: string) => show(value).replace(/[\\|`*_<>[\]~&]/g, '\\$&');
  const rows = runs.flatMap((run) =>
    run.values.map(({ what, value, low, high }) => [
      ...[
        String(run.id),
        cell(minute(run.at)),
        cell(run.kind),
        cell(run.model),
        cell(run.deviceKey),
        cell(run.versions.grim),
      ],
      ...[
        cell(what),
        number(value),
        low === undefined || high === undefined ? '' : `${number(low)} to ${number(high)}`,
      ],
    ]),
  );
  const head = ['run', 'when (UTC)', 'command', 'model', 'device', 'grim', 'found', '', '95 % interval'];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |\n`).join('');
}
