/** `grim results`: lists, shows, compares, follows, exports and forgets recorded runs. */
import { GrimError, quote, suggest } from '@grim/ir';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget } from '../files.ts';
import { type Io, jsonText } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { checkPlot, writePlot } from '../reram/plots.ts';
import type {
  CompareOptions,
  ExportOptions,
  HistoryOptions,
  ListOptions,
  RemoveOptions,
  ResultsCommands,
  ShowOptions,
} from './args.ts';
import { csvOf, markdownOf } from './formats.ts';
import { type Compared, comparePage, historyPage, type Line, listPage, runPage } from './pages.ts';
import { fingerprint, type Run, thisMachine } from './run.ts';
import { openResults, type Results, resultsPath } from './store.ts';
import { judge } from './verdict.ts';

/** Points of a line, and runs of an export. */
const MOST_RUNS = 100_000;

export function resultsCommands(io: Io): ResultsCommands {
  return {
    list: (options) => list(options, io),
    show: (options) => showRun(options, io),
    compare: (options) => compare(options, io),
    history: (options) => history(options, io),
    export: (options) => exportRuns(options, io),
    remove: (options) => remove(options, io),
  };
}

function open(database: string | undefined, mode: 'read' | 'write'): Promise<Results> {
  const path = database ?? resultsPath();
  if (path === undefined)
    throw new GrimError('GRIM_CLI_NOT_FOUND', 'GRIM_RESULTS is off: no runs are kept. Name a file with --database.');
  return openResults(path, mode);
}

function runOf(results: Results, id: number | 'last'): { readonly run: Run; readonly report: object } {
  const [newest] = results.list({ limit: 1 });
  const found = id === 'last' ? newest && results.get(newest.id) : results.get(id);
  if (found) return found;
  throw new GrimError(
    'GRIM_CLI_NOT_FOUND',
    newest ? `there is no run ${id}. The newest is ${newest.id}; see grim results list.` : 'there are no runs yet.',
  );
}

async function list(options: ListOptions, io: Io): Promise<number> {
  checkReport(options, []);
  using results = await open(options.database, 'read');
  const runs = results.list(options);
  if (sendReport({ schema: 'grim.results/1', database: results.path, runs }, options, [], io))
    io.out(
      runs.length > 0
        ? listPage(runs, io)
        : `No run${options.model === undefined ? '' : ` of a model whose path holds ${quote(options.model)}`}.\n`,
    );
  return EXIT.done;
}

async function showRun(options: ShowOptions, io: Io): Promise<number> {
  checkReport(options, []);
  using results = await open(options.database, 'read');
  const { run, report } = runOf(results, options.id);
  if (sendReport({ schema: 'grim.results-show/1', run, report }, options, [], io)) io.out(runPage(run, io));
  return EXIT.done;
}

async function compare(options: CompareOptions, io: Io): Promise<number> {
  checkReport(options, []);
  using results = await open(options.database, 'read');
  const before = runOf(results, options.before).run;
  const after = runOf(results, options.after).run;
  const rows = before.values.flatMap((one): Compared[] => {
    const other = after.values.find(({ what }) => what === one.what);
    return other ? [{ what: one.what, before: one, after: other, ...judge(one, other) }] : [];
  });
  const differences = differencesOf(before, after);
  const report = { schema: 'grim.results-compare/1', before, after, values: rows, differences };
  if (sendReport(report, options, [], io)) io.out(comparePage(before, after, rows, differences, io));
  return EXIT.done;
}

/** What else may be the cause, in words. */
function differencesOf(before: Run, after: Run): string[] {
  const facts: readonly (readonly [string, string, string])[] = [
    ['the command', before.kind, after.kind],
    ['the model', before.model, after.model],
    ['the bytes of the model', before.modelSha256.slice(0, 12), after.modelSha256.slice(0, 12)],
    ['the setting', JSON.stringify(before.setting), JSON.stringify(after.setting)],
    ['the device', before.deviceKey, after.deviceKey],
    ['the version of grim', before.versions.grim, after.versions.grim],
    ['the version of V8', before.versions.v8, after.versions.v8],
    ['the commit', before.commit?.slice(0, 12) ?? 'none', after.commit?.slice(0, 12) ?? 'none'],
  ];
  return facts.filter(([, a, b]) => a !== b).map(([what, a, b]) => `${what}: ${a} and ${b}.`);
}

