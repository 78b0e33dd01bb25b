/**
 * A GraphProto → a graph: names checked, functions expanded, nodes put in order, brought to the newest form and folded on
 * the way. What goes wrong is noted and passed over, so that one reading finds all problems.
 */

import { substitute } from '../bind.ts';
import { GrimError, type GrimErrorCode, quote } from '../errors.ts';
import {
  addNode,
  addWeight,
  bodyInputTypes,
  closeScope,
  countDefinition,
  type FoldRun,
  type FoldScope,
  freshName,
  openScope,
  readWeight,
  resolve,
} from '../fold.ts';
import { type Graph, type Node, withDefaults } from '../graph.ts';
import { compatible, lookUpConstant, lookUpType, readConstant } from '../infer.ts';
import { isOpName, opSpec } from '../ops.ts';
import { formatType, type Tensor, type TensorType } from '../types.ts';
import { readAttributes } from './attribute.ts';
import { bodiesIn, domainOf, expandCalls, type Functions, type Opsets, type PlacedNode } from './functions.ts';
import {
  type AttributeProto,
  DATA_TYPES,
  type GraphProto,
  type NodeProto,
  type SparseTensorProto,
  type TensorProto,
  type ValueInfoProto,
} from './model.ts';
import { definedNames, orderNodes, placed, usedNames } from './order.ts';
import type { Problems } from './problems.ts';
import { type DenseBudget, type ReadExternal, readDType, readSparseTensor, readTensor } from './tensor.ts';
import { type Draft, Rewrite, type Surroundings } from './upgrade/rewrite.ts';
import { newestName, upgrade } from './upgrade.ts';

/** What reading one model shares. */
interface Translation {
  readonly run: FoldRun;
  readonly functions: Functions;
  readonly external: ReadExternal | undefined;
  readonly problems: Problems;
  readonly dense: DenseBudget;
  /** Bodies that end in a value lost to a problem. */
  readonly broken: WeakSet<Graph>;
  /** Named lengths that are bound. */
  readonly dims: ReadonlyMap<string, number>;
}

/** A graph being read. */
interface Place {
  readonly t: Translation;
  readonly scope: FoldScope;
  /** Values that a problem left undefined: what needs them is passed over in silence. */
  readonly lost: Set<string>;
  readonly outer: Place | undefined;
  /** Who defines each name: a node, or words for a message. */
  readonly definedBy: Map<string, NodeProto | string>;
  readonly opsets: Opsets;
  /** Static shapes that the file declares for this graph's values. */
  readonly declared: ReadonlyMap<string, readonly number[]>;
}

/** Counts every name that the model defines, so that fresh names and inlined bodies cannot clash with them. */
export function countNames(graph: GraphProto, run: FoldRun): void {
  for (const name of definedNames(graph)) countDefinition(run, name);
  for (const node of graph.nodes)
    for (const attribute of node.attributes) for (const body of bodiesIn(attribute)) countNames(body, run);
}

/**
 * @param inputs  the graph's inputs, typed and bound
 * @param constants  inputs that became weights
 * @throws {GrimError} GRIM_IR_CYCLE and what expanding functions throws; everything else goes to `t.problems`
 */
export function translateGraph(
  t: Translation,
  proto: GraphProto,
  opsets: Opsets,
  inputs: ReadonlyMap<string, TensorType>,
  constants: ReadonlyMap<string, Tensor>,
): Graph {
  return translate(t, proto, opsets, inputs, constants, [], undefined);
}

