/** The network on ReRAM crossbars: how sparse columns are, the converters they need, and what that is worth. */
import type { PlotOptions } from '@observablehq/plot';
import type { VNode } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { csvOf } from '../charts/csv.ts';
import { download } from '../charts/download.ts';
import { Figure, type Library, type Palette } from '../charts/figure.tsx';
import type { ArrayAnswer, CrossbarAnswer, CrossbarAsk, ExploreAnswer } from '../engine/crossbar.ts';
import { ask } from '../engine-client.ts';
import { type Settings, set, settings } from '../settings.ts';
import { job, model, which, work } from '../store.ts';
import { percent, short, times } from '../text.ts';
import { useWidth } from '../use-width.ts';
import { paintLoss } from './paint.ts';
import { Scroll } from './scroll.tsx';
import { Soon } from './soon.tsx';

export function CrossbarView(): VNode | null {
  const info = model.value;
  const [answer, setAnswer] = useState<CrossbarAnswer | undefined>(undefined);
  const [front, setFront] = useState<ExploreAnswer | undefined>(undefined);
  const [array, setArray] = useState<ArrayAnswer | undefined>(undefined);
  const { cp, arrayRows, cellBits, storage, adcBits, part, wireOhm, cellOhm } = settings.value;
  const of = which.value;
  const point = { which: of, nonZeros: cp, rows: arrayRows, cellBits, storage, adcBits };
  const usable = info?.format === 'onnx';
  const wanted = useRef<CrossbarAsk | undefined>(undefined);
  const running = useRef(false);
  // Live: a little after the last change of a slider, and after what was being computed for the change before.
  useEffect(() => {
    if (!usable) return undefined;
    wanted.current = point;
    const timer = setTimeout(async () => {
      // One that is under way is waited for: a large network takes seconds, and would be begun again and again.
      if (running.current) return;
      running.current = true;
      try {
        for (let next = wanted.current; next; ) {
          // What somebody else asked for is not cut short by a slider.
          while (job.peek()) await new Promise((resolve) => setTimeout(resolve, LIVE_MS));
          const now = wanted.current ?? next;
          const found = await work('On crossbars', (options) => ask('crossbar', now, options));
          if (found) setAnswer(found);
          next = found && wanted.current !== now ? wanted.current : undefined;
        }
      } finally {
        running.current = false;
      }
    }, LIVE_MS);
    return () => clearTimeout(timer);
  }, [info, of, cp, arrayRows, cellBits, storage, adcBits]);
  if (!info) return null;
  if (!usable)
    return <p class="card note">This file is compiled: open the ONNX file it was made from to put it on crossbars.</p>;
  const findFront = async () => {
    const found = await work('Designs', (options) => ask('explore', { which: of, rows: arrayRows }, options));
    if (found) setFront(found);
  };
  const solve = async () => {
    const found = await work('One array', (options) => ask('array', { ...point, part, wireOhm, cellOhm }, options));
    if (found) setArray(found);
  };
  return (
    <div class="grid side">
      <Choices />
      <div class="stack">
        {answer ? (
          <Worth answer={answer} />
        ) : (
          <p class="card note">Integers, arrays and prices are being worked out.</p>
        )}
        {answer && (
          <Soon>
            <Parts answer={answer} />
          </Soon>
        )}
      </div>
      {answer && (
        <Soon>
          <div class="wide">
            <LayerBits answer={answer} />
          </div>
        </Soon>
      )}
      <section class="card wide" aria-labelledby="front">
        <div class="head">
          <h2 id="front">Designs that no other beats</h2>
          <button type="button" disabled={job.value !== undefined} onClick={findFront}>
            Find them
          </button>
        </div>
        <p class="muted">
          Columns, cells, converters and storage in every combination, each with integers fitted so that its converters
          lose nothing; nothing is trained.
        </p>
        {front && <Front answer={front} />}
      </section>
      <OneArray array={array} onSolve={solve} />
    </div>
  );
}

const LIVE_MS = 250;

