/**
 * Stores the descriptors of unit and lane streams in a few bits for each column, and the kernel that makes words of them
 * again when a model is loaded.
 *
 * A column list holds byte offsets, 32 bits each, beside weights of as little as 16 bits for each row. But the offsets that
 * there can be follow from a few numbers (channels, taps, the distances between them), and a list is an ascending selection
 * of them: of its columns only the gaps are stored, as Rice codes. Kept at random with density d, they need about
 * (log2(1/d) + 1.5) bits each, 5 at a tenth.
 *
 * i32 words: number of runs; each run: period, repeats, step, then `period` offsets, which stand for offset + i · step for
 * each i below `repeats`; then the number of streams, distance between rows of Y, bits of a head, of a row count, of a first
 * row, of a first column; Rice parameters of column counts, of rows; bits of those of columns. Then bits, lowest first: for each
 * unit its head, its rows, the number of its columns, the first row, the gaps of the other rows; if it has columns, the first
 * one, the Rice parameter of the others and their gaps: units of one row keep more columns than those of two. Firsts have codes
 * of their own: a unit of a pass over late columns begins far behind the start, and a long gap would lengthen the codes of all.
 * A head 0 ends a stream, the next one may follow; 8 zero bytes are the last, so that a reader may always take 64 bits.
 *
 * Offsets stand pass after pass, ascending in each: where a stride deals the input to planes, the columns of a pass lie in all
 * of them, and a list that ran through one plane after the other would jump over those of all other passes (6.9 bits for a
 * column instead of 4.6).
 *
 * @see R. F. Rice, "Some practical universal noiseless coding techniques", 1979; `units.ts` and `lanes.ts` for the words
 */
import { invariant } from '@grim/ir';
import type { FunctionBuilder, FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, countDown, countDownIfAny } from './family.ts';
import { type Pass, ROWS_MASK } from './units.ts';

type StreamKind = 'units' | 'lanes';

interface PackedStream {
  /** A multiple of 4 bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes that the kernel needs beside: one word for each offset. */
  readonly scratchBytes: number;
}

/** Codes longer than this would not fit a window of 64 bits that begins anywhere in a byte. */
const LONGEST_CODE = 56;

interface Unit {
  readonly head: number;
  readonly rows: readonly number[];
  readonly cols: readonly number[];
}

/** The words of one or more streams, and what is known of them. */
export interface Stream {
  /** Whether `encodeUnits` or `encodeLanes` made it. */
  readonly kind: StreamKind;
  /** The offset of each column of A. */
  readonly offsets: readonly number[];
  /** Ranges of columns that no unit reaches beyond, one after the other. Default: one range. */
  readonly passes?: readonly Pass[];
}

