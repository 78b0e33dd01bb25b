/** Whether a node's attributes are what its operator's row says. */
import { quote } from './errors.ts';
import type { AttributeSpec, OpSpec } from './op.ts';
import { isArrayOf, isDType } from './types.ts';

/** The first thing wrong with the attributes, as the rest of a sentence, or undefined. */
export function attributeProblem(
  spec: Pick<OpSpec, 'attributes'>,
  attributes: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const key of Object.keys(attributes))
    if (!Object.hasOwn(spec.attributes, key)) {
      const known = Object.keys(spec.attributes).join(', ') || 'none';
      return `attribute ${quote(key)} is not one of this operator's (${known}).`;
    }
  for (const [key, row] of Object.entries(spec.attributes)) {
    const value = attributes[key];
    if (value === undefined) {
      if (row.required) return `attribute ${quote(key)} is missing; it has no default.`;
    } else {
      const needed = valueProblem(row, value);
      if (needed) return `attribute ${quote(key)} is ${describe(value)}; ${needed} is needed.`;
    }
  }
  return undefined;
}

function describe(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(String).join(', ')}${value.length > 8 ? ', …' : ''}]`;
  return typeof value === 'object' ? 'an object' : String(value);
}

/** What would be needed instead, or undefined when the value fits. */
function valueProblem(row: AttributeSpec<unknown>, value: unknown): string | undefined {
  const integer = (v: unknown) => typeof v === 'number' && Number.isSafeInteger(v);
  switch (row.kind) {
    case 'int': {
      const { min = -Infinity, max = Infinity } = row;
      if (!integer(value)) return 'an integer';
      if ((value as number) < min || (value as number) > max)
        return max === Infinity ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`;
      return undefined;
    }
    case 'float':
      return typeof value === 'number' ? undefined : 'a number';
    case 'string':
      if (typeof value !== 'string') return 'a string';
      return row.values && !row.values.includes(value) ? `one of ${row.values.map(quote).join(', ')}` : undefined;
    case 'ints':
      return Array.isArray(value) && value.every(integer) ? undefined : 'a list of integers';
    case 'floats':
      return Array.isArray(value) && value.every((v) => typeof v === 'number') ? undefined : 'a list of numbers';
    case 'strings':
      return Array.isArray(value) && value.every((v) => typeof v === 'string') ? undefined : 'a list of strings';
    case 'dtype':
      return typeof value === 'string' && isDType(value) ? undefined : 'an element type';
    case 'tensor': {
      const tensor = value as { dtype?: unknown; data?: unknown } | null;
      return typeof tensor?.dtype === 'string' && isDType(tensor.dtype) && isArrayOf(tensor.dtype, tensor.data)
        ? undefined
        : 'a tensor';
    }
    case 'graph':
      return typeof value === 'object' && value !== null && 'nodes' in value ? undefined : 'a graph';
  }
}
