/**
 * How long a product would take: estimated cycles of its units (`kernels/units.ts`), corrected by what was measured.
 *
 * The analytic part knows tiles and lengths of units; caches, branches and code it knows roughly or not at all. For each
 * value of each knob a factor is fitted to all measurements so far, of all products (ridge regression on logarithms): what
 * one layer teaches about unrolling or gathering, the others need not learn again.
 * @see Chen et al., "Learning to optimize tensor programs" (2018): a cost model that is fitted while searching
 */
import { nonZeros } from '@grim/bcr';
import { TALLEST } from '../kernels/family.ts';
import { unitCycles } from '../kernels/units.ts';
import type { ProductSite, Schedule } from '../schedule.ts';
import { genesOf } from './space.ts';

/** Blocks of a product that keep as many rows and columns. */
interface Blocks {
  readonly rows: number;
  readonly cols: number;
  readonly count: number;
}

export interface Shape {
  readonly site: ProductSite;
  /** Side by side in one row of blocks, of equal rows: joined, or each on its own. */
  readonly joined: readonly Blocks[];
  readonly single: readonly Blocks[];
  readonly nonZeros: number;
}

export function shapeOf(site: ProductSite): Shape {
  const { pattern, rows, depth } = site;
  if (!pattern) {
    const whole = [{ rows, cols: depth, count: 1 }];
    return { site, joined: whole, single: whole, nonZeros: rows * depth };
  }
  const across = Math.ceil(pattern.grid.cols / pattern.grid.blockCols);
  const single: { readonly rows: number; readonly cols: number }[] = [];
  const joined: { readonly rows: number; readonly cols: number }[] = [];
  let strip = new Map<string, { rows: number; cols: number }>();
  for (const [i, kept] of pattern.keptRows.entries()) {
    if (i % across === 0) {
      joined.push(...strip.values());
      strip = new Map();
    }
    const cols = pattern.keptCols[i]?.length ?? 0;
    if (kept.length === 0 || cols === 0) continue;
    single.push({ rows: kept.length, cols });
    const same = strip.get(kept.join());
    if (same) same.cols += cols;
    else strip.set(kept.join(), { rows: kept.length, cols });
  }
  joined.push(...strip.values());
  return { site, joined: counted(joined), single: counted(single), nonZeros: nonZeros(pattern) };
}

function counted(blocks: readonly { readonly rows: number; readonly cols: number }[]): readonly Blocks[] {
  const found = new Map<string, { rows: number; cols: number; count: number }>();
  for (const { rows, cols } of blocks) {
    const same = found.get(`${rows} ${cols}`);
    if (same) same.count++;
    else found.set(`${rows} ${cols}`, { rows, cols, count: 1 });
  }
  return [...found.values()];
}

/** First- and second-level cache, bytes, and what is lost where the input of a tile does not fit the first. */
const L1 = 32 * 1024;
const L2 = 512 * 1024;
const MISSES = 1.15;

/** Estimated cycles of the whole product. */
export function estimate(shape: Shape, schedule: Schedule): number {
  const { site, joined, single } = shape;
  const { rows, depth, columns: n, pattern } = site;
  const { form, columns = 8, tallest = TALLEST, passes = 1, gather = false, groups = 1 } = schedule;
  if (form === 'lanes') return lanes(shape, schedule.blockRows ?? 0);
  const tiles = (of: (rows: number, cols: number, width: 8 | 16 | 24) => number, width: 8 | 16 | 24) =>
    (Math.floor(n / width) * width * of(rows, depth, width)) / 24 +
    (Math.ceil((n % width) / 8) / 3) * of(rows, depth, 8);
  const panels = (height: number, cols: number): number => {
    const rest = height % TALLEST;
    return Math.floor(height / TALLEST) * unitCycles(TALLEST, cols, 8) + (rest ? unitCycles(rest, cols, 8) : 0);
  };
  const copied = gather ? (groups * n * depth) / 4 : 0;
  const weights = 4 * (form === 'dense' || form === 'pairs' ? rows * depth : shape.nonZeros);
  const streamed = weights / groups > L2 ? 1.03 : 1;
  if (form === 'dense') return streamed * tiles((m, k) => panels(m, k), 8) + copied;
  if (form === 'pairs') return tiles((m, k, width) => Math.ceil(m / 2) * passes * unitCycles(2, k / passes, width), 24);
  const blocks = schedule.merge === 'none' ? single : joined;
  const cutInto = (height: number, cols: number, width: 8 | 16 | 24): number => {
    const each = cols / passes;
    const count = Math.ceil(height / tallest);
    const low = Math.floor(height / count);
    const high = height - low * count;
    if (schedule.cut === 'full')
      return (
        passes *
        (Math.floor(height / tallest) * unitCycles(tallest, each, width) +
          (height % tallest ? unitCycles(height % tallest, each, width) : 0))
      );
    return (
      passes * ((count - high) * unitCycles(low, each, width) + (high ? high * unitCycles(low + 1, each, width) : 0))
    );
  };
  const sum = (of: (rows: number, cols: number) => number) =>
    blocks.reduce((total, { rows: height, cols, count }) => total + count * of(height, cols), 0);
  const asUnits = (width: 8 | 16 | 24) => sum((height, cols) => cutInto(height, cols, width));
  // Every row once for each pass, with all that it keeps.
  const used = Math.max(
    1,
    Math.min(
      rows,
      blocks.reduce((total, block) => total + block.rows * block.count, 0),
    ),
  );
  const asRows = (width: 8 | 16 | 24) => used * passes * unitCycles(1, shape.nonZeros / used / passes, width);
  const ofForm = { units: asUnits, rows: asRows, mixed: (w: 8 | 16 | 24) => Math.min(asUnits(w), asRows(w)) }[form];
  const input = Math.min(depth, pattern ? shape.nonZeros : depth) * 4 * columns;
  const missed = !gather && input / passes > L1 ? MISSES : 1;
  return missed * streamed * tiles((_, __, width) => ofForm(width), columns) + copied;
}

