/**
 * The results database: one SQLite file with a row for each run, through Node's own `node:sqlite`.
 *
 * A file that somebody else made is not believed: it must say that it is ours (application id), of a version that is known, and
 * hold exactly our table; nothing else in it (views, triggers) is ever run. Rows are added in one transaction each, so two
 * processes at once wait for one another, and a process that is killed leaves the old rows. A file that cannot be used is left as
 * it is: the run's own files are written all the same, and the sentence says what to do.
 */
import { mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { GrimError, quote } from '@grim/ir';
import { type Finished, fingerprint, type Run, type RunDevice, type RunKind, subjectOf, type Value } from './run.ts';

/** "GRIM". */
const APPLICATION = 0x4752494d;
const VERSION = 1;
const TABLE = `CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,
  model TEXT NOT NULL,
  model_sha256 TEXT NOT NULL,
  subject TEXT NOT NULL,
  device_key TEXT NOT NULL,
  facts TEXT NOT NULL,
  report TEXT NOT NULL
) STRICT`;
/** How long a process waits for another one that writes. */
const WAIT_MS = 5000;
/** A file is at most what a million runs of the largest networks take; a row at most so much. */
const MOST_BYTES = 4 * 2 ** 30;
const MOST_ROW = 64 * 2 ** 20;

interface RunsFilter {
  readonly kind?: RunKind | undefined;
  /** A part of the file's path. */
  readonly model?: string | undefined;
  readonly subject?: string | undefined;
  readonly deviceKey?: string | undefined;
  /** Of the newest; default 1000. */
  readonly limit?: number | undefined;
}

export interface Results extends Disposable {
  readonly path: string;
  /** @returns the number of the run */
  add(run: Finished & Pick<Run, 'at' | 'device' | 'commit' | 'versions' | 'argv'>): number;
  /** Newest first. */
  list(filter?: RunsFilter): readonly Run[];
  /** With its report; undefined where there is no such run. */
  get(id: number): { readonly run: Run; readonly report: object } | undefined;
  /** @returns how many there were */
  remove(ids: readonly number[]): number;
}

/** Where runs are kept: `GRIM_RESULTS`, or a file among the user's data; undefined where they are not to be kept. */
export function resultsPath(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const chosen = env['GRIM_RESULTS'];
  if (chosen === 'off') return undefined;
  return chosen || join(env['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'grim', 'results.sqlite');
}

/**
 * @param mode  `read` needs a file that is there
 * @throws {GrimError} GRIM_CLI_RESULTS where the file is no database of ours, damaged, of a newer version, or cannot be used;
 *   GRIM_CLI_NOT_FOUND where there is none to read
 */
export async function openResults(path: string, mode: 'read' | 'write'): Promise<Results> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found && !found.isFile()) throw refused(path, 'it is no regular file. Name another one with GRIM_RESULTS.');
  if (found && found.size > MOST_BYTES)
    throw refused(path, `it has ${found.size} bytes; at most ${MOST_BYTES} are used. Move it away.`);
  if (!found && mode === 'read')
    throw new GrimError(
      'GRIM_CLI_NOT_FOUND',
      `${quote(path)}: no runs were recorded yet. grim bench, grim tune and grim prune record theirs.`,
    );
  const { DatabaseSync: Database } = await sqlite();
  let database: DatabaseSync | undefined;
  try {
    if (!found) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    database = new Database(path, { readOnly: mode === 'read', timeout: WAIT_MS });
    database.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;');
    if (mode === 'write') prepare(database, path);
    checkSchema(database, path);
    return resultsOf(database, path);
  } catch (error) {
    database?.close();
    throw wrong(error, path);
  }
}

/** Node 22 warns that it may change; what is used here has not. */
async function sqlite(): Promise<typeof import('node:sqlite')> {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return await import('node:sqlite');
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** The table of an empty file, made by whichever process comes first. */
function prepare(database: DatabaseSync, path: string): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    if (pragma(database, 'user_version') === 0 && pragma(database, 'application_id') === 0 && isEmpty(database)) {
      database.exec(TABLE);
      database.exec(`PRAGMA application_id = ${APPLICATION}; PRAGMA user_version = ${VERSION}`);
    }
    database.exec('COMMIT');
  } catch (error) {
    rollBack(database);
    throw wrong(error, path);
  }
}

/** Where the transaction has ended by itself, as after a full disk, there is nothing to roll back. */
function rollBack(database: DatabaseSync): void {
  if (database.isTransaction) database.exec('ROLLBACK');
}

function pragma(database: DatabaseSync, name: string): number {
  return Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
}

function isEmpty(database: DatabaseSync): boolean {
  return database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
}

function checkSchema(database: DatabaseSync, path: string): void {
  const [application, version] = [pragma(database, 'application_id'), pragma(database, 'user_version')];
  if (application === 0 && version === 0 && isEmpty(database)) throw refused(path, 'it is empty. Remove it.');
  if (application !== APPLICATION)
    throw refused(path, 'it is a database of something else. Name another file with GRIM_RESULTS.');
  if (version > VERSION)
    throw refused(path, `it is of version ${version}, this grim knows version ${VERSION}. Use a newer grim.`);
  const objects = database
    .prepare("SELECT type, name, sql FROM sqlite_schema WHERE name <> 'sqlite_sequence' LIMIT 9")
    .all();
  const [table] = objects;
  if (version !== VERSION || objects.length !== 1 || table?.['type'] !== 'table' || table['sql'] !== TABLE)
    throw refused(path, `it holds other tables than grim makes. Move it away; a new one is made.`);
}

