/**
 * Reductions: an element-wise expression folded along some axes, in one pass without its values in memory.
 *
 * Where float32 elements are neighbours along the innermost folded axis, four sums of four lanes run side by side; where
 * they are neighbours along the innermost kept axis, four results at once. Everything else goes element by element.
 */
import { bytesPerElement, type DType, invariant } from '@grim/ir';
import type { Address, Kernel, Placement } from '../program.ts';
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import { foldTwin } from '../wgsl/fold.ts';
import { type Expression, isUnsigned, type Rep, type Shape, shapeOf } from './expression.ts';
import { isFunction, type MathCode, mathCode } from './functions.ts';
import { advanceOf, type Loops, planLoops } from './loops.ts';
import { broadcastStrides, sizeOf } from './placement.ts';
import { emitScalar, storeScalar } from './scalar.ts';
import { emitVector, isVectorisable, storeVector, type VectorSource, vectorPressure } from './vector.ts';

export type Combine = 'add' | 'mul' | 'min' | 'max';

/** Which neighbours fill the lanes of a vector. */
type Lanes = 'folded' | 'kept' | 'none';

interface Plan {
  readonly root: Expression;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly combine: Combine;
  readonly loops: Loops;
  /** The first so many axes of the nest are kept. */
  readonly kept: number;
  readonly vector: boolean;
  readonly lanes: Lanes;
  /** Sums side by side. */
  readonly sums: number;
  readonly functions: boolean;
  /** Of integers, how a minimum compares. */
  readonly unsigned: boolean;
}

/**
 * The call that folds `root`, an expression over `shape`, into `target`, whose folded axes have length 1.
 * Neither `shape` nor the target may be empty.
 */
export function foldCall(
  root: Expression,
  shape: readonly number[],
  combine: Combine,
  target: Placement,
  table: () => Address,
): { readonly kernel: Kernel; readonly args: readonly (number | Address)[] } {
  invariant(sizeOf(shape) > 0, 'a fold has elements');
  const dag = shapeOf(root);
  const isKept = (axis: number) => target.shape[axis] === shape[axis];
  const axes = shape.map((_, axis) => axis);
  const order = [...axes.filter(isKept), ...axes.filter((axis) => !isKept(axis))];
  const placed = [target, ...dag.loads.map(({ source }) => source)];
  const planned = planLoops(
    order.map((axis) => shape[axis] ?? 1),
    placed.map((place, i) => {
      const bytes = bytesPerElement(place.dtype);
      const strides = broadcastStrides(place, shape);
      return { bytes, strides: order.map((axis) => (i === 0 && !isKept(axis) ? 0 : (strides[axis] ?? 0) * bytes)) };
    }),
  );
  const [result, ...operands] = planned.operands;
  invariant(result, 'a fold has a result');
  const single = sizeOf(shape) === 1;
  // The loop over a single element is a folded one, in which the result stands still.
  const fixed = { strides: [0], stepping: 'fixed', moves: false } as const;
  const loops: Loops = { lengths: planned.lengths, operands: [single ? fixed : result, ...operands] };
  const kept = loops.operands[0]?.strides.filter((stride) => stride !== 0).length ?? 0;
  const vector = target.dtype === 'float32' && root.rep === 'f32' && isVectorisable(root, dag, 'float32');
  const neighbours = (level: number, from: number) =>
    level >= 0 &&
    loops.operands.slice(from).every(({ strides }, i) => {
      const stride = strides[level] ?? 0;
      return stride === 0 || stride === bytesPerElement(placed[i + from]?.dtype ?? 'float32');
    });
  const last = loops.lengths.length - 1;
  const lanes: Lanes =
    !vector || single
      ? 'none'
      : last >= kept && neighbours(last, 1)
        ? 'folded'
        : neighbours(kept - 1, 0)
          ? 'kept'
          : 'none';
  const free = 13 - vectorPressure(root, dag);
  const sums = lanes !== 'folded' ? 1 : free >= 4 ? 4 : free >= 2 ? 2 : 1;
  const functions = dag.operations.some(({ name }) => isFunction(name));
  const unsigned = isUnsigned(target.dtype) || target.dtype === 'bool';
  const plan: Plan = {
    root,
    shape: dag,
    dtype: target.dtype,
    combine,
    loops,
    kept,
    vector,
    lanes,
    sums,
    functions,
    unsigned,
  };
  const walk = loops.operands.map(({ strides }, i) =>
    strides
      .map((stride) => (stride === 0 ? 'f' : stride === bytesPerElement(placed[i]?.dtype ?? 'bool') ? 'd' : 's'))
      .join(''),
  );
  return {
    kernel: {
      name: `${target.dtype}_fold_${combine}_${dag.text}__${loops.lengths.length}d${plan.kept}_${walk.join('_')}_${vector ? lanes : 'scalar'}`,
      twin: foldTwin({ root, shape: dag, dtype: target.dtype, combine, loops, kept, unsigned }),
      emit: (module, family, exported) => {
        const advances = advancesOf(loops).length;
        const names = [
          ...loops.operands.map((_, i) => `p${i}`),
          ...loops.lengths.map((_, i) => `n${i}`),
          ...Array.from({ length: advances }, (_, i) => `a${i}`),
          ...(functions ? ['table'] : []),
        ];
        const parameters = Object.fromEntries(names.map((name) => [name, 'i32' as const]));
        module.function({ export: exported, parameters }, (f, all) => {
          const table = functions ? all['table'] : undefined;
          emitFold(f, plan, all, mathCode(f, family, table));
        });
      },
    },
    args: [...placed, ...loops.lengths, ...advancesOf(loops), ...(functions ? [table()] : [])],
  };
}

