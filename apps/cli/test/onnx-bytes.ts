/** Hand-made ONNX files for tests: what no exporter would write. Field numbers are those of onnx.proto. */

type Bytes = readonly number[];

const varint = (value: number): Bytes =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
const number = (field: number, value: number): Bytes => [...varint(field * 8), ...varint(value)];
const block = (field: number, content: Bytes): Bytes => [
  ...varint(field * 8 + 2),
  ...varint(content.length),
  ...content,
];
const text = (field: number, value: string): Bytes => block(field, [...new TextEncoder().encode(value)]);

export interface NodeParts {
  readonly op: string;
  readonly name?: string;
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const node = ({ op, name = '', domain = '', inputs, outputs }: NodeParts): Bytes => [
  ...inputs.flatMap((input) => text(1, input)),
  ...outputs.flatMap((output) => text(2, output)),
  ...text(3, name),
  ...text(4, op),
  ...(domain === '' ? [] : text(7, domain)),
];

/** A float32 value of the given shape; a string is the name of an open length. */
export const value = (name: string, shape: readonly (number | string)[]): Bytes => {
  const dims = shape.flatMap((dim) => block(1, typeof dim === 'number' ? number(1, dim) : text(2, dim)));
  return [...text(1, name), ...block(2, block(1, [...number(1, 1), ...block(2, dims)]))];
};

/** A float32 initializer; `external` in place of data. */
export const weight = (name: string, shape: readonly number[], external?: Readonly<Record<string, string>>): Bytes => {
  const length = shape.reduce((a, b) => a * b, 1);
  const data = external
    ? [
        ...Object.entries(external).flatMap(([key, entry]) => block(13, [...text(1, key), ...text(2, entry)])),
        ...number(14, 1),
      ]
    : block(9, new Array<number>(4 * length).fill(0x3f));
  return [...shape.flatMap((dim) => number(1, dim)), ...number(2, 1), ...text(8, name), ...data];
};

export interface ModelParts {
  readonly name?: string;
  readonly producer?: string;
  readonly nodes: readonly NodeParts[];
  readonly inputs: readonly Bytes[];
  readonly outputs: readonly Bytes[];
  readonly weights?: readonly Bytes[];
  /** Types of values in between. */
  readonly values?: readonly Bytes[];
  readonly domains?: readonly string[];
}

export function modelBytes(parts: ModelParts): Uint8Array {
  const { name = 'g', producer = 'tests', nodes, inputs, outputs, weights = [], values = [], domains = [] } = parts;
  const graph = [
    ...nodes.flatMap((one) => block(1, node(one))),
    ...text(2, name),
    ...weights.flatMap((one) => block(5, one)),
    ...inputs.flatMap((one) => block(11, one)),
    ...outputs.flatMap((one) => block(12, one)),
    ...values.flatMap((one) => block(13, one)),
  ];
  const opsets = [['', 17] as const, ...domains.map((domain) => [domain, 1] as const)];
  return Uint8Array.from([
    ...number(1, 8),
    ...text(2, producer),
    ...block(7, graph),
    ...opsets.flatMap(([domain, version]) => block(8, [...text(1, domain), ...number(2, version)])),
  ]);
}
