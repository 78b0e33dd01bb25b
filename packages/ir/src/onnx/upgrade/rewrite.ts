/** What an upgrade works on: a node of an older opset, with its attributes still as in the file. */
import type { GrimErrorCode } from '../../errors.ts';
import { fromReals } from '../../numeric.ts';
import type { DType, Tensor, TensorType } from '../../types.ts';
import type { AttributeProto, AttributeValue } from '../model.ts';

type ValueOf<K extends AttributeValue['kind']> = Extract<AttributeValue, { readonly kind: K }>['value'];

/** A node in the newest form, attributes not yet checked against the operator's row. */
export interface Draft {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, AttributeProto>;
}

/** What the importer knows about the values around the node. */
export interface Surroundings {
  type(name: string): TensorType | undefined;
  constant(name: string): Tensor | undefined;
  /** Adds a constant. @returns its name */
  weight(stem: string, tensor: Tensor): string;
  fresh(stem: string): string;
  /** Appends a node at once, so that its outputs' types are known to what follows. */
  emit(draft: Draft): void;
  fail(message: string, code: GrimErrorCode): never;
}

/** One node on its way to the newest form. A rule changes the fields, or emits other nodes and sets `done`. */
export class Rewrite {
  op: string;
  inputs: string[];
  outputs: string[];
  readonly attributes: Map<string, AttributeProto>;
  /** Set when the rule has emitted everything itself. */
  done = false;
  private readonly around: Surroundings;
  private readonly stem: string;

  /** Version of the default domain that the node is written in. */
  readonly opset: number;

  constructor(node: Draft, stem: string, opset: number, around: Surroundings) {
    this.op = node.op;
    this.inputs = [...node.inputs];
    this.outputs = [...node.outputs];
    this.attributes = new Map(node.attributes);
    this.opset = opset;
    this.around = around;
    this.stem = stem;
  }
  fail(message: string, code: GrimErrorCode = 'GRIM_IR_BAD_ATTRIBUTE'): never {
    return this.around.fail(message, code);
  }

  has(input: number): boolean {
    return (this.inputs[input] ?? '') !== '';
  }

  type(input: number): TensorType | undefined {
    return this.has(input) ? this.around.type(this.inputs[input] ?? '') : undefined;
  }

  /** Rank of an input that the rewriting cannot do without. */
  rank(input: number): number {
    const shape = this.type(input)?.shape;
    return shape ? shape.length : this.fail(`input ${input} has an unknown rank; opset ${this.opset} needs it here.`);
  }

  dtype(input: number): DType {
    return this.type(input)?.dtype ?? this.fail(`input ${input} is missing.`, 'GRIM_IR_ARITY');
  }

  constant(input: number): Tensor | undefined {
    return this.has(input) ? this.around.constant(this.inputs[input] ?? '') : undefined;
  }

  drop(...names: readonly string[]): void {
    for (const name of names) this.attributes.delete(name);
  }

  set(name: string, value: AttributeValue): void {
    this.attributes.set(name, { name, ...value });
  }

  setInt(name: string, value: number): void {
    this.set(name, { kind: 'int', value });
  }

  setText(name: string, value: string): void {
    this.set(name, { kind: 'string', value });
  }

  /** Takes an attribute away. Fails when it is of another kind. */
  take<K extends AttributeValue['kind']>(name: string, kind: K): ValueOf<K> | undefined {
    const found = this.attributes.get(name);
    this.attributes.delete(name);
    if (!found) return undefined;
    if (found.kind !== kind) return this.fail(`attribute "${name}" is of kind ${found.kind}; ${kind} is needed.`);
    return found.value as never;
  }

  takeInt(name: string, fallback: number): number {
    return Number(this.take(name, 'int') ?? fallback);
  }

  fresh(what: string): string {
    return this.around.fresh(`${this.stem}_${what}`);
  }

  weight(tensor: Tensor, what: string): string {
    return this.around.weight(`${this.stem}_${what}`, tensor);
  }

  /** An int64 constant: a vector, or a scalar from a number. */
  int64(values: readonly (number | bigint)[] | number, what: string): string {
    const list = typeof values === 'number' ? [values] : values;
    const data = BigInt64Array.from(list, (value) => BigInt(value));
    return this.weight({ dtype: 'int64', shape: typeof values === 'number' ? [] : [list.length], data }, what);
  }

  scalar(dtype: DType, value: number, what: string): string {
    return this.weight(fromReals(dtype, [], [value]), what);
  }

  /** Puts a value at an input, absent ones before it. */
  setInput(index: number, name: string): void {
    while (this.inputs.length <= index) this.inputs.push('');
    this.inputs[index] = name;
  }

  /** An `ints` attribute that became an input. */
  intsToInput(name: string, index: number): void {
    const values = this.take(name, 'ints');
    if (values) this.setInput(index, this.int64(values, name));
  }

  /** Appends a node with one output. @returns its name: the given one, or a fresh one */
  emit(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    output: string | undefined = undefined,
  ): string {
    const made = output ?? this.fresh(op);
    const named = Object.entries(attributes).map(([name, value]) => [name, { name, ...value }] as const);
    this.around.emit({ op, inputs, outputs: [made], attributes: new Map(named) });
    return made;
  }

  /** Appends the node as it now stands, giving some outputs other names. */
  emitSelf(outputs: readonly string[] = this.outputs): void {
    this.around.emit({ op: this.op, inputs: this.inputs, outputs, attributes: this.attributes });
    this.done = true;
  }
}

/** Rewrites a node of an older opset to the newest form. */
export type Rule = (u: Rewrite) => void;