export function packStream(
  words: Int32Array,
  { kind, offsets: all, passes = [[0, all.length]] }: Stream,
): PackedStream {
  const entries = unitsOf(words, kind);
  const units = entries.filter((entry) => entry !== undefined);
  const offsets = passes.flatMap(([from, to]) => all.slice(from, to).sort((a, b) => a - b));
  const rankOf = new Map(offsets.map((offset, rank) => [offset, rank]));
  const rowStep = units.flatMap(({ rows }) => rows).reduce(greatestCommonDivisor, 0) || 1;
  const fields = units.map(({ rows, cols }) => ({
    rows: rows.length,
    cols: cols.length,
    firstRow: (rows[0] ?? 0) / rowStep,
    rowGaps: gapsOf(rows.map((offset) => offset / rowStep)).slice(1),
    firstCol: rankOf.get(cols[0] ?? Number.NaN) ?? 0,
    ...gapsAndParameter(cols.map((offset) => rankOf.get(offset) ?? Number.NaN)),
  }));
  const bitsFor = (values: readonly number[]) => 32 - Math.clz32(values.reduce((a, b) => Math.max(a, b), 0));
  const headBits = Math.max(1, bitsFor(units.map(({ head }) => head)));
  const rowsBits = bitsFor(fields.map(({ rows }) => rows));
  const firstRowBits = bitsFor(fields.map(({ firstRow }) => firstRow));
  const firstColBits = bitsFor(fields.map(({ firstCol }) => firstCol));
  const countParameter = riceParameter(fields.map(({ cols }) => cols));
  const rowParameter = riceParameter(fields.flatMap(({ rowGaps }) => rowGaps));
  const colParameterBits = bitsFor(fields.map(({ colParameter }) => colParameter));
  const runs = runsOf(offsets);
  const start = Int32Array.from([
    runs.length,
    ...runs.flatMap(({ repeats, step, base }) => [base.length, repeats, step, ...base]),
    ...[
      entries.length - units.length,
      rowStep,
      headBits,
      rowsBits,
      firstRowBits,
      firstColBits,
      countParameter,
      rowParameter,
      colParameterBits,
    ],
  ]);
  const bits = new BitWriter();
  let next = 0;
  for (const unit of entries) {
    bits.write(unit?.head ?? 0, headBits);
    const field = unit && fields[next++];
    if (!field) continue;
    const { rows, cols, firstRow, rowGaps, firstCol, colGaps, colParameter } = field;
    bits.write(rows, rowsBits);
    bits.rice(cols, countParameter);
    bits.write(firstRow, firstRowBits);
    for (const gap of rowGaps) bits.rice(gap, rowParameter);
    if (cols > 0) {
      bits.write(firstCol, firstColBits);
      bits.write(colParameter, colParameterBits);
    }
    for (const gap of colGaps) bits.rice(gap, colParameter);
  }
  const body = bits.finish();
  const bytes = new Uint8Array(start.byteLength + 4 * Math.ceil((body.length + 8) / 4));
  bytes.set(new Uint8Array(start.buffer));
  bytes.set(body, start.byteLength);
  return { bytes, scratchBytes: 4 * offsets.length };
}

function gapsAndParameter(ranks: readonly number[]) {
  const colGaps = gapsOf(ranks).slice(1);
  return { colGaps, colParameter: riceParameter(colGaps) };
}

