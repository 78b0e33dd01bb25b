import type { reduceOps } from '../ops/reduce.ts';
import type { Kernels } from './kernel.ts';

export const reduceKernels: Kernels<keyof typeof reduceOps> = {};
