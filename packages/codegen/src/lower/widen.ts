/** Operators whose kernels take float32 alone, of float16 and bfloat16: cast, computed, and rounded once at the end. */
import { type DType, type Node, type OpName, toReals } from '@grim/ir';
import type { LowerContext, Lowering, Lowerings } from '../lower.ts';
import type { Composition } from './composition.ts';

const isNarrow = (dtype: DType) => dtype === 'float16' || dtype === 'bfloat16';

/** The same lowerings, which take the narrow floats too. */
export function widened(lowerings: Lowerings): Lowerings {
  const entries = Object.entries(lowerings) as readonly [OpName, Lowering<never>][];
  return Object.fromEntries(entries.map(([op, lowering]) => [op, widen(lowering)]));
}

function widen({ lower, wants, ...rest }: Lowering<never>): Lowering<never> {
  const lowerWide = (node: Node, c: LowerContext): void => {
    const { dtype } = c.type(node.inputs[0] ?? '');
    if (!isNarrow(dtype)) lower(node as never, c);
    else c.compose((g) => wideNode(g, node, c, dtype));
  };
  return {
    ...rest,
    lower: lowerWide,
    wants: (node, c) => (isNarrow(c.type((node as Node).inputs[0] ?? '').dtype) ? [] : (wants?.(node, c) ?? [])),
  };
}

function wideNode(g: Composition, node: Node, c: LowerContext, dtype: DType): readonly string[] {
  const inputs = node.inputs.map((name) => {
    if (name === '' || c.type(name).dtype !== dtype) return name;
    const weight = c.constant(name);
    // A weight stays one, with its pattern.
    return weight
      ? g.constant({ ...weight, dtype: 'float32', data: Float32Array.from(toReals(weight)) })
      : g.cast(name, dtype, 'float32');
  });
  const results = g.addMany(node.op, inputs, node.outputs.length, node.attributes);
  return results.map((result, i) => {
    const output = node.outputs[i] ?? '';
    return output !== '' && c.type(output).dtype === dtype ? g.cast(result, 'float32', dtype) : result;
  });
}
