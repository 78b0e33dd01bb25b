/** A kernel whose code differs by epilogue, under a name that says so. */
import { epilogueName } from '../kernels/family.ts';
import type { FusedEpilogue } from '../lower.ts';
import type { Kernel } from '../program.ts';
import type { Twin } from '../wgsl/shader.ts';

export function kernelOfFamily(
  stem: string,
  activation: FusedEpilogue['activation'],
  residual: boolean,
  emit: Kernel['emit'],
  twin?: Twin,
): Kernel {
  return { name: `${stem}${epilogueName({ activation, residual })}`, emit, ...(twin && { twin }) };
}
