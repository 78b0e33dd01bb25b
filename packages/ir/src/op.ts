/**
 * What a row of the operator table is made of: signature, attributes, and the rule that gives the shapes of the outputs.
 *
 * The graph knows one form of every operator, the newest that ONNX defines; the importer rewrites older forms to it
 * (`onnx/upgrade.ts`), so that no pass, kernel or rule below ever asks for an opset.
 */
import type { GrimErrorCode } from './errors.ts';
import type { Graph } from './graph.ts';
import type { Limits } from './limits.ts';
import type { DType, Shape, Tensor, TensorType } from './types.ts';

/** The value of each kind of attribute. `dtype` is an integer in ONNX files and a name here. */
interface AttributeKinds {
  int: number;
  float: number;
  string: string;
  ints: readonly number[];
  floats: readonly number[];
  strings: readonly string[];
  tensor: Tensor;
  graph: Graph;
  dtype: DType;
}
type AttributeKind = keyof AttributeKinds;

/** `T` includes undefined when the attribute may be absent. */
export interface AttributeSpec<T> {
  readonly kind: AttributeKind;
  /** Undefined with `required` false: the attribute may be absent. */
  readonly fallback: T | undefined;
  readonly required: boolean;
  /** The values a `string` may take; an `int` is bounded by `min` and `max`. */
  readonly values?: readonly string[];
  readonly min?: number;
  readonly max?: number;
}
export type AttributeSpecs = Readonly<Record<string, AttributeSpec<unknown>>>;

type ValueOf<S> = S extends AttributeSpec<infer T> ? T : never;
type OptionalKeys<A> = { [K in keyof A]: undefined extends ValueOf<A[K]> ? K : never }[keyof A];

/** The attributes of a node: those with a default are always there, the optional ones may be absent. */
export type AttributesOf<A> = {
  readonly [K in Exclude<keyof A, OptionalKeys<A>>]: ValueOf<A[K]>;
} & { readonly [K in OptionalKeys<A>]?: ValueOf<A[K]> | undefined };

interface Range {
  readonly min?: number;
  readonly max?: number;
}
function spec<T>(kind: AttributeKind, fallback: T | undefined, more: object = {}): AttributeSpec<T> {
  return { kind, fallback, required: fallback === undefined, ...more };
}
/** Without a default the attribute is required; wrap in {@link optional} when it may be absent. */
export const int = (fallback?: number, range: Range = {}): AttributeSpec<number> => spec('int', fallback, range);
/** An ONNX 0/1 switch: an `int` bounded to 0 and 1. */
export const flag = (fallback?: 0 | 1): AttributeSpec<number> => spec<number>('int', fallback, { min: 0, max: 1 });
export const float = (fallback?: number): AttributeSpec<number> => spec('float', fallback);
export const string = <const V extends readonly string[]>(values: V, fallback?: V[number]): AttributeSpec<V[number]> =>
  spec('string', fallback, { values });
/** A string with no closed list of values (`equation` of Einsum). */
export const text = (fallback?: string): AttributeSpec<string> => spec('string', fallback);
export const ints = (fallback?: readonly number[]): AttributeSpec<readonly number[]> => spec('ints', fallback);
export const floats = (fallback?: readonly number[]): AttributeSpec<readonly number[]> => spec('floats', fallback);
export const strings = (fallback?: readonly string[]): AttributeSpec<readonly string[]> => spec('strings', fallback);
export const tensor = (fallback?: Tensor): AttributeSpec<Tensor> => spec('tensor', fallback);
export const subgraph = (): AttributeSpec<Graph> => spec<Graph>('graph', undefined);
export const dtype = (fallback?: DType): AttributeSpec<DType> => spec('dtype', fallback);
export const optional = <T>(attribute: AttributeSpec<T>): AttributeSpec<T | undefined> => ({
  ...attribute,
  fallback: undefined,
  required: false,
});

/**
 * What a shape rule sees. Shapes of inputs may hold names for lengths that are not known yet, or be null; a rule says as
 * much as it can, and {@link InferContext.unknown} for the rest. When the reference evaluates a node it calls the same
 * rule with every input constant, so the rule is then complete, except for operators marked `dataDependent`.
 */
export interface InferContext<A = Readonly<Record<string, unknown>>> {
  readonly attributes: A;
  readonly limits: Limits;
  /** Number of inputs written on the node, absent ones in the middle included. */
  readonly inputCount: number;
  readonly outputCount: number;
  has(input: number): boolean;
  /** Type of a present input; asking for an absent one is a bug of the rule (arity is checked before it runs). */
  type(input: number): TensorType;
  shape(input: number): Shape | null;
  dtype(input: number): DType;
  /** The value of an input, when it is a weight or was derived from weights. */
  constant(input: number): Tensor | undefined;
  /** {@link constant} of an integer tensor as numbers, flattened; beyond ±2^53 they saturate (a Slice end may be 2^63 − 1). */
  integers(input: number): readonly number[] | undefined;
  /** The elements of a constant float or integer tensor as doubles. */
  reals(input: number): readonly number[] | undefined;
  /** A fresh name for a length that is not known before the graph runs. */
  unknown(): string;
  /** The types of a body's outputs when it is called with these input types (fewer than its inputs: the rest as declared). */
  inferGraph(graph: Graph, inputs: readonly (TensorType | undefined)[]): readonly TensorType[];
  /** @throws {GrimError} the given code, GRIM_IR_SHAPE_MISMATCH by default; the message gets the node's name in front. */
  fail(message: string, code?: GrimErrorCode): never;
}

/** A bare shape takes its dtype from the signature. */
export type Inferred = Shape | null | TensorType;

/**
 * One operator. A signature entry reads `name[?|...|...?]: T`: `?` may be absent, `...` once or more, `...?` any number;
 * `T` is a key of `types` (all inputs and outputs with one key share one element type), a {@link DType}, or `*` (any,
 * independently). An output's dtype follows from its key unless the rule returns a whole {@link TensorType}.
 */
export interface OpSpec<A = AttributeSpecs> {
  /** The opset whose text this row follows: the newest in which the operator changed. */
  readonly since: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly types: Readonly<Record<string, readonly DType[]>>;
  readonly attributes: A;
  readonly infer: (c: InferContext<AttributesOf<A>>) => readonly Inferred[];
  /** The shape of an output depends on the elements of an input, not only on its type (`NonZero`, `Unique`). */
  readonly dataDependent?: boolean;
  /** Multiply-accumulates of one run, given static types; absent where the operator multiplies nothing by weights. */
  readonly macs?: (
    inputs: readonly (TensorType | undefined)[],
    outputs: readonly TensorType[],
    a: AttributesOf<A>,
  ) => number;
}

/** Declares a row; only there so that the attributes' types are inferred from the row itself. */
export function op<const A extends AttributeSpecs>(row: OpSpec<A>): OpSpec<A> {
  return row;
}

/** One entry of a signature, taken apart. */
export interface Parameter {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
  readonly variadic: boolean;
}

const PARAMETER = /^(\w+)(\.\.\.)?(\?)?: (\w+|\*)$/;

export function parseParameter(entry: string): Parameter {
  const [, name = '', variadic, absent, type = ''] = PARAMETER.exec(entry) ?? [];
  return { name, type, optional: absent !== undefined, variadic: variadic !== undefined };
}
