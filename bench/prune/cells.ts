/** What is measured: networks, densities, blocks and methods, and what each row must and should reach. */
import { BASELINES, type BlockShape, type OneShotOptions } from '@grim/prune';

export interface Cell {
  readonly model: string;
  readonly density: number;
  readonly block: string;
  readonly method: Method;
  /** Densities by layer: the same share of all multiply-adds, or of all weights, as one density for all would have. */
  readonly budget?: 'macs' | 'weights';
  /** Default `auto`. */
  readonly aware?: 'auto' | 'never';
  readonly examples: number;
  readonly seed?: number;
}

export type Method =
  | 'oneshot'
  | 'columns'
  | 'magnitude'
  | 'magnitude+refit'
  | 'structured'
  | 'unstructured'
  | 'wanda'
  | 'wanda+refit';

const PLAIN = { sequential: true, correctMean: true, refit: true } as const;

/** As options of one-shot pruning. Baselines come as published, and with all of the recipe but its mask. */
export const METHODS: Readonly<Record<Method, Partial<OneShotOptions>>> = {
  oneshot: {},
  ...BASELINES,
  'magnitude+refit': { ...PLAIN, criterion: 'magnitude' },
  'wanda+refit': { ...PLAIN, criterion: 'wanda' },
};

/** A row of the table: right answers that there must be, and that are aimed at. */
interface Wanted extends Cell {
  readonly must: number;
  readonly aim: number;
}

const R20 = { model: 'resnet20_cifar10', method: 'oneshot', examples: 512 } as const;
const R56 = { model: 'resnet56_cifar10', method: 'oneshot', examples: 512 } as const;
const DSCNN = { model: 'dscnn_kws', method: 'oneshot', examples: 500 } as const;
const GRU = { model: 'kws_gru_l', method: 'oneshot', examples: 500 } as const;
const MOBILE = { model: 'mobilenet_v2_imagenet', method: 'oneshot', examples: 125 } as const;

export const ACCEPTANCE: readonly Wanted[] = [
  { ...R20, density: 0.25, block: '2xK', must: 880, aim: 905 },
  { ...R20, density: 0.25, block: '4x16', must: 865, aim: 900 },
  { ...R20, density: 0.25, block: '4x16', budget: 'macs', must: 865, aim: 900 },
  { ...R20, density: 0.125, block: '2xK', must: 765, aim: 850 },
  { ...R20, density: 0.125, block: '4x16', budget: 'macs', must: 805, aim: 850 },
  { ...DSCNN, density: 0.5, block: '4x16', must: 408, aim: 437 },
  { ...GRU, density: 0.1, block: '8x50', must: 762, aim: 815 },
  { ...R56, density: 0.25, block: '2xK', examples: 256, must: 908, aim: 926 },
  { ...R56, density: 0.25, block: '2xK', must: 908, aim: 926 },
  { ...R56, density: 0.125, block: '2x64', examples: 256, must: 835, aim: 885 },
  { ...MOBILE, density: 0.5, block: '2xK', must: 60, aim: 95 },
];

/** One network, one recipe, blocks from single weights to the whole matrix. */
export const SHAPES = ['1x1', '2xK', '2x64', '4x16', '4x64', '8x32', '16x64', 'KxK'] as const;
export const DENSITIES = [0.5, 0.33, 0.25, 0.125] as const;
const SHAPE: readonly Cell[] = DENSITIES.flatMap((density) =>
  SHAPES.map((block) => ({ ...R20, density, block, aware: 'never' as const })),
);

const OTHERS = ['magnitude', 'magnitude+refit', 'wanda', 'wanda+refit', 'columns'] as const;
/** The recipe itself is a row of the acceptance table, or stands here. */
export const COMPARED: readonly Cell[] = [
  { ...R20, density: 0.25, block: '2xK' },
  { ...R20, density: 0.25, block: '4x16' },
  { ...DSCNN, density: 0.5, block: '4x16' },
  { ...GRU, density: 0.1, block: '8x50' },
  { ...R56, density: 0.125, block: '2x64', examples: 256 },
  { ...MOBILE, density: 0.5, block: '2xK' },
];
const ABLATION: readonly Cell[] = COMPARED.flatMap((cell) => [cell, ...OTHERS.map((method) => ({ ...cell, method }))]);

export const TABLES: Readonly<Record<'acceptance' | 'shape' | 'ablation', readonly Cell[]>> = {
  acceptance: ACCEPTANCE,
  shape: SHAPE,
  ablation: ABLATION,
};

/** What a record is found by. */
export function keyOf({ model, density, block, method, budget, aware, examples, seed }: Cell): string {
  return [model, density, block, method, budget ?? '', aware ?? 'auto', examples, seed ?? 1].join(' ');
}

/** `4x16`, `2xK`. */
export function blockOf(text: string): BlockShape {
  const side = (one = '') => (/^\d+$/.test(one) ? Number(one) : Number.POSITIVE_INFINITY);
  const [rows, cols] = text.split('x');
  return { rows: side(rows), cols: side(cols) };
}
