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
  /** The device of a model was lost or does not answer (`@grim/runtime/webgpu`). */
  | 'GRIM_RUNTIME_DEVICE_LOST'
  /** The device refuses shaders or calls of the file (`@grim/runtime/webgpu`). */
  | 'GRIM_RUNTIME_SHADER'
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

/** ` Did you mean "x"?`, or nothing: a candidate that takes the fewest edits, at most three and a third of the word. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  for (let edits = 0; edits < 4 && edits <= Math.max(1, word.length / 3); edits++)
    for (const candidate of candidates)
      if (isNear(word.toLowerCase(), candidate.toLowerCase(), edits)) return ` Did you mean ${quote(candidate)}?`;
  return '';
}

/** Whether `edits` insertions, deletions and replacements make `b` of `a`: three choices each, so only few are asked for. */
function isNear(a: string, b: string, edits: number): boolean {
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  const [from, to] = [a.slice(same), b.slice(same)];
  if (from + to === '') return true;
  if (edits === 0) return false;
  const [next, wanted] = [from.slice(1), to.slice(1)];
  return isNear(next, wanted, edits - 1) || isNear(next, to, edits - 1) || isNear(from, wanted, edits - 1);
}
