/** Records of what was measured, one file, written after each. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type Cell, keyOf } from './cells.ts';

export interface Record extends Cell {
  readonly dense: number;
  readonly correct: number;
  readonly of: number;
  readonly weightDensity: number;
  readonly macDensity: number;
  readonly meanError: number | null;
  readonly loss: number;
  readonly awareLayers: number;
  readonly seconds: number;
  readonly longestSilenceMs: number;
  readonly peakMegabytes: number;
  /** Of the machine, of the last minute, before and after. */
  readonly load: readonly [number, number];
  readonly cpu: string;
  readonly node: string;
  readonly date: string;
}

export function readRecords(file: string): readonly Record[] {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as readonly Record[]) : [];
}

/** In place of an earlier one of the same cell. */
export function writeRecord(file: string, record: Record): void {
  const others = readRecords(file).filter((one) => keyOf(one) !== keyOf(record));
  const lines = [...others, record].map((one) => ` ${JSON.stringify(one)}`);
  writeFileSync(`${file}.tmp`, `[\n${lines.join(',\n')}\n]\n`);
  renameSync(`${file}.tmp`, file);
}
