/** Whether a node's attributes are what its operator's row says. */
import { quote } from './errors.ts';
import type { AttributeSpec, OpSpec } from './op.ts';
import { isArrayOf, isDType } from './types.ts';

/** The first thing wrong with the attributes, as the rest of a sentence, or undefined. */
export function attributeProblem(
  spec: Pick<OpSpec, 'attributes'>,
  attributes: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const problem of attributeProblems(spec, attributes)) return problem;
  return undefined;
}

/** Everything wrong with the attributes, each as the rest of a sentence. */
export function* attributeProblems(
  spec: Pick<OpSpec, 'attributes'>,
  attributes: Readonly<Record<string, unknown>>,
): Generator<string, void, undefined> {
  for (const key of Object.keys(attributes))
    if (!Object.hasOwn(spec.attributes, key)) {
      const known = Object.keys(spec.attributes).join(', ') || 'none';
      yield `attribute ${quote(key)} is not one of this operator's (${known}).`;
    }
  for (const [key, row] of Object.entries(spec.attributes)) {
    const value = attributes[key];
    if (value === undefined) {
      if (row.required) yield `attribute ${quote(key)} is missing; it has no default.`;
    } else {
      const needed = valueProblem(row, value);
      if (needed) yield `attribute ${quote(key)} is ${describe(value)}; ${needed} is needed.`;
    }
  }
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
      const tensor = Object(value) as { dtype?: unknown; shape?: unknown; data?: unknown };
      if (typeof tensor.dtype !== 'string' || !isDType(tensor.dtype) || !isArrayOf(tensor.dtype, tensor.data))
        return 'a tensor';
      const count = Array.isArray(tensor.shape) ? tensor.shape.reduce((all, length) => all * length, 1) : Number.NaN;
      return tensor.data.length === count ? undefined : 'a tensor with as many elements as its shape says';
    }
    case 'graph':
      return isGraph(value) ? undefined : 'a graph';
  }
}

function isGraph(value: unknown): boolean {
  const { inputs, outputs, weights, nodes } = Object(value) as Readonly<Record<string, unknown>>;
  return inputs instanceof Map && outputs instanceof Map && weights instanceof Map && Array.isArray(nodes);
}
