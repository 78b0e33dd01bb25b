/**
 * Plots of `grim reram` as SVG or PNG: the front of a design space, what columns hold, the voltage that reaches each cell.
 * Drawn by Observable Plot on a small DOM, loaded when a plot is asked for.
 */
import type { Markish, PlotOptions } from '@observablehq/plot';
import { about, UsageError } from '../errors.ts';
import { checkTarget } from '../files.ts';
import type { Io } from '../output.ts';

export interface PlotTarget {
  readonly path: string;
  readonly force: boolean;
  /** Files that were read. */
  readonly inputs: readonly string[];
}

/** @throws {UsageError} for a name that is neither .svg nor .png; before the work that leads to the plot */
export function checkPlot(target: PlotTarget | undefined): void {
  if (!target) return;
  if (!/\.(svg|png)$/.test(target.path))
    throw new UsageError(`--plot ${target.path}: a name in .svg or .png is needed.`);
  about(target.path, () => checkTarget(target.path, { kind: 'other', force: target.force, inputs: target.inputs }));
}

type Library = typeof import('@observablehq/plot');
export type Draw = (plot: Library) => PlotOptions & {
  readonly marks: readonly Markish[];
  /** Of an upright axis, under the title: the library would put it above. */
  readonly upLabel?: string;
};

const FONT = 'DejaVu Sans, Helvetica, Arial, sans-serif';

/** Draws and hands the file on to be written. */
export async function writePlot(title: string, target: PlotTarget, draw: Draw, io: Io): Promise<void> {
  const text = await svgOf(title, draw);
  const { path, force, inputs } = target;
  const content = path.endsWith('.svg') ? `${text}\n` : await rasterised(text);
  io.write({ path, content, kind: 'other', force, inputs });
}

/** The drawing, as text that stands alone. */
export async function svgOf(title: string, draw: Draw): Promise<string> {
  const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')]);
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const { marks, upLabel, ...options } = draw(plot);
  const { marginTop = 72 } = options;
  const drawn = plot.plot({
    ...{ width: 760, height: 460, marginLeft: 64, marginBottom: 48, marginRight: 32, ...options, marginTop },
    style: { fontFamily: FONT, fontSize: '12px', background: 'white' },
    marks: [
      ...marks,
      ...(upLabel === undefined
        ? []
        : [plot.text([`↑ ${upLabel}`], { frameAnchor: 'top-left', dx: -48, dy: -24, textAnchor: 'start' })]),
      plot.text([title], { frameAnchor: 'top-left', dy: 22 - marginTop, fontSize: 14, fontWeight: 'bold' }),
    ],
    document: document as never,
  });
  const svg = /^svg$/i.test(drawn.tagName) ? drawn : drawn.querySelector('svg');
  svg?.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  svg?.setAttribute('role', 'img');
  svg?.setAttribute('aria-label', title);
  // Rasterisers know no :where() and no system-ui, browsers no `height: intrinsic`.
  return String((svg as { outerHTML?: string } | null)?.outerHTML ?? '')
    .replace(/:where\(([^()]*)\)/g, '$1')
    .replace('  height: intrinsic;\n', '')
    .replace(/font-family="system-ui[^"]*"/, `font-family="${FONT}"`);
}

async function rasterised(svg: string): Promise<Uint8Array> {
  const { Resvg } = await import('@resvg/resvg-js');
  const image = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: 2 },
    background: 'white',
    font: { loadSystemFonts: true, defaultFontFamily: 'DejaVu Sans' },
  });
  return image.render().asPng();
}

export interface FrontPoint {
  readonly label: string;
  readonly storage: string;
  readonly energyUj: number;
  readonly accuracy: number;
  readonly onFront: boolean;
}

/** Energy against accuracy; points that no other beats are filled, those best in these two alone are joined and named. */
export function frontPlot(points: readonly FrontPoint[], quantity: string): Draw {
  return (plot) => {
    const percent = points.map((point) => ({ ...point, accuracy: 100 * point.accuracy }));
    const front = percent.filter(({ onFront }) => onFront);
    const [least, most] = [Math.min, Math.max].map((of) => of(...percent.map(({ accuracy }) => accuracy)));
    const floor = (least ?? 0) + 0.1 * ((most ?? 0) - (least ?? 0));
    let best = -1;
    const outline = [...percent]
      .sort((a, b) => a.energyUj - b.energyUj || b.accuracy - a.accuracy)
      .filter(({ accuracy }) => {
        const better = accuracy > best;
        best = Math.max(best, accuracy);
        return better;
      });
    return {
      ...{ marginRight: 110, upLabel: `${quantity} (%)` },
      x: { label: 'energy of an inference (uJ)', type: 'log', grid: true, tickFormat: '~g', inset: 20 },
      y: { label: null, grid: true, nice: true },
      color: { legend: false, scheme: 'observable10' },
      symbol: { legend: false },
      marks: [
        plot.line(outline, { x: 'energyUj', y: 'accuracy', stroke: '#bbb', curve: 'step-after' }),
        plot.dot(percent, { x: 'energyUj', y: 'accuracy', stroke: 'storage', symbol: 'storage', r: 5 }),
        plot.dot(front, { x: 'energyUj', y: 'accuracy', stroke: 'storage', fill: 'storage', symbol: 'storage', r: 5 }),
        // Names stand under their points, those of the lowest above, where the axis is not.
        ...[true, false].map((low) =>
          plot.text(
            outline.filter(({ accuracy }) => accuracy < floor === low),
            {
              ...{ x: 'energyUj', y: 'accuracy', text: 'label', dx: 9, dy: low ? -10 : 10, fontSize: 9 },
              ...{ textAnchor: 'start', stroke: 'white', fill: 'black' },
            },
          ),
        ),
        ...keyMarks(plot, [...new Set(points.map(({ storage }) => storage))]),
      ],
    };
  };
}

