import type { regionOps } from '../ops/region.ts';
import type { Kernels } from './kernel.ts';

export const regionKernels: Kernels<keyof typeof regionOps> = {};
