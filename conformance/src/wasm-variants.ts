/** The backend `wasm` on several threads, or with one family of instructions: results must not depend on either. */
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { type CompileOptions, compile, pack } from '@grim/codegen';
import { bind, type Graph, GrimError, type WasmFamily } from '@grim/ir';
import { loadModel, type Model } from '@grim/runtime';
import { loadModel as loadThreads } from '@grim/runtime/threads';
import type { Backend } from './run.ts';
import { wasmBackendOf } from './wasm.ts';

export interface WasmOptions {
  /** Default 1. With more, everything that can be shared is, however small it is. */
  readonly threads?: number | undefined;
  /** Into whose pieces it is cut. Default: `threads`. */
  readonly cutFor?: number | undefined;
  /**
   * Default: the faster of the usual two. `wide` sets V8's flag for the whole process, and asks neither whether it is faster nor
   * whether it is right.
   */
  readonly simd?: WasmFamily | undefined;
}

/** Of a piece where threads are tested: most calls are worth less than is usual. */
const PIECE_CYCLES = 200;

export function wasmBackendWith(options: WasmOptions): Backend {
  return wasmBackendOf((graph, binding) => buildWith(bind(graph, binding), options));
}

/**
 * Compiles and loads a graph that way.
 * @throws {GrimError} GRIM_CONFORMANCE_NO_THREADS when there is work to share and threads do not start
 */
export async function buildWith(graph: Graph, { threads = 1, cutFor = threads, simd }: WasmOptions): Promise<Model> {
  if (simd === 'wide') setFlagsFromString('--experimental-wasm-revectorize');
  const pieces: CompileOptions = cutFor > 1 ? { threads: cutFor, pieceCycles: PIECE_CYCLES } : {};
  const grim = pack(compile(graph, { wide: simd === 'wide', ...pieces }));
  if (threads === 1) return loadModel(grim, { simd });
  const worker = () => new Worker(new URL(import.meta.resolve('@grim/runtime/threads-worker')));
  const model = await loadThreads(grim, { threads, worker, simd });
  const found = model.reasons.filter((why) => why.startsWith('threads') && !why.includes('no work to share'));
  if (found.length === 0) return model;
  model.dispose();
  throw new GrimError('GRIM_CONFORMANCE_NO_THREADS', `${threads} threads are asked for: ${found.join('; ')}.`);
}
