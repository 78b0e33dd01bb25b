/**
 * What the page asks of the engine, a worker, and what comes back. All of it is plain data; text that came from a file has
 * been made visible (`show`) before it is sent, and things are named by their position, never by a name from a file.
 */
import type { AnswerAnswer, AnswerAsk } from './answer.ts';
import type { BenchAnswer, BenchAsk } from './bench.ts';
import type { ArrayAnswer, ArrayAsk, CrossbarAnswer, CrossbarAsk, ExploreAnswer, ExploreAsk } from './crossbar.ts';
import type { HeatAnswer, HeatAsk } from './heat-map.ts';
import type { NodeRows, NodesAsk } from './node-rows.ts';
import type { ModelInfo, OpenAsk, OpenLength } from './open.ts';
import type { PruneAnswer, PruneAsk } from './prune.ts';
import type { RunAnswer, RunAsk } from './run.ts';
import type { PixelScale, SampleKind } from './samples.ts';

/** Job → what is asked, what is answered. */
export interface Jobs {
  open: [OpenAsk, ModelInfo];
  nodes: [NodesAsk, NodeRows];
  heat: [HeatAsk, HeatAnswer];
  run: [RunAsk, RunAnswer];
  prune: [PruneAsk, PruneAnswer];
  bench: [BenchAsk, BenchAnswer];
  crossbar: [CrossbarAsk, CrossbarAnswer];
  explore: [ExploreAsk, ExploreAnswer];
  array: [ArrayAsk, ArrayAnswer];
  answer: [AnswerAsk, AnswerAnswer];
  samples: [SamplesAsk, SamplesAnswer];
  save: [SaveAsk, SaveAnswer];
}

/** Which of the two networks: as it was opened, or as it was pruned here. */
export type Which = 'dense' | 'pruned';

/** Files that were given as inputs: tensors as the ONNX tests have them (.pb), and pictures. */
export interface SamplesAsk {
  readonly files: readonly File[];
  readonly pixels: PixelScale;
}

interface SamplesAnswer {
  readonly kind: SampleKind;
  readonly count: number;
}

export interface SaveAsk {
  readonly which: Which;
  readonly format: 'grim' | 'onnx';
}

export interface SaveAnswer {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** `done` from 0 to 1; undefined where nobody knows. */
export interface Stage {
  readonly text: string;
  readonly done: number | undefined;
}

/** An error on its way through `postMessage`, which drops the fields of error objects. */
export interface SentError {
  readonly code: string;
  readonly message: string;
  /** Other problems found with it. */
  readonly more: readonly string[];
  /** Lengths that the file leaves open, and that may be the reason. */
  readonly lengths?: readonly OpenLength[];
}

export type FromPage =
  | { readonly kind: 'ask'; readonly id: number; readonly job: keyof Jobs; readonly argument: unknown }
  | { readonly kind: 'cancel'; readonly id: number };

export type ToPage =
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: SentError }
  | { readonly kind: 'stage'; readonly id: number; readonly stage: Stage };

/** What a job is given besides its argument. */
export interface Context {
  readonly signal: AbortSignal;
  /** Tells the page how far the work is, and lets it cancel: to be awaited now and then. */
  stage(text: string, done?: number): Promise<void>;
}
