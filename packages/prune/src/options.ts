/** What a caller can ask of one-shot pruning, and the checks of it. */
import { blockGrid } from '@grim/bcr';
import { type BlockGrid, quote } from '@grim/ir';
import { fail } from './errors.ts';
import type { Layer, Site, Sites } from './layers.ts';
import type { CellTask, CellUpdate } from './parameters.ts';
import type { CancelSignal } from './pulse.ts';
import type { Criterion, MaskSearch } from './select.ts';
import type { LayerUpdate } from './update.ts';

/** Sides of a block; `Infinity` for the whole side of the matrix. */
export interface BlockShape {
  readonly rows: number;
  readonly cols: number;
}

export interface OneShotOptions {
  /**
   * Share of the weights that survives: of every layer but the exempt ones, or by name of the layer; a layer without one
   * stays dense, as with 1.
   */
  readonly density: number | Readonly<Record<string, number>>;
  /** Of every layer, or by name with `''` as the rest. Default: 2 whole rows, fast and kind to accuracy. */
  readonly block?: BlockShape | Readonly<Record<string, BlockShape>>;
  /** Default `admm`. */
  readonly criterion?: Criterion;
  /** Blocks keep all their rows: only columns are pruned. Default false: the split is free. */
  readonly columnsOnly?: boolean;
  /**
   * Chooses the survivors in place of the blocks and of `density`, which then only says which layers are pruned: for
   * constraints of other hardware, as so many non-zeros in each column of a crossbar. Called many times a layer, with the
   * values [m, k] that compete (signed; larger magnitudes matter more); returns 1 where an element stays. Blocks must be of
   * one row, as they can say any mask. The state of an interrupted run does not know of it: resume with the same one.
   */
  readonly choose?: (layer: Layer, values: Float64Array) => Uint8Array;
  /** Solve for the surviving weights. Default true; false keeps their values. */
  readonly refit?: boolean;
  /** Inputs of each layer from the network as pruned so far. Default true; false: from the dense network. */
  readonly sequential?: boolean;
  /** Make up for the change of each output's mean, in the batch normalisation or the bias. Default true. */
  readonly correctMean?: boolean;
  /** Let each layer also make up for the error that its skip connection brings along. Default true. */
  readonly correctSkip?: boolean;
  /**
   * The step that knows of the activation behind a layer. `auto` (default) keeps it where it lowers the difference of the
   * network's outputs on calibration inputs; it costs about as much again.
   */
  readonly activationAware?: 'auto' | 'always' | 'never';
  /** Share of the mean diagonal of a Gram matrix that is added to it. Default 0.01; 0.1 when inputs are few. */
  readonly damping?: number;
  /** Samples per layer; default 24576, and 20 for each input of the layer. */
  readonly samples?: number;
  /** Batches on which outputs are compared; default: every second one, up to 256 examples. */
  readonly lossBatches?: number;
  /** Of the sampled positions. Default 1. */
  readonly seed?: number;
  readonly signal?: CancelSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Called after each layer with all that is needed to go on later; plain JSON. */
  readonly onLayer?: (state: OneShotState) => void;
  /**
   * From an earlier run with the same graph, inputs and options; or what finds it by its fingerprint, where several may
   * have been kept.
   */
  readonly resume?: OneShotState | ((fingerprint: string) => OneShotState | undefined);
}

export interface Progress {
  readonly layer: string;
  /** Of `layers`, from 0. */
  readonly index: number;
  readonly layers: number;
  readonly step: 'run' | 'measure' | 'select' | 'refit' | 'compare';
  /** Share of the step, 0 to 1. */
  readonly done: number;
}

export interface OneShotState {
  readonly version: 1;
  /** Of graph, calibration inputs and options. */
  readonly fingerprint: string;
  /** A recurrent layer has one update for its two matrices. */
  readonly layers: readonly { readonly reports: readonly LayerReport[]; readonly update: LayerUpdate | CellUpdate }[];
}

export interface LayerReport {
  readonly name: string;
  readonly grid: BlockGrid;
  /** Asked for, and reached. */
  readonly target: number;
  readonly density: number;
  /** Multiply-accumulates of one example, dense. */
  readonly macs: number;
  /** Lost share of the energy of the layer's wanted outputs, 0 to 1; absent when nothing was measured (of the centred ones where a bias takes up the mean). */
  readonly error?: number;
  /** Whether the step that knows of the activation was taken. */
  readonly activationAware: boolean;
  readonly samples: number;
  readonly seconds: number;
  /** `few samples`: fewer than inputs of the layer, so that damping decides; `constant inputs`: nothing to learn from. */
  readonly warning?: 'few samples' | 'constant inputs';
  /** Of the mask that was taken, where ADMM looked for it. */
  readonly search?: MaskSearch;
}

export type Settings = Required<
  Omit<
    OneShotOptions,
    'signal' | 'onProgress' | 'onLayer' | 'resume' | 'samples' | 'lossBatches' | 'block' | 'density' | 'choose'
  >
> &
  Pick<OneShotOptions, 'choose'>;

