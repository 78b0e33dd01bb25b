/**
 * A recipe: how a network is to be pruned, in a file that can be kept beside it. JSON, or a module whose default export is
 * the same object. What stands on the command line counts more.
 *
 *   { "schema": "grim.prune-recipe/1", "density": 0.25, "block": "2xK", "layers": { "fc": "dense", "conv2": { "density": 0.5 } } }
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Graph, GrimError, quote } from '@grim/ir';
import { type BlockShape, prunableLayers } from '@grim/prune';
import { about } from '../errors.ts';
import { readRegularFile } from '../files.ts';
import { block, blockText } from '../shares.ts';
import { endOf } from '../tensor-files.ts';
import { METHODS, type PruneCommandOptions } from './args.ts';
import { sha256 } from './examples.ts';

interface Recipe {
  /** Of every layer that is not exempt and not named. */
  readonly density?: number;
  readonly block?: string;
  /** By name; exempt ones too. `dense`: left alone. */
  readonly layers?: Readonly<Record<string, 'dense' | { readonly density?: number; readonly block?: string }>>;
  readonly method?: PruneCommandOptions['method'];
  readonly seed?: number;
  readonly fast?: boolean;
  readonly examples?: number;
}

/** For the record of a run. */
export interface UsedRecipe {
  readonly path: string;
  readonly sha256: string;
  readonly value: Recipe;
}

const SCHEMA = 'grim.prune-recipe/1';
const MODULES: readonly string[] = ['.ts', '.mts', '.js', '.mjs'];

/**
 * The options with what the recipe adds, and the densities of single layers where it names some.
 * @throws {GrimError} GRIM_CLI_BAD_RECIPE
 */
export async function withRecipe(
  options: PruneCommandOptions,
  graph: Graph,
): Promise<{ readonly options: PruneCommandOptions; readonly recipe?: UsedRecipe }> {
  const { recipe: path, given } = options;
  if (path === undefined) return { options };
  const content = about(path, () => readRegularFile(path));
  // A run that is done again brings what the recipe said: no program is run for it.
  const recipe = await about(path, async () => checked(options.recipeValue ?? (await parsed(path, content))));
  const pick = <K extends 'density' | 'method' | 'seed' | 'fast' | 'examples'>(name: K) =>
    recipe[name] !== undefined && !given.has(name) ? { [name]: recipe[name] } : {};
  const merged: PruneCommandOptions = {
    ...options,
    ...(Object.values(options.aim).every((one) => one === undefined) && pick('density')),
    ...{ ...pick('method'), ...pick('seed'), ...pick('fast'), ...pick('examples') },
    ...(recipe.block !== undefined && !given.has('block') && { blocks: [block(recipe.block)] }),
  };
  const used = { path, sha256: sha256(content), value: recipe };
  if (!recipe.layers || options.plan) return { options: merged, recipe: used };
  return { options: { ...merged, plan: about(path, () => planOf(recipe, merged, graph)) }, recipe: used };
}

async function parsed(path: string, content: Uint8Array): Promise<unknown> {
  if (MODULES.includes(endOf(path))) {
    const module = (await import(pathToFileURL(resolve(path)).href)) as { readonly default?: unknown };
    return module.default;
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    return bad('this is neither JSON nor a module');
  }
}

function bad(what: string): never {
  throw new GrimError(
    'GRIM_CLI_BAD_RECIPE',
    `${what}. A recipe is { "schema": "${SCHEMA}", "density": 0.25, "block": "2xK", … }.`,
  );
}

const isObject = (one: unknown): one is Record<string, unknown> =>
  typeof one === 'object' && one !== null && !Array.isArray(one);

type Check = (value: unknown, where: string) => void;

const share: Check = (value, where) => {
  if (!(typeof value === 'number' && value > 0 && value <= 1)) bad(`${where} is no share above 0 and up to 1`);
};
const shape: Check = (value, where) => {
  if (typeof value !== 'string' || !/^(?:[1-9]\d{0,4}|K)x(?:[1-9]\d{0,4}|K)$/.test(value))
    bad(`${where} is no block as 4x16 or 2xK`);
};
const whole: Check = (value, where) => {
  if (!Number.isSafeInteger(value) || (value as number) < 1) bad(`${where} is no whole number from 1 on`);
};

const FIELDS: Readonly<Record<string, Check>> = {
  schema: () => {},
  density: share,
  block: shape,
  seed: whole,
  examples: whole,
  fast: (value, where) => {
    if (typeof value !== 'boolean') bad(`${where} is neither true nor false`);
  },
  method: (value, where) => {
    if (!METHODS.some((one) => one === value)) bad(`${where} is none of ${METHODS.join(', ')}`);
  },
  layers: (value, where) => {
    if (!isObject(value)) bad(`${where} is no object`);
    for (const [name, own] of Object.entries(value as object)) {
      if (own === 'dense') continue;
      if (!isObject(own)) bad(`${where}: ${quote(name)} is neither "dense" nor an object`);
      fields(own as Record<string, unknown>, { density: share, block: shape }, `${where}: ${quote(name)}: `);
    }
  },
};

function fields(
  object: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, Check>>,
  where: string,
): void {
  for (const [name, value] of Object.entries(object)) {
    const check = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!check) bad(`${where}${quote(name)} is unknown; ${Object.keys(known).join(', ')} are known`);
    check?.(value, `${where}${name}`);
  }
}

function checked(value: unknown): Recipe {
  if (!isObject(value)) return bad('this is no object');
  if (value['schema'] !== SCHEMA) return bad(`its schema is ${quote(String(value['schema']))}`);
  fields(value, FIELDS, '');
  return value as Recipe;
}

function planOf(
  { layers = {} }: Recipe,
  { density, blocks }: PruneCommandOptions,
  graph: Graph,
): NonNullable<PruneCommandOptions['plan']> {
  const all = prunableLayers(graph);
  for (const name of Object.keys(layers))
    if (!all.some((layer) => layer.name === name))
      bad(
        `it names ${quote(name)}, which is no layer that can be pruned; there are ${all.map((one) => quote(one.name)).join(', ')}`,
      );
  const [fallback = { rows: 2, cols: Number.POSITIVE_INFINITY } satisfies BlockShape] = blocks;
  const densities: [string, number][] = [];
  const shapes: [string, string][] = [];
  for (const { name, exempt } of all) {
    const own = Object.hasOwn(layers, name) ? layers[name] : undefined;
    if (own === 'dense' || (!own && exempt)) continue;
    const share = own?.density ?? density;
    if (share === undefined) {
      if (own) bad(`${quote(name)} has no density, and there is none for all`);
      continue;
    }
    densities.push([name, share]);
    shapes.push([name, own?.block ?? blockText(fallback)]);
  }
  return { density: Object.fromEntries(densities), block: Object.fromEntries(shapes) };
}
