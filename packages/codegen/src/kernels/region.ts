/**
 * Regions of interest, and determinants: scalar code whose loops depend on the data. Positions are float64, as the reference
 * computes them, so that a sample more or less is none of rounding; elements are float32.
 */
import type { FunctionBuilder, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, countDown } from './family.ts';

type I = Local<'i32'>;
type D = Local<'f64'>;

const double = (f: FunctionBuilder, value: number) => f.f32(value).op('f64.promote_f32');

/** Makes an i32 of the float64 on the stack: cut to what i32 holds, 0 for NaN. */
function toInteger(f: FunctionBuilder): void {
  const x = f.local('f64');
  f.set(x).get(x);
  double(f, 0).get(x).get(x).op('f64.eq').op('f64.select');
  double(f, -(2 ** 30)).op('f64.max');
  double(f, 2 ** 30)
    .op('f64.min')
    .op('i64.trunc_f64_s')
    .op('i32.wrap_i64');
}

function larger(f: FunctionBuilder, a: I, b: I): void {
  f.get(a).get(b).get(a).get(b).op('i32.gt_s').op('i32.select');
}

function smaller(f: FunctionBuilder, a: I, b: I): void {
  f.get(a).get(b).get(a).get(b).op('i32.lt_s').op('i32.select');
}

/** local = max(local, 0) */
function atLeastZero(f: FunctionBuilder, x: I): void {
  f.get(x).i32(0).get(x).i32(0).op('i32.gt_s').op('i32.select').set(x);
}

/** Runs `body` for i from `first` to `last`, not at all when there is none. */
function span(f: FunctionBuilder, i: I, last: I, body: () => void): void {
  f.block((done) => {
    f.loop((again) => {
      f.get(i).get(last).op('i32.gt_s').brIf(done);
      body();
      advance(f, i, 1);
      f.br(again);
    });
  });
}

/** Takes the index at `at` into [0, length), so that no other memory is read. */
type LoadIndex = (f: FunctionBuilder, at: I, index: I, length: I) => void;

/** Samples of a bin along one axis. */
interface Samples {
  readonly count: I;
  readonly first: I;
  readonly last: I;
  readonly step: D;
  readonly start: D;
}

function samplesOf(f: FunctionBuilder, start: D, size: D, bins: I, ratio: I, length: I): Samples {
  const [count, first, last] = [f.local('i32'), f.local('i32'), f.local('i32')];
  const step = f.local('f64');
  f.get(ratio).set(count);
  f.get(ratio)
    .i32(0)
    .op('i32.le_s')
    .if(() => {
      f.get(size).get(bins).op('f64.convert_i32_s').op('f64.div').op('f64.ceil');
      toInteger(f);
      f.set(count);
      atLeastZero(f, count);
    });
  f.get(size)
    .get(bins)
    .op('f64.convert_i32_s')
    .op('f64.div')
    .get(count)
    .op('f64.convert_i32_s')
    .op('f64.div')
    .set(step);
  f.i32(0).set(first).get(count).i32(1).op('i32.sub').set(last);
  // Only samples from -1 to the length can count: the others are not visited, however large the box.
  f.get(step);
  double(f, 0)
    .op('f64.gt')
    .if(() => {
      const bound = f.local('i32');
      const place = (position: () => void, round: 'f64.floor' | 'f64.ceil') => {
        position();
        f.get(start).op('f64.sub').get(step).op('f64.div');
        double(f, 0.5).op('f64.sub').op(round);
        toInteger(f);
      };
      place(() => double(f, -1), 'f64.floor');
      f.set(first);
      atLeastZero(f, first);
      place(() => f.get(length).op('f64.convert_i32_s'), 'f64.ceil');
      f.set(bound);
      smaller(f, bound, last);
      f.set(last);
    });
  return { count, first, last, step, start };
}

/** Position in a plane as the two elements around it: `low`, `high` and how near the second is. */
interface Between {
  readonly inside: I;
  readonly low: I;
  readonly high: I;
  readonly part: D;
}

