/**
 * A run of `grim prune` as one page that needs nothing else: what was reached, layer by layer, the masks drawn, how ADMM came
 * to them, and what a search tried. No script, no font, no address outside; below 2 MB, whatever the network.
 */
import type { BcrPattern, Graph } from '@grim/ir';
import { type LayerReport, prunableLayers } from '@grim/prune';
import { bytes, percent } from '../output.ts';
import { type Draw, svgOf } from '../reram/plots.ts';
import { curvePlot } from './draw-curve.ts';
import type { FoundPlan } from './find-plan.ts';
import { type MaskPicture, maskPicture } from './mask-picture.ts';

export interface HtmlReport {
  readonly title: string;
  /** Facts in pairs, in order. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly graph: Graph;
  readonly layers: readonly LayerReport[];
  /** How often the top answer is that of the dense network. */
  readonly agreement: { readonly same: number; readonly of: number; readonly heldOut: boolean } | undefined;
  readonly found: FoundPlan | undefined;
}

/** For all pictures together, before they are written as text. */
const PICTURE_BYTES = 1_200_000;
const SIZES = [
  [640, 160],
  [320, 80],
  [160, 40],
  [80, 20],
  [40, 10],
] as const;
/** Networks of more layers show the largest ones. */
const MOST_PICTURES = 200;