/** Bytes that each operand moves after a round of each level. */
function advancesOf(loops: Loops): readonly number[] {
  return loops.lengths.flatMap((_, level) => loops.operands.map((walked) => advanceOf(loops, walked, level)));
}

function emitFold(f: FunctionBuilder, plan: Plan, all: Readonly<Record<string, Local<'i32'>>>, math: MathCode): void {
  const { root, shape, dtype, combine, loops, kept, vector, lanes, sums } = plan;
  const local = (name: string): Local<'i32'> => {
    const found = all[name];
    invariant(found, `parameter ${name}`);
    return found;
  };
  const pointers = loops.operands.map((_, i) => local(`p${i}`));
  const [output] = pointers;
  invariant(output, 'a fold has an output');
  const last = loops.lengths.length - 1;
  const move = (pointer: Local<'i32'>, by: () => void) => {
    f.get(pointer);
    by();
    f.op('i32.add').set(pointer);
  };
  const advance = (level: number, extra = 0) =>
    loops.operands.forEach((walked, i) => {
      const pointer = pointers[i];
      if (!pointer || !walked.moves) return;
      move(pointer, () => f.get(local(`a${level * loops.operands.length + i}`)));
      const bytes = extra * (walked.strides[level] ?? 0);
      if (bytes !== 0) move(pointer, () => f.i32(bytes));
    });
  const countDown = (left: Local<'i32'>, body: () => void) =>
    f.loop((again) => {
      body();
      f.get(left).i32(1).op('i32.sub').tee(left).brIf(again);
    });
  const each = (level: number, body: () => void) => {
    const left = f.local('i32');
    f.get(local(`n${level}`)).set(left);
    countDown(left, body);
  };
  /** Whole vectors of the axis by `wide`, what is left by `one`. */
  const inVectors = (level: number, wide: () => void, one: () => void) => {
    const left = f.local('i32');
    f.get(local(`n${level}`))
      .i32(2)
      .op('i32.shr_u')
      .tee(left)
      .if(() => countDown(left, wide));
    f.get(local(`n${level}`))
      .i32(3)
      .op('i32.and')
      .tee(left)
      .if(() => countDown(left, one));
  };
  const sourcesOf = (): Map<Expression, VectorSource> => {
    const sources = new Map<Expression, VectorSource>();
    for (const [x, i] of shape.operandOf)
      if (x.kind === 'load')
        sources.set(x, { dtype: x.source.dtype, pointer: pointers[i + 1] as Local<'i32'>, hoisted: undefined });
    return sources;
  };
  const value = (wideLevel: number | undefined) => {
    if (!vector) {
      const places = new Map<Expression, Local<'i32'>>();
      for (const [x, i] of shape.operandOf) places.set(x, pointers[i + 1] as Local<'i32'>);
      emitScalar(f, root, shape, places, math);
      return;
    }
    const wide = (x: Expression) =>
      wideLevel !== undefined && loops.operands[(shape.operandOf.get(x) ?? -1) + 1]?.strides[wideLevel] !== 0;
    emitVector(f, root, shape, sourcesOf(), wide, math);
  };

  if (!vector) {
    const total = f.local(typeOf(root.rep));
    const other = f.local(typeOf(root.rep));
    const folded = (level: number): void => {
      if (level > last) {
        value(undefined);
        f.set(other);
        combineScalars(f, plan, total, other);
        return;
      }
      each(level, () => {
        folded(level + 1);
        advance(level);
      });
    };
    const nest = (level: number): void => {
      if (level < kept) {
        each(level, () => {
          nest(level + 1);
          advance(level);
        });
        return;
      }
      emitIdentity(f, combine, root.rep, dtype);
      f.set(total);
      folded(kept);
      f.get(output).get(total);
      storeScalar(f, dtype);
    };
    nest(0);
    return;
  }

  const partial = f.locals('v128', sums);
  const [total] = partial;
  invariant(total, 'a fold has a sum');
  const start = () => {
    for (const sum of partial) {
      emitIdentity(f, combine, 'f32', 'float32');
      f.op('f32x4.splat').set(sum);
    }
  };
  const join = (sum: Local<'v128'>) => f.get(sum).op(`f32x4.${combine}`).set(sum);
  if (lanes === 'folded') {
    // Single elements fill all lanes: they are summed apart, and one lane of them counts.
    const rest = f.local('v128');
    const folded = (level: number): void => {
      if (level < last) {
        each(level, () => {
          folded(level + 1);
          advance(level);
        });
        return;
      }
      const left = f.local('i32');
      const step = (sum: Local<'v128'>) => {
        value(last);
        join(sum);
        advance(last, 3);
      };
      f.get(local(`n${last}`))
        .i32(2)
        .op('i32.shr_u')
        .set(left);
      if (sums > 1) {
        f.block((done) => {
          f.loop((again) => {
            f.get(left).i32(sums).op('i32.lt_u').brIf(done);
            for (const sum of partial) step(sum);
            f.get(left).i32(sums).op('i32.sub').set(left).br(again);
          });
        });
      }
      f.get(left).if(() => countDown(left, () => step(total)));
      f.get(local(`n${last}`))
        .i32(3)
        .op('i32.and')
        .tee(left)
        .if(() =>
          countDown(left, () => {
            value(undefined);
            join(rest);
            advance(last);
          }),
        );
    };
    const nest = (level: number): void => {
      if (level < kept) {
        each(level, () => {
          nest(level + 1);
          advance(level);
        });
        return;
      }
      start();
      emitIdentity(f, combine, 'f32', 'float32');
      f.op('f32x4.splat').set(rest);
      folded(kept);
      for (const sum of partial.slice(1)) f.get(sum).get(total).op(`f32x4.${combine}`).set(total);
      f.get(output);
      f.get(rest).lane('f32x4.extract_lane', 0);
      for (let lane = 0; lane < 4; lane++) f.get(total).lane('f32x4.extract_lane', lane).op(`f32.${combine}`);
      f.memory('f32.store');
    };
    nest(0);
    return;
  }
  const folded = (level: number, wide: number | undefined): void => {
    if (level > last) {
      value(wide);
      join(total);
      return;
    }
    each(level, () => {
      folded(level + 1, wide);
      advance(level);
    });
  };
  const result = (wide: number | undefined) => {
    start();
    folded(kept, wide);
    storeVector(f, 'float32', output, total, wide !== undefined);
  };
  const nest = (level: number): void => {
    if (level === kept) result(undefined);
    else if (lanes === 'kept' && level === kept - 1)
      inVectors(
        level,
        () => {
          result(level);
          advance(level, 3);
        },
        () => {
          result(undefined);
          advance(level);
        },
      );
    else
      each(level, () => {
        nest(level + 1);
        advance(level);
      });
  };
  nest(0);
}