function between(f: FunctionBuilder, { start, step }: Samples, i: I, length: I): Between {
  const [inside, low, high] = [f.local('i32'), f.local('i32'), f.local('i32')];
  const [x, part] = [f.local('f64'), f.local('f64')];
  f.get(start).get(i).op('f64.convert_i32_s');
  double(f, 0.5).op('f64.add').get(step).op('f64.mul').op('f64.add').set(x);
  f.get(x);
  double(f, -1).op('f64.ge').get(x).get(length).op('f64.convert_i32_s').op('f64.le').op('i32.and').set(inside);
  f.get(x);
  double(f, 0).op('f64.max').set(x);
  f.get(x).op('f64.floor');
  toInteger(f);
  f.set(low);
  f.get(low)
    .get(length)
    .i32(1)
    .op('i32.sub')
    .op('i32.ge_s')
    .if(
      () => {
        f.get(length).i32(1).op('i32.sub').tee(low).set(high);
        double(f, 0).set(part);
      },
      () => {
        f.get(low).i32(1).op('i32.add').set(high);
        f.get(x).get(low).op('f64.convert_i32_s').op('f64.sub').set(part);
      },
    );
  return { inside, low, high, part };
}

export interface RoiAlignOptions {
  readonly mode: 'avg' | 'max';
  readonly loadIndex: LoadIndex;
  readonly exported: string;
}

/**
 * `(out, x, rois, batches, table, count, batch, channels, height, width, rows, cols, ratio)`, no count but `ratio` 0.
 * The table holds, as float64: the scale, what is taken off every corner, and the least size of a box.
 */
