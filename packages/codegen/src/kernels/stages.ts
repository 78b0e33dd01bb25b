/**
 * Several float32 expressions for each element, one after the other: the gates of a recurrent cell.
 *
 * For every four elements each stage is computed and stored; a later stage reads what an earlier one has written. Between
 * stages values lie in the first-level cache and in no register, so that no cell has too many of them.
 */
import { invariant } from '@grim/ir';
import { type Expression, type Shape, samePlace, shapeOf } from '../map/expression.ts';
import { functionTable, isFunction, type MathCode, mathCode } from '../map/functions.ts';
import { sizeOf } from '../map/placement.ts';
import { emitVector, storeVector, type VectorSource } from '../map/vector.ts';
import type { Address, Kernel, Placement } from '../program.ts';
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import { stagesTwin } from '../wgsl/stages.ts';
import { advance, countDownIfAny } from './family.ts';

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
          emitStages(
            f,
            planned,
            { pointers, fixed, count },
            mathCode(f, family, p['table'] as Local<'i32'> | undefined),
          );
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

function emitStages(
  f: FunctionBuilder,
  stages: readonly Planned[],
  { pointers, fixed, count }: Operands,
  math: MathCode,
): void {
  const left = f.local('i32');
  const value = f.local('v128');
  const round = (wide: boolean) => () => {
    for (const { root, shape, from, to } of stages) {
      const sources = new Map<Expression, VectorSource>();
      const dense = new Set<Expression>();
      for (const [x, i] of shape.operandOf) {
        const operand = from[i] ?? 0;
        sources.set(x, { dtype: 'float32', pointer: pointers[operand] as Local<'i32'>, hoisted: undefined });
        if (!fixed[operand]) dense.add(x);
      }
      emitVector(f, root, shape, sources, (x) => wide && dense.has(x), math);
      f.set(value);
      for (const target of to) storeVector(f, 'float32', pointers[target] as Local<'i32'>, value, wide);
    }
    pointers.forEach((pointer, i) => {
      if (!fixed[i]) advance(f, pointer, wide ? 16 : 4);
    });
  };
  f.get(count).i32(2).op('i32.shr_u').set(left);
  countDownIfAny(f, left, round(true));
  f.get(count).i32(3).op('i32.and').set(left);
  countDownIfAny(f, left, round(false));
}
