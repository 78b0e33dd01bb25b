/**
 * A graph as text that people read and golden tests compare: one line per node, defaults left out, inferred types as
 * comments. `parse()` reads it back; the grammar is in `docs/ir-text.md`.
 */
import { GrimError, quote } from './errors.ts';
import { type Graph, type Node, withDefaults } from './graph.ts';
import { inferScope, lookUpType, type Scope } from './infer.ts';
import { type Limits, withLimits } from './limits.ts';
import { base64, bytesOfTensor, contentHash, elementTexts, nameText, numberText, wordText } from './literal.ts';
import type { AttributeSpec } from './op.ts';
import { isOpName, opSpec } from './ops.ts';
import type { BcrPattern } from './pattern.ts';
import type { Shape, Tensor, TensorType } from './types.ts';

export interface PrintOptions {
  /**
   * `inline` (the default) writes every element, so that the text is the whole graph. `reference` writes a content hash
   * for weights of more than 16 elements; `parse` then wants them by name.
   */
  readonly weights?: 'inline' | 'reference';
  readonly limits?: Partial<Limits>;
}

/** Elements that are written as numbers, one by one; more become base64. */
const READABLE_ELEMENTS = 64;
/** Weights up to this length (axes, shapes, scalars) tell more by their value than by their hash. */
const SMALL_WEIGHT = 16;
/** A string of V8 holds 2^29 - 24 characters; the rest of the text needs room too. */
const INLINE_BYTES = 2 ** 28;

/**
 * The text form of `graph`. `parse(print(g))` equals `g` for every graph that holds what the operator table knows.
 * @throws {GrimError} GRIM_IR_LIMIT when bodies nest deeper than `subgraphDepth`, or inline weights pass 256 MiB
 */
export function print(graph: Graph, options: PrintOptions = {}): string {
  const limits = withLimits(options.limits);
  const scopes = new Map<Graph, Scope>();
  const scope = inferScope(
    graph,
    undefined,
    [],
    limits,
    () => undefined,
    (body, inner) => scopes.set(body, inner),
  );
  scopes.set(graph, scope);
  const printer: Printer = {
    out: ['grim-ir 1\n'],
    scopes,
    limits,
    reference: options.weights === 'reference',
    inlineBytes: 0,
  };
  printGraph(graph, '', 0, printer);
  printer.out.push('\n');
  return printer.out.join('');
}

interface Printer {
  readonly out: string[];
  readonly scopes: ReadonlyMap<Graph, Scope>;
  readonly limits: Limits;
  readonly reference: boolean;
  inlineBytes: number;
}

/** Without the line break after the closing brace. */
function printGraph(graph: Graph, indent: string, depth: number, p: Printer): void {
  if (depth > p.limits.subgraphDepth)
    throw new GrimError(
      'GRIM_IR_LIMIT',
      `graph ${quote(graph.name)}: bodies are nested more than ${p.limits.subgraphDepth} deep.`,
    );
  const { out } = p;
  const inner = `${indent}  `;
  out.push(`graph ${nameText(graph.name)} {\n`);
  for (const [name, type] of graph.inputs) out.push(`${inner}input ${nameText(name)} ${typeText(type)}\n`);
  for (const [name, weight] of graph.weights) {
    out.push(`${inner}weight ${nameText(name)} `, weightText(weight, p));
    if (weight.pattern) out.push(patternText(weight.pattern, inner));
    out.push('\n');
  }
  const scope = p.scopes.get(graph);
  for (const node of graph.nodes) printNode(node, inner, depth, scope, p);
  for (const [name, value] of graph.outputs)
    out.push(`${inner}output ${nameText(name)}${name === value ? '' : ` = ${nameText(value)}`}\n`);
  out.push(`${indent}}`);
}

function valueText(name: string): string {
  return name === '' ? '_' : nameText(name);
}

function printNode(node: Node, indent: string, depth: number, scope: Scope | undefined, p: Printer): void {
  const { out } = p;
  out.push(indent, node.outputs.length === 0 ? '()' : node.outputs.map(valueText).join(', '));
  out.push(` = ${wordText(node.op)}(`, node.inputs.map(valueText).join(', '));
  let separator = node.inputs.length === 0 ? '' : ', ';
  for (const [key, value] of shownAttributes(node)) {
    out.push(`${separator}${wordText(key)}=`);
    if (isGraphValue(value)) printGraph(value, indent, depth + 1, p);
    else out.push(attributeText(value, p));
    separator = ', ';
  }
  out.push(')');
  if (node.name !== node.outputs[0] || node.name === '') out.push(` as ${nameText(node.name)}`);
  const types = node.outputs.map((name) => (name === '' ? undefined : lookUpType(scope, name)));
  if (types.some((type) => type !== undefined))
    out.push(`  # ${types.map((type) => (type ? commentType(type) : '_')).join(', ')}`);
  out.push('\n');
}

