/** What follows a product and is computed with it: a residual that is added, an activation. */
import type { Node } from '@grim/ir';
import type { FusedEpilogue, LowerContext, StaticType } from '../lower.ts';
import type { Scope } from './scope.ts';

/** What a lowering knows of the values around a product. */
interface Surroundings extends Pick<LowerContext, 'type' | 'constant'> {
  readonly scope: Scope;
  /** Whether a value is there when the product is computed. */
  isAvailable(name: string): boolean;
}

/**
 * Follows the only use of `output` through an Add and an activation at most.
 * @returns also the nodes that are computed with the product, in order
 */
export function epilogueOf(
  output: string,
  { scope, ...c }: Surroundings,
): { readonly epilogue: FusedEpilogue; readonly absorbed: readonly Node[] } {
  const absorbed: Node[] = [];
  let name = output;
  let residual: string | undefined;
  const found = (activation: FusedEpilogue['activation']) => ({
    epilogue: { activation, residual, output: name },
    absorbed,
  });
  for (;;) {
    if (scope.uses.get(name) !== 1 || scope.results.has(name)) return found('none');
    const node = scope.consumers.get(name);
    const [next = ''] = node?.outputs ?? [];
    if (!node || next === '') return found('none');
    if (node.op === 'Add' && residual === undefined) {
      const other = node.inputs.find((input) => input !== name) ?? '';
      if (!c.isAvailable(other) || !sameType(c.type(other), c.type(name))) return found('none');
      residual = other;
    } else {
      const activation = activationOf(node, c);
      if (!activation) return found('none');
      absorbed.push(node);
      name = next;
      return found(activation);
    }
    absorbed.push(node);
    name = next;
  }
}

/** The activation that a node is, if a kernel can apply it to its sums. */
function activationOf(node: Node, c: Pick<LowerContext, 'type' | 'constant'>): FusedEpilogue['activation'] | undefined {
  if (c.type(node.inputs[0] ?? '').dtype !== 'float32') return undefined;
  if (node.op === 'Relu') return 'relu';
  if (node.op !== 'Clip') return undefined;
  const [, low = '', high = ''] = node.inputs;
  const bound = (name: string, missing: number) => (name === '' ? missing : c.constant(name)?.data[0]);
  const min = bound(low, Number.NEGATIVE_INFINITY);
  const max = bound(high, Number.POSITIVE_INFINITY);
  if (typeof min !== 'number' || typeof max !== 'number' || !(min <= max)) return undefined;
  return { min, max };
}

function sameType(a: StaticType, b: StaticType): boolean {
  return a.dtype === b.dtype && a.shape.join() === b.shape.join();
}
