/**
 * The tables of `strips.ts`: bands (rows that share all their columns), planes of X in chunks, where the list of each band
 * begins; and how large the tiles are.
 *
 * All sizes follow from the stream: the most planes whose columns and weights fit work-group memory, then the tile that
 * moves few enough bytes with the most invocations.
 */
import { LEAST_LIMITS } from '../gpu-schedule.ts';
import type { GroupTable, Unit } from './sparse.ts';
import type { StripWish } from './strips.ts';

/** Bands and planes of a stream. Words are those of float32. */
export interface Strips {
  /** Rows of the highest band. */
  readonly height: number;
  readonly bands: readonly Band[];
  /** From one plane of X to the next, and the farthest that a column begins behind the start of its plane. */
  readonly stride: number;
  readonly span: number;
  /** The first place that any column begins at. */
  readonly base: number;
  /** Of each pass, the planes that some band reads, ascending; a band has at most a unit in a pass. */
  readonly used: readonly (readonly number[])[];
  /** From the first plane to the last. */
  readonly planes: number;
}

interface Band {
  readonly rows: readonly number[];
  readonly bias: number;
  readonly units: readonly { readonly list: number; readonly weight: number; readonly offsets: Int32Array }[];
}

/** How the work is tiled, all of it spelled out. */
interface StripTile {
  readonly lanes: number;
  readonly parts: number;
  readonly width: number;
  readonly splitK: number;
  /** Bands of an invocation. */
  readonly held: number;
  /** Columns that a band may have in a chunk. */
  readonly cap: number;
  /** Planes of a chunk. */
  readonly step: number;
  /** Planes lie in work-group memory as in global memory. */
  readonly whole: boolean;
  /** Of X in work-group memory. */
  readonly words: number;
  /** Bytes of work-group memory. */
  readonly memory: number;
}

export interface StripTable extends GroupTable {
  readonly tile: StripTile;
  readonly height: number;
  readonly bands: number;
  readonly m: number;
  readonly yRow: number;
  readonly stride: number;
  /** Of a plane in work-group memory. */
  readonly length: number;
  readonly base: number;
  /** Where lists, ranges, chunks, pieces and facts of bands begin among the words. */
  readonly begins: readonly number[];
  readonly products: number;
  /** Of global memory, for a product of `n` columns. */
  readonly bytes: (n: number) => number;
}

/**
 * Undefined where rows share only some of their columns.
 * @param plane  words from one plane of X to the next
 * @param base  where the first of them begins: no column begins before it
 */
export function stripsOf(words: Int32Array, units: readonly Unit[], plane: number, base: number): Strips | undefined {
  const bands = new Map<string, Band & { units: Band['units'][number][] }>();
  const owner = new Map<number, string>();
  for (const { word, weight, rows, first } of units) {
    const key = rows.join();
    for (const row of rows) {
      if ((owner.get(row) ?? key) !== key) return undefined;
      owner.set(row, key);
    }
    const list = word + 2 + rows.length;
    const cols = words[word + 1] ?? 0;
    const offsets = words.subarray(list, list + cols).map((bytes) => bytes / 4);
    const band = bands.get(key) ?? { rows, bias: weight, units: [] };
    bands.set(key, band);
    if (cols > 0) band.units.push({ list, weight: weight + (first ? rows.length : 0), offsets });
  }
  if (plane < 1 || ![...bands.values()].some(({ units: own }) => own.length > 0)) return undefined;
  const all = [...bands.values()].sort((a, b) => (a.rows[0] ?? 0) - (b.rows[0] ?? 0));
  let span = 0;
  for (const { units: own } of all)
    for (const { offsets } of own) for (const offset of offsets) span = Math.max(span, (offset - base) % plane);
  const used = Array.from({ length: Math.max(...all.map(({ units: own }) => own.length)) }, (_, pass) => {
    const found = new Set<number>();
    for (const { units: own } of all)
      for (const offset of own[pass]?.offsets ?? []) found.add(Math.floor((offset - base) / plane));
    return [...found].sort((a, b) => a - b);
  });
  const strips: Strips = {
    height: Math.max(...all.map(({ rows }) => rows.length)),
    bands: all,
    stride: plane,
    span,
    base,
    used,
    planes: Math.max(...used.flat()) + 1,
  };
  return span > FARTHEST || fullest(strips, 1) > MOST_COLUMNS ? undefined : strips;
}

/** What any tile of 512 columns finds room for: words behind the start of a plane, and columns of a band in one. */
const FARTHEST = 1600;
const MOST_COLUMNS = 64;
/** Float32 of sums that an invocation keeps at most. */
const MOST_SUMS = 64;
/** Invocations that keep a GPU busy: more than these are no reason for a smaller tile. */
const ENOUGH = 16_384;
/** Work-groups below which K is split, ranges of at least so many columns. */
const FEW_GROUPS = 32;
const SHORTEST_RANGE = 512;

