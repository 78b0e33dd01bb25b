/**
 * Several float32 expressions for each element, one after the other: the gates of a recurrent cell.
 *
 * Each stage goes through a strip of elements before the next one reads what it has stored. So values lie in the first-level
 * cache between stages and in no register, and neighbouring elements, which do not wait for one another, overlap: a stage
 * after a stage for the same four elements would be one long chain (a step of a GRU of 1024 units: 13 instead of 5 µs).
 * Where the registers allow, a stage takes eight elements at once, four and four in turn.
 */
import { invariant } from '@grim/ir';
import { type Expression, type Shape, samePlace, shapeOf } from '../map/expression.ts';
import { functionTable, isFunction, type MathCode, mathCode } from '../map/functions.ts';
import { sizeOf } from '../map/placement.ts';
import { emitVector, storeVector, type VectorSource } from '../map/vector.ts';
import type { Address, Kernel, Placement } from '../program.ts';
import { type FunctionBuilder, type Local, ModuleBuilder, VECTOR_REGISTERS } from '../wasm/assembler.ts';
import { inLockstep } from '../wasm/lockstep.ts';
import { stagesTwin } from '../wgsl/stages.ts';
import { advance, type Family } from './family.ts';

/** Operands and targets are contiguous, all of one length; an operand of rank 0 is one element for all. */
export interface Stage {
  readonly value: Expression;
  readonly to: readonly Placement[];
}

export interface StagesCall {
  readonly kernel: Kernel;
  /** Placements are the objects that the stages name. */
  readonly args: readonly (number | Address)[];
}

/** Bytes of each operand that a stage goes through before the next: a dozen of them stay in the first-level cache. */
const STRIP = 1024;

