/**
 * Which file holds which input: names that were given, files for the one input that has none, a .npz with several, and what is
 * made up for the rest.
 */
import { basename } from 'node:path';
import {
  formatType,
  GrimError,
  type ImagePreprocess,
  isStatic,
  quote,
  type SoundPreprocess,
  suggest,
  type Tensor,
  type TensorType,
} from '@grim/ir';
import type { RunCommandOptions } from '../args.ts';
import { about, UsageError } from '../errors.ts';
import { madeUpInputs } from '../made-up-inputs.ts';
import { endOf } from '../tensor-files.ts';
import { type InputKind, inputKind, namesIn, readInput, type WantedInput } from './read.ts';

/** An input of the model: its lengths may be open. */
export interface ModelInput extends TensorType {
  readonly preprocess?: ImagePreprocess;
  readonly sound?: SoundPreprocess;
}

export interface GivenInputs {
  /** What each run gets besides its own file. */
  readonly fixed: ReadonlyMap<string, Tensor>;
  /** The input that a run's own file is for; undefined when there is one run and all is fixed. */
  readonly own: { readonly name: string; readonly files: readonly string[] } | undefined;
  /** What was done to the files of `fixed`. */
  readonly notes: readonly Note[];
}

export interface Note {
  readonly file: string;
  readonly text: string;
}

type Inputs = ReadonlyMap<string, ModelInput>;

/** @throws {UsageError}, {GrimError} */
export async function gather(inputs: Inputs, options: RunCommandOptions): Promise<GivenInputs> {
  const { named, files } = assigned(inputs, options);
  checkOptions([...named.values(), ...files], options);
  checkNames('input', [...named.keys()], [...inputs.keys()]);
  const fixed = new Map<string, Tensor>();
  const notes: Note[] = [];
  for (const [name, file] of named) {
    const { tensor, note } = await about(file, () => readInput(file, wanted(inputs, name), options.how));
    fixed.set(name, tensor);
    if (note !== undefined) notes.push({ file, text: note });
  }
  const free = [...inputs.keys()].filter((name) => !fixed.has(name));
  const own = files.length > 0 ? { name: ownInput(free, files), files } : undefined;
  const missing = new Map<string, TensorType>();
  for (const [name, type] of inputs) if (!fixed.has(name) && name !== own?.name) missing.set(name, type);
  for (const [name, tensor] of Object.entries(madeUp(missing, options))) fixed.set(name, tensor);
  return { fixed, own, notes };
}

/** The tensor in one of the files of `own`. */
export async function readOwn(
  inputs: Inputs,
  name: string,
  file: string,
  options: RunCommandOptions,
): Promise<{ readonly tensor: Tensor; readonly note: Note | undefined }> {
  const { tensor, note } = await about(file, () => readInput(file, wanted(inputs, name), options.how));
  return { tensor, note: note === undefined ? undefined : { file, text: note } };
}

function wanted(inputs: Inputs, name: string): WantedInput {
  const { dtype = 'float32', shape = null, preprocess, sound } = inputs.get(name) ?? {};
  return { name, type: { dtype, shape }, preprocess, sound };
}

/** A .npz file without a name gives each input the array of its name. */
function assigned(
  inputs: Inputs,
  options: RunCommandOptions,
): { readonly named: ReadonlyMap<string, string>; readonly files: readonly string[] } {
  const { inputs: given, files } = options;
  const [file, ...more] = files;
  if (file === undefined || more.length > 0 || endOf(file) !== '.npz') return { named: given, files };
  const names = about(file, () => namesIn(file)).filter((name) => inputs.has(name) && !given.has(name));
  if (names.length === 0) return { named: given, files };
  return { named: new Map([...given, ...names.map((name) => [name, file] as const)]), files: [] };
}

function ownInput(free: readonly string[], files: readonly string[]): string {
  const [only, ...more] = free;
  const file = quote(basename(files[0] ?? ''));
  if (only === undefined) throw new UsageError(`${file} is for no input: every input has its file already.`);
  if (more.length > 0)
    throw new UsageError(
      `${file} could be for any of ${free.map(quote).join(', ')}. Name the files, as --input ${quote(only)}=…`,
    );
  return only;
}

/** Options for pictures without a picture, and for sounds without a sound. */
function checkOptions(files: readonly string[], { only }: RunCommandOptions): void {
  const kinds = new Set<InputKind>(files.map(inputKind));
  const check = (kind: 'picture' | 'sound', ends: string): void => {
    const [first] = only[kind];
    if (first !== undefined && !kinds.has(kind))
      throw new UsageError(`${first} is for ${kind}s (${ends}), and no input is one. Leave it out.`);
  };
  check('picture', '.png, .jpg');
  check('sound', '.wav');
}

export function checkNames(kind: string, given: readonly string[], names: readonly string[]): void {
  const unknown = given.find((name) => !names.includes(name));
  if (unknown === undefined) return;
  const near = suggest(unknown, names);
  throw new UsageError(
    `${quote(unknown)} is no ${kind} of the model: ${names.map(quote).join(', ') || 'none'}.${near === undefined ? '' : ` Did you mean ${quote(near)}?`}`,
  );
}

function madeUp(missing: ReadonlyMap<string, TensorType>, { random }: RunCommandOptions): Record<string, Tensor> {
  const list = Array.from(missing, ([name, type]) => `${quote(name)}: ${formatType(type)}`).join('; ');
  if (missing.size > 0 && !random)
    throw new UsageError(
      `inputs are missing: ${list}. Give ${missing.size === 1 ? 'a file' : 'each with --input name=file'}, or add --random.`,
    );
  const open = Array.from(missing).filter(([, { shape }]) => !isStatic(shape));
  if (open.length > 0) throw new UsageError(`the shapes of what is made up must be known (--dim, --shape): ${list}.`);
  return { ...madeUpInputs(missing) };
}

/** Several files become runs of one model: all of one shape. */
export function checkSameShape(file: string, { shape }: Tensor, first: Tensor): void {
  if (shape.join() === first.shape.join()) return;
  about(file, () => {
    throw new GrimError(
      'GRIM_CLI_BAD_TENSOR',
      `it gives [${shape.join(', ')}], the first file [${first.shape.join(', ')}]; one run after the other takes one shape. Add --resize or --center-crop, or run it alone.`,
    );
  });
}
