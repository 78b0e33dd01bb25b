/**
 * What the gradient of one operator is written in. A rule emits the forward node, or something of the same meaning that
 * leaves behind what the way back needs, and returns the way back: from the gradients of the outputs to those of the inputs.
 */
import type { Attributes, NodeOf, OpName, TensorType } from '@grim/ir';
import type { Emitter, Shape } from './emit.ts';

/** Statistics of this batch, that a stored running value follows. */
export interface Running {
  /** The weight that holds the running value. */
  readonly weight: string;
  /** The value of this batch, of the same shape. */
  readonly value: string;
}

export interface RuleContext<O extends OpName = OpName> extends Emitter {
  readonly node: NodeOf<O>;
  readonly a: Attributes<O>;
  /** Whether batch normalisation takes the statistics of the batch. */
  readonly training: boolean;
  /** Emits the node as it is. */
  copy(): void;
  has(i: number): boolean;
  input(i: number): string;
  output(i?: number): string;
  type(i: number): TensorType;
  shape(i: number): Shape;
  outShape(i?: number): Shape;
  /** The gradient of this input is asked for; others may be left out. */
  wanted(i: number): boolean;
  /** Value of an integer input that is a constant of the graph. */
  integers(i: number): readonly number[] | undefined;
  reals(i: number): readonly number[] | undefined;
  running(r: Running): void;
  /** @throws {GrimError} GRIM_TRAIN_NO_GRADIENT, with the name of the node in front */
  refuse(why: string): never;
}

/** Gradients of the outputs, undefined where nothing depends on one → of the inputs, undefined where there is none. */
export type Back = (dy: readonly (string | undefined)[]) => readonly (string | undefined)[];

export type Rule<O extends OpName> = (c: RuleContext<O>) => Back;
export type Rules<K extends OpName> = { readonly [O in K]: Rule<O> };

/** A rule of an operator with one differentiable output whose node is emitted as it is. */
export function single<O extends OpName>(
  back: (c: RuleContext<O>, dy: string) => readonly (string | undefined)[],
): Rule<O> {
  return (c) => {
    c.copy();
    return ([dy]) => (dy === undefined ? [] : back(c, dy));
  };
}

export const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
export const range = (count: number, start = 0): number[] => Array.from({ length: count }, (_, i) => start + i);