function translate(
  t: Translation,
  proto: GraphProto,
  opsets: Opsets,
  inputs: ReadonlyMap<string, TensorType>,
  constants: ReadonlyMap<string, Tensor>,
  given: readonly (TensorType | undefined)[],
  outer: Place | undefined,
): Graph {
  const scope = openScope(proto.name, inputs, given, outer?.scope, t.run);
  const place: Place = {
    t,
    scope,
    lost: new Set(),
    outer,
    definedBy: new Map(),
    opsets,
    declared: declaredShapes(proto),
  };
  const { problems, run } = t;
  const expanded = expandCalls(proto.nodes, opsets, t.functions, run.limits, (stem) => freshName(run, stem));
  claimNames(place, proto, expanded);
  for (const { name } of proto.inputs) {
    const constant = constants.get(name);
    if (constant) addWeight(scope, name, constant);
  }
  const used = new Set<string>(proto.outputs.map(({ name }) => name));
  for (const { node } of expanded) for (const name of usedNames(node)) used.add(name);
  addInitializers(place, proto, used, constants);
  // An input whose type cannot be read.
  for (const { name } of proto.inputs) if (!scope.types.has(name)) place.lost.add(name);
  const ordered = orderNodes(expanded, (name, node) => place.definedBy.get(name) === node);
  ordered.forEach((item, index) => {
    addProto(place, item, item.node.name || `${item.node.opType || 'node'}_${index}`);
  });
  const outputs = new Map<string, string>();
  for (const { name } of proto.outputs) {
    const error = outputProblem(place, name, outputs);
    if (error) problems.add(error);
    outputs.set(name, name);
  }
  for (const info of proto.valueInfo) checkDeclared(place, info, 'value_info');
  for (const info of proto.outputs) checkDeclared(place, info, 'the graph output');
  const closed = closeScope(scope, outputs);
  // What leads to a node that is lost looks unused, and its work still counts.
  const graph = problems.count === 0 ? closed : { ...closed, nodes: scope.nodes, weights: scope.constants };
  if (proto.outputs.some(({ name }) => isLost(place, name))) t.broken.add(graph);
  return graph;
}

function outputProblem(place: Place, name: string, earlier: ReadonlyMap<string, string>): GrimError | undefined {
  const where = `graph ${quote(place.scope.name)}`;
  if (name === '') return new GrimError('GRIM_IR_BAD_NAME', `${where}: an output has no name.`);
  if (earlier.has(name))
    return new GrimError('GRIM_IR_DUPLICATE_NAME', `${where}: output ${quote(name)} is there twice.`, { name });
  if (isLost(place, name) || lookUpType(place.scope, resolve(place.scope, name))) return undefined;
  return new GrimError('GRIM_IR_UNKNOWN_VALUE', `${where}: output ${quote(name)} is not defined.`, { name });
}

function isLost(place: Place, name: string): boolean {
  for (let p: Place | undefined = place; p; p = p.outer) {
    if (p.lost.has(name)) return true;
    if (p.definedBy.has(name)) return false;
  }
  return false;
}

function definer(by: NodeProto | string): string {
  return typeof by === 'string' ? by : placed(by);
}

/** Every name has one definition, among the graphs around it too. */
function claimNames(place: Place, proto: GraphProto, nodes: readonly PlacedNode[]): void {
  const { definedBy, t } = place;
  const claim = (name: string, by: NodeProto | string) => {
    if (name === '') {
      t.problems.add(new GrimError('GRIM_IR_BAD_NAME', `graph ${quote(proto.name)}: ${definer(by)} has no name.`));
      return;
    }
    for (let p: Place | undefined = place; p; p = p.outer) {
      const earlier = p.definedBy.get(name);
      if (earlier === undefined) continue;
      t.problems.add(
        new GrimError(
          'GRIM_IR_DUPLICATE_NAME',
          `graph ${quote(proto.name)}: ${quote(name)} is defined by ${definer(by)}, and already by ${definer(earlier)}. Every value needs a name of its own.`,
          { name },
        ),
      );
      return;
    }
    definedBy.set(name, by);
  };
  for (const { name } of proto.inputs) claim(name, 'a graph input');
  const inputs = new Set(definedBy.keys());
  const initializers = new Set<string>();
  for (const name of [
    ...proto.initializers.map((tensor) => tensor.name),
    ...proto.sparseInitializers.map((sparse) => sparse.values.name),
  ]) {
    // In old files every initializer is declared as an input, too.
    if (!inputs.has(name) || initializers.has(name)) claim(name, 'an initializer');
    initializers.add(name);
  }
  for (const { node } of nodes) for (const name of node.outputs) if (name !== '') claim(name, node);
}

function addInitializers(
  place: Place,
  proto: GraphProto,
  used: ReadonlySet<string>,
  constants: ReadonlyMap<string, Tensor>,
): void {
  const add = (name: string, read: (where: string) => Tensor) => {
    if (!used.has(name) || constants.has(name) || place.scope.inputs.has(name)) return;
    const tensor = place.t.problems.attempt(() => read(`initializer ${quote(name)}`));
    if (tensor) readWeight(place.scope, name, tensor);
    else place.lost.add(name);
  };
  for (const tensor of proto.initializers) add(tensor.name, (where) => readDense(place.t, tensor, where));
  for (const sparse of proto.sparseInitializers) add(sparse.values.name, (where) => readSparse(place.t, sparse, where));
}

