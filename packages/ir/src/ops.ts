/**
 * The operator table: one row for every operator that a graph may hold, gathered from one file per family in `ops/`.
 * A row without a reference kernel, or the reverse, does not compile (`reference/kernels.ts`).
 */
import type { OpSpec } from './op.ts';
import { attentionOps } from './ops/attention.ts';
import { controlOps } from './ops/control.ts';
import { elementwiseOps } from './ops/elementwise.ts';
import { gatherOps } from './ops/gather.ts';
import { linearOps } from './ops/linear.ts';
import { lossOps } from './ops/loss.ts';
import { normOps } from './ops/norm.ts';
import { poolOps } from './ops/pool.ts';
import { quantizeOps } from './ops/quantize.ts';
import { recurrentOps } from './ops/recurrent.ts';
import { reduceOps } from './ops/reduce.ts';
import { regionOps } from './ops/region.ts';
import { resampleOps } from './ops/resample.ts';
import { shapeOps } from './ops/shape.ts';
import { signalOps } from './ops/signal.ts';

export const OPS = {
  ...elementwiseOps,
  ...reduceOps,
  ...shapeOps,
  ...gatherOps,
  ...linearOps,
  ...poolOps,
  ...normOps,
  ...quantizeOps,
  ...recurrentOps,
  ...controlOps,
  ...attentionOps,
  ...resampleOps,
  ...regionOps,
  ...signalOps,
  ...lossOps,
};

/** ONNX name of an operator of the table. */
export type OpName = keyof typeof OPS;

export function isOpName(name: string): name is OpName {
  return Object.hasOwn(OPS, name);
}

/** The row of an operator, its attributes' types forgotten: what generic code over the table wants. */
export function opSpec(name: OpName): OpSpec {
  return OPS[name] as unknown as OpSpec;
}
