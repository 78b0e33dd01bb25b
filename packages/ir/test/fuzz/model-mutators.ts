/**
 * Damage to the meaning of a model: the file stays a well-formed protobuf message, and what it says is wrong. Plain byte
 * damage seldom gets this far.
 */
import type {
  AttributeProto,
  AttributeValue,
  GraphProto,
  ModelProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from '../../src/onnx/model.ts';
import type { Random } from './random.ts';

/** A decoded model of one's own, to be changed in place. */
export type Mutable<T> = T extends
  | Uint8Array
  | Float32Array
  | Int32Array
  | BigInt64Array
  | Float64Array
  | BigUint64Array
  ? T
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;

export interface ModelMutator {
  readonly name: string;
  /** Changes the model, or returns without when there is nothing to change. */
  readonly mutate: (model: Mutable<ModelProto>, random: Random) => void;
}

const NAMES = [
  '',
  ' ',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  '../x',
  '\u202egnp.x',
  'é',
  'e\u0301',
  '😀'.repeat(64),
  'X',
  'x',
];
const DIMS = [-1, 0, 1, 2, 3, 7, 255, 65536, 65537, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53)];
const INTS: readonly (number | bigint)[] = [...DIMS, -2, -3, -9, 4, 8, 2n ** 63n - 1n, -(2n ** 63n)];
const FLOATS = [0, -0, 1, -1, 0.5, 1e-45, 1e-6, 3.4e38, Number.NaN, Infinity, -Infinity];
const DATA_TYPES_TRIED = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 22, 99, -1];
const OPSETS = [0, 1, 6, 7, 9, 11, 13, 18, 21, 25, 999, -1];
const TWINS = [
  [
    'Add',
    'Mul',
    'Sub',
    'Div',
    'Pow',
    'MatMul',
    'Mod',
    'PRelu',
    'Gather',
    'Expand',
    'Reshape',
    'Tile',
    'GatherND',
    'Compress',
  ],
  [
    'Relu',
    'Sigmoid',
    'Softmax',
    'Transpose',
    'Flatten',
    'Shape',
    'Squeeze',
    'ReduceSum',
    'GlobalAveragePool',
    'NonZero',
    'Size',
    'DepthToSpace',
    'ConstantOfShape',
    'EyeLike',
    'Identity',
    'LpNormalization',
  ],
  [
    'Conv',
    'Gemm',
    'Where',
    'Slice',
    'Clip',
    'Range',
    'ScatterND',
    'OneHot',
    'Pad',
    'DequantizeLinear',
    'LSTM',
    'GRU',
    'BatchNormalization',
    'Resize',
  ],
];

type Graph = Mutable<GraphProto>;
type Node = Mutable<NodeProto>;
type Attribute = Mutable<AttributeProto>;

/** The main graph, every body of a node, at any depth. */
function graphs(model: Mutable<ModelProto>): Graph[] {
  const found: Graph[] = [model.graph];
  for (const graph of found)
    for (const node of graph.nodes)
      for (const attribute of node.attributes) {
        if (attribute.kind === 'graph') found.push(attribute.value);
        if (attribute.kind === 'graphs') found.push(...attribute.value);
      }
  return found;
}

function onGraph(name: string, edit: (graph: Graph, random: Random, model: Mutable<ModelProto>) => void): ModelMutator {
  return {
    name,
    mutate: (model, random) => {
      const graph = random.pick(graphs(model));
      if (graph) edit(graph, random, model);
    },
  };
}

function onNode(name: string, edit: (node: Node, random: Random, graph: Graph) => void): ModelMutator {
  return onGraph(name, (graph, random) => {
    const node = random.pick(graph.nodes);
    if (node) edit(node, random, graph);
  });
}

function onAttribute(name: string, edit: (attribute: Attribute, random: Random, node: Node) => void): ModelMutator {
  return onNode(name, (node, random) => {
    const attribute = random.pick(node.attributes);
    if (attribute) edit(attribute, random, node);
  });
}

/** An initializer or the value of an attribute. */
function onTensor(name: string, edit: (tensor: Mutable<TensorProto>, random: Random) => void): ModelMutator {
  return onGraph(name, (graph, random) => {
    const inAttributes = graph.nodes.flatMap((node) =>
      node.attributes.flatMap((a) => (a.kind === 'tensor' ? [a.value] : [])),
    );
    const tensor = random.pick([...graph.initializers, ...inAttributes]);
    if (tensor) edit(tensor, random);
  });
}

function onValue(name: string, edit: (value: Mutable<ValueInfoProto>, random: Random) => void): ModelMutator {
  return onGraph(name, (graph, random) => {
    const value = random.pick([...graph.inputs, ...graph.outputs, ...graph.valueInfo]);
    if (value) edit(value, random);
  });
}

