/**
 * What pruning changes of a graph for one layer, as plain data: it can be stored after each layer and applied again when
 * an interrupted run goes on.
 */
import { type BcrPattern, type Graph, type Node, patternMask, type Weight, weightIndex } from '@grim/ir';
import { fail } from './errors.ts';
import type { Site } from './layers.ts';

/** JSON. */
export interface LayerUpdate {
  readonly grid: BcrPattern['grid'];
  readonly keptRows: readonly (readonly number[])[];
  readonly keptCols: readonly (readonly number[])[];
  /** The surviving weights, row by row of the matrix: float32, little-endian, base64. */
  readonly values: string;
  /** New values of the constant that takes up the mean. */
  readonly shift?: { readonly kind: 'norm' | 'bias' | 'new-bias'; readonly values: string };
}

/** @param v  the new matrix, [m, k]; @param shift  to be added to the mean of the layer's output, [m] */
export function makeUpdate(
  graph: Graph,
  site: Site,
  pattern: BcrPattern,
  v: Float64Array,
  shift: Float64Array | undefined,
): LayerUpdate {
  const mask = patternMask(pattern);
  const alpha = site.node.op === 'Gemm' ? site.node.attributes.alpha : 1;
  const kept: number[] = [];
  for (let at = 0; at < mask.length; at++) if (mask[at]) kept.push((v[at] as number) / alpha);
  const values = Float32Array.from(kept);
  if (!values.every(Number.isFinite) || shift?.some((s) => !Number.isFinite(s)))
    fail('GRIM_PRUNE_DIVERGED', `${site.name}: the new weights are not finite. Raise the damping.`, {
      layer: site.name,
    });
  const lists = (from: readonly Uint16Array[]) => from.map((list) => Array.from(list));
  const target = shift && shiftTarget(graph, site);
  return {
    grid: pattern.grid,
    keptRows: lists(pattern.keptRows),
    keptCols: lists(pattern.keptCols),
    values: toBase64(values),
    ...(target && {
      shift: {
        kind: target.kind,
        values: toBase64(
          Float32Array.from(shift, (s, row) => ((target.old?.data[row] as number | undefined) ?? 0) + target.sign * s),
        ),
      },
    }),
  };
}

/** Whether a change of the layer's mean can be taken up behind it. */
export function canShift(site: Site): boolean {
  return site.norm !== undefined || site.bias !== undefined || (site.node.op !== 'MatMul' && site.input === 1);
}

function shiftTarget(
  graph: Graph,
  site: Site,
): { kind: 'norm' | 'bias' | 'new-bias'; old: Weight | undefined; sign: number } | undefined {
  if (!canShift(site)) return undefined;
  const norm = normOf(graph, site);
  if (norm) return { kind: 'norm', old: graph.weights.get(norm.inputs[3] ?? ''), sign: -1 };
  const beta = site.node.op === 'Gemm' ? site.node.attributes.beta : 1;
  if (site.bias !== undefined) return { kind: 'bias', old: graph.weights.get(site.bias), sign: 1 / beta };
  return { kind: 'new-bias', old: undefined, sign: 1 / (beta === 0 ? 1 : beta) };
}

export function normOf(graph: Graph, site: Site): Node | undefined {
  return site.norm === undefined ? undefined : graph.nodes.find((node) => node.name === site.norm);
}