function readDense(t: Translation, proto: TensorProto, where: string): Tensor {
  return readTensor(proto, where, t.run.limits, t.external);
}

function readSparse(t: Translation, proto: SparseTensorProto, where: string): Tensor {
  return readSparseTensor(proto, where, t.run.limits, t.dense, t.external);
}

function checkDeclared(place: Place, info: ValueInfoProto, source: string): void {
  const dtype = DATA_TYPES.get(info.elemType);
  const found = lookUpType(place.scope, resolve(place.scope, info.name));
  if (!dtype || !found || place.scope.inputs.has(info.name)) return;
  const declared: TensorType = { dtype, shape: info.dims?.map((dim, i) => dim ?? `?${i}`) ?? null };
  if (compatible(declared, found)) return;
  place.t.problems.add(
    new GrimError(
      declared.dtype === found.dtype ? 'GRIM_IR_SHAPE_MISMATCH' : 'GRIM_IR_DTYPE_MISMATCH',
      `${quote(info.name)}: ${source} declares ${formatType(declared)}; ${definer(place.definedBy.get(info.name) ?? 'its node')} gives ${formatType(found)}. One of them is wrong.`,
      { value: info.name },
    ),
  );
}

/** Adds a node of the file. A problem is noted, and the node's outputs are lost. */
function addProto(place: Place, { node, opsets }: PlacedNode, name: string): void {
  const { t } = place;
  const domain = domainOf(node.domain);
  const op = newestName(node.opType);
  const lose = () => {
    for (const output of node.outputs) place.lost.add(output);
  };
  if (domain !== '' && !opsets.has(domain)) {
    lose();
    t.problems.add(
      new GrimError(
        'GRIM_ONNX_BAD_VERSION',
        `${placed(node)}: its domain ${quote(domain)} is not among the model's opset_import, so its version is not known.`,
        { domain },
      ),
    );
    return;
  }
  if (domain !== '' || (op !== 'Constant' && !isOpName(op))) {
    t.problems.addUnsupported(node.opType, domain, name, macsOf(place, node));
    lose();
    scanBodies(place, node, opsets);
    return;
  }
  const counts = op !== 'Constant' && opSpec(op).macs !== undefined;
  const missing = node.inputs.find((input) => input !== '' && !isDefined(place, input));
  if (missing !== undefined) {
    lose();
    if (counts) t.problems.addLost(macsOf(place, node));
    if (!isLost(place, missing)) t.problems.add(undefinedInput(place, node, missing));
    scanBodies(place, node, opsets);
    return;
  }
  const done = t.problems.attempt(() => {
    if (op === 'Constant') addConstant(place, node);
    else rewrite({ ...place, opsets }, node, name);
    return true;
  });
  if (done) return;
  lose();
  if (counts) t.problems.addLost(macsOf(place, node));
}

function isDefined(place: Place, name: string): boolean {
  return lookUpType(place.scope, resolve(place.scope, name)) !== undefined;
}

function undefinedInput(place: Place, node: NodeProto, name: string): GrimError {
  return new GrimError(
    'GRIM_IR_UNKNOWN_VALUE',
    `${placed(node)}: input ${quote(name)} is not defined in this graph or around it.` +
      ((place.t.run.defined.get(name) ?? 0) > 0
        ? ' A body of another node has that name; it cannot be seen from here.'
        : ''),
    { node: node.name, value: name },
  );
}

/** Looks for unsupported operators in the bodies of a node that cannot be read itself. */
function scanBodies(place: Place, node: NodeProto, opsets: Opsets): void {
  for (const attribute of node.attributes)
    for (const body of bodiesIn(attribute))
      for (const inner of body.nodes) {
        const domain = domainOf(inner.domain);
        const op = newestName(inner.opType);
        const key = JSON.stringify([domain, inner.opType, inner.overload]);
        if (place.t.functions.byKey.has(key)) continue;
        if (domain !== '' || (op !== 'Constant' && !isOpName(op)))
          place.t.problems.addUnsupported(inner.opType, domain, inner.name, undefined);
        scanBodies(place, inner, opsets);
      }
}

