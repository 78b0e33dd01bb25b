import type { recurrentOps } from '../ops/recurrent.ts';
import type { Kernels } from './kernel.ts';

export const recurrentKernels: Kernels<keyof typeof recurrentOps> = {};
