import type { signalOps } from '../ops/signal.ts';
import type { Kernels } from './kernel.ts';

export const signalKernels: Kernels<keyof typeof signalOps> = {};
