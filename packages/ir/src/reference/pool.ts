import type { poolOps } from '../ops/pool.ts';
import type { Kernels } from './kernel.ts';

export const poolKernels: Kernels<keyof typeof poolOps> = {};