/** Output elements × weights per output channel, where a weight and the output's declared shape tell. */
function macsOf(place: Place, node: NodeProto): number | undefined {
  const output = place.declared.get(node.outputs[0] ?? '');
  if (!output) return undefined;
  for (const name of node.inputs) {
    const weight = name === '' ? undefined : lookUpConstant(place.scope, resolve(place.scope, name));
    if (!weight || weight.shape.length < 2) continue;
    const [rows = 1, columns = 1] = weight.shape;
    const channels = weight.shape.length === 2 && output.at(-1) === columns ? columns : rows;
    const elements = weight.shape.reduce((product, dim) => product * dim, 1);
    return channels === 0 ? 0 : (output.reduce((product, dim) => product * dim, 1) * elements) / channels;
  }
  return undefined;
}

/** The static shapes that a graph declares. */
function declaredShapes(proto: GraphProto): ReadonlyMap<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const { name, dims } of [...proto.valueInfo, ...proto.outputs])
    if (dims?.every((dim) => typeof dim === 'number')) shapes.set(name, dims);
  return shapes;
}

function addConstant(place: Place, node: NodeProto): void {
  const bad = (message: string): never => {
    throw new GrimError('GRIM_IR_BAD_ATTRIBUTE', `${placed(node)}: ${message}`, { node: node.name });
  };
  const [output = ''] = node.outputs;
  const values = node.attributes.filter(
    ({ name }) => name === 'value' || name === 'sparse_value' || name.startsWith('value_'),
  );
  const [attribute] = values;
  if (!attribute || values.length > 1) throw bad(`has ${values.length} values; exactly one is needed.`);
  if (node.inputs.length > 0 || node.outputs.length !== 1) bad('takes no inputs and gives one output.');
  if (output !== '') readWeight(place.scope, output, constantValue(place.t, attribute, placed(node), bad));
}

/** The attributes that give a Constant its value, and the kind of each. */
const CONSTANT_KINDS: ReadonlyMap<string, AttributeProto['kind']> = new Map([
  ['value', 'tensor'],
  ['sparse_value', 'sparse_tensor'],
  ['value_float', 'float'],
  ['value_floats', 'floats'],
  ['value_int', 'int'],
  ['value_ints', 'ints'],
  ['value_string', 'string'],
  ['value_strings', 'strings'],
] as const);

function constantValue(
  t: Translation,
  attribute: AttributeProto,
  where: string,
  bad: (message: string) => never,
): Tensor {
  const needed = CONSTANT_KINDS.get(attribute.name);
  if (attribute.kind !== needed)
    return bad(
      `attribute ${quote(attribute.name)} is of kind ${attribute.kind}; ${needed ?? 'another name'} is needed.`,
    );
  switch (attribute.kind) {
    case 'tensor':
      return readDense(t, attribute.value, where);
    case 'sparse_tensor':
      return readSparse(t, attribute.value, where);
    case 'float':
      return { dtype: 'float32', shape: [], data: Float32Array.of(attribute.value) };
    case 'floats':
      return { dtype: 'float32', shape: [attribute.value.length], data: Float32Array.from(attribute.value) };
    case 'int':
      return { dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(attribute.value)) };
    case 'ints': {
      const data = BigInt64Array.from(attribute.value, (value) => BigInt(value));
      return { dtype: 'int64', shape: [data.length], data };
    }
    default:
      throw new GrimError('GRIM_ONNX_UNSUPPORTED_TYPE', `${where}: strings are not supported.`);
  }
}

/** Brings a node to the newest form and appends what that is. */
function rewrite(place: Place, node: NodeProto, name: string): void {
  const { t, scope } = place;
  const fail = (message: string, code: GrimErrorCode): never => {
    throw new GrimError(code, `${placed({ ...node, name })}: ${message}`, { node: name, op: node.opType });
  };
  const attributes = new Map<string, AttributeProto>();
  for (const attribute of node.attributes) {
    if (attributes.has(attribute.name))
      fail(`attribute ${quote(attribute.name)} is there twice.`, 'GRIM_IR_BAD_ATTRIBUTE');
    attributes.set(attribute.name, attribute);
  }
  const fresh = (stem: string) => freshName(t.run, stem);
  const around: Surroundings = {
    type: (value) => lookUpType(scope, resolve(scope, value)),
    constant: (value) => readConstant(scope, resolve(scope, value)),
    weight(stem, tensor) {
      const made = fresh(stem);
      addWeight(scope, made, tensor);
      return made;
    },
    fresh,
    emit: (draft) => addDraft(place, draft, name),
    fail,
  };
  const draft: Draft = { op: node.opType, inputs: node.inputs, outputs: node.outputs, attributes };
  upgrade(new Rewrite(draft, name, place.opsets.get('') ?? 1, around));
}

