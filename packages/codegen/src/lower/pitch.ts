/**
 * Which values should have rows equally far apart, so that one call can run over the flat positions of a plane from value
 * to value and nothing is copied between layouts.
 *
 * A convolution of stride 1 and everything element-wise keep the distance of rows; where one value on such a chain needs a
 * gap of zeros between its rows, all have one. What stands in the gaps of the others is of no account. The gap costs 2 % more columns
 * at 56×56 and 8 % at 14×14, a copy of the value 10 % and more of a layer; MobileNetV2 had 34 such copies.
 */
import type { Graph, Node } from '@grim/ir';
import type { TypeContext } from '../lower.ts';
import { unionOf } from '../map/placement.ts';
import type { Padding } from '../program.ts';
import { windowOf } from './window.ts';

/** Operators whose output stands element for element as their inputs do. */
const ELEMENTWISE: ReadonlySet<string> = new Set([
  'Add',
  'BatchNormalization',
  'Clip',
  'Elu',
  'HardSigmoid',
  'HardSwish',
  'LeakyRelu',
  'Mul',
  'PRelu',
  'Relu',
  'Sigmoid',
  'Sub',
  'Tanh',
]);

/** What a sum is fused with: `activation(sum + residual)`. */
const FUSED: ReadonlySet<string> = new Set(['Add', 'Clip', 'Relu']);

/** Names in groups: union–find. */
class Groups {
  readonly #parents = new Map<string, string>();

  root(name: string): string {
    let top = name;
    for (let next = this.#parents.get(top); next !== undefined && next !== top; next = this.#parents.get(top))
      top = next;
    this.#parents.set(name, top);
    return top;
  }

  join(names: readonly string[]): void {
    const [first] = names;
    if (first !== undefined) for (const name of names) this.#parents.set(this.root(name), this.root(first));
  }

  names(): readonly string[] {
    return [...this.#parents.keys()];
  }
}

/**
 * Elements between rows, by value; those that `wanted` names and those without a gap are not among them.
 * @param wanted  zeros around values; a residual and the sums it belongs to get those of one another, so that they stand
 *   alike and the kernel can add it
 */
export function gapsOf(graph: Graph, c: TypeContext, wanted: Map<string, Padding>): ReadonlyMap<string, number> {
  const [rows, sums] = [new Groups(), new Groups()];
  const added: string[] = [];
  for (const node of graph.nodes) {
    const names = linked(node, c);
    rows.join(names);
    if (!FUSED.has(node.op)) continue;
    sums.join(names);
    if (node.op === 'Add' && names.length === 3) added.push(names[0] ?? '');
  }
  const residual = new Set(added.map((name) => sums.root(name)));
  const zeros = new Map<string, Padding>();
  for (const [name, own] of wanted) {
    const key = sums.root(name);
    const known = zeros.get(key);
    if (residual.has(key)) zeros.set(key, known ? unionOf(known, own) : own);
  }
  for (const name of sums.names()) {
    const shared = zeros.get(sums.root(name));
    if (shared) wanted.set(name, shared);
  }
  const gaps = new Map<string, number>();
  for (const [name, { before, after }] of wanted) {
    const key = rows.root(name);
    gaps.set(key, Math.max(gaps.get(key) ?? 0, before.at(-1) ?? 0, after.at(-1) ?? 0));
  }
  const found = new Map<string, number>();
  for (const name of rows.names()) {
    const gap = gaps.get(rows.root(name)) ?? 0;
    const own = wanted.get(name);
    if (gap === 0) continue;
    if (own) wanted.set(name, unionOf(own, { before: own.before, after: own.after.with(-1, gap) }));
    else found.set(name, gap);
  }
  return found;
}

/** Values of the node whose rows can be equally far apart: planes of one width. */
function linked(node: Node, c: TypeContext): readonly string[] {
  const [output = ''] = node.outputs;
  const shape = (name: string): readonly number[] | undefined => {
    try {
      const { dtype, shape: found } = c.type(name);
      return dtype === 'float32' && found.length >= 4 ? found : undefined;
    } catch {
      // Not known before a run: its node says so when it is lowered.
      return undefined;
    }
  };
  const own = output === '' ? undefined : shape(output);
  if (!own) return [];
  const inputs = node.inputs.filter((name) => name !== '' && !c.constant(name) && shape(name)?.length === own.length);
  if (node.op === 'Conv') {
    const [input] = inputs;
    if (input === undefined || shape(input)?.at(-1) !== own.at(-1)) return [];
    return windowOf(node, c).strides.every((stride) => stride === 1) ? [output, input] : [];
  }
  if (!ELEMENTWISE.has(node.op)) return [];
  return [output, ...inputs.filter((name) => shape(name)?.join() === own.join())];
}