export function addRoiAlign(module: ModuleBuilder, { mode, loadIndex, exported }: RoiAlignOptions): void {
  const parameters = {
    out: 'i32',
    x: 'i32',
    rois: 'i32',
    batches: 'i32',
    table: 'i32',
    count: 'i32',
    batch: 'i32',
    channels: 'i32',
    height: 'i32',
    width: 'i32',
    rows: 'i32',
    cols: 'i32',
    ratio: 'i32',
  } as const;
  module.function({ export: exported, parameters }, (f, p) => {
    const [index, image, plane, bins, row, col, iy, ix, left, to, outside] = f.locals('i32', 11) as [
      I,
      I,
      I,
      I,
      I,
      I,
      I,
      I,
      I,
      I,
      I,
    ];
    const corners = f.locals('f64', 4) as [D, D, D, D];
    const [x1, y1, x2, y2] = corners;
    const [startY, startX] = [f.local('f64'), f.local('f64')];
    const pointers = f.locals('i32', 4) as [I, I, I, I];
    const weights = f.locals('f32', 4);
    const total = f.local('f32');
    f.get(p.height).get(p.width).op('i32.mul').i32(2).op('i32.shl').set(plane);
    f.get(p.rows).get(p.cols).op('i32.mul').i32(2).op('i32.shl').set(bins);
    const size = (from: D, until: D) => {
      f.get(until).get(from).op('f64.sub').get(p.table).memory('f64.load', 16).op('f64.max').set(until);
    };
    /** Runs `body` for every channel, `to` at the element of the bin. */
    const eachChannel = (body: () => void) => {
      f.get(p.channels).set(left).get(p.out);
      f.get(row).get(p.cols).op('i32.mul').get(col).op('i32.add').i32(2).op('i32.shl').op('i32.add').set(to);
      countDown(f, left, () => {
        body();
        advance(f, to, bins);
      });
    };
    countDown(f, p.count, () => {
      loadIndex(f, p.batches, index, p.batch);
      f.get(index).get(p.channels).op('i32.mul').get(plane).op('i32.mul').get(p.x).op('i32.add').set(image);
      corners.forEach((corner, i) => {
        f.get(p.rois)
          .memory('f32.load', 4 * i)
          .op('f64.promote_f32')
          .get(p.table)
          .memory('f64.load')
          .op('f64.mul');
        f.get(p.table).memory('f64.load', 8).op('f64.sub').set(corner);
      });
      // From here on x2 and y2 are the sizes.
      size(x1, x2);
      size(y1, y2);
      f.i32(0).set(row);
      const eachRow = () => {
        const begin = (at: D, origin: D, extent: D, i: I, n: I) => {
          f.get(origin).get(i).op('f64.convert_i32_s').get(extent).get(n).op('f64.convert_i32_s').op('f64.div');
          f.op('f64.mul').op('f64.add').set(at);
        };
        begin(startY, y1, y2, row, p.rows);
        begin(startX, x1, x2, col, p.cols);
        const down = samplesOf(f, startY, y2, p.rows, p.ratio, p.height);
        const across = samplesOf(f, startX, x2, p.cols, p.ratio, p.width);
        f.i32(0).set(outside);
        const skips = ({ first, last, count }: Samples) => {
          f.get(first).i32(0).op('i32.gt_s').get(last).get(count).i32(1).op('i32.sub').op('i32.lt_s').op('i32.or');
        };
        skips(down);
        skips(across);
        f.op('i32.or').set(outside);
        eachChannel(() =>
          f
            .get(to)
            .f32(mode === 'avg' ? 0 : Number.NEGATIVE_INFINITY)
            .memory('f32.store'),
        );
        f.get(down.first).set(iy);
        span(f, iy, down.last, () => {
          const y = between(f, down, iy, p.height);
          f.get(across.first).set(ix);
          span(f, ix, across.last, () => {
            const x = between(f, across, ix, p.width);
            f.get(y.inside)
              .get(x.inside)
              .op('i32.and')
              .if(
                () => {
                  const share = (at: Local, part: D, near: boolean) => {
                    if (near) f.get(part);
                    else double(f, 1).get(part).op('f64.sub');
                    return at;
                  };
                  [
                    [y.low, x.low, false, false],
                    [y.low, x.high, false, true],
                    [y.high, x.low, true, false],
                    [y.high, x.high, true, true],
                  ].forEach(([a, b, second, next], i) => {
                    const [pointer, weight] = [pointers[i] as I, weights[i] as Local<'f32'>];
                    f.get(a as I)
                      .get(p.width)
                      .op('i32.mul')
                      .get(b as I)
                      .op('i32.add')
                      .i32(2)
                      .op('i32.shl');
                    f.get(image).op('i32.add').set(pointer);
                    share(pointer, y.part, second as boolean);
                    share(pointer, x.part, next as boolean);
                    f.op('f64.mul').op('f32.demote_f64').set(weight);
                  });
                  eachChannel(() => {
                    f.get(to).memory('f32.load').set(total);
                    pointers.forEach((pointer, i) => {
                      f.get(total)
                        .get(weights[i] as Local)
                        .get(pointer)
                        .memory('f32.load')
                        .op('f32.mul');
                      f.op(mode === 'avg' ? 'f32.add' : 'f32.max').set(total);
                      advance(f, pointer, plane);
                    });
                    f.get(to).get(total).memory('f32.store');
                  });
                },
                () => f.i32(1).set(outside),
              );
          });
        });
        if (mode === 'avg') {
          f.get(down.count).op('f64.convert_i32_s').get(across.count).op('f64.convert_i32_s').op('f64.mul');
          double(f, 1).op('f64.max').op('f32.demote_f64').set(total);
          eachChannel(() => f.get(to).get(to).memory('f32.load').get(total).op('f32.div').memory('f32.store'));
        } else
          eachChannel(() => {
            // What lies outside counts as zero, and so does a bin without samples.
            f.get(to).memory('f32.load').set(total);
            f.get(outside).if(() => f.get(total).f32(0).op('f32.max').set(total));
            f.get(to)
              .f32(0)
              .get(total)
              .get(total)
              .f32(Number.NEGATIVE_INFINITY)
              .op('f32.eq')
              .op('f32.select')
              .memory('f32.store');
          });
      };
      f.loop((nextRow) => {
        f.i32(0).set(col);
        f.loop((nextCol) => {
          eachRow();
          advance(f, col, 1);
          f.get(col).get(p.cols).op('i32.lt_s').brIf(nextCol);
        });
        advance(f, row, 1);
        f.get(row).get(p.rows).op('i32.lt_s').brIf(nextRow);
      });
      f.get(p.channels).get(bins).op('i32.mul').get(p.out).op('i32.add').set(p.out);
      advance(f, p.rois, 16);
      advance(f, p.batches, 8);
    });
  });
}

