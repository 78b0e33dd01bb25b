/** What the page asks the server: recorded runs, and the models that were named on the command line. */
import { GrimError } from '@grim/ir';
import { fingerprint, RUN_KINDS, type RunKind, thisMachine } from '../results/run.ts';
import { openResults, type Results } from '../results/store.ts';
import type { ServerOptions } from './server.ts';

/** A model that the page may load from the server. */
export interface NamedModel {
  /** The file's own name. */
  readonly name: string;
  readonly url: string;
  readonly bytes: number;
  /** The `.grim` file of it: itself, or what it was compiled to; null where it could not be. */
  readonly compiled: { readonly url: string; readonly bytes: number } | null;
}

const MOST_RUNS = 1000;

/**
 * - `results?kind=&model=&subject=&device=&limit=`: `{ schema, device, runs }`, newest first, without reports; `device` is this machine's key
 * - `results/12`: `{ schema, run, report }`
 * - `models`: `{ schema, models }`
 * @param database  undefined: no runs are kept
 */
export function apiOf(database: string | undefined, models: readonly NamedModel[]): ServerOptions['api'] {
  return async (path, query) => {
    if (path === 'models') return { status: 200, body: { schema: 'grim.models/1', models } };
    const [, id] = /^results(?:\/([1-9]\d{0,14}))?$/.exec(path) ?? [];
    if (!/^results(?:\/|$)/.test(path) || (path !== 'results' && id === undefined)) return undefined;
    const device = fingerprint(thisMachine());
    try {
      using results = await opened(database);
      if (id !== undefined) {
        const found = results?.get(Number(id));
        return found && { status: 200, body: { schema: 'grim.results-show/1', ...found } };
      }
      return { status: 200, body: { schema: 'grim.results/1', device, runs: results?.list(filterOf(query)) ?? [] } };
    } catch (error) {
      if (!(error instanceof GrimError)) throw error;
      // Its sentence names a file: `grim results` says it to who sits at the machine.
      return {
        status: 503,
        body: { error: { code: error.code, message: 'The runs cannot be read: see grim results.' } },
      };
    }
  };
}

async function opened(database: string | undefined): Promise<Results | undefined> {
  if (database === undefined) return undefined;
  try {
    return await openResults(database, 'read');
  } catch (error) {
    if (error instanceof GrimError && error.code === 'GRIM_CLI_NOT_FOUND') return undefined;
    throw error;
  }
}

function filterOf(query: URLSearchParams): Parameters<Results['list']>[0] {
  const kind = RUN_KINDS.find((one) => one === query.get('kind')) satisfies RunKind | undefined;
  const limit = Number(query.get('limit') ?? MOST_RUNS);
  return {
    kind,
    model: query.get('model') ?? undefined,
    subject: query.get('subject') ?? undefined,
    deviceKey: query.get('device') ?? undefined,
    limit: Number.isSafeInteger(limit) && limit > 0 ? Math.min(limit, MOST_RUNS) : MOST_RUNS,
  };
}