function Choices(): VNode {
  const { cp, arrayRows, cellBits, storage, adcBits } = settings.value;
  return (
    <section class="card" aria-labelledby="arrays">
      <h2 id="arrays">Arrays</h2>
      <label class="field">
        <span>
          Non-zeros in a column <strong class="value">{cp === 0 ? 'all' : `${cp} of ${arrayRows}`}</strong>
        </span>
        <input
          type="range"
          min="0"
          max="7"
          step="1"
          value={cp === 0 ? 7 : Math.round(Math.log2(cp))}
          aria-valuetext={cp === 0 ? 'all' : `${cp} of ${arrayRows}`}
          onInput={({ currentTarget }) => {
            const at = Number(currentTarget.value);
            set({ cp: at === 7 ? 0 : 2 ** at });
          }}
        />
      </label>
      <label class="field">
        <span>
          Bits of the converters <strong class="value">{adcBits === 0 ? 'as needed' : adcBits}</strong>
        </span>
        <input
          type="range"
          min="2"
          max="10"
          step="1"
          value={adcBits === 0 ? 10 : adcBits}
          aria-valuetext={adcBits === 0 ? 'as many as needed' : String(adcBits)}
          onInput={({ currentTarget }) => {
            const bits = Number(currentTarget.value);
            set({ adcBits: bits === 10 ? 0 : bits });
          }}
        />
      </label>
      <label class="field">
        <span>Word lines of an array</span>
        <select value={arrayRows} onChange={({ currentTarget }) => set({ arrayRows: Number(currentTarget.value) })}>
          {[32, 64, 128, 256].map((rows) => (
            <option key={rows} value={rows}>
              {rows}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>Bits of a cell</span>
        <select value={cellBits} onChange={({ currentTarget }) => set({ cellBits: Number(currentTarget.value) })}>
          {[1, 2, 4].map((bits) => (
            <option key={bits} value={bits}>
              {bits}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>How signs are stored</span>
        <select
          value={storage}
          onChange={({ currentTarget }) => set({ storage: currentTarget.value as Settings['storage'] })}
        >
          <option value="differential">two columns, digital difference</option>
          <option value="analog">two columns, analog difference</option>
          <option value="offset">one column, biased (ISAAC)</option>
        </select>
      </label>
      <p class="muted">
        8-bit weights and inputs. The largest weights of each column stay; nothing is trained. Modelled, not measured:
        prices are those of ISAAC's tile, with converters by their bits.
      </p>
    </section>
  );
}

function Worth({ answer }: { readonly answer: CrossbarAnswer }): VNode {
  const { totals, gain } = answer;
  return (
    <section class="card" aria-labelledby="worth" data-testid="crossbar">
      <h2 id="worth">
        Converters of {answer.adcBits} bits{' '}
        <span class="muted">
          {answer.lossless ? 'exact for every input' : `clip: ${answer.exactBits} would be exact`}
        </span>
      </h2>
      <dl class="figures">
        <Total name="Energy of a run" value={`${totals.energyUj.toPrecision(3)} µJ`} gain={gain.energy} />
        <Total name="Area" value={`${totals.areaMm2.toPrecision(3)} mm²`} gain={gain.area} />
        <Total name="Throughput per watt" value={`${short(totals.gopsPerW)} GOPS`} gain={gain.gopsPerW} />
        <Total name="Throughput per mm²" value={`${short(totals.gopsPerMm2)} GOPS`} gain={gain.gopsPerMm2} />
        <div>
          <dt>Same answer as floats</dt>
          <dd>
            {answer.agreement === undefined ? '–' : percent(answer.agreement)}
            <small>
              {answer.agreement !== undefined
                ? `of ${answer.examples} inputs`
                : answer.lossless
                  ? 'too large to run here'
                  : 'not run where converters clip'}
            </small>
          </dd>
        </div>
      </dl>
      <p class="muted">
        {short(totals.inferencesPerS)} runs a second at {totals.powerMw.toPrecision(3)} mW, {short(totals.arrays)}{' '}
        arrays, {short(totals.adcs)} converters, which take {percent(totals.adcEnergyShare)} of the energy and{' '}
        {percent(totals.adcAreaShare)} of the area. × is against dense 8-bit arrays of ISAAC.
        {answer.digital.length > 0 && ` ${answer.digital.length} layers stay digital.`}
      </p>
    </section>
  );
}

function Total({ name, value, gain }: { readonly name: string; readonly value: string; readonly gain: number }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
      <dd class={`verdict ${gain > 1.02 ? 'faster' : gain < 0.98 ? 'slower' : ''}`}>
        {gain >= 1 ? `${times(gain)} better` : `${times(1 / gain)} worse`}
      </dd>
    </div>
  );
}

function Parts({ answer }: { readonly answer: CrossbarAnswer }): VNode {
  const rows = useMemo(() => answer.parts.filter(({ energyUj }) => energyUj > 0), [answer]);
  const draw = useMemo(
    () =>
      (plot: Library, palette: Palette): PlotOptions => ({
        height: 56 + 24 * rows.length,
        marginTop: 4,
        marginLeft: 150,
        x: { label: 'µJ of a run', grid: true },
        y: { label: null, tickSize: 0 },
        marks: [
          plot.barX(rows, {
            ...{ x: 'energyUj', y: 'name', rx: 3, insetTop: 3, insetBottom: 3, sort: { y: '-x' } },
            fill: ({ name }: { name: string }) => (name.includes('ADC') ? palette.pruned : palette.dense),
          }),
          plot.ruleX([0], { stroke: palette.line }),
        ],
      }),
    [rows],
  );
  const top = rows.toSorted((a, b) => b.energyUj - a.energyUj)[0];
  return (
    <Figure title="What takes the energy" summary={top ? `Most goes to: ${top.name}.` : ''} rows={rows} draw={draw} />
  );
}

function LayerBits({ answer }: { readonly answer: CrossbarAnswer }): VNode {
  const rows = useMemo(() => answer.layers.map((row, i) => ({ layer: i + 1, ...row })), [answer]);
  const draw = useMemo(
    () =>
      (plot: Library, palette: Palette, width: number): PlotOptions => {
        const step = Math.max(1, Math.ceil(rows.length / (width / 36)));
        return {
          height: 220,
          marginLeft: 48,
          x: {
            label: 'layer',
            type: 'band',
            ticks: rows.map(({ layer }) => layer).filter((layer) => layer % step === 0),
          },
          y: { label: 'bits that are exact', grid: true, ticks: 5, tickFormat: 'd' },
          marks: [
            plot.barY(rows, {
              ...{ x: 'layer', y: 'bits', fill: palette.pruned, tip: true },
              title: ({ name, bits, arrays }: (typeof rows)[number]) => `${name}\n${bits} bits, ${arrays} arrays`,
            }),
            plot.ruleY([answer.adcBits], { stroke: palette.fourth, strokeDasharray: '4,3' }),
            plot.ruleY([0], { stroke: palette.line }),
          ],
        };
      },
    [rows, answer],
  );
  return (
    <Figure
      title="Bits that each layer needs"
      summary={`Proved from the worst column of each array; the dashed line is the ${answer.adcBits} bits that are there.`}
      rows={rows}
      draw={draw}
    />
  );
}

function Front({ answer }: { readonly answer: ExploreAnswer }): VNode {
  const { rows } = answer;
  const draw = useMemo(
    () =>
      (plot: Library, palette: Palette): PlotOptions => {
        const best = rows.filter(({ onFront }) => onFront);
        const colour = ({ storage }: (typeof rows)[number]) => (storage === 'analog' ? palette.third : palette.pruned);
        const title = (row: (typeof rows)[number]) =>
          `${row.nonZeros || 'all'} non-zeros, ${row.cellBits}-bit cells, ${row.adcBits}-bit ADC, ${row.storage}\n${percent(row.agreement)} at ${row.energyUj.toPrecision(3)} µJ`;
        return {
          height: 330,
          marginLeft: 50,
          x: { type: 'log', label: 'energy of a run (µJ)', grid: true, tickFormat: '~g', inset: 14 },
          y: { label: 'same answer as floats (%)', grid: true, domain: [0, 100], inset: 8 },
          marks: [
            plot.dot(rows, {
              x: 'energyUj',
              y: (row) => 100 * row.agreement,
              r: 4,
              stroke: colour,
              strokeOpacity: 0.5,
            }),
            plot.dot(best, { x: 'energyUj', y: (row) => 100 * row.agreement, r: 5.5, fill: colour, tip: true, title }),
          ],
        };
      },
    [rows],
  );
  const best = rows.filter(({ onFront }) => onFront);
  return (
    <Figure
      title="Energy and agreement"
      summary={`${rows.length} designs, ${best.length} of them beaten by no other in energy, area and agreement (filled); ${answer.examples} ${answer.examples === 1 ? 'input' : 'inputs'}.`}
      rows={rows.map((row) => ({ ...row }))}
      draw={draw}
    >
      <p class="legend">
        <span class="key pruned">digital difference</span>
        <span class="key third">analog difference</span>
      </p>
    </Figure>
  );
}

interface OneArrayProps {
  readonly array: ArrayAnswer | undefined;
  readonly onSolve: () => void;
}

function OneArray({ array, onSolve }: OneArrayProps): VNode {
  const { part, wireOhm, cellOhm } = settings.value;
  const canvas = useRef<HTMLCanvasElement>(null);
  const place = useRef<HTMLElement>(null);
  const width = useWidth(place);
  useEffect(() => {
    // Two columns, or one on a phone.
    if (canvas.current && array && width > 0) paintLoss(canvas.current, array, width > 800 ? (width - 60) / 2 : width);
  }, [array, width]);
  const positive = (text: string, fallback: number, most: number) => {
    const value = Number(text);
    return Number.isFinite(value) && value >= 0 && value <= most ? value : fallback;
  };
  return (
    <section class="card wide" aria-labelledby="one-array" ref={place}>
      <h2 id="one-array">One array: its proof and its wires</h2>
      <div class="trio">
        <label class="field">
          <span>Matrix</span>
          <select value={part} onChange={({ currentTarget }) => set({ part: Number(currentTarget.value) })}>
            {(array?.names ?? [`matrix ${part + 1}`]).map((name, i) => (
              <option key={name} value={array ? i : part}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>Wire from cell to cell (Ω)</span>
          <input
            type="number"
            min="0"
            max="1000"
            step="any"
            value={wireOhm}
            onChange={({ currentTarget }) => set({ wireOhm: positive(currentTarget.value, wireOhm, 1000) })}
          />
        </label>
        <label class="field">
          <span>Cell at its lowest resistance (Ω)</span>
          <input
            type="number"
            min="100"
            max="10000000"
            step="any"
            value={cellOhm}
            onChange={({ currentTarget }) =>
              set({ cellOhm: Math.max(100, positive(currentTarget.value, cellOhm, 1e7)) })
            }
          />
        </label>
      </div>
      <p class="actions">
        <button type="button" disabled={job.value !== undefined} onClick={onSolve}>
          Prove and solve
        </button>
      </p>
      {array && (
        <div class="grid two">
          <div class="stack">
            <h3>Voltage lost on the way to each cell</h3>
            <div
              class="map"
              role="img"
              aria-label={`Map of ${array.columns} bit lines and ${array.wordLines} word lines; currents lose ${percent(array.meanLoss, 2)} in the mean, ${percent(array.largestLoss, 2)} at most`}
            >
              <canvas ref={canvas} width={10} height={10} />
            </div>
            <p class="summary">
              {array.wordLines} word lines driven from the left, {array.columns} bit lines; currents lose{' '}
              {percent(array.meanLoss, 2)} in the mean, {percent(array.largestLoss, 2)} at most.
            </p>
            <p class="actions">
              <button type="button" class="quiet" onClick={() => saveLoss(array)}>
                CSV
              </button>
              <button type="button" class="quiet" onClick={() => canvas.current && saveMap(canvas.current, array.name)}>
                SVG
              </button>
            </p>
          </div>
          <Proof array={array} />
        </div>
      )}
    </section>
  );
}

function Proof({ array }: { readonly array: ArrayAnswer }): VNode {
  const { certificate } = array;
  return (
    <div class="stack">
      <h3>Certificate</h3>
      <p data-testid="certificate">
        {certificate.columns} columns, {certificate.adcBits} bits:{' '}
        <strong>{certificate.lossless ? 'exact for every input' : 'some columns clip'}</strong>;{' '}
        {certificate.problems === 0
          ? 'a second checker, which shares no code with the first, agrees.'
          : `a second checker found ${certificate.problems} problems.`}
      </p>
      <p class="summary">
        Columns by bits: {certificate.byBits.map(({ bits, columns }) => `${bits} bits: ${columns}`).join(', ')}
      </p>
      <Scroll label="Columns with the largest sums">
        <table>
          <thead>
            <tr>
              <th scope="col">Output</th>
              <th scope="col">Block, slice, sign</th>
              <th scope="col" class="n">
                Largest sum
              </th>
              <th scope="col" class="n">
                Bits
              </th>
              <th scope="col" class="n">
                One bit less clips
              </th>
            </tr>
          </thead>
          <tbody>
            {certificate.worst.map((row) => (
              <tr key={`${row.output}/${row.block}/${row.slice}/${row.sign}`}>
                <th scope="row">{row.output}</th>
                <td>
                  {row.block}, {row.slice}, {row.sign}
                </td>
                <td class="n">{Math.max(row.high, -row.low)}</td>
                <td class="n">{row.bits}</td>
                <td class="n">{row.clipped}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </div>
  );
}

function saveLoss({ loss, wordLines, name }: ArrayAnswer): void {
  const rows = Array.from(loss, (share, cell) => ({
    ...{ 'bit line': Math.floor(cell / wordLines), 'word line': cell % wordLines, 'share lost': share },
  }));
  download(`wires ${name}`, 'csv', new Blob([csvOf(rows)], { type: 'text/csv' }));
}

function saveMap(canvas: HTMLCanvasElement, name: string): void {
  const { width, height } = canvas;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"><image width="${width}" height="${height}" href="${canvas.toDataURL('image/png')}"/></svg>\n`;
  download(`wires ${name}`, 'svg', new Blob([svg], { type: 'image/svg+xml' }));
}
