import type { shapeOps } from '../ops/shape.ts';
import type { Kernels } from './kernel.ts';

export const shapeKernels: Kernels<keyof typeof shapeOps> = {};