function addDraft(place: Place, draft: Draft, name: string): void {
  const { scope, t } = place;
  const { op, inputs, outputs } = draft;
  const where = `${quote(name)} (${op})`;
  if (!isOpName(op)) throw new GrimError('GRIM_IR_UNSUPPORTED_OP', `${where}: ${quote(op)} is not supported.`, { op });
  const taken = op === 'If' ? branchTaken(place, draft) : undefined;
  const problemsBefore = t.problems.count;
  const bodies = new Map<GraphProto, Graph>();
  const given = readAttributes(draft.attributes.values(), opSpec(op).attributes, {
    where,
    tensor: (proto, at) => readDense(t, proto, at),
    graph(written) {
      // The branch that is never taken need not be readable.
      const proto = taken ?? written;
      const body = bodies.get(proto) ?? readBody(place, proto, draft, where);
      bodies.set(proto, body);
      return body;
    },
  });
  if (t.problems.count > problemsBefore || [...bodies.values()].some((body) => t.broken.has(body))) {
    // A problem in a body has been noted; the node itself would only repeat it.
    for (const output of outputs) place.lost.add(output);
    return;
  }
  addNode(scope, { op, name, inputs, outputs, attributes: withDefaults(op, given) } as Node, true);
}

/** The branch of an `If` whose condition is known. */
function branchTaken({ scope }: Place, draft: Draft): GraphProto | undefined {
  const condition = lookUpConstant(scope, resolve(scope, draft.inputs[0] ?? ''));
  if (condition?.dtype !== 'bool' || condition.data.length !== 1) return undefined;
  const attribute = draft.attributes.get(condition.data[0] ? 'then_branch' : 'else_branch');
  return attribute?.kind === 'graph' ? attribute.value : undefined;
}

function readBody(place: Place, proto: GraphProto, draft: Draft, where: string): Graph {
  const { scope, t } = place;
  const { limits } = t.run;
  if (scope.depth >= limits.subgraphDepth)
    throw new GrimError(
      'GRIM_IR_LIMIT',
      `${where}: bodies are nested more than ${limits.subgraphDepth} deep (limit subgraphDepth).`,
      { limit: 'subgraphDepth', allowed: limits.subgraphDepth },
    );
  const scans = draft.attributes.get('num_scan_inputs');
  const axes = draft.attributes.get('scan_input_axes');
  const given = bodyInputTypes(scope, {
    op: draft.op,
    types: draft.inputs.map((value) => lookUpType(scope, resolve(scope, value))),
    scans: scans?.kind === 'int' ? Number(scans.value) : 0,
    axes: axes?.kind === 'ints' ? axes.value.map(Number) : undefined,
  });
  const inputs = new Map<string, TensorType>();
  proto.inputs.forEach((info, i) => {
    // What a body leaves undeclared is what its operator passes in.
    const passed = given[i];
    const untyped = info.elemType === 0 && info.otherType === undefined && passed;
    const type = untyped
      ? { dtype: passed.dtype, shape: draft.op === 'Loop' && i < 2 ? [] : null }
      : t.problems.attempt(() => substitute(declaredType(info, `${where}: body input ${quote(info.name)}`), t.dims));
    if (type) inputs.set(info.name, type);
  });
  return translate(t, proto, place.opsets, inputs, new Map(), given, place);
}

/**
 * The type that a file declares for an input. An open length without a name is named after the input and the axis.
 * @throws {GrimError} GRIM_ONNX_UNSUPPORTED_TYPE
 */
export function declaredType(info: ValueInfoProto, where: string): TensorType {
  if (info.otherType !== undefined)
    throw new GrimError('GRIM_ONNX_UNSUPPORTED_TYPE', `${where} is a ${info.otherType}; only tensors are supported.`);
  if (info.elemType === 0) throw new GrimError('GRIM_ONNX_MISSING_FIELD', `${where} has no element type.`);
  return {
    dtype: readDType(info.elemType, where),
    shape: info.dims?.map((dim, axis) => dim ?? `${info.name}.${axis}`) ?? null,
  };
}
