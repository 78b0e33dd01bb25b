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
 * each i below `repeats`; then the number of streams, distance between rows of Y, bits of a first row, Rice parameter of row
 * gaps, bits of a parameter of column gaps, bits of a kind, number of kinds, number of bounds; the kinds, the bounds. Then bits,
 * lowest first, for each unit: whether its kind is not the one that followed the kind of the unit before when that last stood
 * there, whether the parameter of its columns is not that of the unit before; its kind if so; the first row and the gaps of the
 * others, unless they are those of the unit before; the parameter if so; the gaps of its columns.
 *
 * A kind is a head, how many rows follow (0: those of the unit before) and a pass. Units of a kind stand together, or those of
 * one row pass after pass, so one bit says it almost always. Bounds are the first offset of each pass; a last, empty pass is
 * that of units without columns. The first gap counts from the start of the pass, and a list ends with the gap that reaches the
 * end of it, which takes less than the number of columns would: so a column costs what Rice codes of its gap cost, and a unit
 * about 10 bits. Kind 0 ends a stream, the next one may follow; 8 zero bytes are the last, so that a reader may always take 64
 * bits.
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

export function packStream(words: Int32Array, { kind: form, offsets: all, passes: ranges }: Stream): PackedStream {
  const passes = ranges && ranges.length < MOST_PASSES ? ranges : [[0, all.length] as const];
  const entries = unitsOf(words, form);
  const units = entries.filter((entry) => entry !== undefined);
  const offsets = passes.flatMap(([from, to]) => all.slice(from, to).sort((a, b) => a - b));
  const bounds = [0, ...passes.map(([, to]) => to), all.length];
  const rankOf = new Map(offsets.map((offset, rank) => [offset, rank]));
  const rowStep = units.flatMap(({ rows }) => rows).reduce(greatestCommonDivisor, 0) || 1;
  let before: Unit = { head: 0, rows: [], cols: [] };
  const kinds = new Map([[END, 0]]);
  const fields = entries.map((entry) => {
    if (!entry) return { kind: 0 };
    const { head, rows, cols } = entry;
    const ranks = cols.map((offset) => rankOf.get(offset) ?? Number.NaN);
    const [first = all.length] = ranks;
    const pass = cols.length > 0 ? bounds.findLastIndex((from) => from <= first) : passes.length;
    const [from = 0, to = 0] = bounds.slice(pass);
    const repeats = rows.join() === before.rows.join();
    const word = kindWord(head, repeats ? 0 : rows.length, pass);
    const kind = kinds.get(word) ?? kinds.size;
    kinds.set(word, kind);
    before = entry;
    const [firstRow = 0, ...others] = repeats ? [] : gapsOf(rows.map((offset) => offset / rowStep));
    return { kind, rows: repeats ? undefined : { firstRow, others }, gaps: gapsOf([...ranks, to], from) };
  });
  const parameters = parametersOf(fields.flatMap(({ gaps }) => (gaps ? [gaps] : [])));
  const bitsFor = (values: readonly number[]) => 32 - Math.clz32(values.reduce((a, b) => Math.max(a, b), 0));
  const firstRowBits = bitsFor(fields.map(({ rows }) => rows?.firstRow ?? 0));
  const rowParameter = riceParameter(fields.flatMap(({ rows }) => rows?.others ?? []));
  const colParameterBits = bitsFor(parameters);
  const kindBits = bitsFor([kinds.size - 1]);
  const runs = runsOf(offsets);
  const start = Int32Array.from([
    runs.length,
    ...runs.flatMap(({ repeats, step, base }) => [base.length, repeats, step, ...base]),
    ...[entries.length - units.length, rowStep, firstRowBits, rowParameter, colParameterBits, kindBits],
    ...[kinds.size, bounds.length, ...kinds.keys(), ...bounds],
  ]);
  const bits = new BitWriter();
  const followers = new Map<number, number>();
  let [last, parameter, next] = [0, 0, 0];
  for (const { kind, rows, gaps } of fields) {
    const own = gaps ? (parameters[next++] ?? 0) : parameter;
    const [newKind, newParameter] = [kind !== (followers.get(last) ?? 0), own !== parameter];
    bits.write((newKind ? NEW_KIND : 0) | (newParameter ? NEW_PARAMETER : 0), FLAGS);
    if (newKind) bits.write(kind, kindBits);
    followers.set(last, kind);
    last = kind;
    if (rows) bits.write(rows.firstRow, firstRowBits);
    for (const gap of rows?.others ?? []) bits.rice(gap, rowParameter);
    if (newParameter) bits.write(own, colParameterBits);
    parameter = own;
    for (const gap of gaps ?? []) bits.rice(gap, parameter);
  }
  const body = bits.finish();
  const bytes = new Uint8Array(start.byteLength + 4 * Math.ceil((body.length + 8) / 4));
  bytes.set(new Uint8Array(start.buffer));
  bytes.set(body, start.byteLength);
  return { bytes, scratchBytes: 4 * (offsets.length + kinds.size) };
}

