/** Fields of a case that somebody else wrote: each is checked when it is read, and named when it is not what it should be. */
import { GrimError } from '@grim/ir';

/** What a case gave: passed when `error` is at most `tolerance`. */
export interface Measured {
  readonly error: number;
  readonly tolerance: number;
  /** Of a part of a file that has no cases. */
  readonly id?: string;
  /** Why it was not run. */
  readonly skipped?: string;
  readonly note?: string;
}

/** Rows of equal length. */
export interface Table {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

export class Fields {
  readonly #record: Readonly<Record<string, unknown>>;
  readonly #where: string;

  constructor(record: Readonly<Record<string, unknown>>, where: string) {
    this.#record = record;
    this.#where = where;
  }

  has(name: string): boolean {
    return this.#value(name) !== undefined && this.#value(name) !== null;
  }

  number(name: string, fallback?: number): number {
    const value = this.#value(name);
    if ((value === undefined || value === null) && fallback !== undefined) return fallback;
    if (typeof value !== 'number') this.refuse(name, 'a number');
    return value;
  }

  text(name: string, fallback?: string): string {
    const value = this.#value(name);
    if ((value === undefined || value === null) && fallback !== undefined) return fallback;
    if (typeof value !== 'string') this.refuse(name, 'a text');
    return value;
  }

  flag(name: string, fallback?: boolean): boolean {
    const value = this.#value(name);
    if ((value === undefined || value === null) && fallback !== undefined) return fallback;
    if (typeof value !== 'boolean') this.refuse(name, 'true or false');
    return value;
  }

  /** A part with fields of its own. */
  part(name: string): Fields {
    const value = this.#value(name);
    if (typeof value !== 'object' || value === null) this.refuse(name, 'an object or a list');
    return new Fields(value as Readonly<Record<string, unknown>>, `${this.#where}${name}.`);
  }

  parts(name: string): readonly Fields[] {
    const value = this.#value(name);
    if (!Array.isArray(value)) this.refuse(name, 'a list');
    return value.map((_, i) => new Fields(value as unknown as Readonly<Record<string, unknown>>, '').part(String(i)));
  }

  names(): readonly string[] {
    return Object.keys(this.#record);
  }

  list(name: string): Float64Array {
    return this.#numbers(name, this.#value(name));
  }

  /** A list of lists of numbers, all of one length; `undefined` where the field is null or absent and may be. */
  table(name: string): Table {
    const rows = this.lists(name);
    const cols = rows[0]?.length ?? 0;
    if (rows.length === 0 || rows.some((row) => row.length !== cols)) this.refuse(name, 'rows of equal length');
    const data = new Float64Array(rows.length * cols);
    rows.forEach((row, i) => {
      data.set(row, i * cols);
    });
    return { rows: rows.length, cols, data };
  }

  lists(name: string): readonly Float64Array[] {
    const value = this.#value(name);
    if (!Array.isArray(value)) this.refuse(name, 'a list of lists');
    return value.map((row) => this.#numbers(name, row));
  }

  /** Tables in a list, as planes of an image or slices of a fault map. */
  tables(name: string): readonly Table[] {
    const value = this.#value(name);
    if (!Array.isArray(value)) this.refuse(name, 'a list of tables');
    return value.map((_, i) =>
      new Fields(value as unknown as Readonly<Record<string, unknown>>, `${name}.`).table(String(i)),
    );
  }

  /** Pairs of limits. */
  limits(name: string): readonly (readonly [number, number])[] {
    return this.lists(name).map((pair) => {
      const [low, high] = pair;
      if (pair.length !== 2 || low === undefined || high === undefined) this.refuse(name, 'pairs of numbers');
      return [low, high];
    });
  }

  #value(name: string): unknown {
    return Object.hasOwn(this.#record, name) ? this.#record[name] : undefined;
  }

  #numbers(name: string, value: unknown): Float64Array {
    if (!Array.isArray(value) || !value.every((one) => typeof one === 'number')) this.refuse(name, 'a list of numbers');
    return Float64Array.from(value);
  }

  /** @throws {GrimError} GRIM_RERAM_BAD_VECTORS with what the field is */
  refuse(name: string, needed: string): never {
    const found = JSON.stringify(this.#value(name))?.slice(0, 40) ?? 'missing';
    throw new GrimError(
      'GRIM_RERAM_BAD_VECTORS',
      `${this.#where}${name} is ${found}; ${needed} is needed. The file is damaged, or of another format.`,
    );
  }
}

/** Largest difference of two lists; infinite when they are not equally long or one holds NaN. */
export function worst(found: ArrayLike<number>, wanted: ArrayLike<number>, scale = 1): number {
  if (found.length !== wanted.length) return Infinity;
  let most = 0;
  for (let i = 0; i < wanted.length; i++) {
    const error = Math.abs((found[i] as number) * scale - (wanted[i] as number));
    if (!(error <= most)) most = Number.isNaN(error) ? Infinity : error;
  }
  return most;
}