/** The tile and its tables. @param most  bytes that are few enough; undefined: no tile fits */
export function stripTable(
  strips: Strips,
  { m, depth, n, yRow, most }: { m: number; depth: number; n: number; yRow: number; most: number },
  wish: StripWish = {},
): StripTable | undefined {
  let best: { readonly table: () => StripTable; readonly score: readonly number[] } | undefined;
  const { height, bands } = strips;
  for (const lanes of wish.lanes === undefined ? [64] : [wish.lanes])
    for (const width of wish.width === undefined ? [1, 2, 4] : [wish.width])
      for (const parts of wish.parts === undefined ? [1, 2, 4] : [wish.parts])
        for (let held = 1; held * height * width <= MOST_SUMS; held *= 2) {
          const tooMany = held > 1 && parts * (held / 2) >= bands.length;
          if (tooMany || (width > 1 && wish.width === undefined && lanes * (width / 2) >= n)) continue;
          if (lanes * parts > LEAST_LIMITS.maxComputeInvocationsPerWorkgroup) continue;
          const tile = fitted(strips, { lanes, parts, width, held });
          if (!tile) continue;
          const groups = Math.ceil(n / (lanes * width)) * Math.ceil(bands.length / (parts * held));
          const wanted = Math.min(16, Math.ceil(FEW_GROUPS / groups), Math.floor(depth / SHORTEST_RANGE));
          const splitK = wish.splitK ?? Math.max(1, wanted);
          const bytes = bytesOf(strips, { ...tile, splitK }, m, n);
          const busy = Math.min(ENOUGH, groups * splitK * lanes * parts);
          const score = bytes <= most ? [1, busy, -bytes] : [0, -bytes, 0];
          if (best && !greater(score, best.score)) continue;
          best = { score, table: () => placed(strips, { ...tile, splitK }, m, yRow) };
        }
  return best?.table();
}

function greater(a: readonly number[], b: readonly number[]): boolean {
  const i = a.findIndex((value, j) => value !== b[j]);
  return i >= 0 && (a[i] ?? 0) > (b[i] ?? 0);
}

/** Planes of a chunk that are tried. */
const STEPS = [...Array(11).keys()].flatMap((i) => (i > 0 ? [3 * 2 ** (i - 1), 2 ** i] : [1])).sort((a, b) => b - a);

/** Every variable in work-group memory takes whole 16 bytes; of one word is that of a branch (`condition.ts`). */
const BRANCH = 1;

type Shape = Pick<StripTile, 'lanes' | 'parts' | 'width' | 'held'>;

/** The most planes at a time; undefined where not even one fits. */
function fitted(strips: Strips, shape: Shape): Omit<StripTile, 'splitK'> | undefined {
  const { lanes, parts, width, held } = shape;
  const { height, stride, span } = strips;
  const reach = span + lanes * width;
  const whole = reach > stride;
  let best: Omit<StripTile, 'splitK'> | undefined;
  for (const cap of [4, 8, 16, 32, 64]) {
    const fixed = [parts * held * cap, parts * held * cap * height, parts * held, BRANCH].reduce(
      (sum, list) => sum + 4 * Math.ceil(list / 4),
      0,
    );
    const left = LEAST_LIMITS.maxComputeWorkgroupStorageSize / 4 - fixed;
    const room = whole ? Math.floor((left - reach) / stride) + 1 : Math.floor(left / reach);
    if (left < reach) break;
    const most = Math.min(room, strips.planes);
    const step = STEPS.find((planes) => planes <= most && fullest(strips, planes) <= cap) ?? 0;
    if (step < 1 || (best && step <= best.step)) continue;
    // In whole steps: layers of nearly the same size share a shader.
    const words = Math.min(left, 512 * Math.ceil((whole ? (step - 1) * stride + reach : step * reach) / 512));
    best = { ...shape, cap, step, whole, words, memory: 4 * (words + fixed) };
  }
  return best;
}

const counted = new WeakMap<Strips, Map<number, number>>();

/** The most columns that a band has in a chunk of so many planes. */
function fullest(strips: Strips, step: number): number {
  const known = counted.get(strips) ?? new Map<number, number>();
  counted.set(strips, known);
  const found = known.get(step);
  if (found !== undefined) return found;
  const chunks = chunksOf(strips, step);
  let most = 0;
  for (const { units } of strips.bands)
    for (const [pass, { offsets }] of units.entries()) {
      let at = 0;
      for (const { plane, count } of chunks[pass] ?? []) {
        const from = at;
        const end = (plane + count) * strips.stride + strips.base;
        while (at < offsets.length && (offsets[at] ?? 0) < end) at++;
        most = Math.max(most, at - from);
      }
    }
  known.set(step, most);
  return most;
}

const lookedAt = new WeakMap<Strips, Map<string, number>>();

/** Columns of lists that the chunks look at: as many as a band has room for, those of the next chunk among them. */
function looked(strips: Strips, tile: Pick<StripTile, 'step' | 'cap'>): number {
  const known = lookedAt.get(strips) ?? new Map<string, number>();
  lookedAt.set(strips, known);
  const key = `${tile.step} ${tile.cap}`;
  const found = known.get(key) ?? lookThrough(strips, tile);
  known.set(key, found);
  return found;
}