async function history(options: HistoryOptions, io: Io): Promise<number> {
  checkReport(options, []);
  const { what, plot, force, failIfWorse } = options;
  const target = plot === undefined ? undefined : { path: plot, force, inputs: [] };
  checkPlot(target);
  using results = await open(options.database, 'read');
  const newest = newestOf(results, options);
  // Newest first.
  const runs = results
    .list({ subject: newest.subject, deviceKey: newest.deviceKey, limit: MOST_RUNS })
    .filter(({ id }) => id <= newest.id)
    .toReversed();
  const lines = newest.values.map(({ what: name }) => lineOf(name, runs, failIfWorse));
  const shown = what === undefined ? lines[0] : lines.find((line) => line.what === what);
  if (!shown) throw new GrimError('GRIM_CLI_NOT_FOUND', unknownValue(what ?? '', newest));
  const report = {
    schema: 'grim.results-history/1',
    model: newest.model,
    subject: newest.subject,
    device: newest.device,
    lines: lines.map((line) => ({
      ...line,
      points: line.points.map(({ run, value }) => ({
        id: run.id,
        at: run.at,
        commit: run.commit,
        grim: run.versions.grim,
        ...value,
      })),
    })),
  };
  if (target) await draw(shown, target, io);
  if (sendReport(report, options, [], io)) io.out(historyPage(lines, shown, io));
  const gated = what === undefined ? lines : [shown];
  return failIfWorse !== undefined && gated.some(({ verdict }) => verdict?.verdict === 'worse') ? EXIT.gate : EXIT.done;
}

function unknownValue(what: string, { id, values }: Run): string {
  const names = values.map((value) => value.what);
  const near = suggest(what, names);
  return `run ${id} has no ${what}${near === undefined ? '' : `. Did you mean ${near}`}? It has: ${names.join(', ')}.`;
}

/** The run itself, or the newest of a model: on this device, if there is one. */
function newestOf(results: Results, { of, kind }: HistoryOptions): Run {
  if (of === 'last' || /^[1-9]\d{0,14}$/.test(of)) return runOf(results, of === 'last' ? of : Number(of)).run;
  const [here] = results.list({ kind, model: of, deviceKey: fingerprint(thisMachine()), limit: 1 });
  const [any] = here ? [here] : results.list({ kind, model: of, limit: 1 });
  if (any) return any;
  throw new GrimError('GRIM_CLI_NOT_FOUND', `no run of a model whose path holds ${quote(of)}.`);
}

function lineOf(what: string, runs: readonly Run[], failIfWorse: number | undefined): Line {
  const points = runs.flatMap((run) => {
    const value = run.values.find((one) => one.what === what);
    return value ? [{ run, value }] : [];
  });
  const last = points.at(-1)?.value;
  const earlier = points.slice(0, -1).map(({ value }) => value);
  // The one in the middle, with its own interval.
  const before = earlier.toSorted((a, b) => a.value - b.value)[earlier.length >> 1];
  const tolerance = failIfWorse === undefined ? undefined : failIfWorse / 100;
  return { what, points, verdict: before && last ? { before, ...judge(before, last, tolerance) } : undefined };
}

async function draw({ what, points }: Line, target: { path: string; force: boolean; inputs: string[] }, io: Io) {
  const rows = points.map(({ run, value }, i) => {
    const { low = value.value, high = value.value } = value;
    return { run: i, label: String(run.id), value: value.value, low, high };
  });
  await writePlot(
    `${points.at(-1)?.run.model ?? ''}: ${what}`,
    target,
    (plot) => ({
      x: {
        label: 'run',
        ticks: rows.map(({ run }) => run).slice(-20),
        tickFormat: (i: number) => rows[i]?.label ?? '',
      },
      y: { label: what, grid: true, nice: true },
      marks: [
        plot.ruleX(rows, { x: 'run', y1: 'low', y2: 'high', stroke: '#888' }),
        plot.line(rows, { x: 'run', y: 'value', stroke: '#36c' }),
        plot.dot(rows, { x: 'run', y: 'value', fill: '#36c', r: 4 }),
      ],
    }),
    io,
  );
}

async function exportRuns(options: ExportOptions, io: Io): Promise<number> {
  const { output, format, kind, model, force } = options;
  const file =
    output === undefined
      ? undefined
      : ({ path: output, kind: format === 'json' ? 'report' : 'other', force, inputs: [] } as const);
  if (file) about(file.path, () => checkTarget(file.path, file));
  using results = await open(options.database, 'read');
  const runs = results.list({ kind, model, limit: MOST_RUNS });
  const content =
    format === 'csv'
      ? csvOf(runs)
      : format === 'md'
        ? markdownOf(runs)
        : jsonText({
            schema: 'grim.results/1',
            runs: runs.map((run) => ({ ...run, report: results.get(run.id)?.report ?? null })),
          });
  if (file) io.write({ ...file, content });
  else io.out(content);
  return EXIT.done;
}

async function remove(options: RemoveOptions, io: Io): Promise<number> {
  checkReport(options, []);
  using results = await open(options.database, 'write');
  const removed = results.remove(options.ids);
  if (sendReport({ schema: 'grim.results-remove/1', removed }, options, [], io))
    io.out(`${removed} of ${options.ids.length} removed.\n`);
  return EXIT.done;
}
