/** Attributes of a file → attributes of the operator table. */
import { GrimError, quote, show } from '../errors.ts';
import type { Graph } from '../graph.ts';
import type { AttributeSpec } from '../op.ts';
import type { Tensor } from '../types.ts';
import type { AttributeProto, AttributeValue, GraphProto, TensorProto } from './model.ts';
import { readDType } from './tensor.ts';

/** How the parts that are not plain values are read. */
interface AttributeReader {
  /** `node` (Op), for messages. */
  readonly where: string;
  tensor(proto: TensorProto, where: string): Tensor;
  graph(proto: GraphProto): Graph;
}

/** The kind in a file of each kind of the table. */
const FILE_KINDS: Readonly<Record<AttributeSpec<unknown>['kind'], AttributeValue['kind']>> = {
  int: 'int',
  float: 'float',
  string: 'string',
  ints: 'ints',
  floats: 'floats',
  strings: 'strings',
  tensor: 'tensor',
  graph: 'graph',
  dtype: 'int',
};

/**
 * @param specs  attributes of the operator's row
 * @throws {GrimError} GRIM_IR_BAD_ATTRIBUTE when one is unknown or of another kind; what reading tensors and graphs throws
 */
export function readAttributes(
  attributes: Iterable<AttributeProto>,
  specs: Readonly<Record<string, AttributeSpec<unknown>>>,
  reader: AttributeReader,
): Record<string, unknown> {
  const read: Record<string, unknown> = {};
  for (const attribute of attributes) {
    const row = Object.hasOwn(specs, attribute.name) ? specs[attribute.name] : undefined;
    const bad = (message: string): never => {
      throw new GrimError('GRIM_IR_BAD_ATTRIBUTE', `${reader.where}: attribute ${quote(attribute.name)} ${message}`, {
        attribute: attribute.name,
      });
    };
    if (!row) return bad(`is not one of this operator's (${Object.keys(specs).join(', ') || 'none'}).`);
    if (attribute.kind === 'reference')
      return bad(`refers to ${quote(attribute.value)}, an attribute of a function; this node stands in none.`);
    if (attribute.kind !== FILE_KINDS[row.kind])
      return bad(`is of kind ${attribute.kind}; ${FILE_KINDS[row.kind]} is needed.`);
    const value = readValue(attribute, row, reader);
    if (value !== undefined) read[attribute.name] = value;
  }
  return read;
}

function readValue(attribute: AttributeProto, row: AttributeSpec<unknown>, reader: AttributeReader): unknown {
  const where = `${reader.where}: attribute "${show(attribute.name)}"`;
  switch (attribute.kind) {
    case 'int':
      if (row.kind !== 'dtype') return Number(attribute.value);
      // 0 is "undefined": as if left out, where that is allowed.
      return attribute.value === 0 && !row.required ? undefined : readDType(Number(attribute.value), where);
    case 'ints':
      return attribute.value.map(Number);
    case 'tensor':
      return reader.tensor(attribute.value, where);
    case 'graph':
      return reader.graph(attribute.value);
    case 'floats':
    case 'strings':
      return [...attribute.value];
    default:
      return attribute.value;
  }
}
