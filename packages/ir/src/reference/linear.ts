import type { linearOps } from '../ops/linear.ts';
import type { Kernels } from './kernel.ts';

export const linearKernels: Kernels<keyof typeof linearOps> = {};
