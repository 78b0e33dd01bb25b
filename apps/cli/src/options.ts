/**
 * What the command line's options are made of: value options that may stand once, `name=value` pairs, and what every command
 * has.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { BACKENDS } from './backends.ts';
import { UsageError } from './errors.ts';

/** Lengths and values that a model leaves open. */
export interface Bindings {
  /** Name of a dimension → its length. */
  readonly dims: ReadonlyMap<string, number>;
  /** Name of an input → its whole shape. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Name of a scalar input → its value: the input becomes a constant. */
  readonly constants: ReadonlyMap<string, number>;
}

export interface CommonOptions {
  /** Undefined: no JSON. `-`: on stdout, instead of the text. Else a file, beside the text. */
  readonly json: string | undefined;
  readonly force: boolean;
}

/** Of commands whose runs are kept in the results database. */
export interface Recorded {
  readonly record: boolean;
}

/** What Commander has read, by the long name of each option. */
export type Raw = Readonly<Record<string, unknown>>;

/** Lines as they follow `grim`, each with what it is for. */
export type Examples = readonly (readonly [command: string, what: string])[];

/** A command with what all of them have: `--help` with examples, `--json`, `--force`, `--verbose`. */
export function subcommand(
  program: Command,
  name: string,
  positionals: string,
  description: string,
  lines: Examples,
  /** Runs when its group stands alone. */
  isDefault = false,
): Command {
  const examples = lines.map(([line, what]) => `  # ${what}\n  grim ${line}`);
  return program
    .command(name, { isDefault })
    .description(description)
    .usage(`${positionals} [options]`.trim())
    .helpOption('-h, --help', 'print this help')
    .addOption(
      new Option('--json [file]', 'print one JSON object instead, or write it to <file>').argParser(
        onceOnly('--json', text),
      ),
    )
    .option('--force', 'replace a file that grim did not write')
    .option('--verbose', 'print the stack of an error')
    .addHelpText('after', `\nExamples:\n${examples.join('\n')}`);
}

/** A value option that may stand once; the value is checked by `parse`. */
export function once(flags: string, description: string, parse?: (value: string) => unknown): Option {
  const option = new Option(flags, description);
  return parse ? option.argParser(onceOnly(flags.split(' ')[0] ?? flags, parse)) : option;
}

function onceOnly(flag: string, parse: (value: string) => unknown): (value: string) => unknown {
  let seen = false;
  return (value) => {
    if (seen) throw new InvalidArgumentError(`${flag} stands twice.`);
    seen = true;
    return parse(value);
  };
}

export function text(value: string): string {
  if (value === '') throw new InvalidArgumentError('The value is empty.');
  return value;
}

/** A parser of whole numbers within bounds, both included. */
export function wholeFrom(low: number, high: number = 2 ** 31 - 1): (value: string) => number {
  return (value) => {
    const parsed = parseLength(value);
    if (parsed !== undefined && parsed >= low && parsed <= high) return parsed;
    throw new InvalidArgumentError(`A whole number from ${low} to ${high} is needed.`);
  };
}

export const wholeNumber: (value: string) => number = wholeFrom(1);

/** Decimal digits only: no sign, no exponent, no other base. */
function parseLength(value: string): number | undefined {
  return /^\d{1,10}$/.test(value) && Number(value) < 2 ** 31 ? Number(value) : undefined;
}

export function filterOption(): Option {
  return once('--filter <regexp>', 'only the cases whose path matches', (value) => {
    try {
      return new RegExp(text(value));
    } catch (error) {
      throw new InvalidArgumentError(error instanceof SyntaxError ? error.message : 'The value is empty.');
    }
  });
}

/** `name=value`, collected in a Map; the name may hold `=`, the value may not. */
export function pairs<T>(flags: string, description: string, parse: (value: string) => T): Option {
  return new Option(flags, description).argParser<ReadonlyMap<string, T> | undefined>((given, before = new Map()) => {
    const split = given.lastIndexOf('=');
    if (split < 1) throw new InvalidArgumentError('Write it as name=value.');
    const name = given.slice(0, split);
    if (before.has(name)) throw new InvalidArgumentError(`${name} is given twice.`);
    return new Map([...before, [name, parse(given.slice(split + 1))]]);
  });
}

