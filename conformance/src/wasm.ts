/**
 * The backend `wasm`: compiled by `@grim/codegen`, written to a file in memory, and loaded and run by `@grim/runtime`.
 *
 * A compiled model has fixed shapes, so it is compiled for the inputs of each data set: their shapes are bound, and, where
 * that is not enough, the short integer vectors among them (shapes, axes, counts) become constants.
 */
import { compile, pack } from '@grim/codegen';
import { type Binding, bind, type Graph, GrimError, isStatic, type Tensor } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { loadModel, type Model } from '@grim/runtime';
import type { Backend } from './run.ts';

/** Longer vectors are data. */
const LONGEST_PARAMETER = 64;
/** What the compiler says when it needs to know more of the inputs than their shapes. */
const NEEDS_VALUES: readonly string[] = ['GRIM_CODEGEN_UNSUPPORTED_OP', 'GRIM_IR_UNBOUND_DIM'];
/** What is found where no form of the operator is compiled. */
const WHOLE_OPERATOR = 'this operator';
/** Element types that the kernels need not take; with any other, an operator that refuses it is a failure. */
const OTHER_TYPES = /\b(float64|float16|bfloat16)\b/;

export const wasmBackend: Backend = {
  name: 'wasm',
  load(bytes, options) {
    const graph = fromOnnx(bytes, options);
    const ready = new Map<string, { readonly model: Model; readonly constants: ReadonlySet<string> }>();
    return {
      inputs: [...graph.inputs.keys()],
      outputs: [...graph.outputs.keys()],
      async run(inputs) {
        const key = Array.from(inputs, ([name, { shape }]) => `${name}: ${shape.join()}`).join('; ');
        const known = ready.get(key);
        const { model, constants } = known ?? (await prepare(graph, inputs));
        // With constants it computes these very inputs and no others.
        if (constants.size === 0) ready.set(key, { model, constants });
        const given = Array.from(inputs).filter(([name]) => !constants.has(name));
        const found = await model.run(Object.fromEntries(given.map(([name, { data }]) => [name, data])));
        return new Map(
          model.manifest.outputs.map(({ name, dtype, shape }) => [name, { dtype, shape, data: found[name] } as Tensor]),
        );
      },
    };
  },
};

async function prepare(
  graph: Graph,
  inputs: ReadonlyMap<string, Tensor>,
): Promise<{ readonly model: Model; readonly constants: ReadonlySet<string> }> {
  const open = Array.from(graph.inputs).filter(([name, { shape }]) => !isStatic(shape) && inputs.has(name));
  const shapes = Object.fromEntries(open.map(([name]) => [name, inputs.get(name)?.shape ?? []]));
  try {
    return { model: await build(graph, { shapes }), constants: new Set() };
  } catch (error) {
    const parameters = Array.from(inputs).filter(([, tensor]) => isParameter(tensor));
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

async function build(graph: Graph, binding: Binding): Promise<Model> {
  return loadModel(pack(compile(bind(graph, binding))));
}

function isParameter({ dtype, shape, data }: Tensor): boolean {
  return (dtype === 'int64' || dtype === 'int32') && shape.length <= 1 && data.length <= LONGEST_PARAMETER;
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
  const reasons = new Set(
    refused.map(({ op, found }) => (found === WHOLE_OPERATOR ? op : `${op} (${found})`)).sort(),
  );
  return new GrimError(error.code, `operator not compiled yet: ${[...reasons].join(', ')}`, { nodes });
}