interface Planned {
  readonly root: Expression;
  readonly shape: Shape;
  /** Numbers of the operands that the expression loads. */
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** @param place  puts the table of functions somewhere */
export function stagesCall(
  stages: readonly Stage[],
  length: number,
  place: (table: Int32Array) => Address,
): StagesCall {
  const operands: Placement[] = [];
  const indexOf = (placement: Placement): number => {
    const known = operands.findIndex((other) => samePlace(other, placement));
    if (known >= 0) return known;
    invariant(placement.dtype === 'float32', 'stages are float32');
    invariant(placement.shape.length === 0 || sizeOf(placement.shape) === length, 'stages are of one length');
    return operands.push(placement) - 1;
  };
  const planned = stages.map(({ value, to }): Planned => {
    const shape = shapeOf(value);
    return { root: value, shape, from: shape.loads.map(({ source }) => indexOf(source)), to: to.map(indexOf) };
  });
  const fixed = operands.map(({ shape }) => shape.length === 0);
  const functions = planned.some(({ shape }) => shape.operations.some(({ name }) => isFunction(name)));
  const names = planned.map(({ shape, from, to }) => `${shape.text}(${from.join()})>${to.join()}`);
  const parameters: Record<string, 'i32'> = { count: 'i32' };
  operands.forEach((_, i) => {
    parameters[`p${i}`] = 'i32';
  });
  if (functions) parameters['table'] = 'i32';
  const name = `f32_stages_${names.join(' ')} ${fixed.map(Number).join('')}`;
  return {
    kernel: {
      name,
      twin: stagesTwin({ stages: planned, fixed, name }),
      emit: (module, family, exported) => {
        module.function({ parameters, export: exported }, (f, p) => {
          const pointers = operands.map((_, i) => p[`p${i}`] as Local<'i32'>);
          const count = p['count'] as Local<'i32'>;
          emitStages(f, planned, { pointers, fixed, count }, family, p['table'] as Local<'i32'> | undefined);
        });
      },
    },
    args: [length, ...operands, ...(functions ? [place(functionTable())] : [])],
  };
}

interface Operands {
  readonly pointers: readonly Local<'i32'>[];
  readonly fixed: readonly boolean[];
  readonly count: Local<'i32'>;
}

interface StageCode {
  readonly stage: Planned;
  readonly fixed: readonly boolean[];
  /** Of each operand: where its element or its four are. */
  readonly at: readonly Local<'i32'>[];
}

/** One stage for one element or four neighbours. */
function emitStage(f: FunctionBuilder, { stage, fixed, at }: StageCode, wide: boolean, math: MathCode): void {
  const { root, shape, from, to } = stage;
  const sources = new Map<Expression, VectorSource>();
  const dense = new Set<Expression>();
  for (const [x, i] of shape.operandOf) {
    const operand = from[i] ?? 0;
    sources.set(x, { dtype: 'float32', pointer: at[operand] as Local<'i32'>, hoisted: undefined });
    if (!fixed[operand]) dense.add(x);
  }
  const value = f.local('v128');
  emitVector(f, root, shape, sources, (x) => wide && dense.has(x), math);
  f.set(value);
  for (const target of to) storeVector(f, 'float32', at[target] as Local<'i32'>, value, wide);
}

/** The same for eight neighbours. */
function emitPair(f: FunctionBuilder, code: StageCode, mathOf: (f: FunctionBuilder) => MathCode): void {
  const moving = new Set(code.at.filter((_, i) => !code.fixed[i]));
  inLockstep(f, moving, 16, (both) => emitStage(both, code, true, mathOf(both)));
}

/** Whether two copies of a stage run in the registers there are. */
function fitsPair(stage: Planned, fixed: readonly boolean[], family: Family): boolean {
  const probe = new ModuleBuilder();
  const { liveVectors } = probe.function({ parameters: {}, registers: Number.POSITIVE_INFINITY }, (f) => {
    const at = fixed.map(() => f.local('i32'));
    const table = f.local('i32');
    emitPair(f, { stage, fixed, at }, (both) => mathCode(both, family, table));
  });
  return liveVectors <= VECTOR_REGISTERS;
}

function emitStages(
  f: FunctionBuilder,
  stages: readonly Planned[],
  { pointers, fixed, count }: Operands,
  family: Family,
  table: Local<'i32'> | undefined,
): void {
  const [strip, offset, end] = f.locals('i32', 3) as [Local<'i32'>, Local<'i32'>, Local<'i32'>];
  const at = pointers.map((pointer, i) => (fixed[i] ? pointer : f.local('i32')));
  const move = () => {
    pointers.forEach((pointer, i) => {
      if (!fixed[i]) advance(f, pointer, end);
    });
  };
  const strips = (wide: boolean) => {
    for (const stage of stages) {
      const pair = wide && fitsPair(stage, fixed, family);
      const code = { stage, fixed, at };
      f.i32(0).set(offset);
      f.loop((again) => {
        for (const i of new Set([...stage.from, ...stage.to]))
          if (!fixed[i])
            f.get(pointers[i] as Local<'i32'>)
              .get(offset)
              .op('i32.add')
              .set(at[i] as Local<'i32'>);
        if (pair) emitPair(f, code, (both) => mathCode(both, family, table));
        else emitStage(f, code, wide, mathCode(f, family, table));
        advance(f, offset, pair ? 32 : wide ? 16 : 4);
        f.get(offset).get(end).op('i32.lt_u').brIf(again);
      });
    }
    move();
  };
  // Whole eights, then one element after the other.
  f.get(count).i32(-8).op('i32.and').i32(2).op('i32.shl').set(strip);
  f.block((done) => {
    f.loop((again) => {
      f.get(strip).op('i32.eqz').brIf(done);
      f.i32(STRIP).get(strip).get(strip).i32(STRIP).op('i32.gt_u').op('i32.select').set(end);
      strips(true);
      f.get(strip).get(end).op('i32.sub').set(strip);
      f.br(again);
    });
  });
  f.get(count)
    .i32(7)
    .op('i32.and')
    .i32(2)
    .op('i32.shl')
    .tee(end)
    .if(() => strips(false));
}
