/**
 * The backend `wasm`: compiled by `@grim/codegen`, written to a file in memory, and loaded and run by `@grim/runtime`.
 *
 * A compiled model has fixed shapes, so it is compiled for the inputs of each data set: their shapes are bound, and, where
 * that is not enough, the inputs that decide shapes (the target of a Reshape, the scales of a Resize) become constants.
 */
import { compile, pack } from '@grim/codegen';
import { type Binding, bind, type Graph, GrimError, isStatic, type Tensor } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { loadModel, type Model } from '@grim/runtime';
import type { Backend, Loaded } from './run.ts';

/** Inputs of operators that say which shapes or axes there are, not what is computed with; and `axes` of all reductions. */
const PARAMETERS: Readonly<Partial<Record<string, readonly number[]>>> = {
  CenterCropPad: [1],
  Col2Im: [1, 2],
  ConstantOfShape: [0],
  CumSum: [1],
  DFT: [1, 2],
  Expand: [1],
  OneHot: [1],
  Pad: [1, 3],
  Range: [0, 1, 2],
  Reshape: [1],
  Resize: [1, 2, 3],
  Slice: [1, 2, 3, 4],
  Split: [1],
  Squeeze: [1],
  Tile: [1],
  TopK: [1],
  Unsqueeze: [1],
};
/** What the compiler says when it needs to know more of the inputs than their shapes. */
const NEEDS_VALUES: readonly string[] = ['GRIM_CODEGEN_UNSUPPORTED_OP', 'GRIM_IR_UNBOUND_DIM'];
/** What is found where no form of the operator is compiled. */
const WHOLE_OPERATOR = 'this operator';
/** Element types that the kernels need not take; with any other, an operator that refuses it is a failure. */
const OTHER_TYPES = /\b(float64|float16|bfloat16)\b/;

/** What of a loaded model a backend needs. */
type Runnable = Pick<Model, 'manifest' | 'run' | 'dispose'>;
/** Compiles a graph for inputs of these shapes, and loads it. */
export type Build = (graph: Graph, binding: Binding) => Promise<Runnable>;

export const wasmBackend: Backend = wasmBackendOf((graph, binding) => loadModel(pack(compile(bind(graph, binding)))));

/** The backend with models that `build` compiles and loads. */
export function wasmBackendOf(build: Build, name = 'wasm'): Backend {
  return { name, load: (bytes, options) => load(fromOnnx(bytes, options), build) };
}

function load(graph: Graph, build: Build): Loaded {
  const ready = new Map<string, { readonly model: Runnable; readonly constants: ReadonlySet<string> }>();
  return {
    inputs: [...graph.inputs.keys()],
    outputs: [...graph.outputs.keys()],
    async run(inputs) {
      const key = Array.from(inputs, ([name, { shape }]) => `${name}: ${shape.join()}`).join('; ');
      const known = ready.get(key);
      const { model, constants } = known ?? (await prepare(graph, inputs, build));
      // With constants it computes these very inputs and no others.
      if (constants.size === 0) ready.set(key, { model, constants });
      const given = Array.from(inputs).filter(([name]) => !constants.has(name));
      const found = await model.run(Object.fromEntries(given.map(([name, { data }]) => [name, data])));
      if (constants.size > 0) model.dispose();
      return new Map(
        model.manifest.outputs.map(({ name, dtype, shape }) => [name, { dtype, shape, data: found[name] } as Tensor]),
      );
    },
    dispose() {
      for (const { model } of ready.values()) model.dispose();
    },
  };
}

async function prepare(
  graph: Graph,
  inputs: ReadonlyMap<string, Tensor>,
  build: Build,
): Promise<{ readonly model: Runnable; readonly constants: ReadonlySet<string> }> {
  const open = Array.from(graph.inputs).filter(([name, { shape }]) => !isStatic(shape) && inputs.has(name));
  const shapes = Object.fromEntries(open.map(([name]) => [name, inputs.get(name)?.shape ?? []]));
  try {
    return { model: await build(graph, { shapes }), constants: new Set() };
  } catch (error) {
    const names = parametersOf(graph);
    const parameters = Array.from(inputs).filter(([name]) => names.has(name));
    if (!(error instanceof GrimError) || !NEEDS_VALUES.includes(error.code)) throw error;
    if (parameters.length === 0) throw refusal(error);
    for (const [name] of parameters) delete shapes[name];
    try {
      const model = await build(graph, { shapes, constants: Object.fromEntries(parameters) });
      return { model, constants: new Set(parameters.map(([name]) => name)) };
    } catch (second) {
      throw second instanceof GrimError ? refusal(second) : second;
    }
  }
}

/** Inputs of the graph that operators take only as parameters: what stands nowhere else. */
function parametersOf(graph: Graph): ReadonlySet<string> {
  const parameters = new Set<string>();
  const data = new Set<string>();
  for (const { op, inputs } of graph.nodes) {
    const positions = PARAMETERS[op] ?? (op.startsWith('Reduce') ? [1] : []);
    inputs.forEach((name, i) => {
      (positions.includes(i) ? parameters : data).add(name);
    });
  }
  for (const name of data) parameters.delete(name);
  return parameters;
}

/**
 * The refusal in one line, by operator. It says "not with these types" when every one is about a type that the kernels
 * need not take.
 */
function refusal(error: GrimError): GrimError {
  const { nodes } = error.details;
  if (error.code !== 'GRIM_CODEGEN_UNSUPPORTED_OP' || !Array.isArray(nodes)) return error;
  const refused = nodes as readonly { readonly op: string; readonly found: string }[];
  const types = refused.map(({ found }) => OTHER_TYPES.exec(found)?.[1]);
  const [type] = types;
  if (type !== undefined && !types.includes(undefined))
    return new GrimError('GRIM_IR_UNSUPPORTED_DTYPE', `the kernels do not compute with ${type}`, { nodes });
  const reasons = new Set(refused.map(({ op, found }) => (found === WHOLE_OPERATOR ? op : `${op} (${found})`)).sort());
  return new GrimError(error.code, `operator not compiled yet: ${[...reasons].join(', ')}`, { nodes });
}
