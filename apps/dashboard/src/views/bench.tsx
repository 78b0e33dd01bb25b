/** Rivals in turn, where the time goes, and how near that is to what this browser can do. */
import type { Comparison } from '@grim/measure';
import type { PlotOptions } from '@observablehq/plot';
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { measuredBefore } from '../bench-history.ts';
import { Figure, type Library, type Palette } from '../charts/figure.tsx';
import type { BenchAnswer, BenchRow, ContenderAsk } from '../engine/bench.ts';
import { set, settings } from '../settings.ts';
import { bench, benched, denseName, job, model, pruned } from '../store.ts';
import { bytes, milliseconds, times } from '../text.ts';
import { Legend } from './legend.tsx';
import { ticks } from './prune.tsx';
import { Roofline } from './roofline.tsx';
import { Scroll } from './scroll.tsx';
import { Soon } from './soon.tsx';

const CORES = Math.max(1, Math.min(16, navigator.hardwareConcurrency || 1));

export function BenchView(): VNode {
  const answer = benched.value;
  return (
    <div class="grid side">
      <Choices />
      {answer ? (
        <>
          <Times answer={answer} />
          <Soon>
            <div class="wide">
              <LayerBars answer={answer} />
            </div>
          </Soon>
          <Soon>
            <div class="wide">
              <Roofline answer={answer} />
            </div>
          </Soon>
          <Soon>
            <Before answer={answer} />
          </Soon>
        </>
      ) : (
        <p class="card note">
          Press <em>Measure</em>: all contenders run in turn, in one worker, after a warm-up. What cannot run here says
          why.
        </p>
      )}
    </div>
  );
}

/** Dense and pruned, on each device and number of threads that was asked for. The first is what others are compared with. */
function contenders(): readonly ContenderAsk[] {
  const { threads, gpu, ort } = settings.value;
  const most = threads === 0 ? Math.min(4, CORES) : threads;
  const counts = [...new Set([1, most])];
  const kinds = pruned.value ? (['dense', 'pruned'] as const) : (['dense'] as const);
  return [
    ...counts.flatMap((count) => kinds.map((which) => ({ which, device: 'wasm' as const, threads: count }))),
    ...(gpu ? kinds.map((which) => ({ which, device: 'webgpu' as const, threads: 1 })) : []),
    // Its number of threads is fixed when it is first used.
    ...(ort ? [{ which: 'dense' as const, device: 'ort' as const, threads: 1 }] : []),
  ];
}