function resultsOf(database: DatabaseSync, path: string): Results {
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw wrong(error, path);
    }
  };
  return {
    path,
    add: (run) =>
      guarded(() => {
        const { at, kind, model, modelSha256, device, report, ...facts } = run;
        const row = {
          ...{ at, kind, model, modelSha256, subject: subjectOf(run), deviceKey: fingerprint(device) },
          facts: JSON.stringify({ ...facts, device }),
          report: JSON.stringify(report),
        };
        if (row.facts.length + row.report.length > MOST_ROW)
          throw new GrimError('GRIM_CLI_RESULTS', `the report of this run has more than ${MOST_ROW} characters.`);
        const { lastInsertRowid } = database
          .prepare(
            'INSERT INTO runs (at, kind, model, model_sha256, subject, device_key, facts, report) VALUES ' +
              '(:at, :kind, :model, :modelSha256, :subject, :deviceKey, :facts, :report)',
          )
          .run(row);
        return Number(lastInsertRowid);
      }),
    list: ({ kind, model, subject, deviceKey, limit = 1000 } = {}) =>
      guarded(() => {
        const conditions: readonly (readonly [string, SQLInputValue | undefined])[] = [
          ['kind = ?', kind],
          ['instr(model, ?) > 0', model],
          ['subject = ?', subject],
          ['device_key = ?', deviceKey],
        ];
        const given = conditions.filter((one): one is readonly [string, SQLInputValue] => one[1] !== undefined);
        const where = given.length > 0 ? `WHERE ${given.map(([condition]) => condition).join(' AND ')}` : '';
        return database
          .prepare(
            `SELECT id, at, kind, model, model_sha256, subject, device_key, facts FROM runs ${where} ORDER BY id DESC LIMIT ?`,
          )
          .all(...given.map(([, value]) => value), limit)
          .map((row) => runOf(row, path));
      }),
    get: (id) =>
      guarded(() => {
        const row = database.prepare('SELECT * FROM runs WHERE id = ?').get(id);
        return row && { run: runOf(row, path), report: parsed(row['report'], path) };
      }),
    remove: (ids) =>
      guarded(() => {
        database.exec('BEGIN IMMEDIATE');
        try {
          const one = database.prepare('DELETE FROM runs WHERE id = ?');
          const removed = ids.reduce((sum, id) => sum + Number(one.run(id).changes), 0);
          database.exec('COMMIT');
          return removed;
        } catch (error) {
          rollBack(database);
          throw error;
        }
      }),
    [Symbol.dispose]: () => database.close(),
  };
}

/** Rows may have been written by anybody: what is shown later must be of the type that it claims. */
function runOf(row: Readonly<Record<string, unknown>>, path: string): Run {
  const facts = parsed(row['facts'], path) as Partial<Run>;
  const { device, commit, versions, argv, setting, values } = facts;
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const { cpu, arch, platform, cores } = (device ?? {}) as Partial<RunDevice>;
  return {
    id: Number(row['id']),
    at: text(row['at']),
    kind: text(row['kind']) as RunKind,
    model: text(row['model']),
    modelSha256: text(row['model_sha256']),
    subject: text(row['subject']),
    device: { cpu: text(cpu), arch: text(arch), platform: text(platform), cores: Number(cores) },
    deviceKey: text(row['device_key']),
    commit: typeof commit === 'string' ? commit : null,
    versions: { grim: text(versions?.grim), node: text(versions?.node), v8: text(versions?.v8) },
    argv: Array.isArray(argv) ? argv.map(text) : [],
    setting: typeof setting === 'object' && setting !== null ? setting : {},
    values: Array.isArray(values) ? values.filter(isValue) : [],
  };
}

function isValue(value: unknown): value is Value {
  const { what, value: number, better, low, high } = (value ?? {}) as Partial<Value>;
  const optional = (one: unknown) => one === undefined || typeof one === 'number';
  return (
    typeof what === 'string' &&
    typeof number === 'number' &&
    (better === 'less' || better === 'more') &&
    optional(low) &&
    optional(high)
  );
}

function parsed(text: unknown, path: string): object {
  try {
    const value: unknown = JSON.parse(String(text));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Told below.
  }
  throw refused(path, 'a row of it is damaged. Move it away; a new one is made.');
}

function refused(path: string, why: string): GrimError {
  return new GrimError('GRIM_CLI_RESULTS', `${quote(path)}: ${why}`);
}

/** Result codes of SQLite, without their extended part. */
const SQLITE: Readonly<Record<number, string>> = {
  5: 'another process has been writing to it for too long. Try again.',
  6: 'another process has been writing to it for too long. Try again.',
  8: 'you may not write it.',
  10: 'the disk did not take it. Is it full?',
  11: 'it is damaged. Move it away; a new one is made.',
  13: 'the disk is full.',
  14: 'it cannot be opened. Name another file with GRIM_RESULTS.',
  26: 'it is no database. Name another file with GRIM_RESULTS, or move this one away.',
};

function wrong(error: unknown, path: string): unknown {
  if (error instanceof GrimError || !(error instanceof Error)) return error;
  const { errcode, code } = error as { errcode?: number; code?: string };
  if (errcode !== undefined) return refused(path, SQLITE[errcode & 255] ?? `SQLite says: ${error.message}.`);
  return /^E[A-Z0-9]+$/.test(code ?? '') ? refused(path, `it cannot be made (${code}).`) : error;
}
