import type { resampleOps } from '../ops/resample.ts';
import type { Kernels } from './kernel.ts';

export const resampleKernels: Kernels<keyof typeof resampleOps> = {};