function valueNames(graph: Graph): string[] {
  return [...graph.inputs, ...graph.initializers]
    .map(({ name }) => name)
    .concat(graph.nodes.flatMap((node) => node.outputs));
}

function setAt<T>(items: T[], random: Random, value: T | undefined): void {
  if (value !== undefined && items.length > 0) items[random.below(items.length)] = value;
}

function removeOne(items: unknown[], random: Random): void {
  if (items.length > 0) items.splice(random.below(items.length), 1);
}

function repeatOne<T>(items: T[], random: Random): void {
  const item = random.pick(items);
  if (item !== undefined) items.splice(random.below(items.length + 1), 0, item);
}

function swapTwo<T>(items: T[], random: Random): void {
  const [i, j] = [random.below(items.length), random.below(items.length)];
  const [a, b] = [items[i], items[j]];
  if (a === undefined || b === undefined) return;
  items[i] = b;
  items[j] = a;
}

const ATTRIBUTE_NAMES = [
  'axis',
  'axes',
  'perm',
  'kernel_shape',
  'strides',
  'pads',
  'dilations',
  'group',
  'to',
  'keepdims',
  'epsilon',
  'alpha',
  'value',
  'mode',
  'auto_pad',
  'then_branch',
  'body',
  'blocksize',
  'hidden_size',
  'direction',
  'equation',
  'block_size',
  'num_outputs',
  'allowzero',
];

function someAttribute(random: Random, tensor: TensorProto | undefined): AttributeValue {
  const int = () => random.pick(INTS) ?? 0;
  const float = () => random.pick(FLOATS) ?? 0;
  switch (random.below(tensor ? 7 : 6)) {
    case 0:
      return { kind: 'int', value: int() };
    case 1:
      return { kind: 'float', value: float() };
    case 2:
      return {
        kind: 'string',
        value: random.pick([...NAMES, 'SAME_UPPER', 'VALID', 'constant', 'linear', 'ij->ji', 'bidirectional']) ?? '',
      };
    case 3:
      return { kind: 'ints', value: Array.from({ length: random.below(6) }, int) };
    case 4:
      return { kind: 'floats', value: Array.from({ length: random.below(6) }, float) };
    case 5:
      return { kind: 'strings', value: NAMES.slice(0, random.below(3)) };
    default:
      return { kind: 'tensor', value: tensor as TensorProto };
  }
}

function become(attribute: Attribute, value: AttributeValue): void {
  Object.assign(attribute, value);
}

