import type { gatherOps } from '../ops/gather.ts';
import type { Kernels } from './kernel.ts';

export const gatherKernels: Kernels<keyof typeof gatherOps> = {};
