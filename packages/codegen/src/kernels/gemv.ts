/**
 * Sparse matrix times one vector, y = A · x + bias, then residual and activation: recurrent and fully connected layers.
 *
 * With N = 1 the columns of the product cannot fill a vector, so rows of A do: the weights of 4 rows are one load, the
 * element of x is splat, and no sum crosses lanes. The sums of a unit are scattered once, after its last column. Low units
 * deal their columns to several sums, up to twelve chains. Each multiply-add needs 16 bytes of weights, so the limit is what a
 * cache delivers: 3072×1024 at density 0.1, blocks 64×256 (1.34 MB, more than the second-level cache of 1 MB), takes 20 µs,
 * 68 GB/s, and a third of it, which lies in that cache, 5.8 µs, 77 GB/s; reads alone reach 94 and 43 to 55 GB/s (256 kB and
 * 4 MB, Zen 4). Two offsets in one load gained 1 %; loads that touch the weights of 256 to 2048 bytes ahead cost 5 to 12 %. What
 * does gain: a loop of steps that walks the rows forth and back (`lower/recurrent.ts`).
 *
 * The kernel writes the biases to Y, walks the stream of `lanes.ts`, then finishes Y. Y is contiguous and must not overlap
 * X or the residual.
 */
import type { KernelPart } from '../program.ts';
import type { FunctionBuilder, FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import {
  activate,
  advance,
  countDownIfAny,
  dispatch,
  type Epilogue,
  epilogueName,
  type Family,
  hasEpilogue,
  multiplyAdd,
} from './family.ts';
import { forEachLaneUnit, LANE_VECTORS } from './lanes.ts';

export interface GemvOptions extends Family {
  readonly epilogue: Epilogue;
  /** The name it is exported under. Default: the one that states what it is. */
  readonly exported?: string;
  /** Heights of units that are needed, as {@link laneParts} names them. Default: all. */
  readonly parts?: ReadonlySet<KernelPart> | undefined;
}

export function gemvName({ relaxed, epilogue }: GemvOptions): string {
  return `f32_lanes_gemv${epilogueName(epilogue)}__${relaxed ? 'relaxed' : 'simd'}`;
}

/** The heights of the units of a stream: all eight take 9 kB, the two of low blocks 2 kB. */
export function laneParts(words: Int32Array): readonly KernelPart[] {
  const vectors = new Set<number>();
  forEachLaneUnit(words, (height) => vectors.add(height));
  return Array.from(vectors, (height) => partOf(height));
}

function partOf(vectors: number): KernelPart {
  return `rows ${4 * vectors}`;
}

/** Sums of a unit in all its chains: with an input, a weight and, without relaxed SIMD, a product, they fill the registers. */
const MOST_SUMS = 12;

/** Units of so many vectors take four columns at once: 4 to 8 % of their time, which in lower ones is nothing. */
const HIGH = 5;

const PARAMETERS = { m: 'i32', x: 'i32', y: 'i32', residual: 'i32', words: 'i32', weights: 'i32' } as const;
type Cursors = { readonly [K in keyof typeof PARAMETERS]: Local<'i32'> };

/** Adds and exports `gemv(m, x, y, residual, words, weights)`, all i32: sizes in elements, the rest byte addresses. */
export function addGemv(module: ModuleBuilder, options: GemvOptions): FunctionRef {
  return module.function({ parameters: PARAMETERS, export: options.exported ?? gemvName(options) }, (f, p) => {
    begin(f, p);
    multiply(f, options, p);
    if (hasEpilogue(options.epilogue)) finish(f, options.epilogue, p);
  });
}

/** Y = bias; the weight cursor moves past the biases and their padding. */
function begin(f: FunctionBuilder, p: Cursors): void {
  const cursor = f.local('i32');
  const from = f.local('i32');
  const left = f.local('i32');
  f.get(p.y).set(cursor).get(p.weights).set(from);
  f.get(p.m).i32(2).op('i32.shr_u').set(left);
  countDownIfAny(f, left, () => {
    f.get(cursor).get(from).memory('v128.load').memory('v128.store');
    advance(f, cursor, 16);
    advance(f, from, 16);
  });
  f.get(p.m).i32(3).op('i32.and').set(left);
  countDownIfAny(f, left, () => {
    f.get(cursor).get(from).memory('f32.load').memory('f32.store');
    advance(f, cursor, 4);
    advance(f, from, 4);
  });
  f.get(p.weights)
    .get(p.m)
    .i32(3)
    .op('i32.add')
    .i32(-4)
    .op('i32.and')
    .i32(2)
    .op('i32.shl')
    .op('i32.add')
    .set(p.weights);
}

function multiply(f: FunctionBuilder, { parts, ...family }: GemvOptions, p: Cursors): void {
  const sums = f.locals('v128', MOST_SUMS);
  const input = f.local('v128');
  const weight = f.local('v128');
  const head = f.local('i32');
  const count = f.local('i32');
  const rest = f.local('i32');
  const rows = f.local('i32');
  const target = f.local('i32');
  const lanes = f.local('i32');

  const unit = (vectors: number) => {
    const chains = Math.max(1, 2 ** Math.floor(Math.log2(Math.min(4, MOST_SUMS / vectors))));
    const unroll = vectors < HIGH ? Math.max(2, chains) : 4;
    const sum = (vector: number, chain: number) => sums[chain * vectors + vector] as Local<'v128'>;
    f.get(p.words)
      .memory('i32.load', 4)
      .tee(count)
      .i32(unroll - 1)
      .op('i32.and')
      .set(rest);
    f.get(count).i32(Math.log2(unroll)).op('i32.shr_u').set(count);
    f.get(head).i32(8).op('i32.shr_u').set(lanes);
    f.get(p.words).i32(8).op('i32.add').set(rows);
    // The offsets of the columns follow those of the rows: 4 · (vectors - 1) + lanes of them.
    f.get(rows)
      .get(lanes)
      .i32(4 * (vectors - 1))
      .op('i32.add')
      .i32(2)
      .op('i32.shl')
      .op('i32.add')
      .set(p.words);
    for (let chain = 0; chain < chains; chain++) for (let v = 0; v < vectors; v++) f.zero().set(sum(v, chain));
    const steps = (length: number) => {
      for (let column = 0; column < length; column++) {
        f.get(p.x)
          .get(p.words)
          .memory('i32.load', 4 * column)
          .op('i32.add')
          .memory('v128.load32_splat')
          .set(input);
        for (let v = 0; v < vectors; v++) {
          f.get(p.weights)
            .memory('v128.load', 16 * (column * vectors + v))
            .set(weight);
          multiplyAdd(f, family, sum(v, column % chains), input, weight);
        }
      }
      advance(f, p.words, 4 * length);
      advance(f, p.weights, 16 * length * vectors);
    };
    countDownIfAny(f, count, () => steps(unroll));
    countDownIfAny(f, rest, () => steps(1));
    for (let width = chains; width > 1; width /= 2)
      for (let chain = 0; chain < width / 2; chain++)
        for (let v = 0; v < vectors; v++)
          f.get(sum(v, chain))
            .get(sum(v, chain + width / 2))
            .op('f32x4.add')
            .set(sum(v, chain));
    const scatter = (vector: number, lane: number) => {
      f.get(p.y)
        .get(rows)
        .memory('i32.load', 16 * vector + 4 * lane)
        .op('i32.add')
        .tee(target);
      f.get(target).memory('f32.load').get(sum(vector, 0)).lane('f32x4.extract_lane', lane).op('f32.add');
      f.memory('f32.store');
    };
    for (let v = 0; v < vectors - 1; v++) for (let lane = 0; lane < 4; lane++) scatter(v, lane);
    f.block((done) => {
      for (let lane = 0; lane < 4; lane++) {
        if (lane > 0) f.get(lanes).i32(lane).op('i32.eq').brIf(done);
        scatter(vectors - 1, lane);
      }
    });
  };
  f.block((end) => {
    f.loop((next) => {
      f.get(p.words).memory('i32.load').set(head);
      const cases = Array.from({ length: LANE_VECTORS }, (_, i) => () => {
        if (parts && !parts.has(partOf(i + 1))) f.br(end);
        else unit(i + 1);
      });
      dispatch(f, () => f.get(head).i32(255).op('i32.and'), [() => f.br(end), ...cases]);
      f.br(next);
    });
  });
}

/** Residual and activation over Y. */
function finish(f: FunctionBuilder, epilogue: Epilogue, p: Cursors): void {
  const left = f.local('i32');
  const element = (load: 'v128.load' | 'v128.load32_zero') => {
    f.get(p.y).memory(load);
    if (epilogue.residual) f.get(p.residual).memory(load).op('f32x4.add');
    activate(f, epilogue);
  };
  f.get(p.m).i32(2).op('i32.shr_u').set(left);
  countDownIfAny(f, left, () => {
    f.get(p.y);
    element('v128.load');
    f.memory('v128.store');
    advance(f, p.y, 16);
    advance(f, p.residual, 16);
  });
  f.get(p.m).i32(3).op('i32.and').set(left);
  countDownIfAny(f, left, () => {
    f.get(p.y);
    element('v128.load32_zero');
    f.storeLane('v128.store32_lane', 0);
    advance(f, p.y, 4);
    advance(f, p.residual, 4);
  });
}