export const MODEL_MUTATORS: readonly ModelMutator[] = [
  onNode('rewire an input', (node, random, graph) => setAt(node.inputs, random, random.pick(valueNames(graph)))),
  onNode('an input from nowhere', (node, random) => setAt(node.inputs, random, random.pick(NAMES))),
  onNode('drop an input', (node, random) => removeOne(node.inputs, random)),
  onNode('repeat an input', (node, random) => repeatOne(node.inputs, random)),
  onNode('swap two inputs', (node, random) => swapTwo(node.inputs, random)),
  onNode('an own output as input', (node, random) => setAt(node.inputs, random, random.pick(node.outputs))),
  onNode('rename an output', (node, random, graph) =>
    setAt(node.outputs, random, random.pick([...NAMES, ...valueNames(graph)])),
  ),
  onNode('drop an output', (node, random) => removeOne(node.outputs, random)),
  onNode('one more output', (node, random) => node.outputs.push(random.pick(NAMES) ?? 'more')),
  onNode('another operator of the same arity', (node, random) => {
    const family = TWINS.find((names) => names.includes(node.opType)) ?? TWINS[Math.min(node.inputs.length, 3) - 1];
    node.opType = random.pick(family ?? TWINS[1] ?? []) ?? node.opType;
  }),
  onNode('an unknown operator', (node, random) => {
    node.opType = random.pick([...NAMES, 'Conv2', 'conv']) ?? '';
  }),
  onNode('another domain', (node, random) => {
    node.domain = random.pick(['ai.onnx', 'com.microsoft', 'ai.onnx.ml', ...NAMES]) ?? '';
  }),
  onNode('drop an attribute', (node, random) => removeOne(node.attributes, random)),
  onNode('repeat an attribute', (node, random) => repeatOne(node.attributes, random)),
  onNode('one more attribute', (node, random, graph) =>
    node.attributes.push({
      name: random.pick([...ATTRIBUTE_NAMES, ...NAMES]) ?? '',
      ...someAttribute(random, graph.initializers[0]),
    } as Attribute),
  ),
  onAttribute('another name for an attribute', (attribute, random) => {
    attribute.name = random.pick([...ATTRIBUTE_NAMES, ...NAMES]) ?? '';
  }),
  onAttribute('another type for an attribute', (attribute, random) =>
    become(attribute, someAttribute(random, undefined)),
  ),
  onAttribute('another number in an attribute', (attribute, random) => {
    if (attribute.kind === 'int') attribute.value = random.pick(INTS) ?? 0;
    else if (attribute.kind === 'float') attribute.value = random.pick(FLOATS) ?? 0;
    else if (attribute.kind === 'ints') setAt(attribute.value, random, random.pick(INTS));
    else if (attribute.kind === 'floats') setAt(attribute.value, random, random.pick(FLOATS));
  }),
  onAttribute('another length of a list', (attribute, random) => {
    if (attribute.kind !== 'ints' && attribute.kind !== 'floats' && attribute.kind !== 'strings') return;
    const items = attribute.value as unknown[];
    if (random.oneIn(2)) removeOne(items, random);
    else repeatOne(items, random);
  }),
  onAttribute('a reference outside a function', (attribute, random) =>
    become(attribute, { kind: 'reference', value: random.pick(ATTRIBUTE_NAMES) ?? '', type: random.below(15) }),
  ),
  onTensor('another dim', (tensor, random) => setAt(tensor.dims, random, random.pick(DIMS))),
  onTensor('one more dim', (tensor, random) =>
    tensor.dims.splice(random.below(tensor.dims.length + 1), 0, random.pick(DIMS) ?? 1),
  ),
  onTensor('one dim less', (tensor, random) => removeOne(tensor.dims, random)),
  onTensor('many dims', (tensor, random) => tensor.dims.push(...Array<number>(random.below(1000)).fill(1))),
  onTensor('another element type', (tensor, random) => {
    tensor.dataType = random.pick(DATA_TYPES_TRIED) ?? 1;
  }),
  onTensor('a shorter or longer tensor', (tensor, random) => {
    if (tensor.payload.form !== 'raw') return;
    const { bytes } = tensor.payload;
    tensor.payload.bytes = random.oneIn(2)
      ? bytes.subarray(random.below(5))
      : Uint8Array.from([...bytes.subarray(0, 4096), 0]);
  }),
  onTensor('other elements', (tensor, random) => {
    const { payload } = tensor;
    const bytes =
      payload.form === 'raw'
        ? payload.bytes
        : 'values' in payload
          ? new Uint8Array(payload.values.buffer, payload.values.byteOffset, payload.values.byteLength)
          : undefined;
    if (bytes === undefined || bytes.length === 0) return;
    // A copy: the bytes are those of the corpus.
    const changed = bytes.slice();
    for (let i = 1 + random.below(8); i > 0; i--)
      changed[random.below(changed.length)] = random.pick([0, 1, 127, 128, 255]) ?? 0;
    tensor.payload = { form: 'raw', bytes: changed };
  }),
  onTensor('elements in another form', (tensor, random) => {
    const values = [0, 1, -1, 127, 255, 65536].slice(0, random.below(7));
    tensor.payload =
      random.pick<Mutable<TensorProto['payload']>>([
        { form: 'int32_data', values: Int32Array.from(values) },
        { form: 'float_data', values: Float32Array.from(values) },
        { form: 'int64_data', values: BigInt64Array.from(values, BigInt) },
        { form: 'double_data', values: Float64Array.from(values) },
        { form: 'uint64_data', values: BigUint64Array.from(values, BigInt) },
      ]) ?? tensor.payload;
  }),
  onTensor('elements elsewhere', (tensor, random) => {
    const pairs = [
      { key: 'location', value: random.pick(['w.bin', '../w', '/etc/x', 'C:\\x', '', 'CON', ...NAMES]) ?? '' },
      { key: 'offset', value: random.pick(['0', '-1', '1e3', '0x10', '9223372036854775808', ' 1']) ?? '' },
      { key: 'length', value: random.pick(['0', '4', '-4', 'NaN', '']) ?? '' },
      { key: random.pick(['checksum', '__proto__', 'location', 'offset']) ?? '', value: 'x' },
    ];
    tensor.payload = { form: 'external', entries: pairs.slice(0, random.below(5)) };
  }),
  onTensor('rename a tensor', (tensor, random) => {
    tensor.name = random.pick(NAMES) ?? '';
  }),
  onGraph('drop an initializer', (graph, random) => removeOne(graph.initializers, random)),
  onGraph('repeat an initializer', (graph, random) => repeatOne(graph.initializers, random)),
  onGraph('a sparse initializer', (graph, random) => {
    const values = random.pick(graph.initializers);
    if (values === undefined) return;
    const indices = BigInt64Array.from({ length: random.below(4) }, () => BigInt(random.pick(INTS) ?? 0));
    graph.sparseInitializers.push({
      values: { ...values, name: random.pick(valueNames(graph)) ?? '' },
      indices: { name: '', dims: [indices.length], dataType: 7, payload: { form: 'int64_data', values: indices } },
      dims: Array.from({ length: random.below(4) }, () => random.pick(DIMS) ?? 1),
    });
  }),
  onGraph('drop a node', (graph, random) => removeOne(graph.nodes, random)),
  onGraph('repeat a node', (graph, random) => repeatOne(graph.nodes, random)),
  onGraph('swap two nodes', (graph, random) => swapTwo(graph.nodes, random)),
  onGraph('drop an input of the graph', (graph, random) => removeOne(graph.inputs, random)),
  onGraph('repeat an input of the graph', (graph, random) => repeatOne(graph.inputs, random)),
  onGraph('drop an output of the graph', (graph, random) => removeOne(graph.outputs, random)),
  onGraph('repeat an output of the graph', (graph, random) => repeatOne(graph.outputs, random)),
  onGraph('an input as output', (graph, random) => {
    const value = random.pick(graph.inputs);
    if (value) graph.outputs.push(value);
  }),
  onGraph('capture from a sibling body', (graph, random, model) => {
    const stranger = random.pick(graphs(model).flatMap(valueNames));
    const node = random.pick(graph.nodes);
    if (node) setAt(node.inputs, random, stranger);
  }),
  onGraph('wrap in If', (graph, random) => {
    const bodies = [graph, { ...graph, nodes: [], inputs: [] }].map((body) => ({
      ...body,
      inputs: random.oneIn(3) ? body.inputs : [],
    }));
    graph.nodes.push({
      name: '',
      opType: random.pick(['If', 'Loop', 'Scan']) ?? 'If',
      domain: '',
      overload: '',
      inputs: [random.pick(valueNames(graph)) ?? ''],
      outputs: ['wrapped'],
      attributes: ['then_branch', 'else_branch', 'body'].slice(0, 1 + random.below(3)).map((name, index) => ({
        name,
        kind: 'graph',
        value: { ...(bodies[index % 2] ?? graph), nodes: [...graph.nodes] },
      })),
    } as Node);
  }),
  onValue('another dim of a value', (value, random) => {
    if (value.dims) setAt(value.dims, random, random.pick<number | string>([...DIMS, 'N', 'M']));
  }),
  onValue('another rank of a value', (value, random) => {
    if (random.oneIn(4)) value.dims = null;
    else if (random.oneIn(2)) value.dims = [...(value.dims ?? []), random.pick<number | string>([...DIMS, 'N'])];
    else value.dims?.pop();
  }),
  onValue('another type of a value', (value, random) => {
    value.elemType = random.pick(DATA_TYPES_TRIED) ?? 1;
  }),
  onValue('rename a value', (value, random) => {
    value.name = random.pick(NAMES) ?? '';
  }),
  {
    name: 'another opset',
    mutate: (model, random) => {
      const opset = random.pick(model.opsetImport);
      if (opset) opset.version = random.pick(OPSETS) ?? 0;
    },
  },
  {
    name: 'opset entries',
    mutate: (model, random) => {
      const how = random.below(3);
      if (how === 0) repeatOne(model.opsetImport, random);
      else if (how === 1)
        model.opsetImport.push({ domain: random.pick(NAMES) ?? '', version: random.pick(OPSETS) ?? 0 });
      else removeOne(model.opsetImport, random);
    },
  },
  {
    name: 'another IR version',
    mutate: (model, random) => {
      model.irVersion = random.pick([0, 1, 2, 3, 7, 12, 999, -1]) ?? 0;
    },
  },
  {
    name: 'a function',
    mutate: (model, random) => {
      const node = random.pick(model.graph.nodes);
      if (node === undefined) return;
      const calls = random.pick(model.graph.nodes);
      model.functions.push({
        name: node.opType,
        domain: node.domain,
        overload: node.overload,
        inputs: random.oneIn(3) ? [] : [...node.inputs],
        outputs: [...node.outputs],
        attributes: node.attributes.map(({ name }) => name),
        attributeProtos: [],
        // Its own name among them: a function that calls itself.
        nodes: calls ? [{ ...node, opType: random.oneIn(2) ? node.opType : calls.opType }] : [],
        opsetImport: random.oneIn(3) ? [] : [...model.opsetImport],
      });
    },
  },
];
