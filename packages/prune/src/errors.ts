/** What the functions of this package throw. */
import { GrimError } from '@grim/ir';

export type PruneErrorCode =
  | 'GRIM_PRUNE_BAD_TARGET'
  | 'GRIM_PRUNE_BAD_OPTION'
  | 'GRIM_PRUNE_BAD_CALIBRATION'
  | 'GRIM_PRUNE_BAD_STATE'
  | 'GRIM_PRUNE_NO_LAYER'
  | 'GRIM_PRUNE_SINGULAR'
  | 'GRIM_PRUNE_DIVERGED';

export function fail(code: PruneErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}): never {
  throw new GrimError(code, message, details);
}
