/**
 * The one error type of the compiler side, its stable codes, and how text from files is shown.
 *
 * Callers compare `code`, never `message` or the class: a string still matches when two copies of a package are loaded.
 * A message says where, what was found, what was needed, and what to do; `details` holds the same values for programs.
 */

/** Every code that `@grim/ir` throws or reports. A code is public API; its sentence may improve. */
export type GrimErrorCode =
  // The graph.
  | 'GRIM_IR_SHAPE_MISMATCH'
  | 'GRIM_IR_SHAPE_OVERFLOW'
  | 'GRIM_IR_DTYPE_MISMATCH'
  | 'GRIM_IR_UNKNOWN_VALUE'
  | 'GRIM_IR_DUPLICATE_NAME'
  | 'GRIM_IR_CYCLE'
  | 'GRIM_IR_ORDER'
  | 'GRIM_IR_ARITY'
  | 'GRIM_IR_UNSUPPORTED_OP'
  | 'GRIM_IR_UNSUPPORTED_DTYPE'
  | 'GRIM_IR_BAD_ATTRIBUTE'
  | 'GRIM_IR_BAD_WEIGHT'
  | 'GRIM_IR_BAD_NAME'
  | 'GRIM_IR_PATTERN_MISMATCH'
  | 'GRIM_IR_UNBOUND_DIM'
  | 'GRIM_IR_BAD_BINDING'
  | 'GRIM_IR_LIMIT'
  | 'GRIM_IR_NONFINITE'
  | 'GRIM_IR_UNUSED'
  | 'GRIM_IR_PARSE'
  // Running a graph.
  | 'GRIM_IR_BAD_INPUT'
  | 'GRIM_IR_BAD_VALUE'
  // An ONNX file.
  | 'GRIM_ONNX_EMPTY'
  | 'GRIM_ONNX_NOT_ONNX'
  | 'GRIM_ONNX_TRUNCATED'
  | 'GRIM_ONNX_TRAILING'
  | 'GRIM_ONNX_WIRE'
  | 'GRIM_ONNX_DEPTH'
  | 'GRIM_ONNX_DUPLICATE_FIELD'
  | 'GRIM_ONNX_UNKNOWN_FIELD'
  | 'GRIM_ONNX_LIMIT'
  | 'GRIM_ONNX_BAD_TEXT'
  | 'GRIM_ONNX_MISSING_FIELD'
  | 'GRIM_ONNX_BAD_VERSION'
  | 'GRIM_ONNX_BAD_TENSOR'
  | 'GRIM_ONNX_BAD_FUNCTION'
  | 'GRIM_ONNX_EXTERNAL_DATA'
  | 'GRIM_ONNX_UNSUPPORTED_TYPE'
  | 'GRIM_ONNX_EXPORT';

/** UTF-16 units; a list in a message may come from a file, and be of any length. */
const MESSAGE_LENGTH = 10_000;

/** A mistake in a file, a graph or a call. Never a bug of ours: those are {@link invariant} failures. */
export class GrimError extends Error {
  override readonly name = 'GrimError';
  /** Stable; compare this. */
  readonly code: string;
  /** The values of the message, for programs. Plain data: survives `structuredClone`. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: GrimErrorCode | (string & {}), message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message.length > MESSAGE_LENGTH ? `${message.slice(0, MESSAGE_LENGTH)}…` : message);
    this.code = code;
    this.details = details;
  }
}

/**
 * Asserts what only a bug of ours can break.
 * @throws {Error} `internal: …` when `condition` is false
 */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`);
}

const SHOWN_CHARACTERS = 200;
/** What nearly every name is: nothing to replace. */
const PLAIN = /^[ -~]*$/;

/**
 * Makes text from a file fit for a message: control, bidirectional and other invisible characters become `\u{…}`, and
 * what is longer than 200 characters is cut. Names in files are attacker text; a terminal must not obey them.
 */
export function show(text: string): string {
  if (text.length <= SHOWN_CHARACTERS && PLAIN.test(text)) return text;
  let out = '';
  let count = 0;
  for (const character of text) {
    if (++count > SHOWN_CHARACTERS) return `${out}…`;
    const code = character.codePointAt(0) ?? 0;
    const visible = !/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u.test(character);
    out += visible ? character : `\\u{${code.toString(16)}}`;
  }
  return out;
}

/** {@link show}, between double quotes. */
export function quote(text: string): string {
  return `"${show(text)}"`;
}