/** In the order of the operator's row; what the row does not know comes last. */
function shownAttributes(node: Node): readonly (readonly [string, unknown])[] {
  const given = node.attributes as Readonly<Record<string, unknown>>;
  const rows: Readonly<Record<string, AttributeSpec<unknown>>> = isOpName(node.op) ? opSpec(node.op).attributes : {};
  const all = isOpName(node.op) ? Object.entries(withDefaults(node.op, node.attributes)) : Object.entries(given);
  return all.filter(([key, value]) => {
    const fallback = Object.hasOwn(rows, key) ? rows[key]?.fallback : undefined;
    return fallback === undefined || !sameValue(value, fallback);
  });
}

function sameValue(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((element, i) => Object.is(element, b[i]));
  if (isTensorValue(a) && isTensorValue(b))
    return (
      a.dtype === b.dtype &&
      sameValue(a.shape, b.shape) &&
      sameValue(Array.from(bytesOfTensor(a)), Array.from(bytesOfTensor(b)))
    );
  return Object.is(a, b);
}

function isGraphValue(value: unknown): value is Graph {
  return typeof value === 'object' && value !== null && 'nodes' in value;
}

function isTensorValue(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'data' in value;
}

function attributeText(value: unknown, p: Printer): string {
  if (typeof value === 'number') return numberText(value);
  if (Array.isArray(value)) return `[${value.map((element) => attributeText(element, p)).join(', ')}]`;
  if (isTensorValue(value)) return `${typeText(value)} ${elementsText(value, p)}`;
  return wordText(String(value));
}

function typeText(type: TensorType): string {
  return `${wordText(type.dtype)} ${shapeText(type.shape)}`;
}

function shapeText(shape: Shape | null): string {
  if (shape === null) return '[...]';
  return `[${shape.map((dim) => (typeof dim === 'number' ? numberText(dim) : wordText(dim))).join(', ')}]`;
}

/** A length that only a run can tell is `?`: the names that inference makes up differ from one call to the next. */
function commentType({ dtype, shape }: TensorType): string {
  if (shape === null) return `${dtype} [...]`;
  const dims = shape.map((dim) => (typeof dim === 'number' ? String(dim) : dim.startsWith('?') ? '?' : wordText(dim)));
  return `${dtype} [${dims.join(', ')}]`;
}

function weightText(weight: Tensor, p: Printer): string {
  const elements =
    p.reference && weight.data.length > SMALL_WEIGHT ? `@${contentHash(weight)}` : elementsText(weight, p);
  return `${typeText(weight)} ${elements}`;
}

function elementsText(tensor: Tensor, p: Printer): string {
  if (tensor.data.length <= READABLE_ELEMENTS) return `(${elementTexts(tensor).join(', ')})`;
  const bytes = bytesOfTensor(tensor);
  p.inlineBytes += bytes.length;
  if (p.inlineBytes > INLINE_BYTES)
    throw new GrimError(
      'GRIM_IR_LIMIT',
      `print: the weights pass ${INLINE_BYTES} bytes, more than a string can hold. Use weights: 'reference'.`,
    );
  return `base64 "${base64(bytes)}"`;
}

function patternText({ grid, keptRows, keptCols }: BcrPattern, indent: string): string {
  const { rows, cols, blockRows, blockCols } = grid;
  const lines = [` bcr ${shapeText([rows, cols])} in ${shapeText([blockRows, blockCols])} {\n`];
  for (let block = 0; block < Math.max(keptRows.length, keptCols.length); block++)
    lines.push(`${indent}  [${rangesText(keptRows[block])} | ${rangesText(keptCols[block])}]\n`);
  lines.push(`${indent}}`);
  return lines.join('');
}

/** `0-3 7`: indices that follow each other by one are drawn together. `-`: the list itself is missing. */
function rangesText(indices: Uint16Array | undefined): string {
  if (!indices) return '-';
  const parts: string[] = [];
  for (let i = 0; i < indices.length; ) {
    const first = indices[i] ?? 0;
    let length = 1;
    while (indices[i + length] === first + length) length++;
    parts.push(length === 1 ? String(first) : `${first}-${first + length - 1}`);
    i += length;
  }
  return parts.join(' ');
}
