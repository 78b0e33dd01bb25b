/** Activations that a product applies to its sums. */
import type { Node } from '@grim/ir';
import type { FusedEpilogue, LowerContext } from '../lower.ts';

/** The activation that a node is, if a kernel can apply it to its sums. */
export function activationOf(node: Node, c: LowerContext): FusedEpilogue['activation'] | undefined {
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