/** Loads of four weights each; a unit begins and ends with about as much work as 8 of its columns. */
function lanes({ site, single, nonZeros: kept }: Shape, blockRows: number): number {
  const { rows, depth, pattern } = site;
  if (!pattern) return (rows * depth) / 4;
  if (blockRows === 0)
    return single.reduce((sum, { rows: height, cols, count }) => sum + count * Math.ceil(height / 4) * (cols + 8), 0);
  // Covers of unrelated columns fill up as they grow.
  const share = kept / (rows * depth);
  const strips = Math.ceil(rows / blockRows);
  const height = Math.min(1, blockRows / pattern.grid.blockRows);
  return strips * (blockRows / 4) * (depth * (1 - (1 - share) ** Math.max(1, height * 4)) + 8);
}

/** One measured schedule. */
export interface Sample {
  readonly shape: Shape;
  readonly schedule: Schedule;
  /** Its time over that of the default. */
  readonly ratio: number;
}

export type Predict = (shape: Shape, schedule: Schedule) => number;

const RIDGE = 1;

/** @returns the predicted time of a schedule over that of the default */
export function fit(samples: readonly Sample[]): Predict {
  const features = new Map<string, number>();
  const indices = (schedule: Schedule): number[] =>
    namesOf(schedule).map((name) => {
      const index = features.get(name) ?? features.size;
      features.set(name, index);
      return index;
    });
  const rows = samples.map(({ shape, schedule, ratio }) => ({
    at: indices(schedule),
    against: indices(shape.site.schedule),
    y: Math.log(ratio) - Math.log(analytic(shape, schedule)),
  }));
  const size = features.size;
  const a = Array.from({ length: size }, (_, i) => {
    const row = new Float64Array(size + 1);
    row[i] = RIDGE;
    return row;
  });
  for (const { at, against, y } of rows) {
    // The default has ratio 1 by definition: only what differs from it counts.
    const signs = new Map<number, number>();
    for (const i of at) signs.set(i, (signs.get(i) ?? 0) + 1);
    for (const i of against) signs.set(i, (signs.get(i) ?? 0) - 1);
    for (const [i, u] of signs) {
      const row = a[i] as Float64Array;
      for (const [j, v] of signs) row[j] = (row[j] ?? 0) + u * v;
      row[size] = (row[size] ?? 0) + u * y;
    }
  }
  const weights = solve(a);
  const effect = (schedule: Schedule) =>
    namesOf(schedule).reduce((sum, name) => sum + (weights[features.get(name) ?? -1] ?? 0), 0);
  return (shape, schedule) => analytic(shape, schedule) * Math.exp(effect(schedule) - effect(shape.site.schedule));
}

function analytic(shape: Shape, schedule: Schedule): number {
  return estimate(shape, schedule) / Math.max(1, estimate(shape, shape.site.schedule));
}

function namesOf(schedule: Schedule): string[] {
  const sparse = schedule.form === 'dense' || schedule.form === 'pairs' ? 'dense' : 'stream';
  const knobs = genesOf(schedule.form, true).flatMap((knob) =>
    schedule[knob] === undefined ? [] : [`${sparse} ${knob}=${schedule[knob]}`],
  );
  return [schedule.form, ...knobs];
}

/** Gaussian elimination of a symmetric, positive definite system; the last column is the right side. */
function solve(a: readonly Float64Array[]): number[] {
  const size = a.length;
  for (let i = 0; i < size; i++) {
    const pivot = a[i] as Float64Array;
    for (let j = i + 1; j < size; j++) {
      const row = a[j] as Float64Array;
      const factor = (row[i] ?? 0) / (pivot[i] ?? 1);
      if (factor !== 0) for (let k = i; k <= size; k++) row[k] = (row[k] ?? 0) - factor * (pivot[k] ?? 0);
    }
  }
  const x = new Array<number>(size).fill(0);
  for (let i = size - 1; i >= 0; i--) {
    const row = a[i] as Float64Array;
    let sum = row[size] ?? 0;
    for (let j = i + 1; j < size; j++) sum -= (row[j] ?? 0) * (x[j] ?? 0);
    x[i] = sum / (row[i] ?? 1);
  }
  return x;
}
