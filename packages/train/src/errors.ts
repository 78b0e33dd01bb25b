/** What the functions of this package throw. */
import { GrimError } from '@grim/ir';

export type TrainErrorCode =
  /** An operator between the loss and a weight has no gradient here. */
  | 'GRIM_TRAIN_NO_GRADIENT'
  /** No weight to train, or an output that no loss fits. */
  | 'GRIM_TRAIN_BAD_NETWORK'
  | 'GRIM_TRAIN_BAD_OPTION'
  | 'GRIM_TRAIN_BAD_DATA'
  | 'GRIM_TRAIN_BAD_CHECKPOINT'
  | 'GRIM_TRAIN_DIVERGED'
  | 'GRIM_TRAIN_ENGINE';

export function fail(code: TrainErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}): never {
  throw new GrimError(code, message, details);
}
