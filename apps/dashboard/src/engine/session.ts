/** What the engine holds: one network as it was opened, what was made of it, and inputs to run it on. */
import { type CompileOptions, compile, pack } from '@grim/codegen';
import { type CallInfo, type FileManifest, type Graph, GrimError, type TensorType } from '@grim/ir';
import { readArtifact } from '@grim/runtime/artifact';
import type { Which } from './messages.ts';
import type { SampleSet } from './samples.ts';

/** A `.grim` file, and what its compiler said of its calls. */
export interface Compiled {
  readonly file: Uint8Array<ArrayBuffer>;
  readonly manifest: FileManifest;
  readonly calls: readonly CallInfo[] | undefined;
  readonly ms: number;
}

/** A network in both forms. A `.grim` file that was dropped has no graph. */
export interface Network {
  readonly graph: Graph | undefined;
  readonly compiled: Compiled;
}

export interface Session {
  readonly name: string;
  readonly fileBytes: number;
  /** The bytes of an ONNX file, for engines of others. */
  readonly onnx: Uint8Array<ArrayBuffer> | undefined;
  readonly dense: Network;
  pruned: Network | undefined;
  samples: SampleSet;
}

let current: Session | undefined;

export function setSession(session: Session): void {
  current = session;
}

/** @throws {GrimError} GRIM_DASHBOARD_NO_MODEL */
export function theSession(): Session {
  if (!current)
    throw new GrimError('GRIM_DASHBOARD_NO_MODEL', 'No network is open. Drop a file, or take a built-in one.');
  return current;
}

/** @throws {GrimError} GRIM_DASHBOARD_NO_MODEL, or NOT_PRUNED where nothing has been pruned yet */
export function networkOf(session: Session, which: Which): Network {
  const network = session[which];
  if (!network) throw new GrimError('GRIM_DASHBOARD_NOT_PRUNED', 'Nothing has been pruned yet. Prune first.');
  return network;
}

/** @throws {GrimError} GRIM_DASHBOARD_NO_GRAPH for a network that was opened compiled */
export function graphOf(network: Network): Graph {
  if (network.graph) return network.graph;
  throw new GrimError(
    'GRIM_DASHBOARD_NO_GRAPH',
    'This is a compiled file: its weights are packed for the kernels. Open the ONNX file it was made from.',
  );
}

export function compileNetwork(graph: Graph, options: CompileOptions = {}): Compiled {
  const start = performance.now();
  const model = compile(graph, options);
  const file = pack(model) as Uint8Array<ArrayBuffer>;
  const { manifest } = readArtifact(file);
  return { file, manifest, calls: model.calls, ms: performance.now() - start };
}

/** What the networks of a session take; the same for both. */
export function inputsOf({ dense: { graph, compiled } }: Session): ReadonlyMap<string, TensorType> {
  if (graph) return graph.inputs;
  const fed = new Set(compiled.manifest.states.map(({ input }) => input));
  return new Map(
    compiled.manifest.inputs
      .filter(({ name }) => !fed.has(name))
      .map(({ name, dtype, shape }) => [name, { dtype, shape }]),
  );
}
