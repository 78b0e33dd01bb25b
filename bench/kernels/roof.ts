/** The most multiply-adds a second that generated code reaches here, as a candidate among others. */
import type { Family } from '@grim/codegen';
import { peak } from '@grim/measure';
import type { Candidate } from './measure.ts';

export function roofCandidate(family: Family): Candidate {
  const { work, run } = peak(family);
  return { name: `peak ${family.relaxed ? 'relaxed' : 'simd'}`, flops: work, run };
}
