/** How runs read on a screen: one line each, two side by side, many over time. */
import { show } from '@grim/ir';
import { count, type Io, styled } from '../output.ts';
import { table, wrap } from '../table.ts';
import type { Run, Value } from './run.ts';
import type { Verdict } from './verdict.ts';

/** `2026-11-23 16:57`, UTC. */
export const minute = (at: string): string => show(at.slice(0, 16).replace('T', ' '));

/** Four digits are more than a measurement has. */
export function number(value: number): string {
  if (Number.isSafeInteger(value) && Math.abs(value) >= 1000) return count(value);
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
}

export function listPage(runs: readonly Run[], io: Io): string {
  const oneDevice = new Set(runs.map(({ deviceKey }) => deviceKey)).size === 1;
  const rows = runs.map((run) => [
    String(run.id),
    minute(run.at),
    show(run.kind),
    show(nameOf(run.model)),
    headline(run),
    ...(oneDevice ? [] : [show(run.deviceKey.slice(0, 6))]),
  ]);
  const columns = [
    { title: 'run', align: 'right' as const },
    { title: 'when (UTC)' },
    { title: 'what' },
    { title: 'model', flexible: true },
    { title: 'found', flexible: true },
    ...(oneDevice ? [] : [{ title: 'device' }]),
  ];
  const [head = '', ...body] = table(columns, rows, io.columns);
  return `${[styled(io, 'dim', head), ...body].join('\n')}\n`;
}

/** The last two parts of a path: half of all models are called model.onnx. */
function nameOf(path: string): string {
  return path.split(/[/\\]/).slice(-2).join('/');
}

/** The first number, and the first ratio. */
function headline({ values }: Run): string {
  const [first] = values;
  const ratio = values.find(({ what }) => what.startsWith('speed over'));
  if (!first) return '';
  const said = [`${number(first.value)} ${show(first.what)}`];
  if (ratio) said.push(`${ratio.value.toFixed(2)}× ${show(ratio.what.slice('speed over '.length))}`);
  return said.join(', ');
}

const interval = ({ low, high }: Value): string =>
  low === undefined || high === undefined ? '' : `${number(low)} to ${number(high)}`;

export function runPage(run: Run, io: Io): string {
  const { device, versions } = run;
  const facts: readonly (readonly [string, string])[] = [
    ['command', `grim ${run.argv.map(word).join(' ')}`],
    ['model', `${show(run.model)}, sha256 ${show(run.modelSha256.slice(0, 16))}…`],
    [
      'device',
      `${show(device.cpu)}, ${device.cores} cores, ${show(device.platform)} ${show(device.arch)} (${show(run.deviceKey)})`,
    ],
    ['versions', `grim ${show(versions.grim)}, Node ${show(versions.node)}, V8 ${show(versions.v8)}`],
    ['commit', run.commit === null ? 'the folder is not under version control' : show(run.commit)],
  ];
  const right = (title: string) => ({ title, align: 'right' as const });
  const rows = run.values.map((value) => [
    show(value.what),
    number(value.value),
    interval(value),
    `${value.better} is better`,
  ]);
  const [head = '', ...body] = table(
    [{ title: 'found', flexible: true }, right(''), right('95 % interval'), { title: '' }],
    rows,
    io.columns,
  );
  return [
    styled(io, 'bold', `run ${run.id}: ${show(run.kind)}, ${minute(run.at)} UTC`),
    ...facts.flatMap(([name, value]) => wrap(`  ${name.padEnd(9)} ${value}`, io.columns, ' '.repeat(12))),
    styled(io, 'dim', head),
    ...body,
    '',
  ].join('\n');
}

/** As a shell would want it again. */
function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${show(text).replaceAll("'", "'\\''")}'`;
}

export interface Compared {
  readonly what: string;
  readonly before: Value;
  readonly after: Value;
  readonly ratio: number;
  readonly verdict: Verdict;
}

