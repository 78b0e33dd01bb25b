/**
 * All that can be set, in one flat table that is also the link to share: a key, what it is at first, what may stand there.
 * Links come from anybody: what does not fit the table is left out, and never reaches the page.
 */
import { type ReadonlySignal, signal } from '@preact/signals';
import type { SampleKind } from './engine/samples.ts';

interface Rule<T> {
  readonly initial: T;
  /** Undefined: not allowed. */
  readonly read: (text: string) => T | undefined;
}

const oneOf = <const T extends string>(...values: readonly [T, ...T[]]): Rule<T> => ({
  initial: values[0],
  read: (text) => values.find((value) => value === text),
});
const number = (initial: number, low: number, high: number, whole = true): Rule<number> => ({
  initial,
  read(text) {
    const value = Number(text);
    return text.trim() !== '' && value >= low && value <= high && (!whole || Number.isInteger(value))
      ? value
      : undefined;
  },
});
const flag = (initial: boolean): Rule<boolean> => ({
  initial,
  read: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
});
const text = (initial: string, most: number): Rule<string> => ({
  initial,
  read: (value) => (value.length <= most ? value : undefined),
});

/** Whole numbers with commas. */
const lengthList = (most: number): Rule<string> => ({
  initial: '',
  read: (value) =>
    value.split(',').length <= most && value.split(',').every((one) => /^[1-9]\d{0,6}$/.test(one)) ? value : undefined,
});

const TABS = ['model', 'prune', 'bench', 'crossbar', 'try', 'history'] as const;
export type Tab = (typeof TABS)[number];

const RULES = {
  tab: oneOf(...TABS),
  /** A built-in network; none: a file, whose name is `file`. */
  model: oneOf('', 'small-cnn', 'tiny-gru'),
  file: text('', 200),
  /** Of what the file leaves open, in its order. */
  lengths: lengthList(16),
  layer: number(-1, -1, 1e6),
  density: number(0.25, 0.02, 1, false),
  rows: number(2, 0, 1024),
  cols: number(0, 0, 65536),
  method: oneOf('admm', 'wanda', 'magnitude'),
  samples: number(16, 1, 512),
  seed: number(1, 1, 1e6),
  pixels: oneOf('unit', 'signed', 'imagenet'),
  rounds: number(20, 5, 200),
  threads: number(0, 0, 16),
  gpu: flag(false),
  ort: flag(false),
  /** Most non-zeros in a column; 0: as many as there are. */
  cp: number(32, 0, 256),
  arrayRows: number(128, 8, 512),
  cellBits: number(2, 1, 4),
  storage: oneOf('analog', 'differential', 'offset'),
  adcBits: number(0, 0, 12),
  part: number(0, 0, 1e5),
  wireOhm: number(1, 0, 1000, false),
  cellOhm: number(10_000, 100, 1e7, false),
  ortUrl: text('ort/ort.wasm.bundle.min.mjs', 300),
} as const;

type Rules = typeof RULES;
export type Settings = { readonly [K in keyof Rules]: Rules[K] extends Rule<infer T> ? T : never };

const KEYS = Object.keys(RULES) as (keyof Settings)[];
const INITIAL = Object.fromEntries(KEYS.map((key) => [key, RULES[key].initial])) as unknown as Settings;

/** @param hash  with or without `#` */
export function readHash(hash: string): Settings {
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  const found = KEYS.flatMap((key) => {
    const value = given.get(key);
    const read = value === null ? undefined : RULES[key].read(value);
    return read === undefined ? [] : [[key, read] as const];
  });
  return { ...INITIAL, ...Object.fromEntries(found) };
}

/** What differs from the start, in the order of the table; empty for none. */
export function writeHash(values: Settings): string {
  const changed = KEYS.filter((key) => values[key] !== INITIAL[key]);
  return new URLSearchParams(changed.map((key) => [key, String(values[key])])).toString();
}

const current = signal<Settings>(INITIAL);
export const settings: ReadonlySignal<Settings> = current;

/** Changes some settings, and the address of the page with them. */
export function set(change: Partial<Settings>): void {
  current.value = { ...current.peek(), ...change };
  const hash = writeHash(current.peek());
  history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search);
}

export function startSettings(): void {
  current.value = readHash(location.hash);
  addEventListener('hashchange', () => {
    current.value = readHash(location.hash);
  });
}

/** Inputs that the built-in networks were trained for. */
export function samplesFor(model: Settings['model']): SampleKind {
  return model === 'small-cnn' ? 'digits' : model === 'tiny-gru' ? 'sounds' : 'made-up';
}
