/** Kernels of the operators in `ops/shape.ts`. */
import type { shapeOps } from '../ops/shape.ts';
import { generateKernels } from './generate.ts';
import type { Kernels } from './kernel.ts';
import { rearrangeKernels } from './rearrange.ts';
import { reshapeKernels } from './reshape.ts';

export const shapeKernels: Kernels<keyof typeof shapeOps> = {
  ...reshapeKernels,
  ...rearrangeKernels,
  ...generateKernels,
};