/** Defaults filled in. @throws {GrimError} GRIM_PRUNE_BAD_OPTION */
export function settingsOf(o: OneShotOptions): Settings {
  const settings: Settings = {
    criterion: o.criterion ?? 'admm',
    columnsOnly: o.columnsOnly ?? false,
    refit: o.refit ?? true,
    sequential: o.sequential ?? true,
    correctMean: o.correctMean ?? true,
    correctSkip: o.correctSkip ?? true,
    activationAware: o.activationAware ?? 'auto',
    damping: o.damping ?? 0.01,
    seed: o.seed ?? 1,
    ...(o.choose && { choose: o.choose }),
  };
  if (!['magnitude', 'wanda', 'admm'].includes(settings.criterion))
    fail(
      'GRIM_PRUNE_BAD_OPTION',
      `prune: criterion is ${quote(settings.criterion)}; magnitude, wanda or admm is needed.`,
    );
  if (!(settings.damping > 0 && settings.damping < 1e6))
    fail('GRIM_PRUNE_BAD_OPTION', `prune: damping is ${settings.damping}; a positive number is needed.`);
  for (const [name, value] of Object.entries({ samples: o.samples, lossBatches: o.lossBatches }))
    if (value !== undefined && !(Number.isInteger(value) && value > 0))
      fail('GRIM_PRUNE_BAD_OPTION', `prune: ${name} is ${value}; a positive integer is needed.`);
  if (!Number.isInteger(settings.seed))
    fail('GRIM_PRUNE_BAD_OPTION', `prune: seed is ${settings.seed}; an integer is needed.`);
  return settings;
}

/** A layer to prune, how much and in which blocks. */
export interface Task {
  readonly site: Site;
  readonly density: number;
  readonly grid: BlockGrid;
}

/**
 * In the order in which the layers run.
 * @throws {GrimError} GRIM_PRUNE_BAD_TARGET, GRIM_PRUNE_NO_LAYER, GRIM_BCR_BAD_GRID
 */
export function tasksOf(
  { sites, cells }: Sites,
  { density, block, choose }: Pick<OneShotOptions, 'density' | 'block' | 'choose'>,
): readonly (Task | CellTask)[] {
  const names = new Set([...sites, ...cells.flatMap(({ w, r }) => [w, r])].map(({ name }) => name));
  if (typeof density !== 'number')
    for (const name of Object.keys(density))
      if (!names.has(name))
        fail('GRIM_PRUNE_NO_LAYER', `prune: no layer ${quote(name)} that can be pruned. See prunableLayers().`, {
          name,
        });
  const of = (layer: Layer): { readonly density: number; readonly grid: BlockGrid } | undefined => {
    const own = densityFor(layer, density);
    if (!(own > 0 && own <= 1))
      fail(
        'GRIM_PRUNE_BAD_TARGET',
        `prune: density of ${quote(layer.name)} is ${own}; a number above 0, up to 1, is needed.`,
        {
          layer: layer.name,
          density: own,
        },
      );
    if (own === 1) return undefined;
    const { rows, cols } = shapeFor(layer.name, block);
    if (choose && rows !== 1)
      fail(
        'GRIM_PRUNE_BAD_OPTION',
        `prune: blocks of ${quote(layer.name)} have ${rows} rows; a choice of the survivors needs blocks of 1 row.`,
        { layer: layer.name, rows },
      );
    return { density: own, grid: blockGrid(layer.m, layer.k, rows, cols) };
  };
  const tasks: { index: number; task: Task | CellTask }[] = [];
  for (const site of sites) {
    const found = of(site);
    if (found) tasks.push({ index: site.index, task: { site, ...found } });
  }
  for (const cell of cells) {
    const [w, r] = [of(cell.w), of(cell.r)];
    if (w || r) tasks.push({ index: cell.index, task: { cell, ...(w && { w }), ...(r && { r }) } });
  }
  return tasks.sort((a, b) => a.index - b.index).map(({ task }) => task);
}

function densityFor({ name, exempt }: Layer, density: OneShotOptions['density']): number {
  if (typeof density === 'number') {
    // A wrong number is wrong for every layer.
    return exempt && density > 0 && density <= 1 ? 1 : density;
  }
  return Object.hasOwn(density, name) ? (density[name] ?? Number.NaN) : 1;
}

function shapeFor(name: string, block: OneShotOptions['block']): BlockShape {
  const fallback: BlockShape = { rows: 2, cols: Number.POSITIVE_INFINITY };
  if (!block) return fallback;
  if (isShape(block)) return block;
  return (Object.hasOwn(block, name) ? block[name] : Object.hasOwn(block, '') ? block[''] : undefined) ?? fallback;
}

function isShape(block: BlockShape | Readonly<Record<string, BlockShape>>): block is BlockShape {
  return typeof block.rows === 'number' && typeof block.cols === 'number';
}

/** Older or simpler ways to prune, as options for an honest comparison at equal density. */
export const BASELINES: {
  readonly [Name in 'magnitude' | 'wanda' | 'unstructured' | 'structured' | 'columns']: Partial<OneShotOptions>;
} = {
  /** Largest weights, values kept. */
  magnitude: { criterion: 'magnitude', refit: false, sequential: false, correctMean: false, activationAware: 'never' },
  /** Largest weights times inputs, values kept. */
  wanda: { criterion: 'wanda', refit: false, sequential: false, correctMean: false, activationAware: 'never' },
  /** The full recipe without blocks: each row keeps its own columns. What blocks are compared with. */
  unstructured: { block: { rows: 1, cols: Number.POSITIVE_INFINITY } },
  /** The full recipe on one block: whole rows and columns of the matrix. */
  structured: { block: { rows: Number.POSITIVE_INFINITY, cols: Number.POSITIVE_INFINITY } },
  /** The full recipe, blocks lose columns only. */
  columns: { columnsOnly: true },
};
