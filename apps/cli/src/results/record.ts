/**
 * Keeps a finished run, once its files are written. A database that cannot be used costs a sentence, never the run.
 */
import { dirname } from 'node:path';
import { describeFailure } from '../errors.ts';
import { version } from '../version.ts';
import { commitOf } from './commit.ts';
import { type Finished, thisMachine } from './run.ts';
import { openResults, resultsPath } from './store.ts';

/** @returns what is to be said on stderr */
export async function record(run: Finished, argv: readonly string[]): Promise<string> {
  const path = resultsPath();
  if (path === undefined) return '';
  try {
    using results = await openResults(path, 'write');
    const { node, v8 } = process.versions;
    const id = results.add({
      ...run,
      at: new Date().toISOString(),
      device: run.device ?? thisMachine(),
      commit: commitOf(dirname(run.model)),
      versions: { grim: version(), node, v8 },
      argv,
    });
    return `grim: recorded as run ${id}: grim results show ${id}\n`;
  } catch (error) {
    const { text } = describeFailure(error, false);
    return `${text.trimEnd()} The run is done, and not recorded; --no-record says nothing.\n`;
  }
}
