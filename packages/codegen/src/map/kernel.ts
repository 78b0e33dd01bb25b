/**
 * One kernel per element-wise expression and way of walking: `map(out, operands…, lengths…, advances…)`.
 *
 * Lengths and strides are arguments, so that one function serves all tensors that are walked alike. The innermost loop
 * takes four float32 at a time where the expression is float32 and no operand is strided there; everything else goes one
 * element at a time. Operands that stand still in the innermost loop are loaded before it.
 */
import { bytesPerElement, type DType, invariant } from '@grim/ir';
import type { Address, Buffer, Kernel, Placement } from '../program.ts';
import type { FunctionBuilder, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { mapTwin } from '../wgsl/map.ts';
import { type Expression, type Load, type Shape, shapeOf } from './expression.ts';
import { isFunction, type MathCode, mathCode } from './functions.ts';
import { advanceOf, type Loops, planLoops, type Walked } from './loops.ts';
import { broadcastStrides, sizeOf } from './placement.ts';
import { emitScalar, storeScalar } from './scalar.ts';
import {
  emitVector,
  isVectorisable,
  loadVector,
  MOST_LIVE,
  storeVector,
  type VectorSource,
  vectorPressure,
} from './vector.ts';

/** A kernel with the arguments of one call. */
export interface MapCall {
  readonly kernel: Kernel;
  readonly args: readonly (number | Address)[];
  /** Estimated. */
  readonly cycles: number;
  /** Rounds of the outermost loop. */
  readonly rounds: number;
  /** A part begins at a multiple of this, so that no vector is cut. */
  readonly unit: number;
  /** The arguments for a part of the rounds. */
  part(first: number, count: number): readonly (number | Address)[];
  /** Operands whose elements stand where the output's do: their bytes may be overwritten as it runs. */
  readonly inPlaceSources: readonly Buffer[];
}

/** What the code of a map kernel depends on. */
interface Plan {
  readonly root: Expression;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly loops: Loops;
  readonly vector: boolean;
  /** It calls functions, whose table is the last argument. */
  readonly functions: boolean;
}

/**
 * The call that computes `root` for every element of `target`.
 * @param table  gives the address of `functionTable()`
 * @returns undefined when the target has no elements
 */
export function mapCall(root: Expression, target: Placement, table: () => Address): MapCall | undefined {
  if (sizeOf(target.shape) === 0) return undefined;
  const shape = shapeOf(root);
  const placed = [target, ...shape.loads.map(({ source }) => source)];
  const loops = planLoops(
    target.shape,
    placed.map((place) => {
      const bytes = bytesPerElement(place.dtype);
      return { bytes, strides: broadcastStrides(place, target.shape).map((stride) => stride * bytes) };
    }),
  );
  const copy = copyWidth(root, target, loops);
  const vector = copy === undefined && isVectorisable(root, shape, target.dtype);
  const functions = shape.operations.some(({ name }) => isFunction(name));
  const plan: Plan = { root, shape, dtype: target.dtype, loops, vector, functions };
  const steps = loops.operands.map(({ stepping, moves }) => (moves ? stepping.charAt(0) : 'c')).join('');
  const walk = `${loops.lengths.length}d_${steps}`;
  const advances = advancesOf(loops).map(({ bytes }) => bytes);
  const twin = mapTwin({ root, shape, dtype: target.dtype, loops, copy });
  const kernel: Kernel =
    copy === undefined
      ? {
          name: `${target.dtype}_map_${shape.text}__${walk}_${vector ? 'v' : 's'}`,
          twin,
          emit: (module, family, exported) =>
            emitKernel(module, exported, plan, (f, p) => emitMap(f, plan, p, mathCode(f, family, p.table))),
        }
      : {
          name: `b${8 * copy}_copy__${walk}`,
          twin,
          emit: (module, _family, exported) =>
            emitKernel(module, exported, plan, (f, p) => emitCopy(f, copy, loops, p)),
        };
  const last = functions ? [table()] : [];
  const [rounds = 1, ...inner] = loops.lengths;
  const part = (first: number, count: number) => [
    ...placed.map(({ buffer, offset }, i) => ({
      buffer,
      offset: offset + first * (loops.operands[i]?.strides[0] ?? 0),
    })),
    count,
    ...inner,
    ...advances,
    ...last,
  ];
  const lanes = vector || (copy !== undefined && loops.operands.every(({ stepping }) => stepping === 'dense')) ? 4 : 1;
  const cycles = (sizeOf(target.shape) / lanes) * (placed.length + shape.operations.length * (functions ? 12 : 1));
  return {
    kernel,
    args: part(0, rounds),
    cycles,
    rounds,
    unit: inner.length === 0 ? 16 : 1,
    part,
    inPlaceSources: inPlaceSources(target, shape.loads),
  };
}

/** Element size when nothing is computed: bits are moved, so that any type and any NaN stays what it is. */
function copyWidth(root: Expression, target: Placement, { operands }: Loops): number | undefined {
  if (root.kind !== 'load' || root.source.dtype !== target.dtype) return undefined;
  invariant(operands.length === 2, 'a copy has one operand');
  return bytesPerElement(target.dtype);
}

function inPlaceSources(target: Placement, loads: readonly Load[]): readonly Buffer[] {
  const wanted = target.strides.map((stride) => stride * bytesPerElement(target.dtype));
  const sameWalk = ({ source }: Load) =>
    source.offset === target.offset &&
    source.shape.length === target.shape.length &&
    source.shape.every((dim, axis) => dim === target.shape[axis]) &&
    source.strides.every(
      (stride, axis) => target.shape[axis] === 1 || stride * bytesPerElement(source.dtype) === wanted[axis],
    );
  return loads
    .map(({ source }) => source.buffer)
    .filter((buffer) => !buffer.constant && loads.every((one) => one.source.buffer !== buffer || sameWalk(one)));
}

interface Advance {
  readonly level: number;
  readonly operand: number;
  readonly bytes: number;
}

/** The advances that are passed in: not those of what never moves, nor those the innermost loop knows itself. */
function advancesOf(loops: Loops): readonly Advance[] {
  const inner = loops.lengths.length - 1;
  return loops.lengths.flatMap((_, level) =>
    loops.operands.flatMap((walked, operand) => {
      if (!walked.moves || (level === inner && walked.stepping !== 'strided')) return [];
      return [{ level, operand, bytes: advanceOf(loops, walked, level) }];
    }),
  );
}

interface Parameters {
  readonly pointers: readonly Local<'i32'>[];
  /** Of the innermost axis. */
  readonly count: Local<'i32'>;
  readonly table: Local<'i32'> | undefined;
  /** Moves the operands on by one element. */
  step(): void;
}

function emitKernel(
  module: ModuleBuilder,
  exported: string,
  { loops, functions }: Plan,
  body: (f: FunctionBuilder, p: Parameters) => void,
): void {
  const advances = advancesOf(loops);
  const parameters: Record<string, 'i32'> = {};
  loops.operands.forEach((_, i) => {
    parameters[`p${i}`] = 'i32';
  });
  loops.lengths.forEach((_, i) => {
    parameters[`n${i}`] = 'i32';
  });
  advances.forEach((_, i) => {
    parameters[`a${i}`] = 'i32';
  });
  if (functions) parameters['table'] = 'i32';
  module.function({ export: exported, parameters }, (f, all) => {
    const local = (name: string): Local<'i32'> => {
      const found = all[name];
      invariant(found, `parameter ${name}`);
      return found;
    };
    const pointers = loops.operands.map((_, i) => local(`p${i}`));
    const advanceAt = (level: number) =>
      advances.forEach((advance, i) => {
        const pointer = pointers[advance.operand];
        if (advance.level === level && pointer)
          f.get(pointer)
            .get(local(`a${i}`))
            .op('i32.add')
            .set(pointer);
      });
    const inner = loops.lengths.length - 1;
    const sizes = loops.operands.map(({ stepping, strides }) => (stepping === 'dense' ? (strides.at(-1) ?? 0) : 0));
    const p: Parameters = {
      pointers,
      count: local(`n${inner}`),
      table: functions ? local('table') : undefined,
      step: () => {
        sizes.forEach((bytes, i) => {
          const pointer = pointers[i];
          if (bytes !== 0 && pointer) f.get(pointer).i32(bytes).op('i32.add').set(pointer);
        });
        advanceAt(inner);
      },
    };
    const nest = (level: number): void => {
      if (level === inner) {
        body(f, p);
        return;
      }
      const left = f.local('i32');
      f.get(local(`n${level}`)).set(left);
      f.loop((again) => {
        nest(level + 1);
        advanceAt(level);
        f.get(left).i32(1).op('i32.sub').tee(left).brIf(again);
      });
    };
    nest(0);
  });
}

/** Runs `body` for each element of the innermost axis, four or more at a time where `wide` is given. */
function innerLoop(
  f: FunctionBuilder,
  { count, step }: Parameters,
  body: () => void,
  wide?: { readonly elements: number; readonly body: () => void },
): void {
  const left = f.local('i32');
  const countDown = (run: () => void) =>
    f.loop((again) => {
      run();
      f.get(left).i32(1).op('i32.sub').tee(left).brIf(again);
    });
  if (!wide) {
    f.get(count).set(left);
    countDown(() => {
      body();
      step();
    });
    return;
  }
  const shift = Math.log2(wide.elements);
  f.get(count)
    .i32(shift)
    .op('i32.shr_u')
    .tee(left)
    .if(() => {
      countDown(wide.body);
    });
  f.get(count)
    .i32(wide.elements - 1)
    .op('i32.and')
    .tee(left)
    .if(() => {
      countDown(() => {
        body();
        step();
      });
    });
}

function emitMap(f: FunctionBuilder, { root, shape, dtype, loops, vector }: Plan, p: Parameters, math: MathCode): void {
  const [output, ...operands] = p.pointers;
  invariant(output, 'a map has an output');
  if (!vector) {
    const pointers = new Map<Expression, Local<'i32'>>();
    for (const [x, index] of operandsOf(shape)) pointers.set(x, operands[index] as Local<'i32'>);
    innerLoop(f, p, () => {
      f.get(output);
      emitScalar(f, root, shape, pointers, math);
      storeScalar(f, dtype);
    });
    return;
  }
  // Only as many stay in registers as are surely free.
  let hoists = MOST_LIVE - vectorPressure(root, shape);
  const hoisted = shape.loads.map(({ source }, i) => {
    if (walkedOf(loops, i + 1).stepping !== 'fixed' || hoists-- <= 0) return undefined;
    const kept = f.local('v128');
    loadVector(f, { dtype: source.dtype, pointer: operands[i] as Local<'i32'>, hoisted: undefined }, false);
    f.set(kept);
    return kept;
  });
  const value = f.local('v128');
  const element = (wide: boolean) => () => {
    const sources = new Map<Expression, VectorSource>();
    for (const [x, i] of operandsOf(shape)) {
      const pointer = operands[i] as Local<'i32'>;
      sources.set(x, { dtype: (x as Load).source.dtype, pointer, hoisted: hoisted[i] });
    }
    emitVector(
      f,
      root,
      shape,
      sources,
      (x) => wide && walkedOf(loops, indexOf(shape, x) + 1).stepping === 'dense',
      math,
    );
    f.set(value);
    storeVector(f, dtype, output, value, wide);
    if (wide) stepWide(f, p.pointers, loops, 4);
  };
  const strided =
    loops.operands.some(({ stepping }) => stepping === 'strided') || walkedOf(loops, 0).stepping === 'fixed';
  innerLoop(f, p, element(false), strided ? undefined : { elements: 4, body: element(true) });
}

function walkedOf(loops: Loops, operand: number): Walked {
  const walked = loops.operands[operand];
  invariant(walked, `operand ${operand}`);
  return walked;
}

/** Every load of the expression with the number of its operand: two loads may be one operand. */
function operandsOf(shape: Shape): readonly (readonly [Expression, number])[] {
  return Array.from(shape.uses.keys())
    .filter((x) => x.kind === 'load')
    .map((x) => [x, indexOf(shape, x)] as const);
}

function indexOf(shape: Shape, x: Expression): number {
  return shape.operandOf.get(x) ?? -1;
}

function stepWide(f: FunctionBuilder, pointers: readonly Local<'i32'>[], { operands }: Loops, elements: number): void {
  operands.forEach(({ stepping, strides }, i) => {
    const pointer = pointers[i];
    if (stepping === 'dense' && pointer)
      f.get(pointer)
        .i32(elements * (strides.at(-1) ?? 0))
        .op('i32.add')
        .set(pointer);
  });
}

function emitCopy(f: FunctionBuilder, bytes: number, loops: Loops, p: Parameters): void {
  const [output, input] = p.pointers;
  invariant(output && input, 'a copy has two operands');
  const [to, from] = [walkedOf(loops, 0), walkedOf(loops, 1)];
  const one = () => {
    f.get(output).get(input);
    if (bytes === 1) f.memory('i32.load8_u').memory('i32.store8');
    else if (bytes === 2) f.memory('i32.load16_u').memory('i32.store16');
    else if (bytes === 4) f.memory('i32.load').memory('i32.store');
    else f.memory('i64.load').memory('i64.store');
  };
  const elements = 16 / bytes;
  if (to.stepping === 'dense' && from.stepping === 'dense') {
    innerLoop(f, p, one, {
      elements,
      body: () => {
        f.get(output).get(input).memory('v128.load').memory('v128.store');
        stepWide(f, p.pointers, loops, elements);
      },
    });
  } else if (to.stepping === 'dense' && from.stepping === 'fixed' && bytes === 4) {
    const value = f.local('v128');
    f.get(input).memory('v128.load32_splat').set(value);
    innerLoop(f, p, one, {
      elements,
      body: () => {
        f.get(output).get(value).memory('v128.store');
        stepWide(f, p.pointers, loops, elements);
      },
    });
  } else innerLoop(f, p, one);
}
