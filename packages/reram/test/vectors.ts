/** The reference vectors of `$GRIM_DATA/reram`. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Skippable {
  skip(note: string): never;
}

/** The cases of one file; skips the test when the data is not there. */
export function cases<C>(file: string, ctx: Skippable): readonly C[] {
  const path = join(process.env['GRIM_DATA'] ?? '', 'reram', `${file}.json`);
  if (!existsSync(path)) ctx.skip(`GRIM_DATA is not there: reram/${file}.json`);
  const { cases: all } = JSON.parse(readFileSync(path, 'utf8')) as { readonly cases: readonly C[] };
  return all;
}
