/**
 * What a file may ask of us: one table, each row overridable by the caller, each tested at the limit and one past it.
 * The figures bound work as well as bytes: a small file may still name a million nodes or a terabyte of result.
 */

/** Upper bounds, all inclusive. */
export interface Limits {
  /** Bytes of one model file. */
  readonly fileBytes: number;
  /** Nesting of protobuf messages, the model itself being 1. */
  readonly wireDepth: number;
  /** Fields that the schema does not know, over the whole file. */
  readonly unknownFields: number;
  /** Nesting of `If`, `Loop` and `Scan` bodies, the main graph being 0. */
  readonly subgraphDepth: number;
  /** Nodes of a model, subgraphs and expanded functions included. */
  readonly nodes: number;
  /** Initializers of a model, subgraphs included. */
  readonly initializers: number;
  /** Messages, and values of repeated text fields, over the whole file: what bounds the number of objects. */
  readonly entries: number;
  readonly attributesPerNode: number;
  /** Inputs of one node, and likewise outputs. */
  readonly valuesPerNode: number;
  /** UTF-8 bytes of a name. */
  readonly nameBytes: number;
  /** UTF-8 bytes of any other string. */
  readonly stringBytes: number;
  readonly rank: number;
  /** Largest single dimension. */
  readonly dim: number;
  readonly tensorElements: number;
  readonly tensorBytes: number;
  /** Bytes of one result of constant folding; see also {@link Limits.foldGrowth}. */
  readonly foldBytes: number;
  /** A folded result may be this many times larger than its inputs (or 64 KiB, whichever is more). */
  readonly foldGrowth: number;
  /** Nodes that expanding model-local functions may create, bodies included; their names are bounded by `entries`. */
  readonly functionNodes: number;
  /** Bytes that evaluating one graph with the reference may hold at once. */
  readonly evaluateBytes: number;
  /** Steps that all run-time loops (`Loop`, `Scan`) of one evaluation may take together in the reference. */
  readonly loopSteps: number;
  /** Bytes of textual IR that `parse` reads. */
  readonly textBytes: number;
}

export const LIMITS: Limits = {
  fileBytes: 2 ** 30,
  wireDepth: 64,
  unknownFields: 1e6,
  subgraphDepth: 16,
  nodes: 1e5,
  initializers: 1e5,
  entries: 1e6,
  attributesPerNode: 256,
  valuesPerNode: 1e5,
  nameBytes: 1024,
  stringBytes: 2 ** 20,
  rank: 8,
  dim: 2 ** 31 - 1,
  tensorElements: 2 ** 31,
  tensorBytes: 2 ** 32 - 1,
  foldBytes: 64 * 2 ** 20,
  foldGrowth: 16,
  functionNodes: 1e5,
  evaluateBytes: 4 * 2 ** 30,
  loopSteps: 1e6,
  textBytes: 2 ** 30,
};

/** The default limits with some replaced. */
export function withLimits(overrides: Partial<Limits> = {}): Limits {
  return { ...LIMITS, ...overrides };
}
