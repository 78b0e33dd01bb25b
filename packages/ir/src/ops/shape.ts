/** Operators about shapes and places of elements: none computes with the elements themselves. */
import { generateOps } from './generate.ts';
import { rearrangeOps } from './rearrange.ts';
import { reshapeOps } from './reshape.ts';

export const shapeOps = { ...reshapeOps, ...rearrangeOps, ...generateOps };