/** All units of one stream after the other; undefined where one ends. */
function unitsOf(words: Int32Array, kind: StreamKind): readonly (Unit | undefined)[] {
  const units: (Unit | undefined)[] = [];
  for (let at = 0; at < words.length; ) {
    const head = words[at] ?? 0;
    if (head === 0) {
      units.push(undefined);
      at++;
      continue;
    }
    const rows = kind === 'units' ? head & ROWS_MASK : 4 * ((head & 255) - 1) + (head >> 8);
    const cols = words[at + 1] ?? 0;
    const from = at + 2;
    at = from + rows + cols;
    units.push({
      head,
      rows: Array.from(words.subarray(from, from + rows)),
      cols: Array.from(words.subarray(from + rows, at)),
    });
  }
  return units;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** How many values are left out before each of an ascending list that could begin with 0. */
function gapsOf(ascending: readonly number[]): readonly number[] {
  return ascending.map((value, i) => {
    const gap = value - (ascending[i - 1] ?? -1) - 1;
    invariant(gap >= 0, `${value} after ${ascending[i - 1]} in a list of a stream`);
    return gap;
  });
}

/** The parameter with the fewest bits, among those with which every code fits a window. */
function riceParameter(values: readonly number[]): number {
  const largest = values.reduce((a, b) => Math.max(a, b), 0);
  let best = 0;
  let fewest = Number.POSITIVE_INFINITY;
  for (let k = 0; k <= 30; k++) {
    if (Math.floor(largest / 2 ** k) + 1 + k > LONGEST_CODE) continue;
    const bits = values.reduce((sum, value) => sum + Math.floor(value / 2 ** k) + 1 + k, 0);
    if (bits < fewest) [best, fewest] = [k, bits];
  }
  return best;
}

interface Run {
  readonly base: readonly number[];
  readonly repeats: number;
  readonly step: number;
}

/** Of a run, besides its base. */
const RUN_WORDS = 3;
/** Taps of a window that a period may have. */
const LONGEST_PERIOD = 64;

/** Offsets as repeated patterns: greedily the period that takes the fewest words for each offset, the shortest of equal ones. */
function runsOf(offsets: readonly number[]): readonly Run[] {
  const runs: Run[] = [];
  for (let at = 0; at < offsets.length; ) {
    let best: Run = { base: offsets.slice(at, at + 1), repeats: 1, step: 0 };
    // An offset that joins those before it.
    let cheapest = 1;
    const end = Math.min(LONGEST_PERIOD, Math.floor((offsets.length - at) / 2));
    for (let period = 1; period <= end; period++) {
      const step = (offsets[at + period] ?? 0) - (offsets[at] ?? 0);
      let next = at + period;
      while (next < offsets.length && (offsets[next] ?? 0) - (offsets[next - period] ?? 0) === step) next++;
      const repeats = Math.floor((next - at) / period);
      const cost = (RUN_WORDS + period) / (repeats * period);
      if (cost < cheapest) [best, cheapest] = [{ base: offsets.slice(at, at + period), repeats, step }, cost];
    }
    const previous = runs.at(-1);
    if (best.repeats === 1 && previous?.repeats === 1)
      runs[runs.length - 1] = { ...previous, base: [...previous.base, ...best.base] };
    else runs.push(best);
    at += best.base.length * best.repeats;
  }
  return runs;
}

class BitWriter {
  readonly #bytes: number[] = [];
  #current = 0;
  #filled = 0;

  write(value: number, bits: number): void {
    for (let i = 0; i < bits; i++) this.#bit((value >>> i) & 1);
  }

  /** `value >> k` ones, a zero, then the lowest k bits. */
  rice(value: number, k: number): void {
    for (let i = 0; i < value >>> k; i++) this.#bit(1);
    this.#bit(0);
    this.write(value, k);
  }

  finish(): Uint8Array {
    while (this.#filled > 0) this.#bit(0);
    return Uint8Array.from(this.#bytes);
  }

  #bit(bit: number): void {
    this.#current |= bit << this.#filled++;
    if (this.#filled < 8) return;
    this.#bytes.push(this.#current);
    this.#current = 0;
    this.#filled = 0;
  }
}

/**
 * Adds `unpack(target, packed, scratch)`, addresses: writes to `target` the words that {@link packStream} was given.
 * `packed` lies at a multiple of 4.
 */
export function addUnpack(module: ModuleBuilder, name: string): FunctionRef {
  return module.function({ parameters: { target: 'i32', packed: 'i32', scratch: 'i32' }, export: name }, (f, p) => {
    const next = f.local('i32');
    unpackOffsets(f, p.packed, p.scratch);
    const parameters = f.locals('i32', 9) as I[] as [I, I, I, I, I, I, I, I, I];
    const [streams, rowStep, headBits, rowsBits, firstRowBits, firstColBits] = parameters;
    const [countParameter, rowParameter, colParameterBits] = parameters.slice(6) as [I, I, I];
    const colParameter = f.local('i32');
    for (const [i, local] of parameters.entries())
      f.get(p.packed)
        .memory('i32.load', 4 * i)
        .set(local);
    advance(f, p.packed, 4 * parameters.length);
    const read = bitReader(f, p.packed);
    const put = (value: () => void) => {
      f.get(p.target);
      value();
      f.memory('i32.store');
      advance(f, p.target, 4);
    };
    const [head, rows, cols, index] = f.locals('i32', 4) as [I, I, I, I];
    /** index += gap + 1 */
    const step = (parameter: Local<'i32'>) => {
      read.rice(parameter, next);
      f.get(index).get(next).op('i32.add').i32(1).op('i32.add').set(index);
    };
    const putRow = () => put(() => f.get(index).get(rowStep).op('i32.mul'));
    const putCol = () => put(() => f.get(p.scratch).get(index).i32(2).op('i32.shl').op('i32.add').memory('i32.load'));
    f.loop((again) => {
      read.bits(headBits as Local<'i32'>, head);
      put(() => f.get(head));
      f.get(head).if(
        () => {
          read.bits(rowsBits as Local<'i32'>, rows);
          read.rice(countParameter as Local<'i32'>, cols);
          put(() => f.get(cols));
          read.bits(firstRowBits as Local<'i32'>, index);
          putRow();
          f.get(rows).i32(1).op('i32.sub').set(rows);
          countDownIfAny(f, rows, () => {
            step(rowParameter);
            putRow();
          });
          f.get(cols).if(() => {
            read.bits(firstColBits, index);
            read.bits(colParameterBits, colParameter);
            putCol();
            f.get(cols).i32(1).op('i32.sub').set(cols);
            countDownIfAny(f, cols, () => {
              step(colParameter);
              putCol();
            });
          });
        },
        () => advance(f, streams as Local<'i32'>, -1),
      );
      f.get(streams).brIf(again);
    });
  });
}

type I = Local<'i32'>;

/** Writes all column offsets, ascending, to `scratch`; leaves `packed` behind the runs. */
function unpackOffsets(f: FunctionBuilder, packed: Local<'i32'>, scratch: Local<'i32'>): void {
  const [runs, to, repeats, shift, left, from] = f.locals('i32', 6) as I[] as [I, I, I, I, I, I];
  f.get(packed).memory('i32.load').set(runs).get(scratch).set(to);
  advance(f, packed, 4);
  countDownIfAny(f, runs, () => {
    f.get(packed).memory('i32.load', 4).set(repeats).i32(0).set(shift);
    countDown(f, repeats, () => {
      f.get(packed).memory('i32.load').set(left).get(packed).set(from);
      countDown(f, left, () => {
        f.get(to).get(from).memory('i32.load', 12).get(shift).op('i32.add').memory('i32.store');
        advance(f, from, 4);
        advance(f, to, 4);
      });
      f.get(shift).get(packed).memory('i32.load', 8).op('i32.add').set(shift);
    });
    f.get(from).i32(12).op('i32.add').set(packed);
  });
}

/** Code that takes bits from a cursor which begins at `from`. */
function bitReader(f: FunctionBuilder, from: Local<'i32'>) {
  const bit = f.local('i64');
  const window = f.local('i64');
  const ones = f.local('i64');
  const wide = (local: Local<'i32'>) => f.get(local).op('i64.extend_i32_u');
  f.get(from).op('i64.extend_i32_u').i32(3).op('i64.extend_i32_u').op('i64.shl').set(bit);
  const load = () =>
    f
      .get(bit)
      .i32(3)
      .op('i64.extend_i32_u')
      .op('i64.shr_u')
      .op('i32.wrap_i64')
      .memory('i64.load')
      .get(bit)
      .i32(7)
      .op('i64.extend_i32_u')
      .op('i64.and')
      .op('i64.shr_u')
      .set(window);
  /** The lowest `count` bits of the window. */
  const lowest = (count: Local<'i32'>) => {
    const one = () => f.i32(1).op('i64.extend_i32_u');
    f.get(window);
    one();
    wide(count).op('i64.shl');
    one().op('i64.sub').op('i64.and').op('i32.wrap_i64');
  };
  return {
    bits(count: Local<'i32'>, into: Local<'i32'>): void {
      load();
      lowest(count);
      f.set(into).get(bit);
      wide(count).op('i64.add').set(bit);
    },
    rice(parameter: Local<'i32'>, into: Local<'i32'>): void {
      load();
      // Ones up to the first zero.
      f.get(window).i32(-1).op('i64.extend_i32_s').op('i64.xor').op('i64.ctz').set(ones);
      f.get(window).get(ones).i32(1).op('i64.extend_i32_u').op('i64.add').op('i64.shr_u').set(window);
      lowest(parameter);
      f.get(ones).op('i32.wrap_i64').get(parameter).op('i32.shl').op('i32.or').set(into);
      f.get(bit).get(ones).op('i64.add').i32(1).op('i64.extend_i32_u').op('i64.add');
      wide(parameter).op('i64.add').set(bit);
    },
  };
}
