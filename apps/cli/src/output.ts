/**
 * Where a command's text goes, and how it is dressed: plain in a pipe, a little colour in a terminal.
 */
import { styleText } from 'node:util';
import type { Finished } from './results/run.ts';

/** What a command may do to the outside besides reading files. */
export interface Io {
  /** Adds to stdout. */
  out(text: string): void;
  /** Adds to stderr. */
  err(text: string): void;
  /** Writes a file whole or not at all, once the command has ended. */
  write(file: OutputFile): void;
  /** Keeps a run in the results database, once the command has ended well and its files are written. */
  record?(run: Finished): void;
  /** From now on an interruption says so: what is kept, and how to go on. */
  resumable?(sentence: string): void;
  /** For a command that goes on until it is interrupted: settles then. Absent: at once. */
  untilStopped?(): Promise<void>;
  readonly color: boolean;
  /** Characters of a line. */
  readonly columns: number;
}

/** What a file holds: it may replace an older one of its kind. `other`: nothing but an empty file. */
export type FileKind = 'report' | 'model' | 'module' | 'types' | 'array' | 'onnx' | 'ir' | 'checkpoint' | 'other';

export interface OutputFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  readonly kind: FileKind;
  /** Replaces a file of another kind. */
  readonly force: boolean;
  /** Files that the command read: never written to. */
  readonly inputs: readonly string[];
  /** Folders of finished layers that are removed once this file stands. */
  readonly spent?: readonly string[];
}

/** Text in a style, when the output has colours. */
export function styled(io: Io, style: 'bold' | 'dim' | 'red' | 'green' | 'yellow', text: string): string {
  return io.color && text !== '' ? styleText(style, text, { validateStream: false }) : text;
}

/**
 * A whole message, fit for a terminal: no control character, none that turns the direction of writing. A second fence behind
 * `show()`, which messages put around each name.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** JSON as the command prints it: one object, and a newline. */
export function jsonText(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** `12,345,678`, the same in every locale. */
export function count(value: number): string {
  if (!Number.isSafeInteger(value)) return value.toExponential(2);
  const groups: string[] = [];
  let rest = String(value);
  for (; rest.length > 3; rest = rest.slice(0, -3)) groups.unshift(rest.slice(-3));
  return [rest, ...groups].join(',');
}

/** `1.2 M`: three digits at most and a unit of the SI. */
export function approximate(value: number): string {
  const units = ['', ' k', ' M', ' G', ' T', ' P'];
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return unit === 0 ? count(value) : `${digits(scaled)}${units[unit]}`;
}

/** `14.0 MB`, in powers of 1000. */
export function bytes(value: number): string {
  return value < 1000 ? `${value} B` : `${approximate(value)}B`;
}

/** `12.3 %`; `< 0.1 %` where rounding would hide that it is not nothing. */
export function percent(part: number, whole: number): string {
  if (whole === 0 || part === 0) return '0 %';
  const share = (100 * part) / whole;
  if (share < 0.05) return '< 0.1 %';
  if (part !== whole && share > 99.95) return '> 99.9 %';
  return `${part === whole ? '100' : share.toFixed(1)} %`;
}

function digits(value: number): string {
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}
