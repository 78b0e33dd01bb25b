import type { lossOps } from '../ops/loss.ts';
import type { Kernels } from './kernel.ts';

export const lossKernels: Kernels<keyof typeof lossOps> = {};