function lookThrough(strips: Strips, { step, cap }: Pick<StripTile, 'step' | 'cap'>): number {
  const chunks = chunksOf(strips, step);
  let sum = 0;
  for (const { units } of strips.bands)
    for (const [pass, { offsets }] of units.entries()) {
      let at = 0;
      for (const { plane, count } of chunks[pass] ?? []) {
        const end = (plane + count) * strips.stride + strips.base;
        sum += Math.min(cap, offsets.length - at);
        while (at < offsets.length && (offsets[at] ?? 0) < end) at++;
      }
    }
  return sum;
}

interface Chunk {
  readonly plane: number;
  readonly count: number;
}

const chunked = new WeakMap<Strips, Map<number, readonly (readonly Chunk[])[]>>();

/** Of each pass: runs of planes that some band reads. */
function chunksOf(strips: Strips, step: number): readonly (readonly Chunk[])[] {
  const known = chunked.get(strips) ?? new Map<number, readonly (readonly Chunk[])[]>();
  chunked.set(strips, known);
  const found = known.get(step) ?? cut(strips, step);
  known.set(step, found);
  return found;
}

function cut({ used }: Strips, step: number): readonly (readonly Chunk[])[] {
  return used.map((planes) => {
    const chunks: { plane: number; count: number }[] = [];
    for (const plane of planes) {
      const last = chunks.at(-1);
      if (last && last.plane + last.count === plane && last.count < step) last.count++;
      else chunks.push({ plane, count: 1 });
    }
    return chunks;
  });
}

function bytesOf(strips: Strips, tile: StripTile, m: number, n: number): number {
  const { bands, stride, span, height } = strips;
  const columns = tile.lanes * tile.width;
  const reach = span + columns;
  const chunks = chunksOf(strips, tile.step).flat();
  const planes = chunks.reduce(
    (sum, { count }) => sum + (tile.whole ? (count - 1) * stride + reach : count * reach),
    0,
  );
  const [across, down] = [Math.ceil(n / columns), Math.ceil(bands.length / (tile.parts * tile.held))];
  const lists = looked(strips, tile) + bands.length * (height + 2 + 3 * (strips.used.length + tile.splitK));
  const weights = bands.reduce(
    (sum, { rows, units }) => sum + rows.length * (1 + units.reduce((all, { offsets }) => all + offsets.length, 0)),
    0,
  );
  const outputs = tile.splitK === 1 ? m * columns : m * columns * tile.splitK;
  return 4 * across * (down * planes + lists + weights + outputs);
}

function placed(strips: Strips, tile: StripTile, m: number, yRow: number): StripTable {
  const { bands, height, stride, span, base } = strips;
  const chunks = chunksOf(strips, tile.step);
  const total = chunks.reduce((sum, { length }) => sum + length, 0);
  // Chunks of all passes are dealt out in their order; where a piece ends inside a pass, a new range begins.
  const ranges: { readonly pass: number; readonly chunks: readonly Chunk[]; readonly piece: number }[] = [];
  let seen = 0;
  for (const [pass, own] of chunks.entries())
    for (let at = 0; at < own.length; ) {
      const piece = Math.floor((seen * tile.splitK) / total);
      const end = Math.min(own.length, at + Math.ceil(((piece + 1) * total) / tile.splitK) - seen);
      ranges.push({ pass, piece, chunks: own.slice(at, end) });
      seen += end - at;
      at = end;
    }
  const lists = ranges.flatMap((range) =>
    bands.flatMap(({ rows, units }) => {
      const unit = units[range.pass];
      const [first, last] = [range.chunks[0], range.chunks.at(-1)];
      if (!unit || !first || !last) return [0, 0, 0];
      const before = (plane: number) => unit.offsets.filter((offset) => offset < base + plane * stride).length;
      const [from, end] = [before(first.plane), before(last.plane + last.count)];
      return [unit.list + from, end - from, unit.weight + from * rows.length];
    }),
  );
  const starts = ranges.map((_, i) => ranges.slice(0, i).reduce((sum, range) => sum + range.chunks.length, 0));
  const pieces = Array.from({ length: tile.splitK + 1 }, (_, i) => ranges.filter(({ piece }) => piece < i).length);
  const flat = ranges.flatMap((range) => range.chunks.flatMap(({ plane, count }) => [plane, count]));
  const info = bands.flatMap(({ rows, bias }) => [
    ...Array.from({ length: height }, (_, r) => (rows[r] ?? 0) / 4 / yRow),
    bias,
    rows.length,
  ]);
  const tables = [lists, [...starts, total], flat, pieces, info];
  const begins = tables.map((_, i) => tables.slice(0, i).reduce((sum, { length }) => sum + length, 0));
  const products = bands.reduce(
    (sum, { rows, units }) => sum + rows.length * units.reduce((all, { offsets }) => all + offsets.length, 0),
    0,
  );
  return {
    words: Int32Array.from(tables.flat()),
    groups: Math.ceil(bands.length / (tile.parts * tile.held)),
    tile,
    height,
    bands: bands.length,
    m,
    yRow,
    stride,
    length: span + tile.lanes * tile.width,
    base,
    begins,
    products,
    bytes: (n) => bytesOf(strips, tile, m, n),
  };
}
