/**
 * How failures reach people: one sentence on stderr, `grim: <file>: <message> [CODE]`, a stack only with `--verbose`;
 * in a terminal also where the code is explained.
 */
import { GrimError, show } from '@grim/ir';
import { RuntimeError } from '@grim/runtime';
import { EXIT } from './exit-codes.ts';
import { printable } from './output.ts';

/** The command line is wrong: exit status 2, with the usage line below the sentence. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** An error with the file it belongs to. */
class FileError extends Error {
  override readonly name = 'FileError';
  readonly file: string;
  constructor(file: string, cause: unknown) {
    super('', { cause });
    this.file = file;
  }
}

/** Runs `work`; what it throws says which file it was about. */
export function about<T>(file: string, work: () => T): T {
  const wrong = (error: unknown): never => {
    if (error instanceof UsageError || error instanceof FileError) throw error;
    throw new FileError(file, error);
  };
  try {
    const result = work();
    return result instanceof Promise ? (result.catch(wrong) as T) : result;
  } catch (error) {
    return wrong(error);
  }
}

export interface Failure {
  readonly text: string;
  /** Where more is said of the code, a line of its own; empty where the sentence is all. */
  readonly more: string;
  readonly exitCode: number;
}

/** The text for stderr (ending in a newline) and the exit status. */
export function describeFailure(thrown: unknown, verbose: boolean): Failure {
  const file = thrown instanceof FileError ? `${show(thrown.file)}: ` : '';
  const error = thrown instanceof FileError ? thrown.cause : thrown;
  if (error instanceof UsageError)
    return { text: `grim: ${printable(error.message)} [GRIM_CLI_USAGE]\n`, more: '', exitCode: EXIT.usage };
  const code = codeOf(error);
  const known = code !== undefined;
  const message = error instanceof Error ? error.message : String(error);
  const sentence = known
    ? `${printable(message)} [${code}]`
    : `internal error: ${show(message)}. This is a bug of GRIM: please report it with the file. [GRIM_CLI_INTERNAL]`;
  const stack = verbose && error instanceof Error ? `${showLines(error.stack ?? '')}\n` : '';
  const hint = known || verbose ? '' : 'Run again with --verbose for the place in the program.\n';
  // A dimension or an input that the model does not have was typed wrong; a length that it leaves open was not typed.
  const exitCode = code === 'GRIM_IR_BAD_BINDING' || code === 'GRIM_IR_UNBOUND_DIM' ? EXIT.usage : EXIT.failed;
  const more = known ? `More: grim help ${code}\n` : '';
  return { text: `grim: ${file}${sentence}\n${stack}${hint}`, more, exitCode };
}

/** Of an error that we throw on purpose; the runtime has a class of its own. */
function codeOf(error: unknown): string | undefined {
  if (error instanceof GrimError) return error.code;
  return error instanceof RuntimeError ? error.code : undefined;
}

/** A stack repeats the message, which may hold names from files. */
function showLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
