/**
 * The contract of a reference kernel: values in, values out, one function per operator, written to be read beside the
 * ONNX text. Arity, dtypes and shapes are checked by the operator's rule before a kernel runs, so a kernel only computes.
 */
import type { Attributes, Graph } from '../graph.ts';
import type { Limits } from '../limits.ts';
import type { OpName } from '../ops.ts';
import type { Tensor } from '../types.ts';

export interface KernelContext<O extends OpName = OpName> {
  readonly attributes: Attributes<O>;
  /** Absent optional inputs are undefined. */
  readonly inputs: readonly (Tensor | undefined)[];
  /** A present input. */
  input(index: number): Tensor;
  /**
   * What the shape rule found for each output: dtype, and the shape, static. Of a `dataDependent` operator the shape
   * is not to be relied on: the kernel makes its own.
   */
  readonly outputs: readonly { readonly dtype: Tensor['dtype']; readonly shape: readonly number[] }[];
  readonly limits: Limits;
  /** Runs a body with the given inputs, in order; outer values are seen by name. */
  run(body: Graph, inputs: readonly Tensor[]): readonly Tensor[];
  /** @throws {GrimError} GRIM_IR_BAD_VALUE, with the node's name in front: a run-time value that cannot be used. */
  fail(message: string): never;
}

/** Gives a tensor for every output, wanted or not. */
export type Kernel<O extends OpName = OpName> = (c: KernelContext<O>) => readonly Tensor[];
export type Kernels<O extends OpName> = { readonly [K in O]: Kernel<K> };
