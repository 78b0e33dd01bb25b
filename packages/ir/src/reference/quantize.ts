import type { quantizeOps } from '../ops/quantize.ts';
import type { Kernels } from './kernel.ts';

export const quantizeKernels: Kernels<keyof typeof quantizeOps> = {};