/** `(out, x, rois, table, count, batch, channels, height, width, rows, cols)`; the table holds the scale as float64. */
export function addMaxRoiPool(module: ModuleBuilder, exported: string): void {
  const parameters = {
    out: 'i32',
    x: 'i32',
    rois: 'i32',
    table: 'i32',
    count: 'i32',
    batch: 'i32',
    channels: 'i32',
    height: 'i32',
    width: 'i32',
    rows: 'i32',
    cols: 'i32',
  } as const;
  module.function({ export: exported, parameters }, (f, p) => {
    const [image, plane, row, col, left, y, x, high, wide, limit] = f.locals('i32', 10) as [
      I,
      I,
      I,
      I,
      I,
      I,
      I,
      I,
      I,
      I,
    ];
    const box = f.locals('i32', 4) as [I, I, I, I];
    const [x1, y1, x2, y2] = box;
    const most = f.local('f32');
    f.get(p.height).get(p.width).op('i32.mul').i32(2).op('i32.shl').set(plane);
    const one = f.local('i32');
    f.i32(1).set(one);
    /** The first element of bin `i` of `n`, or behind its last: start + round(i · size / n), cut to the input. */
    const bound = (i: () => void, n: I, size: I, start: I, length: I, round: 'f64.floor' | 'f64.ceil', result: I) => {
      i();
      f.op('f64.convert_i32_s')
        .get(size)
        .op('f64.convert_i32_s')
        .op('f64.mul')
        .get(n)
        .op('f64.convert_i32_s')
        .op('f64.div')
        .op(round);
      f.get(start).op('f64.convert_i32_s').op('f64.add');
      toInteger(f);
      f.set(result);
      atLeastZero(f, result);
      smaller(f, result, length);
      f.set(result);
    };
    countDown(f, p.count, () => {
      f.get(p.rois).memory('f32.load').op('f64.promote_f32');
      toInteger(f);
      f.set(image);
      atLeastZero(f, image);
      f.get(p.batch).i32(1).op('i32.sub').set(limit);
      smaller(f, image, limit);
      f.get(p.channels).op('i32.mul').get(plane).op('i32.mul').get(p.x).op('i32.add').set(image);
      box.forEach((side, i) => {
        f.get(p.rois)
          .memory('f32.load', 4 + 4 * i)
          .op('f64.promote_f32')
          .get(p.table)
          .memory('f64.load')
          .op('f64.mul');
        double(f, 0.5).op('f64.add').op('f64.floor');
        toInteger(f);
        f.set(side);
      });
      // Both ends belong to the box, which has at least one element; from here on x2 and y2 are the sizes.
      for (const [from, until] of [
        [x1, x2],
        [y1, y2],
      ] as const) {
        f.get(until).get(from).op('i32.sub').i32(1).op('i32.add').set(until);
        larger(f, until, one);
        f.set(until);
      }
      f.get(p.channels).set(left);
      countDown(f, left, () => {
        f.i32(0).set(row);
        f.loop((nextRow) => {
          f.i32(0).set(col);
          f.loop((nextCol) => {
            bound(() => f.get(row), p.rows, y2, y1, p.height, 'f64.floor', y);
            bound(() => f.get(row).i32(1).op('i32.add'), p.rows, y2, y1, p.height, 'f64.ceil', high);
            bound(() => f.get(col).i32(1).op('i32.add'), p.cols, x2, x1, p.width, 'f64.ceil', wide);
            f.get(high).i32(1).op('i32.sub').set(high).get(wide).i32(1).op('i32.sub').set(wide);
            f.f32(Number.NEGATIVE_INFINITY).set(most);
            const seen = f.local('i32');
            f.i32(0).set(seen);
            span(f, y, high, () => {
              bound(() => f.get(col), p.cols, x2, x1, p.width, 'f64.floor', x);
              span(f, x, wide, () => {
                f.get(most).get(y).get(p.width).op('i32.mul').get(x).op('i32.add').i32(2).op('i32.shl');
                f.get(image).op('i32.add').memory('f32.load').op('f32.max').set(most);
                f.i32(1).set(seen);
              });
            });
            f.get(p.out).get(most).f32(0).get(seen).op('f32.select').memory('f32.store');
            advance(f, p.out, 4);
            advance(f, col, 1);
            f.get(col).get(p.cols).op('i32.lt_s').brIf(nextCol);
          });
          advance(f, row, 1);
          f.get(row).get(p.rows).op('i32.lt_s').brIf(nextRow);
        });
        advance(f, image, plane);
      });
      advance(f, p.rois, 20);
    });
  });
}

