/**
 * Other operators in the place of one: what has no kernels of its own is written with those that have.
 *
 * A composition is a small graph that sees the values around it. It is typed, freed of what nobody needs and lowered like
 * any body; `LowerContext.compose` says how.
 */
import {
  type AttributeInput,
  type DType,
  fromReals,
  type Graph,
  type Node,
  type OpName,
  type Tensor,
  type TensorType,
  type Weight,
  withDefaults,
} from '@grim/ir';
import { dropUnused } from '../passes/drop-unused.ts';
import type { Placement } from '../program.ts';

export class Composition {
  readonly #fresh: () => string;
  readonly #owner: string;
  readonly #nodes: Node[] = [];
  readonly #weights = new Map<string, Weight>();
  readonly #placed = new Map<string, Placement>();

  /**
   * @param owner  name of the node that is composed
   * @param fresh  gives names that no other value has
   */
  constructor(owner: string, fresh: () => string) {
    this.#owner = owner;
    this.#fresh = fresh;
  }

  /** A node with one output. @returns its name */
  add<O extends OpName>(op: O, inputs: readonly string[], attributes: AttributeInput<O> = {}): string {
    return this.addMany(op, inputs, 1, attributes)[0] ?? '';
  }

  addMany<O extends OpName>(
    op: O,
    inputs: readonly string[],
    count: number,
    attributes: AttributeInput<O> = {},
  ): readonly string[] {
    const outputs = Array.from({ length: count }, () => this.#fresh());
    const name = `${this.#owner}/${op}_${this.#nodes.length}`;
    const node = { op, name, inputs, outputs, attributes: withDefaults(op, attributes) };
    this.#nodes.push(node as Node);
    return outputs;
  }

  constant(value: Weight): string {
    const name = this.#fresh();
    this.#weights.set(name, value);
    return name;
  }

  reals(dtype: DType, values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(fromReals(dtype, shape, values) as Tensor);
  }

  integers(values: readonly number[]): string {
    return this.reals('int64', values);
  }

  /** A value that stands somewhere already. */
  value(placement: Placement): string {
    const name = this.#fresh();
    this.#placed.set(name, placement);
    return name;
  }

  reshape(x: string, shape: readonly number[]): string {
    // 0 is a length here, not "as it was".
    return this.add('Reshape', [x, this.integers(shape)], { allowzero: 1 });
  }

  transpose(x: string, perm: readonly number[]): string {
    return perm.every((axis, i) => axis === i) ? x : this.add('Transpose', [x], { perm: [...perm] });
  }

  cast(x: string, from: DType, to: DType): string {
    return from === to ? x : this.add('Cast', [x], { to });
  }

  /** Elements from `start` to before `end`; with a negative step, backwards. */
  slice(x: string, axis: number, start: number, end: number, step = 1): string {
    return this.add('Slice', [x, ...[start, end, axis, step].map((value) => this.integers([value]))]);
  }

  concat(parts: readonly string[], axis: number): string {
    const [only = ''] = parts;
    return parts.length === 1 ? only : this.add('Concat', parts, { axis });
  }

  sum(parts: readonly string[]): string {
    return parts.reduce((total, part) => this.add('Add', [total, part]));
  }

  get placed(): ReadonlyMap<string, Placement> {
    return this.#placed;
  }

  /** @param results  the values that are wanted */
  graph(results: readonly string[]): Graph {
    const outputs = new Map(results.map((value, i) => [String(i), value]));
    const inputs = new Map(
      Array.from(this.#placed, ([name, { dtype, shape }]): [string, TensorType] => [name, { dtype, shape }]),
    );
    return dropUnused({ name: this.#owner, inputs, outputs, nodes: this.#nodes, weights: this.#weights });
  }
}

/** The element type that narrow floats are computed in. */
export function workType(dtype: DType): DType {
  return dtype === 'float16' || dtype === 'bfloat16' ? 'float32' : dtype;
}
