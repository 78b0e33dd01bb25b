/** The one error type of the runtime, its stable codes, and how text from files is shown. Same shape as `GrimError`. */

export type RuntimeErrorCode =
  /** The source is missing, unreadable, an error page or not a model at all. */
  | 'GRIM_RUNTIME_BAD_SOURCE'
  /** The connection failed or ended early. */
  | 'GRIM_RUNTIME_NETWORK'
  | 'GRIM_RUNTIME_BAD_ARTIFACT'
  | 'GRIM_RUNTIME_BAD_VERSION'
  | 'GRIM_RUNTIME_BAD_OPTION'
  | 'GRIM_RUNTIME_BAD_INPUT'
  | 'GRIM_RUNTIME_NO_DEVICE'
  | 'GRIM_RUNTIME_MISSING_FEATURE'
  | 'GRIM_RUNTIME_OUT_OF_MEMORY'
  | 'GRIM_RUNTIME_SELF_TEST'
  /** A kernel stopped: the file's code is wrong, or memory was damaged. */
  | 'GRIM_RUNTIME_TRAP'
  /** A model in a worker gave no sign of life for as long as its caller waits (`@grim/runtime/worker`). */
  | 'GRIM_RUNTIME_TIMEOUT'
  /** The worker of a model ended, or could not be started (`@grim/runtime/worker`). */
  | 'GRIM_RUNTIME_WORKER_LOST'
  | 'GRIM_RUNTIME_DISPOSED';

/** Compare `code`, never the message: a string still matches when two copies of the runtime are on one page. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;
  /** The values of the message, for programs. Plain data: survives `structuredClone`. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: RuntimeErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

export function fail(
  code: RuntimeErrorCode extends `GRIM_RUNTIME_${infer Rest}` ? Rest : never,
  message: string,
  details?: Readonly<Record<string, unknown>>,
  cause?: unknown,
): never {
  throw new RuntimeError(`GRIM_RUNTIME_${code}` as RuntimeErrorCode, message, details, { cause });
}

/** A damaged file. */
export function corrupt(what: string, details?: Readonly<Record<string, unknown>>): never {
  fail('BAD_ARTIFACT', `model file: ${what}. It is damaged: get it again.`, details);
}

/** Text from a file or caller between quotes: invisible characters escaped, cut at 200; a terminal must not obey it. */
export function quote(value: unknown): string {
  const characters = Array.from(String(value));
  const shown = characters
    .slice(0, 200)
    .map((c) => (/[\p{C}\p{Zl}\p{Zp}]/u.test(c) ? `\\u{${c.codePointAt(0)?.toString(16)}}` : c));
  return `"${shown.join('')}${characters.length > 200 ? '…' : ''}"`;
}

/** ` Did you mean "x"?`, or nothing: the candidate that takes the fewest edits, at most a third of the word. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const [best] = candidates
    // What differs much in length cannot be near, and names in files may be long.
    .filter(({ length }) => Math.abs(length - word.length) < 4)
    .map((candidate) => ({ candidate, distance: edits(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  return best && best.distance <= Math.max(1, Math.min(3, word.length / 3))
    ? ` Did you mean ${quote(best.candidate)}?`
    : '';
}

/** Levenshtein distance, of the first 100 characters. */
function edits(a: string, b: string): number {
  const row = Array.from({ length: Math.min(b.length, 100) + 1 }, (_, j) => j);
  for (const character of a.slice(0, 100)) {
    let corner = row[0] as number;
    row[0] = corner + 1;
    for (let j = 1; j < row.length; j++) {
      const above = row[j] as number;
      row[j] = Math.min(corner + Number(b[j - 1] !== character), above + 1, (row[j - 1] as number) + 1);
      corner = above;
    }
  }
  return row.at(-1) as number;
}
