/** What an ablation leaves behind: times of kernels that differ in one step, speed by block size, bytes of indices. */
import type { Schedule } from '@grim/codegen';
import type { Facts } from '../tuner/facts.ts';
import type { Layer } from '../tuner/layers.ts';

export interface LayerResult {
  readonly layer: Layer;
  /** What tuning found; undefined where the default stayed. */
  readonly schedule: Schedule | undefined;
  readonly variants: readonly {
    readonly name: string;
    readonly ms: number;
    /** Over `rows`. */
    readonly speedup: number;
    /** On non-zeros. */
    readonly gflops: number;
    readonly samplesMs: readonly number[];
  }[];
}

export interface Curve {
  readonly layer: string;
  readonly block: string;
  readonly compression: number;
  readonly overDense: number;
  readonly gflops: number;
}

export interface Bytes {
  readonly matrix: string;
  readonly block: string;
  readonly compression: number;
  readonly weightBytes: number;
  readonly signatures: number;
  readonly indexBytes: { readonly csr: number; readonly bcrc: number; readonly 'block-local': number };
}

export interface Ablation extends Facts {
  readonly loadAverageAfter: readonly number[];
  readonly block: string;
  readonly compression: number;
  readonly trials: number;
  readonly rounds: number;
  readonly layers: readonly LayerResult[];
  readonly curves: readonly Curve[];
  readonly bytes: readonly Bytes[];
}
