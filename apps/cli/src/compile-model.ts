/** From the bytes of an ONNX file to those of a `.grim` file. */

import { attachPatterns, type FoundPattern } from '@grim/bcr';
import { type CompileOptions, compile, explain, type PackOptions, pack } from '@grim/codegen';
import {
  type CompiledModel,
  type Graph,
  GrimError,
  type Manifest,
  quote,
  requireStatic,
  show,
  type WeightEncoding,
} from '@grim/ir';
import type { ImportOptions } from '@grim/ir/onnx';
import { readGraph } from './prune/read-graph.ts';

export interface Compiled {
  /** The graph that was compiled, patterns attached. */
  readonly graph: Graph;
  readonly model: CompiledModel;
  /** Of the `.grim` file. */
  readonly bytes: Uint8Array;
  /** Kept beside it; undefined when they are inside. */
  readonly modules: CompiledModel['wasm'] | undefined;
  readonly patterns: readonly FoundPattern[];
}

export interface CompileModelOptions {
  readonly weights?: NonNullable<PackOptions['weights']>;
  readonly sparse?: boolean;
  readonly options?: CompileOptions;
  /** Keeps the modules beside the file. */
  readonly split?: boolean;
  /** What the file is to say besides. */
  readonly describe?: (manifest: Manifest) => Manifest;
}

/**
 * @throws {GrimError} what the import says, GRIM_IR_UNBOUND_DIM with the options that bind, GRIM_CODEGEN_UNSUPPORTED_OP
 *   with every operator that has no kernels, and what `compile` and `pack` say
 */
export function compileModel(content: Uint8Array, given: ImportOptions, how: CompileModelOptions = {}): Compiled {
  return compileGraph(readGraph(content, given), how);
}

/** As {@link compileModel}, from a graph. */
export function compileGraph(imported: Graph, how: CompileModelOptions = {}): Compiled {
  const { weights = 'f32', sparse = true, options = {}, split = false, describe } = how;
  requireBound(imported);
  const { graph, found } = sparse ? attachPatterns(imported) : { graph: imported, found: [] };
  const compiled = refusingClearly(() => compile(graph, withWeights(options, weights)));
  const model = describe ? { ...compiled, manifest: describe(compiled.manifest) } : compiled;
  if (!split) return { graph, model, bytes: pack(model, { weights }), modules: undefined, patterns: found };
  const { grim, modules } = pack(model, { weights, split });
  return { graph, model, bytes: grim, modules, patterns: found };
}

/** Every step of a graph that {@link compileModel} has compiled. */
export function explainGraph(graph: Graph, options: CompileOptions = {}, weights: WeightEncoding = 'f32'): string {
  return refusingClearly(() => explain(graph, withWeights(options, weights)));
}

/** A program for a GPU may read weights as the file has them; what is for WebAssembly alone does not depend on it. */
function withWeights(options: CompileOptions, weights: WeightEncoding): CompileOptions {
  return options.targets?.includes('webgpu') && weights !== 'f32' ? { ...options, weights } : options;
}

function requireBound(graph: Graph): void {
  try {
    requireStatic(graph);
  } catch (error) {
    if (!(error instanceof GrimError) || error.code !== 'GRIM_IR_UNBOUND_DIM') throw error;
    const listed = (key: string): readonly string[] => (error.details[key] as readonly string[] | undefined) ?? [];
    const [dims, inputs] = [listed('dims'), listed('inputs')];
    const open = dims.length > 0 ? dims : inputs;
    const options =
      dims.length > 0 ? dims.map((name) => `--dim ${show(name)}=1`) : inputs.map((name) => `--shape ${show(name)}=…`);
    throw new GrimError(
      error.code,
      `a compiled model has fixed shapes, and ${open.map(quote).join(', ')} ${open.length > 1 ? 'are' : 'is'} open. Add ${options.join(' ')}, or other lengths.`,
      error.details,
    );
  }
}

interface Refused {
  readonly node: string;
  readonly op: string;
  readonly found: string;
  readonly supported: string;
}

/** Names every operator once, with its nodes and what it was refused for. */
function refusingClearly<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof GrimError) || error.code !== 'GRIM_CODEGEN_UNSUPPORTED_OP') throw error;
    const refused = (error.details['nodes'] as readonly Refused[] | undefined) ?? [];
    const groups = new Map<string, string[]>();
    for (const { node, op, found } of refused) {
      const key = found === 'this operator' ? show(op) : `${show(op)} with ${show(found)}`;
      groups.set(key, [...(groups.get(key) ?? []), node]);
    }
    const list = Array.from(groups, ([what, nodes]) => {
      const more = nodes.length > 3 ? ', …' : '';
      return `${what} (${nodes.length}: ${nodes.slice(0, 3).map(quote).join(', ')}${more})`;
    });
    const count = refused.length === 1 ? '1 node has' : `${refused.length} nodes have`;
    throw new GrimError(error.code, `${count} no kernels: ${list.join('; ')}.`, error.details);
  }
}
