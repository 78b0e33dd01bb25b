/** Files of class names: one per line, the first for index 0. */
import { GrimError } from '@grim/ir';
import { about } from './errors.ts';
import { readRegularFile } from './files.ts';

/** The lines; empty ones at the end do not count. */
export function readLabels(path: string): readonly string[] {
  const lines = about(path, () => decoded(readRegularFile(path)))
    .split('\n')
    .map((line) => line.trim());
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new GrimError('GRIM_CLI_BAD_LABELS', 'this is no text in UTF-8. Save it as UTF-8.');
  }
}

interface Output {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * The output that the labels are for: the one whose last axis has as many elements.
 * @throws {GrimError} GRIM_CLI_BAD_LABELS when there is none: names that are one off are worse than no names
 */
export function checkLabels<T extends Output>(labels: readonly string[], outputs: readonly T[]): T {
  const fitting = outputs.find(({ shape }) => shape.at(-1) === labels.length);
  if (fitting) return fitting;
  const lengths = outputs.map(({ name, shape }) => `${name}: ${shape.at(-1) ?? 1}`).join(', ');
  throw new GrimError(
    'GRIM_CLI_BAD_LABELS',
    `it has ${labels.length} names; the outputs have so many values each: ${lengths}. Take the list that belongs to the model.`,
  );
}
