/**
 * An ONNX file → a graph: decoded, versions checked, inputs bound, then read node by node (`translate.ts`).
 * @see https://github.com/onnx/onnx/blob/main/docs/IR.md
 */
import { type Binding, bindInputs } from '../bind.ts';
import { GrimError, invariant, quote } from '../errors.ts';
import { startFolding } from '../fold.ts';
import type { Graph } from '../graph.ts';
import { type Limits, withLimits } from '../limits.ts';
import type { TensorType } from '../types.ts';
import { decodeModel } from './decode.ts';
import { type ExternalData, externalReader } from './external.ts';
import { collectFunctions, domainOf, type Opsets } from './functions.ts';
import type { ModelProto, OperatorSetId } from './model.ts';
import { Problems } from './problems.ts';
import { countNames, declaredType, translateGraph } from './translate.ts';

export interface ImportOptions extends Binding {
  /** The files beside the model that hold its external data. Without it such data is refused. */
  readonly externalData?: ExternalData;
  readonly limits?: Partial<Limits>;
  /** Skip unknown fields at the top of the file. Default: false. */
  readonly lenient?: boolean;
}

const NEWEST_OPSET = 27;
/** IR version of the release that has opset 27. */
const NEWEST_IR = 13;

/**
 * The graph in the bytes of an `.onnx` file, every operator in its newest form and folded.
 *
 * Weights are views on `bytes`: those must not change while the graph is in use. An input that is an initializer too, as
 * files before IR version 4 have them, is a weight and no input of the graph. `dims`, `shapes` and `constants` bind as
 * `bind()` does, before anything is folded.
 *
 * @throws {GrimError} GRIM_ONNX_* for a file that cannot be read; GRIM_IR_UNSUPPORTED_OP with all operators that are not
 *   supported in `details.operators`; GRIM_IR_BAD_BINDING; GRIM_IR_CYCLE, GRIM_IR_UNKNOWN_VALUE, GRIM_IR_DUPLICATE_NAME
 *   and what the operators' rules find. When there are several problems, `details.problems` lists the others
 * @example fromOnnx(bytes, { dims: { N: 1 }, constants: { sr: 16000 } })
 */
export function fromOnnx(bytes: Uint8Array, options: ImportOptions = {}): Graph {
  const limits = withLimits(options.limits);
  const problems = new Problems();
  const model = decodeModel(bytes, limits, { lenient: options.lenient ?? false });
  const graph = problems.attemptAll(() => readModel(model, options, limits, problems));
  problems.throwIfAny();
  invariant(graph, 'a model without problems has a graph');
  return graph;
}

/**
 * The graph as far as it can be read; what cannot goes to `problems`.
 * @throws {GrimError} what makes going on senseless: versions, recursion, a cycle, a wrong binding
 */
export function readModel(model: ModelProto, options: ImportOptions, limits: Limits, problems: Problems): Graph {
  const opsets = checkVersions(model);
  const functions = collectFunctions(model.functions, limits);
  const run = startFolding(limits);
  countNames(model.graph, run);
  const bound = bindInputs(readInputs(model, problems), options, limits);
  const external = options.externalData && externalReader(options.externalData);
  const dense = { bytes: limits.fileBytes };
  const t = { run, functions, external, problems, dense, broken: new WeakSet<Graph>(), dims: bound.dims };
  return translateGraph(t, model.graph, opsets, bound.inputs, bound.constants);
}

function readInputs({ graph }: ModelProto, problems: Problems): ReadonlyMap<string, TensorType> {
  const initializers = new Set<string>();
  for (const { name } of graph.initializers) initializers.add(name);
  for (const { values } of graph.sparseInitializers) initializers.add(values.name);
  const inputs = new Map<string, TensorType>();
  for (const info of graph.inputs) {
    if (initializers.has(info.name)) continue;
    const type = problems.attempt(() => declaredType(info, `input ${quote(info.name)}`));
    if (type) inputs.set(info.name, type);
  }
  return inputs;
}

/** @throws {GrimError} GRIM_ONNX_BAD_VERSION */
function checkVersions({ irVersion, opsetImport }: ModelProto): Opsets {
  const bad = (message: string, details: Record<string, unknown>): never => {
    throw new GrimError('GRIM_ONNX_BAD_VERSION', message, details);
  };
  if (irVersion < 1 || irVersion > NEWEST_IR)
    bad(`The model has ir_version ${irVersion}; 1 to ${NEWEST_IR} are supported.`, { irVersion });
  const opsets = new Map<string, number>();
  for (const entry of opsetImport) addOpset(opsets, entry, bad);
  // Operator sets came with IR version 3.
  if (irVersion < 3 && opsetImport.length === 0) opsets.set('', 1);
  const version = opsets.get('');
  if (version === undefined && opsets.size === 0)
    bad('The model has no opset_import, so the meaning of its operators is not known.', {});
  return opsets;
}

function addOpset(
  opsets: Map<string, number>,
  { domain: written, version }: OperatorSetId,
  bad: (message: string, details: Record<string, unknown>) => never,
): void {
  const domain = domainOf(written);
  const name = domain === '' ? 'the default domain' : quote(domain);
  if (opsets.has(domain)) bad(`The model imports ${name} twice.`, { domain });
  if (version < 1 || (domain === '' && version > NEWEST_OPSET))
    bad(
      `The model imports version ${version} of ${name}; ${domain === '' ? `1 to ${NEWEST_OPSET} are supported` : '1 or more is needed'}.` +
        (version > NEWEST_OPSET ? ` Export it for opset ${NEWEST_OPSET} or older.` : ''),
      { domain, version },
    );
  opsets.set(domain, version);
}