/** What the colours mean, inside the frame: a legend of its own would be HTML. */
function keyMarks(plot: Library, names: readonly string[]): readonly Markish[] {
  return names.flatMap((name, i) => [
    plot.dot([name], { frameAnchor: 'bottom-right', dx: 16, dy: -16 * i - 14, stroke: [name], symbol: [name], r: 5 }),
    plot.text([name], { frameAnchor: 'bottom-right', dx: 28, dy: -16 * i - 14, textAnchor: 'start' }),
  ]);
}

interface ColumnSum {
  /** Largest sum that the column can have. */
  readonly sum: number;
}

/** How many columns can reach which sum, and where converters end. */
export function sumsPlot(columns: readonly ColumnSum[], adcBits: number): Draw {
  return (plot) => {
    const most = columns.reduce((largest, { sum }) => Math.max(largest, sum), 2 ** adcBits - 1);
    const width = Math.ceil((most + 1) / 64);
    const counts = new Array<number>(Math.ceil((most + 1) / width)).fill(0);
    for (const { sum } of columns) counts[Math.floor(sum / width)] = (counts[Math.floor(sum / width)] ?? 0) + 1;
    const bars = counts.map((count, i) => ({ from: i * width - 0.5, to: (i + 1) * width - 0.5, count }));
    const ends = Array.from({ length: 16 }, (_, i) => i + 1).filter((b) => 2 ** b - 1 <= most && 2 ** b * 8 > most);
    return {
      x: { label: 'largest sum of a column (cell levels)' },
      upLabel: 'columns',
      y: { label: null, grid: true },
      marks: [
        plot.rectY(bars, { x1: 'from', x2: 'to', y: 'count', fill: '#4269d0', inset: 0.5 }),
        plot.ruleX(ends, { x: (b: number) => 2 ** b - 0.5, stroke: '#999', strokeDasharray: '3,3' }),
        plot.ruleX([2 ** adcBits - 0.5], { stroke: '#ff725c', strokeWidth: 2 }),
        plot.text(ends, {
          ...{ x: (b: number) => 2 ** b - 0.5, frameAnchor: 'top', dy: -8, fontSize: 10 },
          text: (b: number) => (b === 1 ? '1 bit' : `${b} bits`),
        }),
        plot.ruleY([0]),
      ],
    };
  };
}

/** Share of the driver's voltage that each cell loses in the wires; [outputs, inputs]. */
export function dropPlot(loss: ArrayLike<number>, inputs: number): Draw {
  return (plot) => {
    const cells = Array.from(loss, (value, at) => ({
      input: at % inputs,
      output: Math.floor(at / inputs),
      loss: 100 * value,
    }));
    const top = cells.reduce((most, cell) => Math.max(most, cell.loss), 0);
    const outputs = cells.length / inputs;
    const step = Math.max(1, Math.floor(inputs / 8));
    const across = Math.max(1, Math.floor(outputs / 8));
    // A scale drawn of cells, below the map.
    const key = Array.from({ length: 100 }, (_, i) => (i * top) / 99);
    return {
      ...{ width: 640, height: 660, marginBottom: 110, marginLeft: 72 },
      x: {
        label: 'word line (driven at the top)',
        labelOffset: 42,
        ticks: range(inputs, step),
        type: 'band',
        padding: 0,
      },
      y: { label: 'bit line (sensed at the right)', ticks: range(outputs, across), type: 'band', padding: 0 },
      color: { scheme: 'inferno', domain: [0, top] },
      marks: [
        plot.cell(cells, { x: 'input', y: 'output', fill: 'loss', inset: -0.3 }),
        ...key.map((value, i) =>
          plot.dot([value], {
            frameAnchor: 'bottom-left',
            dx: 124 + 3 * i,
            dy: 88,
            r: 5,
            symbol: 'square',
            fill: [value],
          }),
        ),
        plot.text(['lost voltage 0 %'], { frameAnchor: 'bottom-left', dx: 20, dy: 88, textAnchor: 'start' }),
        plot.text([`${top.toPrecision(3)} %`], { frameAnchor: 'bottom-left', dx: 434, dy: 88, textAnchor: 'start' }),
      ],
    };
  };
}

function range(length: number, step: number): readonly number[] {
  return Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);
}