/** The graph with the layer's new weights; zeros in place, the pattern on the weight. */
export function applyUpdate(graph: Graph, site: Site, update: LayerUpdate): Graph {
  const pattern: BcrPattern = {
    grid: update.grid,
    keptRows: update.keptRows.map((list) => Uint16Array.from(list)),
    keptCols: update.keptCols.map((list) => Uint16Array.from(list)),
  };
  const mask = patternMask(pattern);
  const values = fromBase64(update.values);
  const old = graph.weights.get(site.weight) as Weight;
  const data = new Float32Array(site.m * site.k);
  let next = 0;
  for (let row = 0; row < site.m; row++)
    for (let col = 0; col < site.k; col++)
      if (mask[row * site.k + col]) data[weightIndex(site.view, row, col)] = values[next++] ?? Number.NaN;
  if (next !== values.length)
    fail('GRIM_PRUNE_BAD_STATE', `${site.name}: the state has ${values.length} weights for ${next} survivors.`);
  const weights = new Map(graph.weights);
  weights.set(site.weight, { dtype: 'float32', shape: old.shape, data, pattern });
  if (!update.shift) return { ...graph, weights };

  const shifted = fromBase64(update.shift.values);
  const replace = (node: Node, input: number, name: string): readonly Node[] =>
    graph.nodes.map((other) =>
      other === node
        ? ({
            ...node,
            inputs: Array.from({ length: Math.max(node.inputs.length, input + 1) }, (_, i) =>
              i === input ? name : (node.inputs[i] ?? ''),
            ),
          } as Node)
        : other,
    );
  if (update.shift.kind === 'new-bias') {
    const node = graph.nodes[site.index] as Node;
    const name = freshName(graph, `${site.weight}_bias`);
    weights.set(name, { dtype: 'float32', shape: [site.m], data: shifted });
    return { ...graph, weights, nodes: replace(node, 2, name) };
  }
  const norm = update.shift.kind === 'norm' ? normOf(graph, site) : undefined;
  const [owner, input] = norm ? [norm, 3] : [biasOwner(graph, site), undefined];
  const name = norm ? (norm.inputs[3] ?? '') : (site.bias ?? '');
  const constant = weights.get(name) as Weight;
  const users = graph.nodes.filter((node) => node.inputs.includes(name));
  if (users.length > 1 && owner) {
    // Others use the same constant: this layer gets its own.
    const own = freshName(graph, `${name}_${site.weight}`);
    weights.set(own, { dtype: 'float32', shape: constant.shape, data: shifted });
    return { ...graph, weights, nodes: replace(owner, input ?? owner.inputs.indexOf(name), own) };
  }
  weights.set(name, { dtype: 'float32', shape: constant.shape, data: shifted });
  return { ...graph, weights };
}

/** The node that adds the bias: the layer itself, or the Add behind a MatMul (which is its only user). */
function biasOwner(graph: Graph, site: Site): Node | undefined {
  return site.node.op === 'MatMul' ? undefined : graph.nodes[site.index];
}

/** A name that no value of the graph has yet. */
export function freshName(graph: Graph, stem: string): string {
  const taken = (name: string) =>
    graph.weights.has(name) || graph.inputs.has(name) || graph.nodes.some((node) => node.outputs.includes(name));
  let name = stem;
  for (let i = 1; taken(name); i++) name = `${stem}_${i}`;
  return name;
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** float32, little-endian. */
export function toBase64(values: Float32Array): string {
  const bytes = new Uint8Array(values.length * 4);
  const writer = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    writer.setFloat32(4 * i, value, true);
  });
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b, c] = bytes.subarray(i, i + 3);
    const bits = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    parts.push(
      DIGITS.charAt(bits >> 18) + DIGITS.charAt((bits >> 12) & 63),
      b === undefined ? '=' : DIGITS.charAt((bits >> 6) & 63),
      c === undefined ? '=' : DIGITS.charAt(bits & 63),
    );
  }
  return parts.join('');
}

/** @throws {GrimError} GRIM_PRUNE_BAD_STATE */
export function fromBase64(text: string): Float32Array {
  const clean = text.replace(/=+$/, '');
  const bytes = new Uint8Array(Math.floor((clean.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let to = 0;
  for (const digit of clean) {
    const value = DIGITS.indexOf(digit);
    if (value < 0) fail('GRIM_PRUNE_BAD_STATE', 'state: a character that is not base64. The state is damaged.');
    bits = ((bits << 6) | value) & 0xffffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[to++] = (bits >> held) & 0xff;
    }
  }
  if (bytes.length % 4 !== 0)
    fail('GRIM_PRUNE_BAD_STATE', 'state: weights that end within a number. The state is damaged.');
  const reader = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => reader.getFloat32(4 * i, true));
}
