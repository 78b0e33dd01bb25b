/** Runs that `grim bench`, `tune`, `prune` and `train` recorded on this machine, and how their figures move. */
import type { PlotOptions } from '@observablehq/plot';
import type { VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { Figure, type Library, type Palette } from '../charts/figure.tsx';
import { type RecordedRun, runs } from '../runs.ts';
import { Scroll } from './scroll.tsx';

export function HistoryView(): VNode {
  const all = runs.value ?? [];
  const [filter, setFilter] = useState('');
  const shown = useMemo(() => all.filter(({ model }) => model.includes(filter)), [all, filter]);
  const [line, setLine] = useState<string | undefined>(undefined);
  const [what, setWhat] = useState<string | undefined>(undefined);
  const chosen = shown.find((run) => lineOf(run) === line) ?? shown[0];
  if (all.length === 0)
    return (
      <p class="card note">
        No runs are recorded yet: <code>grim bench</code>, <code>tune</code>, <code>prune</code> and <code>train</code>{' '}
        record theirs.
      </p>
    );
  const names = [...new Set(chosen?.values.map((value) => value.what))];
  const value = names.find((name) => name === what) ?? names[0];
  return (
    <div class="stack">
      {chosen && value !== undefined && (
        <Trend runs={shown.filter((run) => lineOf(run) === lineOf(chosen))} what={value}>
          {names.length > 1 && (
            <label class="field">
              <span>Figure</span>
              <select value={value} onChange={({ currentTarget }) => setWhat(currentTarget.value)}>
                {names.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
          )}
        </Trend>
      )}
      <section class="card" aria-labelledby="runs">
        <div class="head">
          <h2 id="runs">
            Recorded runs <span class="muted">{shown.length}</span>
          </h2>
          <input
            type="search"
            placeholder="Model"
            aria-label="Only models whose name holds"
            value={filter}
            onInput={({ currentTarget }) => setFilter(currentTarget.value)}
          />
        </div>
        <Scroll label="Recorded runs">
          <table data-testid="runs">
            <thead>
              <tr>
                <th scope="col">Model</th>
                <th scope="col">When</th>
                <th scope="col">Command</th>
                <th scope="col">Found</th>
                <th scope="col">Commit</th>
              </tr>
            </thead>
            <tbody>
              {shown.slice(0, 200).map((run) => (
                <tr key={run.id} class={chosen && lineOf(run) === lineOf(chosen) ? 'selected' : ''}>
                  <th scope="row">
                    <button type="button" class="link" title={run.command} onClick={() => setLine(lineOf(run))}>
                      {run.model.split('/').at(-1)}
                    </button>
                  </th>
                  <td>{run.at.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' })}</td>
                  <td>{run.kind}</td>
                  <td>
                    {run.values.slice(0, 3).map((one) => (
                      <div key={one.what}>
                        <span class="figure-text">{one.value.toPrecision(4)}</span>{' '}
                        <span class="muted">{one.what}</span>
                      </div>
                    ))}
                  </td>
                  <td>
                    <code>{run.commit.slice(0, 10)}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </section>
    </div>
  );
}

/** Runs that can be compared. */
function lineOf({ subject, deviceKey }: RecordedRun): string {
  return `${subject}/${deviceKey}`;
}

interface TrendProps {
  readonly runs: readonly RecordedRun[];
  readonly what: string;
  readonly children: VNode | false;
}

function Trend({ runs: line, what, children }: TrendProps): VNode {
  const rows = useMemo(
    () =>
      line
        .flatMap(({ at, commit, values }) =>
          values
            .filter((one) => one.what === what)
            .map(({ value, low, high, better }) => ({ at, value, low, high, better, commit })),
        )
        .sort((a, b) => a.at.getTime() - b.at.getTime()),
    [line, what],
  );
  const draw = useMemo(
    () =>
      (plot: Library, palette: Palette): PlotOptions => ({
        height: 260,
        marginLeft: 56,
        x: { type: 'time', label: null },
        y: { label: what, grid: true, zero: true },
        marks: [
          plot.ruleX(
            rows.filter(({ low }) => low !== undefined),
            { x: 'at', y1: 'low', y2: 'high', stroke: palette.muted, strokeWidth: 1.5 },
          ),
          plot.line(rows, { x: 'at', y: 'value', stroke: palette.pruned }),
          plot.dot(rows, {
            ...{ x: 'at', y: 'value', fill: palette.pruned, r: 4, tip: true },
            title: ({ at, value, commit }: (typeof rows)[number]) =>
              `${value.toPrecision(4)} ${what}\n${at.toISOString().slice(0, 16)}\n${commit.slice(0, 10)}`,
          }),
        ],
      }),
    [rows, what],
  );
  const [before, last] = rows.slice(-2);
  return (
    <Figure
      title="Over time"
      summary={`${line[0]?.model.split('/').at(-1) ?? ''}: ${rows.length} runs with the same settings on one device.${verdict(before, last)}`}
      rows={rows.map((row) => ({ ...row, at: row.at.toISOString() }))}
      draw={draw}
    >
      {children}
    </Figure>
  );
}

interface Point {
  readonly value: number;
  readonly low: number | undefined;
  readonly high: number | undefined;
  readonly better: 'less' | 'more';
}

/** Only where the intervals of both are apart. */
function verdict(before: Point | undefined, last: Point | undefined): string {
  if (!before || !last) return '';
  const [a, b] = [before, last].map(({ value, low = value, high = value }) => [low, high] as const) as [
    readonly [number, number],
    readonly [number, number],
  ];
  const apart = b[0] > a[1] || b[1] < a[0];
  if (!apart) return ' The last two do not differ clearly.';
  const better = last.value < before.value === (last.better === 'less');
  return ` The last one is ${better ? 'better' : 'worse'} than the one before by ${Math.abs(100 * (last.value / before.value - 1)).toFixed(1)} %.`;
}
