/**
 * Finds conformance cases in any tree: a folder with `model.onnx` and `test_data_set_*` folders that hold `input_*.pb` and
 * `output_*.pb`, as the ONNX standard lays them out.
 *
 * The walk keeps its own list, so depth costs no stack; it visits each real folder once, so links cannot make it endless;
 * and it sorts, so the order does not depend on the file system. What is linked comes after what is really there.
 */
import { existsSync, lstatSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';

export interface DataSet {
  /** Folder name, `test_data_set_0`. */
  readonly name: string;
  /** By position; undefined where the numbers have a gap. */
  readonly inputs: readonly (string | undefined)[];
  readonly outputs: readonly (string | undefined)[];
}

/** A model file, and the test data beside it. */
export interface Model {
  /** Path of the model's folder relative to the tree, `/` between parts; with the file name where that is not model.onnx. */
  readonly name: string;
  readonly path: string;
  readonly dataSets: readonly DataSet[];
}

/** A model that is a conformance case. */
export type Case = Model;

/** The cases of a tree: every `model.onnx`, with or without test data. */
export function findCases(root: string): readonly Case[] {
  return findModels(root).filter(({ path }) => basename(path) === 'model.onnx');
}

/** Every `*.onnx` file of a tree, or the one file named. */
export function findModels(root: string): readonly Model[] {
  if (statSync(root).isFile()) return [modelAt(dirname(root), dirname(root), basename(root), entriesOf(dirname(root)))];
  const models: Model[] = [];
  for (const { folder, entries } of foldersOf(root)) {
    if (!entries) {
      // Nobody can tell what is in it: a case that fails says so, and the walk goes on.
      models.push({ name: nameOf(root, join(folder, 'model.onnx')), path: join(folder, 'model.onnx'), dataSets: [] });
      continue;
    }
    // What is no file, such as a link to nowhere, is a model that cannot be read rather than none.
    for (const file of entries.filter(isModel))
      if (!isFolder(join(folder, file))) models.push(modelAt(root, folder, file, entries));
  }
  return models.sort((a, b) => compareNames(a.name, b.name));
}

function isModel(file: string): boolean {
  return file.endsWith('.onnx');
}

function modelAt(root: string, folder: string, file: string, entries: readonly string[]): Model {
  const path = join(folder, file);
  return { name: nameOf(root, path), path, dataSets: dataSetsOf(folder, file, entries) };
}

interface Folder {
  readonly folder: string;
  /** Undefined where they may not be read. */
  readonly entries: readonly string[] | undefined;
}

/** All folders of a tree, itself first, each real folder once. */
function foldersOf(root: string): readonly Folder[] {
  const found: Folder[] = [];
  const seen = new Set<string>();
  const real = [root];
  const linked: string[] = [];
  for (;;) {
    const folder = real.pop() ?? linked.shift();
    if (folder === undefined) return found;
    const id = realpathSync(folder);
    if (seen.has(id)) continue;
    seen.add(id);
    const inner = folder === root ? subfoldersOf(folder) : allowed(() => subfoldersOf(folder));
    found.push({ folder, entries: inner?.entries });
    real.push(...(inner?.real ?? []));
    linked.push(...(inner?.linked ?? []));
  }
}

function subfoldersOf(folder: string) {
  const entries = entriesOf(folder);
  const [real, linked]: [string[], string[]] = [[], []];
  for (const name of entries.toReversed()) {
    const path = join(folder, name);
    if (/^test_data_set_/.test(name)) continue;
    const entry = lstatSync(path, { throwIfNoEntry: false });
    if (entry?.isDirectory()) real.push(path);
    else if (entry?.isSymbolicLink() && isFolder(path)) linked.push(path);
  }
  return { entries, real, linked };
}

/** What `work` gives, or undefined where it is forbidden. */
function allowed<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return undefined;
  }
}

function nameOf(root: string, path: string): string {
  const folder = basename(path) === 'model.onnx' ? dirname(path) : path;
  return relative(root, folder).split(sep).join('/') || basename(realpathSync(folder));
}

/** A folder's test data belong to its `model.onnx`, or to the only model that is there. */
function dataSetsOf(folder: string, file: string, entries: readonly string[]): readonly DataSet[] {
  // Only the first two models matter: the folder may hold very many.
  if (file !== 'model.onnx' && entries.findIndex(isModel) !== entries.findLastIndex(isModel)) return [];
  return entries
    .filter((name) => /^test_data_set_/.test(name) && isFolder(join(folder, name)))
    .map((name) => {
      const path = join(folder, name);
      // Of a folder that may not be read, an answer that cannot be read either: the case fails with that reason.
      const files = allowed(() => entriesOf(path)) ?? ['output_0.pb'];
      return { name, inputs: numbered(path, files, 'input'), outputs: numbered(path, files, 'output') };
    });
}

/** `kind_N.pb` at position N. */
function numbered(folder: string, files: readonly string[], kind: string): readonly (string | undefined)[] {
  const byNumber = new Map<number, string>();
  for (const file of files) {
    const [, digits] = new RegExp(`^${kind}_(\\d{1,6})\\.pb$`).exec(file) ?? [];
    if (digits !== undefined) byNumber.set(Number(digits), join(folder, file));
  }
  let length = 0;
  for (const number of byNumber.keys()) length = Math.max(length, number + 1);
  return Array.from({ length }, (_, i) => byNumber.get(i));
}

function entriesOf(folder: string): string[] {
  return readdirSync(folder).sort(compareNames);
}

/** By code units, numbers by value: `test_data_set_2` before `test_data_set_10`, the same in every locale. */
function compareNames(a: string, b: string): number {
  const [left, right] = [a.split(/(\d{1,15})/), b.split(/(\d{1,15})/)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x = '', y = ''] = [left[i], right[i]];
    if (x === y) continue;
    if (i % 2 === 1 && Number(x) !== Number(y)) return Number(x) - Number(y);
    return x < y ? -1 : 1;
  }
  return left.length - right.length;
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}