function Choices(): VNode {
  const { rounds, threads, gpu, ort, ortUrl } = settings.value;
  return (
    <section class="card" aria-labelledby="contenders">
      <h2 id="contenders">Measure</h2>
      <div class="pair">
        <label class="field">
          <span>Threads</span>
          <select value={threads} onChange={({ currentTarget }) => set({ threads: Number(currentTarget.value) })}>
            <option value={0}>1 and {Math.min(4, CORES)}</option>
            {[1, 2, 4, 8, 16].map((count) => (
              <option key={count} value={count}>
                {count === 1 ? '1' : `1 and ${count}`}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>Rounds</span>
          <input
            type="number"
            min="5"
            max="200"
            value={rounds}
            onChange={({ currentTarget }) =>
              set({ rounds: Math.min(200, Math.max(5, Math.round(+currentTarget.value) || 20)) })
            }
          />
        </label>
      </div>
      <label class="check">
        <input type="checkbox" checked={gpu} onChange={({ currentTarget }) => set({ gpu: currentTarget.checked })} />
        WebGPU too
      </label>
      <label class="check">
        <input type="checkbox" checked={ort} onChange={({ currentTarget }) => set({ ort: currentTarget.checked })} />
        onnxruntime-web beside it
      </label>
      {ort && (
        <label class="field">
          <span>Where its bundle lies, on this server: grim dashboard serves it where it is installed</span>
          <input
            type="text"
            value={ortUrl}
            maxLength={300}
            onChange={({ currentTarget }) => set({ ortUrl: currentTarget.value })}
          />
        </label>
      )}
      {!pruned.value && (
        <p class="muted">Nothing is pruned here yet, so the network as it was opened is measured alone.</p>
      )}
      <p class="actions">
        <button type="button" class="main" disabled={job.value !== undefined} onClick={() => void bench(contenders())}>
          Measure
        </button>
        {!globalThis.crossOriginIsolated && (
          <span class="muted">This page is not isolated: one thread, and a coarse clock.</span>
        )}
      </p>
    </section>
  );
}

function colourOf({ device, which }: Pick<BenchRow, 'device' | 'which'>, palette: Palette): string {
  if (device === 'ort') return palette.fourth;
  if (device === 'webgpu') return palette.third;
  return which === 'dense' ? palette.dense : palette.pruned;
}

/** Milliseconds that the axis shows: all medians and nine rounds of ten, so that one round that was held up does not flatten the rest. */
function reach(ran: readonly BenchRow[]): number {
  const most = ran.map(({ medianMs, samples }) => {
    const sorted = samples.toSorted((a, b) => a - b);
    return Math.max(1.15 * medianMs, sorted[Math.floor(0.9 * (sorted.length - 1))] ?? 0);
  });
  return 1.02 * Math.max(0, ...most) || 1;
}

function Times({ answer }: { readonly answer: BenchAnswer }): VNode {
  const ran = useMemo(() => answer.rows.filter(({ refused }) => refused === undefined), [answer]);
  const rows = useMemo(
    () => ran.flatMap(({ name, samples }) => samples.map((ms, round) => ({ contender: name, round: round + 1, ms }))),
    [ran],
  );
  const most = useMemo(() => reach(ran), [ran]);
  const beyond = rows.filter(({ ms }) => ms > most).length;
  const draw = useMemo(
    () =>
      (plot: Library, palette: Palette, width: number): PlotOptions => {
        const narrow = width < 480;
        return {
          height: 56 + (narrow ? 52 : 40) * ran.length,
          marginLeft: narrow ? 8 : 190,
          marginTop: narrow ? 4 : 8,
          x: { label: 'milliseconds for one run', grid: true, domain: [0, most] },
          y: { label: null, domain: ran.map(({ name }) => name), axis: narrow ? null : 'left', tickSize: 0 },
          marks: [
            plot.barX(ran, {
              ...{
                x: 'medianMs',
                y: 'name',
                fill: (row: BenchRow) => colourOf(row, palette),
                insetTop: narrow ? 20 : 8,
                insetBottom: narrow ? 4 : 8,
              },
              rx: 3,
            }),
            plot.tickX(rows, {
              filter: ({ ms }: (typeof rows)[number]) => ms <= most,
              x: 'ms',
              y: 'contender',
              stroke: palette.text,
              strokeOpacity: 0.25,
              insetTop: narrow ? 20 : 8,
              insetBottom: narrow ? 4 : 8,
            }),
            ...(narrow
              ? [
                  plot.text(ran, {
                    y: 'name',
                    x: 0,
                    text: 'name',
                    textAnchor: 'start',
                    dx: 2,
                    dy: -14,
                    fill: palette.muted,
                  }),
                ]
              : []),
            plot.ruleX([0], { stroke: palette.line }),
          ],
        };
      },
    [ran, rows, most],
  );
  const [first] = ran;
  const fastest = ran.toSorted((a, b) => a.medianMs - b.medianMs)[0];
  return (
    <div class="stack">
      <Figure
        title="Time of one run"
        summary={
          fastest && first
            ? `Lowest median: ${fastest.name}, ${milliseconds(fastest.medianMs)}${fastest.speed ? `, ${comparedWith(fastest.speed, first.name)}` : ''}. Bars are medians, ticks single rounds${beyond ? `; ${beyond} slower ${beyond === 1 ? 'one is' : 'ones are'} outside` : ''}.`
            : 'Nothing ran.'
        }
        rows={rows}
        draw={draw}
      >
        <Scroll label="Table of contenders">
          <table data-testid="contenders">
            <thead>
              <tr>
                <th scope="col">Contender</th>
                <th scope="col" class="n">
                  Median
                </th>
                <th scope="col" class="n">
                  Speed
                </th>
                <th scope="col">99 % between</th>
                <th scope="col" class="n">
                  File
                </th>
                <th scope="col" class="n">
                  Opens in
                </th>
              </tr>
            </thead>
            <tbody>
              {answer.rows.map((row) => (
                <tr key={row.name}>
                  <th scope="row">
                    {row.name}
                    <small class="muted">{row.refused ?? row.notes.join('; ')}</small>
                  </th>
                  <td class="n">{row.refused === undefined ? milliseconds(row.medianMs) : 'did not run'}</td>
                  <td class="n">{row.speed ? times(row.speed.ratio) : row.refused === undefined ? '1' : ''}</td>
                  <td>{row.speed && `${times(row.speed.low)} – ${times(row.speed.high)} ${row.speed.verdict}`}</td>
                  <td class="n">{row.refused === undefined && bytes(row.bytes)}</td>
                  <td class="n">{row.refused === undefined && milliseconds(row.openMs)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </Figure>
    </div>
  );
}

/** A ratio is said where the rounds bear it out, and what they do not say where not. */
function comparedWith({ ratio, verdict }: Comparison, first: string): string {
  if (verdict === 'faster') return `${times(ratio)} as fast as ${first}`;
  return verdict === 'same' ? `as fast as ${first}` : `which more rounds must tell from ${first}`;
}

function LayerBars({ answer }: { readonly answer: BenchAnswer }): VNode {
  const { layers } = answer.profile;
  const rows = useMemo(() => {
    const names = [...new Set(layers.map(({ name }) => name))];
    return layers.map(({ name, op, which, us, kernel }) => ({
      ...{ layer: names.indexOf(name) + 1, name, op, which, us, kernel },
    }));
  }, [layers]);
  const draw = useMemo(
    () =>
      (plot: Library, palette: Palette, width: number): PlotOptions => {
        const count = Math.max(0, ...rows.map(({ layer }) => layer));
        return {
          height: 280,
          marginLeft: 52,
          x: { axis: null, padding: 0.1 },
          fx: { label: 'layer (the last: all the rest)', ticks: ticks(count, width), tickFormat: 'd', padding: 0.15 },
          y: { label: 'microseconds', grid: true },
          marks: [
            plot.barY(rows, {
              ...{ fx: 'layer', x: 'which', y: 'us', tip: true },
              fill: (row: (typeof rows)[number]) => (row.which === 'dense' ? palette.dense : palette.pruned),
              title: (row: (typeof rows)[number]) =>
                `${row.name}, ${row.which}\n${row.us.toPrecision(3)} µs\n${row.kernel}`,
            }),
            plot.ruleY([0], { stroke: palette.line }),
          ],
        };
      },
    [rows],
  );
  const sum = (which: string) =>
    rows.filter((row) => row.which === which).reduce((total, { us }) => total + us, 0) / 1000;
  return (
    <Figure
      title="Where the time goes"
      summary={`Sum of all calls: ${denseName()} ${milliseconds(sum('dense'))}${rows.some(({ which }) => which === 'pruned') ? `, pruned ${milliseconds(sum('pruned'))}` : ''}. One thread, ${answer.profile.simd} SIMD.`}
      rows={rows}
      draw={draw}
    >
      <Legend />
    </Figure>
  );
}

/** Medians of earlier measurements of networks with this name, in this browser. */
function Before({ answer }: { readonly answer: BenchAnswer }): VNode | null {
  const name = model.value?.name;
  // Read anew after each measurement, which adds to them.
  const rows = useMemo(
    () =>
      measuredBefore()
        .filter((one) => one.model === name)
        .map(({ at, contender, ms }) => ({ at: new Date(at), contender, ms })),
    [name, answer],
  );
  const draw = useMemo(
    () =>
      (plot: Library, palette: Palette, width: number): PlotOptions => ({
        height: 260,
        marginLeft: 52,
        x: { type: 'time', label: null, ticks: width < 480 ? 4 : 8 },
        y: { label: 'milliseconds, median', grid: true, zero: true },
        color: {
          legend: true,
          range: [palette.dense, palette.pruned, palette.third, palette.fourth, palette.muted, palette.text],
        },
        marks: [
          plot.line(rows, { x: 'at', y: 'ms', stroke: 'contender', strokeWidth: 1.5 }),
          plot.dot(rows, { x: 'at', y: 'ms', fill: 'contender', r: 3.5, tip: true }),
          plot.ruleY([0], { stroke: palette.line }),
        ],
      }),
    [rows],
  );
  const times = new Set(rows.map(({ at }) => at.getTime()));
  if (times.size < 2) return null;
  return (
    <div class="wide">
      <Figure
        title="Measured here before"
        summary={`${times.size} measurements of ${name ?? ''} in this browser; they are kept in it, and nowhere else.`}
        rows={rows.map((row) => ({ ...row, at: row.at.toISOString() }))}
        draw={draw}
      />
    </div>
  );
}