export async function htmlReport(report: HtmlReport): Promise<string> {
  const { title, facts, layers, found } = report;
  const parts = [
    `<h1>${escaped(title)}</h1>`,
    `<table class="facts">${facts.map(([name, value]) => `<tr><th>${escaped(name)}</th><td>${escaped(value)}</td></tr>`).join('')}</table>`,
    ...(report.agreement ? [agreementPart(report.agreement)] : []),
    ...(found?.candidates ? [await searchPart(found)] : []),
    layersPart(layers),
    masksPart(report),
    ...(await residualsPart(layers)),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${parts.join('\n')}
</body>
</html>
`;
}

/** Of lines and of the names of their layers. */
const COLOURS = ['#4269d0', '#c98a00', '#e0523a', '#2a9d8f', '#7a5195'] as const;

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --bar: #2a7ab8; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
.facts th { font-weight: 600; white-space: nowrap; } .facts td { overflow-wrap: anywhere; }
.wide { overflow-x: auto; } .wide td, .wide th { border-bottom: 1px solid var(--line); white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; width: 6rem; height: .7rem; border: 1px solid var(--line); }
.bar i { display: block; height: 100%; background: var(--bar); }
figure { margin: 0 0 1.2rem; } figcaption { font-size: .9rem; }
figure img { image-rendering: pixelated; max-width: 100%; border: 1px solid var(--line); background: #fff; }
svg { max-width: 100%; height: auto; background: #fff; } .taken td { font-weight: 600; }
.big { font-size: 1.3rem; }
`;

/** For text and for values of attributes. */
function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/**
 * The interval that holds the true share in 95 of 100 cases.
 * @see Wilson, "Probable inference, the law of succession, and statistical inference", 1927
 */
export function wilson(hits: number, of: number): readonly [low: number, high: number] {
  const [p, z] = [hits / of, 1.959964];
  const whole = 1 + z ** 2 / of;
  const middle = (p + z ** 2 / (2 * of)) / whole;
  const half = (z / whole) * Math.sqrt((p * (1 - p)) / of + z ** 2 / (4 * of ** 2));
  // Rounding leaves the ends a hair inside.
  return [hits === 0 ? 0 : middle - half, hits === of ? 1 : middle + half];
}

function agreementPart({ same, of, heldOut }: NonNullable<HtmlReport['agreement']>): string {
  const [low, high] = wilson(same, of);
  return `<h2>Answers</h2>
<p><span class="big">${percent(same / of, 1)}</span> of ${of} examples ${heldOut ? 'held out' : 'that the weights were fitted to'} have the same top answer as with
the dense network (95 % interval: ${percent(low, 1)} to ${percent(high, 1)}). No labels were used: this is fidelity, not accuracy.${heldOut ? '' : ' On other examples it will be less.'}</p>`;
}

async function searchPart(found: FoundPlan): Promise<string> {
  const rows = found.candidates.map(({ kind, block, speedup, bytes: size, loss, drop }) => {
    const taken = loss === found.loss && speedup === found.speedup;
    const cells = [`${speedup.toFixed(2)}×`, bytes(size), loss.toPrecision(3), `${drop.toFixed(1)} %`];
    return `<tr${taken ? ' class="taken"' : ''}><td>${escaped(kind === 'uniform' ? `one density for all, ${block ?? ''}` : kind)}</td>${cells.map((cell) => `<td class="number">${escaped(cell)}</td>`).join('')}</tr>`;
  });
  return `<h2>What was tried</h2>
<div class="wide"><table><tr><th>candidate</th><th class="number">as fast</th><th class="number">compiled</th><th class="number">difference</th><th class="number">other answers</th></tr>${rows.join('')}</table></div>
<p>Speed of the whole network with synthetic masks; difference of the outputs and answers on ${found.held} examples held out. Lines below are one
density for all, by losses of single layers, scaled to what was tried; red is what was taken.</p>
${await svgOf('What speed costs', curvePlot(found))}`;
}

function layersPart(layers: readonly LayerReport[]): string {
  const rows = layers.map(({ name, grid, density, error, activationAware, samples, seconds, warning }) => {
    const cells = [
      `${grid.rows}×${grid.cols}`,
      `${grid.blockRows}×${grid.blockCols}`,
      density.toFixed(3),
      error === undefined ? '' : percent(error, 1),
      String(samples),
      seconds.toFixed(1),
    ];
    const notes = [...(activationAware ? ['activation-aware'] : []), ...(warning ? [warning] : [])].join(', ');
    const [matrix, blocks, share, ...rest] = cells.map((cell) => `<td class="number">${escaped(cell)}</td>`);
    const bar = `<td><span class="bar"><i style="width:${(100 * density).toFixed(1)}%"></i></span></td>`;
    return `<tr><td>${escaped(name)}</td>${matrix}${blocks}${share}${bar}${rest.join('')}<td>${escaped(notes)}</td></tr>`;
  });
  const titles = ['matrix', 'blocks', 'density', '', 'output lost', 'samples', 'seconds'];
  return `<h2>Layers</h2>
<div class="wide"><table><tr><th>layer</th>${titles.map((text) => `<th class="number">${text}</th>`).join('')}<th></th></tr>${rows.join('')}</table></div>`;
}

function masksPart({ graph, layers }: HtmlReport): string {
  const weights = new Map(prunableLayers(graph).map(({ name, weight }) => [name, weight]));
  const all = layers.flatMap(({ name, grid }): { name: string; pattern: BcrPattern }[] => {
    const pattern = graph.weights.get(weights.get(name) ?? '')?.pattern;
    return pattern ? [{ name, pattern: { ...pattern, grid } }] : [];
  });
  const shown = all
    .toSorted((a, b) => b.pattern.grid.rows * b.pattern.grid.cols - a.pattern.grid.rows * a.pattern.grid.cols)
    .slice(0, MOST_PICTURES);
  const drawn = all.filter((one) => shown.includes(one));
  let pictures: readonly MaskPicture[] = [];
  for (const size of SIZES) {
    pictures = drawn.map(({ pattern }) => maskPicture(pattern, size));
    if (pictures.reduce((sum, { png }) => sum + png.length, 0) <= PICTURE_BYTES) break;
  }
  const figures = drawn.map(({ name, pattern: { grid } }, i) => {
    const { width, height, png } = pictures[i] as MaskPicture;
    // Small matrices are enlarged, by whole factors.
    const scale = Math.max(1, Math.min(4, Math.floor(640 / width), Math.floor(160 / height)));
    const source = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
    return `<figure><img src="${source}" width="${width * scale}" height="${height * scale}" alt="mask of ${escaped(name)}"><figcaption>${escaped(name)}, ${grid.rows}×${grid.cols}</figcaption></figure>`;
  });
  const left = all.length - drawn.length;
  return `<h2>Masks</h2>
<p>Rows are outputs, columns are inputs; black weights are kept. A pixel of several weights is as dark as they are dense.${left > 0 ? ` ${left} smaller layers are left out.` : ''}</p>
${figures.join('\n')}`;
}

async function residualsPart(layers: readonly LayerReport[]): Promise<readonly string[]> {
  const searched = layers.flatMap(({ name, search }) => (search && search.primal.length > 1 ? [{ name, search }] : []));
  if (searched.length === 0) return [];
  // A picture of hundreds of lines says nothing: those of least, middle and most distance at the end.
  const byEnd = searched.toSorted((a, b) => (a.search.primal.at(-1) ?? 0) - (b.search.primal.at(-1) ?? 0));
  const places = [0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * (byEnd.length - 1)));
  const chosen = [...new Set(places)].flatMap((at) => byEnd[at] ?? []);
  const points = chosen.flatMap(({ name, search }) =>
    (['primal', 'dual', 'moved'] as const).flatMap((what) =>
      search[what].flatMap((value, step) => (value > 0 ? [{ layer: name, what, step: step + 1, value }] : [])),
    ),
  );
  const draw: Draw = (plot) => ({
    ...{ width: 860, height: 300, marginTop: 64 },
    x: { label: 'iteration', grid: true },
    y: { type: 'log' as const, grid: true, label: null, tickFormat: '~g' },
    fx: { domain: ['primal', 'dual', 'moved'], label: null },
    color: { domain: chosen.map(({ name }) => name), range: COLOURS.slice(0, chosen.length) },
    marks: [plot.line(points, { x: 'step', y: 'value', fx: 'what', stroke: 'layer', strokeWidth: 1.2 })],
  });
  return [
    `<h2>How the masks were found</h2>
<p>ADMM, iteration by iteration: how far the weights are from their projection (primal), how far that moved (dual), and the share of the mask that moved.
Five layers of ${searched.length}, from the nearest to the farthest at the end: ${chosen.map(({ name }, i) => `<b style="color:${COLOURS[i]}">${escaped(name)}</b>`).join(', ')}.</p>
${await svgOf('', draw)}`,
  ];
}