/** Of each unit: two bits. */
const FLAGS = 2;
const NEW_KIND = 1;
const NEW_PARAMETER = 2;

/** A kind in one word: bits of a head, of a number of rows, and of a pass. */
const HEAD_BITS = 12;
const ROWS_BITS = 6;
const MOST_PASSES = 2 ** (31 - HEAD_BITS - ROWS_BITS);
/** The kind that ends a stream: no unit has the head 0. */
const END = 0;

function kindWord(head: number, rows: number, pass: number): number {
  invariant(head < 2 ** HEAD_BITS && rows < 2 ** ROWS_BITS, `a unit with the head ${head} and ${rows} rows`);
  return head | (rows << HEAD_BITS) | (pass << (HEAD_BITS + ROWS_BITS));
}

/** For each list of gaps the parameter that suits it best, or the one before where another does not save what it costs. */
function parametersOf(lists: readonly (readonly number[])[]): readonly number[] {
  const best = lists.map(riceParameter);
  const cost = 32 - Math.clz32(best.reduce((a, b) => Math.max(a, b), 0));
  let before = 0;
  return lists.map((gaps, i) => {
    const own = best[i] ?? 0;
    if (riceBits(gaps, before) > riceBits(gaps, own) + cost) before = own;
    return before;
  });
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

/** How many values are left out before each of an ascending list that could begin with `from`. */
function gapsOf(ascending: readonly number[], from = 0): readonly number[] {
  return ascending.map((value, i) => {
    const gap = value - (ascending[i - 1] ?? from - 1) - 1;
    invariant(gap >= 0, `${value} after ${ascending[i - 1]} in a list of a stream`);
    return gap;
  });
}

/** The parameter with the fewest bits, among those with which every code fits a window. */
function riceParameter(values: readonly number[]): number {
  let best = 0;
  let fewest = Number.POSITIVE_INFINITY;
  for (let k = 0; k <= 30; k++) {
    const bits = riceBits(values, k);
    if (bits < fewest) [best, fewest] = [k, bits];
  }
  return best;
}

/** Infinity where a code would not fit a window. */
function riceBits(values: readonly number[], k: number): number {
  let bits = 0;
  for (const value of values) {
    const own = (value >>> k) + 1 + k;
    if (own > LONGEST_CODE) return Number.POSITIVE_INFINITY;
    bits += own;
  }
  return bits;
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
    const [gap, followers] = f.locals('i32', 2) as [I, I];
    unpackOffsets(f, p.packed, p.scratch, followers);
    const parameters = f.locals('i32', 8) as [I, I, I, I, I, I, I, I];
    const [streams, rowStep, firstRowBits, rowParameter, colParameterBits, kindBits, kinds, bounds] = parameters;
    for (const [i, local] of parameters.entries())
      f.get(p.packed)
        .memory('i32.load', 4 * i)
        .set(local);
    const [kind, at, flags, flagBits, parameter] = f.locals('i32', 5) as [I, I, I, I, I];
    f.i32(FLAGS).set(flagBits);
    // Nothing has followed any kind: END is expected.
    f.get(kinds).set(kind).get(followers).set(at);
    countDown(f, kind, () => {
      f.get(at).i32(0).memory('i32.store');
      advance(f, at, 4);
    });
    advance(f, p.packed, 4 * parameters.length);
    // Both numbers become addresses of what is counted.
    const word = (count: I) => f.get(p.packed).get(count).i32(2).op('i32.shl').op('i32.add');
    f.get(bounds).set(at);
    word(kinds).set(bounds).get(p.packed).set(kinds).get(bounds).set(p.packed);
    word(at).set(p.packed);
    const read = bitReader(f, p.packed);
    const put = (value: () => void) => {
      f.get(p.target);
      value();
      f.memory('i32.store');
      advance(f, p.target, 4);
    };
    const [head, rows, left, index, end, count, lastRows, lastCount] = f.locals('i32', 8) as [I, I, I, I, I, I, I, I];
    /** index += gap + 1 */
    const step = (by: I) => {
      read.rice(by, gap);
      f.get(index).get(gap).op('i32.add').i32(1).op('i32.add').set(index);
    };
    const putRow = () => put(() => f.get(index).get(rowStep).op('i32.mul'));
    const isSet = (flag: number) => f.get(flags).i32(flag).op('i32.and');
    const at4 = (base: I, i: I) => f.get(base).get(i).i32(2).op('i32.shl').op('i32.add');
    f.loop((again) => {
      read.bits(flagBits, flags);
      at4(followers, kind).set(at);
      isSet(NEW_KIND).if(
        () => {
          read.bits(kindBits, kind);
          f.get(at).get(kind).memory('i32.store');
        },
        () => f.get(at).memory('i32.load').set(kind),
      );
      at4(kinds, kind).memory('i32.load').set(head);
      put(() =>
        f
          .get(head)
          .i32(2 ** HEAD_BITS - 1)
          .op('i32.and'),
      );
      f.get(head).if(
        () => {
          f.get(p.target).set(count);
          advance(f, p.target, 4);
          f.get(head)
            .i32(HEAD_BITS)
            .op('i32.shr_u')
            .i32(2 ** ROWS_BITS - 1)
            .op('i32.and')
            .tee(rows);
          f.if(
            () => {
              f.get(p.target).set(lastRows).get(rows).set(lastCount);
              read.bits(firstRowBits, index);
              putRow();
              f.get(rows).i32(1).op('i32.sub').set(rows);
              countDownIfAny(f, rows, () => {
                step(rowParameter);
                putRow();
              });
            },
            () => {
              f.get(lastRows).set(at).get(lastCount).set(left);
              f.get(p.target).set(lastRows);
              countDown(f, left, () => {
                put(() => f.get(at).memory('i32.load'));
                advance(f, at, 4);
              });
            },
          );
          isSet(NEW_PARAMETER).if(() => read.bits(colParameterBits, parameter));
          f.get(head)
            .i32(HEAD_BITS + ROWS_BITS)
            .op('i32.shr_u')
            .set(at);
          at4(bounds, at).tee(at).memory('i32.load').i32(1).op('i32.sub').set(index);
          f.get(at).memory('i32.load', 4).set(end);
          f.get(p.target).set(at);
          f.block((done) => {
            f.loop((column) => {
              step(parameter);
              f.get(index).get(end).op('i32.ge_u').brIf(done);
              put(() => at4(p.scratch, index).memory('i32.load'));
              f.br(column);
            });
          });
          f.get(count).get(p.target).get(at).op('i32.sub').i32(2).op('i32.shr_u').memory('i32.store');
        },
        () => advance(f, streams, -1),
      );
      f.get(streams).brIf(again);
    });
  });
}

type I = Local<'i32'>;

/** Writes all column offsets to `scratch`; leaves `packed` behind the runs, `to` behind the offsets. */
function unpackOffsets(f: FunctionBuilder, packed: I, scratch: I, to: I): void {
  const [runs, repeats, shift, left, from] = f.locals('i32', 5) as [I, I, I, I, I];
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