export function comparePage(
  before: Run,
  after: Run,
  rows: readonly Compared[],
  differences: readonly string[],
  io: Io,
): string {
  const right = (title: string) => ({ title, align: 'right' as const });
  const [head = '', ...body] = table(
    [
      { title: 'found', flexible: true },
      right(`run ${before.id}`),
      right(`run ${after.id}`),
      right('ratio'),
      { title: '' },
    ],
    rows.map((row) => [
      show(row.what),
      number(row.before.value),
      number(row.after.value),
      row.ratio.toFixed(3),
      row.verdict,
    ]),
    io.columns,
  );
  return [
    styled(io, 'bold', `run ${before.id} (${minute(before.at)}) and run ${after.id} (${minute(after.at)})`),
    styled(io, 'dim', head),
    ...body.map((line, i) => coloured(rows[i]?.verdict ?? 'same', line, io)),
    ...differences.flatMap((one) => wrap(`  They differ in ${one}`, io.columns, '    ')),
    ...wrap('  "same": the intervals of the two touch, or they are within 3 %.', io.columns, '  '),
    '',
  ].join('\n');
}

const coloured = (verdict: Verdict, line: string, io: Io): string =>
  verdict === 'same' ? line : styled(io, verdict === 'better' ? 'green' : 'red', line);

const BARS = '▁▂▃▄▅▆▇█';
/** Points of a line of text. */
const MOST_BARS = 40;

/** Values as a line of bars, the last of them at most; a line without any change is flat. */
export function sparkline(values: readonly number[]): string {
  const shown = values.slice(-MOST_BARS);
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  const at = (value: number) => (high === low ? 3 : Math.min(7, Math.floor((8 * (value - low)) / (high - low))));
  return shown.map((value) => BARS[at(value)] ?? ' ').join('');
}

export interface Line {
  readonly what: string;
  readonly points: readonly { readonly run: Run; readonly value: Value }[];
  /** Of the newest, against the median of those before; undefined of a single one. */
  readonly verdict: { readonly before: Value; readonly ratio: number; readonly verdict: Verdict } | undefined;
}

export function historyPage(lines: readonly Line[], shown: Line, io: Io): string {
  const [first] = shown.points;
  const right = (title: string) => ({ title, align: 'right' as const });
  const rows = shown.points.map(({ run, value }, i) => {
    const earlier = shown.points[i - 1];
    const changed = earlier !== undefined && earlier.run.modelSha256 !== run.modelSha256 ? 'another file' : '';
    const sum = earlier ? `${(100 * (value.value / earlier.value.value - 1)).toFixed(1)} %` : '';
    return [
      String(run.id),
      minute(run.at),
      show(run.versions.grim),
      show(run.commit?.slice(0, 7) ?? ''),
      number(value.value),
      interval(value),
      sum,
      changed,
    ];
  });
  const [head = '', ...body] = table(
    [
      right('run'),
      { title: 'when (UTC)' },
      { title: 'grim' },
      { title: 'commit', flexible: true },
      right(''),
      { title: '95 % interval', flexible: true },
      right('change'),
      { title: '', flexible: true },
    ],
    rows,
    io.columns,
  );
  const widest = Math.max(...lines.map(({ what }) => what.length));
  return [
    ...wrap(
      `${show(first?.run.model ?? '')}: ${show(shown.what)}, ${shown.points.length} ${shown.points.length === 1 ? 'run' : 'runs'}`,
      io.columns,
      '  ',
    ).map((line) => styled(io, 'bold', line)),
    styled(io, 'dim', head),
    ...body,
    '',
    ...lines.map(({ what, points, verdict }) => {
      const said = verdict
        ? `${verdict.verdict.padEnd(6)} ${verdict.ratio.toFixed(3)} of the median before`
        : 'the first run';
      const line = `  ${show(what).padEnd(widest)}  ${sparkline(points.map(({ value }) => value.value))}  ${said}`;
      return coloured(verdict?.verdict ?? 'same', line, io);
    }),
    '',
  ].join('\n');
}
