import type { attentionOps } from '../ops/attention.ts';
import type { Kernels } from './kernel.ts';

export const attentionKernels: Kernels<keyof typeof attentionOps> = {};
