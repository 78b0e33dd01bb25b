/**
 * What each layer costs in each kind of block, by density: time on this machine from synthetic masks, bytes of compiled
 * models, and the loss of the network when the layer alone is pruned.
 */
import type { Graph } from '@grim/ir';
import {
  type BlockShape,
  type Calibrator,
  type Layer,
  type LayerCurves,
  type Progress,
  sensitivities,
} from '@grim/prune';
import type { Stopwatch, Timed } from './latency.ts';

export interface Curves {
  readonly layers: readonly LayerCurves[];
  /** Of all the rest of the network. */
  readonly fixed: { readonly ms: number; readonly bytes: number };
}

/** Densities of the points of a curve. */
const LEVELS = [0.03, 0.06, 0.125, 0.25, 0.5] as const;
/**
 * Where the network is looked at; between and beyond, losses follow from the error of the layer. Also where errors in other
 * blocks than the first are set against those in the first.
 */
const COMPARED = [0.06, 0.25] as const;
/** Where time is: it grows with the density on a line, which three noisy points give better than each one alone. */
const TIMED = [0.08, 0.22, 0.5] as const;

/** How many networks {@link measureCurves} times. */
export function timedCount(blocks: readonly BlockShape[]): number {
  return blocks.length * TIMED.length;
}

export interface CurveOptions {
  readonly layers: readonly Layer[];
  readonly blocks: readonly BlockShape[];
  readonly seed: number;
  readonly onTimed: (block: BlockShape, density: number, timed: Timed) => void;
  readonly onProgress: (progress: Progress) => void;
}

export async function measureCurves(
  graph: Graph,
  calibrator: Calibrator,
  watch: Stopwatch,
  { layers, blocks, seed, onTimed, onProgress }: CurveOptions,
): Promise<Curves> {
  const names = new Set(layers.map(({ name }) => name));
  const timed: { block: BlockShape; density: number; own: Timed }[] = [];
  for (const block of blocks)
    for (const density of TIMED) {
      const own = await watch.time((name) => (names.has(name) ? { block, density } : undefined));
      onTimed(block, density, own);
      timed.push({ block, density, own });
    }
  // The network is looked at in blocks of one kind; what the others lose follows from the error of the layer, and how much
  // more that is changes little with the density.
  const [reference] = blocks;
  const found = await sensitivities(graph, calibrator, {
    choices: (name) =>
      names.has(name)
        ? blocks.flatMap((block) =>
            (block === reference ? LEVELS : COMPARED).map((density) => ({
              block,
              density,
              probe: block === reference,
            })),
          )
        : [],
    ...{ seed, onProgress },
  });
  const sizeOf = ({ m, k }: Layer) => 4 * m * k;
  const all = layers.reduce((sum, layer) => sum + sizeOf(layer), 0);
  const { dense } = watch;
  const msOf = ({ layers: own }: Timed, name: string) => own.find((layer) => layer.name === name);
  const curves = layers.flatMap((layer): LayerCurves[] => {
    const costs = found.find(({ name }) => name === layer.name)?.costs;
    if (!costs) return [];
    const ms = msOf(dense, layer.name)?.ms ?? 0;
    const bytes = sizeOf(layer);
    return [
      {
        name: layer.name,
        dense: { ms, bytes },
        curves: blocks.map((block, b) => {
          const own = timed.filter((one) => one.block === block);
          const time = line(
            own.map(({ density, own: one }) => {
              const at = msOf(one, layer.name);
              // Set against the dense layer timed in the same seconds.
              return [density, at && at.denseMs > 0 ? (ms * at.ms) / at.denseMs : ms];
            }),
          );
          // What the file grew or shrank by in fact, indices included, shared out by size.
          const size = line(
            own.map(({ density, own: one }) => [density, (bytes * (one.bytes - (dense.bytes - all))) / all]),
          );
          const losses = lossesOf(
            costs.map(({ loss }) => loss),
            b,
          );
          return {
            block,
            points: LEVELS.map((density, i) => ({
              ...{ density, loss: losses[i] ?? 0 },
              ...{ ms: Math.max(0, Math.min(ms, time(density))), bytes: Math.max(0, size(density)) },
            })),
          };
        }),
      },
    ];
  });
  const used = (of: (layer: LayerCurves) => number) => curves.reduce((sum, layer) => sum + of(layer), 0);
  return {
    layers: curves,
    fixed: {
      ms: Math.max(0, dense.ms - used((layer) => layer.dense.ms)),
      bytes: dense.bytes - used((layer) => layer.dense.bytes),
    },
  };
}

/** Of one kind of block at each level, never rising with the density. @param all  as the choices were listed */
function lossesOf(all: readonly number[], block: number): readonly number[] {
  const reference = all.slice(0, LEVELS.length);
  const first = LEVELS.length + (block - 1) * COMPARED.length;
  const own = all.slice(first, first + COMPARED.length);
  const more = COMPARED.map((density, i) => {
    const base = reference[LEVELS.indexOf(density)] ?? 0;
    return block > 0 && base > 0 && (own[i] ?? 0) > 0 ? Math.log((own[i] ?? 0) / base) : 0;
  });
  const span = Math.log(COMPARED[1] / COMPARED[0]);
  let most = Number.POSITIVE_INFINITY;
  return reference.map((loss, i) => {
    const at = Math.min(1, Math.max(0, Math.log((LEVELS[i] ?? 1) / COMPARED[0]) / span));
    most = Math.min(most, loss * Math.exp((1 - at) * (more[0] ?? 0) + at * (more[1] ?? 0)));
    return most;
  });
}

/** Least squares; never falling, as more weights take more time and room. */
function line(points: readonly (readonly [x: number, y: number])[]): (x: number) => number {
  const n = points.length;
  const mean = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / n;
  const [mx, my] = [mean(0), mean(1)];
  const across = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  const slope = across > 0 ? Math.max(0, points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / across) : 0;
  return (x) => my + slope * (x - mx);
}