export const backendOption = (): Option =>
  once('--backend <name>', 'what computes').choices(BACKENDS).default('reference');
export const threadsOption = (): Option =>
  once('--threads <n>', 'large calls are cut into pieces for up to so many threads; by default 4', wholeNumber);
export const targetOption = (): Option =>
  once('--target <list>', 'of wasm, webgpu: what the file has code for; by default wasm', targets);

function targets(value: string): readonly ('wasm' | 'webgpu')[] {
  const names = [...new Set(value.split(','))];
  if (!names.every((name) => name === 'wasm' || name === 'webgpu') || !names.includes('wasm'))
    throw new InvalidArgumentError('wasm, or wasm,webgpu, is needed: a GPU runs what WebAssembly has checked.');
  return names as readonly ('wasm' | 'webgpu')[];
}

export const deviceOption = (): Option =>
  once('--device <name>', 'what computes').choices(['wasm', 'webgpu']).default('wasm');

export const schedulesOption = (): Option =>
  once('--schedules <file>', 'how layers are computed: the report of grim tune --json FILE', text);
export const dimOption = (): Option =>
  pairs('--dim <name=length>', 'length of an open dimension; may be repeated', wholeNumber);
export const shapeOption = (): Option =>
  pairs('--shape <name=lengths>', 'shape of an input, as image=1,3,224,224; may be repeated', (value) =>
    value.split(',').map((part) => {
      const length = parseLength(part);
      if (length === undefined)
        throw new InvalidArgumentError('Whole numbers from 0 to 2147483647 with commas are needed.');
      return length;
    }),
  );
export const constOption = (): Option =>
  pairs('--const <name=value>', 'value of a scalar input that never changes, as sr=16000; may be repeated', (value) => {
    const parsed = /^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/.test(value) ? Number(value) : Number.NaN;
    if (!Number.isFinite(parsed)) throw new InvalidArgumentError('A finite decimal number is needed.');
    return parsed;
  });

export const recordOption = (): Option => new Option('--no-record', 'keep no record of this run for grim results');

export function recorded(o: Raw): Recorded {
  return { record: o['record'] !== false };
}

export function bindings(o: Raw): Bindings {
  return {
    dims: (o['dim'] as Bindings['dims'] | undefined) ?? new Map(),
    shapes: (o['shape'] as Bindings['shapes'] | undefined) ?? new Map(),
    constants: (o['const'] as Bindings['constants'] | undefined) ?? new Map(),
  };
}

export function jsonTarget(o: Raw): string | undefined {
  const { json } = o;
  return json === undefined ? undefined : json === true ? '-' : String(json);
}

/** {@link positionals} of a command that takes one. */
export function positional(name: string, given: string | undefined, o: Raw): [path: string, json: string | undefined] {
  const [[first], json] = positionals(name, given === undefined ? [] : [given], o, given === undefined);
  if (first === undefined) throw new UsageError(`<${name}> is missing. See grim --help.`);
  return [first, json];
}

/**
 * In `--json model.onnx` the option has taken what was meant as an argument: it is given back.
 * @param giveBack  false: enough were given, so that the option's value is its own
 */
export function positionals(
  name: string,
  given: readonly string[],
  o: Raw,
  giveBack = true,
): [paths: readonly string[], json: string | undefined] {
  if (given.includes('')) throw new UsageError(`<${name}> is empty.`);
  const json = jsonTarget(o);
  const taken = giveBack && json !== undefined && json !== '-' && !json.endsWith('.json');
  return taken ? [[json, ...given], '-'] : [given, json];
}

/** A number without sign or exponent, or NaN. Either the whole is digits or one point stands among them: linear time. */
export function decimal(value: string): number {
  return /^(?:\d+|\d*\.\d+)$/.test(value) ? Number(value) : Number.NaN;
}