function typeOf(rep: Rep): 'f32' | 'f64' | 'i32' | 'i64' {
  return rep === 'mask' ? 'i32' : rep;
}

/** What changes no value: 0, 1, the highest, the lowest of the type. */
function emitIdentity(f: FunctionBuilder, combine: Combine, rep: Rep, dtype: DType): void {
  const type = typeOf(rep);
  if (type === 'f32' || type === 'f64') {
    f.f32({ add: 0, mul: 1, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY }[combine]);
    if (type === 'f64') f.op('f64.promote_f32');
    return;
  }
  const bits = dtype === 'bool' ? 1 : 8 * bytesPerElement(dtype);
  const low = combine === 'max';
  const unsigned = isUnsigned(dtype) || dtype === 'bool';
  const small = { add: 0, mul: 1, min: 0, max: 0 }[combine];
  const whole = (value: number) => {
    f.i32(value);
    return type === 'i64' ? f.op('i64.extend_i32_s') : f;
  };
  if (combine === 'add' || combine === 'mul' || (low && unsigned)) whole(small);
  else if (unsigned && bits >= 32) whole(-1);
  else if (unsigned) whole(2 ** bits - 1);
  else {
    // −2^(bits−1), or one less than its opposite.
    whole(low ? -1 : 1);
    whole(bits - 1).op(`${type}.shl`);
    if (!low) whole(1).op(`${type}.sub`);
  }
}

/** total = combine(total, other) */
function combineScalars(f: FunctionBuilder, { combine, root, unsigned }: Plan, total: Local, other: Local): void {
  const type = typeOf(root.rep);
  f.get(total).get(other);
  if (combine === 'add' || combine === 'mul' || type === 'f32' || type === 'f64')
    f.op(`${type}.${combine}` as 'i32.add');
  else {
    const sign = unsigned ? 'u' : 's';
    f.get(total).get(other);
    f.op(`${type}.${combine === 'min' ? 'lt' : 'gt'}_${sign}` as 'i32.lt_s').op(`${type}.select` as 'i32.select');
  }
  f.set(total);
}
