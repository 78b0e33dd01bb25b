/** The codes of this package and the checks that every entry begins with. */
import { GrimError } from '@grim/ir';

/** What the functions of this package throw. */
export type ReramErrorCode =
  | 'GRIM_RERAM_BAD_DEVICE'
  | 'GRIM_RERAM_BAD_CROSSBAR'
  | 'GRIM_RERAM_BAD_ADC'
  | 'GRIM_RERAM_BAD_MATRIX'
  | 'GRIM_RERAM_BAD_INPUT'
  | 'GRIM_RERAM_BAD_TARGET'
  | 'GRIM_RERAM_BAD_CERTIFICATE'
  | 'GRIM_RERAM_WEIGHT_RANGE'
  | 'GRIM_RERAM_TOO_LARGE'
  | 'GRIM_RERAM_UNSUPPORTED'
  | 'GRIM_RERAM_BAD_CIRCUIT'
  | 'GRIM_RERAM_BAD_COST'
  | 'GRIM_RERAM_NO_CONVERGENCE';

export function fail(code: ReramErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}): never {
  throw new GrimError(code, message, details);
}

/** Throws unless `value` is an integer from `low` to `high`. */
export function checkInteger(code: ReramErrorCode, where: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high)
    fail(code, `${where} is ${value}; an integer from ${low} to ${high} is needed.`, { value, low, high });
}

/** Throws unless `value` is a finite number from `low` to `high`. */
export function checkReal(code: ReramErrorCode, where: string, value: number, low: number, high: number): void {
  if (!(value >= low && value <= high))
    fail(code, `${where} is ${value}; a number from ${low} to ${high} is needed.`, { value, low, high });
}
