import type { normOps } from '../ops/norm.ts';
import type { Kernels } from './kernel.ts';

export const normKernels: Kernels<keyof typeof normOps> = {};