/** `(out, matrices, count, n)` in float64, by elimination with the largest pivot; the matrices are used up. None of them is 0. */
export function addDeterminant(module: ModuleBuilder, exported: string): void {
  const parameters = { out: 'i32', matrices: 'i32', count: 'i32', n: 'i32' } as const;
  module.function({ export: exported, parameters }, (f, p) => {
    const [pitch, head, pivot, rows, at, left, a, b] = f.locals('i32', 8) as [I, I, I, I, I, I, I, I];
    const [result, first, factor, held] = f.locals('f64', 4) as [D, D, D, D];
    f.get(p.n).i32(3).op('i32.shl').set(pitch);
    countDown(f, p.count, () => {
      double(f, 1).set(result);
      f.get(p.matrices).set(head).get(p.n).set(rows);
      f.block((singular) => {
        countDown(f, rows, () => {
          // `head` stands on the diagonal; `rows` rows and columns are left, this one among them.
          f.get(head).set(pivot).get(head).set(at).get(rows).set(left);
          countDown(f, left, () => {
            f.get(at).memory('f64.load').op('f64.abs').get(pivot).memory('f64.load').op('f64.abs').op('f64.gt');
            f.if(() => f.get(at).set(pivot));
            advance(f, at, pitch);
          });
          f.get(pivot)
            .get(head)
            .op('i32.ne')
            .if(() => {
              f.get(result).op('f64.neg').set(result).get(head).set(a).get(pivot).set(b).get(rows).set(left);
              countDown(f, left, () => {
                f.get(a).memory('f64.load').set(held);
                f.get(a).get(b).memory('f64.load').memory('f64.store').get(b).get(held).memory('f64.store');
                advance(f, a, 8);
                advance(f, b, 8);
              });
            });
          f.get(head).memory('f64.load').set(first).get(result).get(first).op('f64.mul').set(result);
          // Singular: zero without a sign, or NaN from earlier pivots.
          f.get(first);
          double(f, 0)
            .op('f64.eq')
            .if(() => f.get(result).op('f64.abs').set(result).br(singular));
          f.get(rows).i32(1).op('i32.sub').set(left).get(head).get(pitch).op('i32.add').set(at);
          f.get(left).if(() =>
            countDown(f, left, () => {
              f.get(at).memory('f64.load').get(first).op('f64.div').set(factor);
              const columns = f.local('i32');
              f.get(rows).i32(1).op('i32.sub').set(columns).get(head).set(a).get(at).set(b);
              countDown(f, columns, () => {
                advance(f, a, 8);
                advance(f, b, 8);
                f.get(b).get(b).memory('f64.load').get(factor).get(a).memory('f64.load').op('f64.mul').op('f64.sub');
                f.memory('f64.store');
              });
              advance(f, at, pitch);
            }),
          );
          f.get(head).get(pitch).op('i32.add').i32(8).op('i32.add').set(head);
        });
      });
      f.get(p.out).get(result).memory('f64.store');
      advance(f, p.out, 8);
      f.get(pitch).get(p.n).op('i32.mul').get(p.matrices).op('i32.add').set(p.matrices);
    });
  });
}
