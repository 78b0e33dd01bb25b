/**
 * How operators become kernel calls: what a lowering is given, and the rules it keeps.
 *
 * To add a family of operators, write one file `lower/<family>.ts` that exports a table of {@link Lowerings}, and spread it
 * into `lower/table.ts`. A lowering is called once per node, in graph order:
 *
 * - `c.operand(name)` is an element-wise expression; `c.define(name, expression)` makes the output one. Nothing is computed
 *   until somebody needs the elements, so that chains become one kernel (`map/expression.ts` has the operations).
 * - `c.read(name)` is where the elements stand, with any strides; `c.contiguous(name)` row-major, copied if need be;
 *   `c.padded(name, padding)` with zeros around (see {@link Padding}), copied if need be. To get such a value without a
 *   copy, say so in `wants`: producers that write through `c.write()` then put it there at once.
 * - `c.write(name)` is where the output goes: any strides, zeros around it are already there and must stay (write nothing
 *   outside the value, or call `c.zeroBorders(placement)` after). `c.writeContiguous(name)` is row-major.
 * - `c.view(name, placement)` gives the output without computing: an operand's placement with other strides.
 * - `c.store(expression, placement)` computes into a part of an output (see `map/placement.ts` for `slice`, `transpose`, …);
 *   `c.copy(from, to)` and `c.fill(to, tensor)` move elements.
 * - `c.constant(name)` is the tensor of a weight; `c.data(array)` places one's own table. A weight that is only looked at
 *   takes no room in the model: what is read through `read` or `contiguous` does.
 * - `c.compose(build)` writes the operator with others: the shortest way, unless elements are then copied about.
 * - `c.call(kernel, ...args)` appends a call. Arguments are i32 numbers and addresses. All memory that the kernel reads or
 *   writes is among them: lifetimes are read off the arguments. Never keep an address inside a table.
 * - `c.parallel(body)` says of the calls in it that they are independent; `lower/share.ts` cuts large ones.
 * - `c.epilogue(output)` absorbs what follows (residual, activation) where only this node feeds it; the lowering then
 *   writes `epilogue.output` instead of its own output.
 * - `c.note(…)` says what was chosen, for `explain`; `c.layer(…)` is for nodes whose weights are not multiplied just once.
 * - `c.unsupported(found, supported)` ends the lowering; all such nodes are reported at once.
 *
 * Shapes are static, so every count is a number when the lowering runs. A value without elements needs no call.
 */
import type { DType, Graph, LayerInfo, Node, NodeOf, OpName, Tensor, TensorArray, Weight } from '@grim/ir';
import type { Stream } from './kernels/packed-streams.ts';
import type { Composition } from './lower/composition.ts';
import type { Expression } from './map/expression.ts';
import type { Address, Kernel, Padding, Placement } from './program.ts';
import type { ProductRecords } from './schedule.ts';

export interface StaticType {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** What follows a sum: `activation(sum + residual)`. */
export interface FusedEpilogue {
  /** Of `kernels/family.ts`. */
  readonly activation: 'none' | 'relu' | { readonly min: number; readonly max: number };
  /** A value of the output's own shape, to be read with `read`, `contiguous` or `padded`. */
  readonly residual: string | undefined;
  /** The value that the lowering must define. */
  readonly output: string;
}

/** What can be known of values before anything is lowered. */
export interface TypeContext {
  /** @throws when there is no such value, which `verify()` excludes */
  type(name: string): StaticType;
  constant(name: string): Weight | undefined;
}

export interface LowerContext extends TypeContext {
  readonly node: Node;
  /** @param shape  what it is computed for; by default the shape of the node's first output */
  operand(name: string, shape?: readonly number[]): Expression;
  /** An operand of one element, whatever its rank: a bound, a factor. */
  bound(name: string): Expression;
  define(name: string, expression: Expression): void;
  read(name: string): Placement;
  contiguous(name: string): Placement;
  padded(name: string, padding: Padding): Placement;
  write(name: string): Placement;
  writeContiguous(name: string): Placement;
  zeroBorders(of: Placement): void;
  view(name: string, placement: Placement): void;
  store(expression: Expression, to: Placement): void;
  copy(from: Placement, to: Placement): void;
  /** Every element becomes the one of `value`, which has one element and the placement's element type. */
  fill(to: Placement, value: Tensor): void;
  /** Bytes that hold nothing before and after this node. 64 bytes more are there for vector reads past the end. */
  scratch(bytes: number): Address;
  /** `weights`: float32 that a file may store in a narrower type. */
  data(values: TensorArray, kind?: 'weights' | 'tables'): Address;
  /** The words of a sparse stream. */
  stream(words: Int32Array, stream: Stream): Address;
  /** The weights of a stream of lanes for `rows` rows. @param words  what {@link stream} gave for it */
  laneWeights(values: Float32Array, words: Address, rows: number): Address;
  call(kernel: Kernel, ...args: readonly (number | Address)[]): void;
  /** What `body` appends, calls alone, may run at the same time: no byte that one writes is touched by another. */
  parallel(body: () => void): void;
  /** How many threads there may be: a large call is cut into some more pieces (`lower/share.ts`). */
  readonly threads: number;
  /** Estimated cycles that a piece must have to be worth a fork and a join. */
  readonly pieceCycles: number;
  /** The calls are for a GPU: none is cut, and twins may want tables. */
  readonly gpu: boolean;
  /** Schedules that were given, and the products that there are. */
  readonly products: ProductRecords;
  /** What was chosen for this node and why, for `explain`. */
  note(text: string): void;
  /** Facts of a layer, where more is to be said than follows from the node's weights. */
  layer(info: LayerInfo): void;
  /** How often the value is used, as a graph output included. */
  uses(name: string): number;
  epilogue(output: string): FusedEpilogue;
  /** Appends what `body` lowers to a branch; see `lower/control.ts`. */
  branch(condition: Address, then: () => void, otherwise: () => void): void;
  /** Lowers the nodes of a body, whose values are visible until it returns; then `use` is given its outputs' names. */
  inline(body: Graph, use: (outputs: readonly string[]) => void): void;
  /**
   * Lowers other operators in this one's place: `build` puts them together and returns the values that become the node's
   * outputs, in order; those that nobody wants are not computed. Not `''`, even where the node has no such output.
   */
  compose(build: (g: Composition) => readonly string[]): void;
  /** @throws GRIM_CODEGEN_UNSUPPORTED_OP, together with all other nodes that have one */
  unsupported(found: string, supported: string): never;
}

/** How one operator is lowered. */
export interface Lowering<O extends OpName> {
  readonly lower: (node: NodeOf<O>, c: LowerContext) => void;
  /** It is called where the shapes of its outputs are not known too: it says why it cannot be lowered then. */
  readonly anyShape?: boolean;
  /** Zeros that the node would like around its inputs, by value name. */
  readonly wants?: (
    node: NodeOf<O>,
    c: TypeContext,
  ) => readonly { readonly value: string; readonly padding: Padding }[];
}

/** A lowering that serves several operators. */
export interface AnyLowering {
  readonly lower: (node: Node, c: LowerContext) => void;
}

export type Lowerings = { readonly [O in OpName]?: Lowering<O> };
