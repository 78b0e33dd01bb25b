/** Every operator's reference kernel. The type makes a missing one, or one without a row, a compile error. */
import type { OpName } from '../ops.ts';
import { attentionKernels } from './attention.ts';
import { controlKernels } from './control.ts';
import { elementwiseKernels } from './elementwise.ts';
import { gatherKernels } from './gather.ts';
import type { Kernel, Kernels } from './kernel.ts';
import { linearKernels } from './linear.ts';
import { lossKernels } from './loss.ts';
import { normKernels } from './norm.ts';
import { poolKernels } from './pool.ts';
import { quantizeKernels } from './quantize.ts';
import { recurrentKernels } from './recurrent.ts';
import { reduceKernels } from './reduce.ts';
import { regionKernels } from './region.ts';
import { resampleKernels } from './resample.ts';
import { shapeKernels } from './shape.ts';
import { signalKernels } from './signal.ts';

const KERNELS: Kernels<OpName> = {
  ...elementwiseKernels,
  ...reduceKernels,
  ...shapeKernels,
  ...gatherKernels,
  ...linearKernels,
  ...poolKernels,
  ...normKernels,
  ...quantizeKernels,
  ...recurrentKernels,
  ...controlKernels,
  ...attentionKernels,
  ...resampleKernels,
  ...regionKernels,
  ...signalKernels,
  ...lossKernels,
};

export function kernelOf(op: OpName): Kernel {
  return KERNELS[op] as Kernel;
}
