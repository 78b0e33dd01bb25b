/** What `grim run` shows: a summary of each output, or the largest values of each row with their names. */
import { basename } from 'node:path';
import { formatType, show, type Tensor, toReals } from '@grim/ir';
import type { Model } from '@grim/runtime';
import type { Note } from './inputs/gather.ts';
import { type Io, styled } from './output.ts';
import { table, wrap } from './table.ts';

export interface Result {
  readonly name: string;
  readonly tensor: Tensor;
  /** What the indices of the last axis mean; empty where nobody says. */
  readonly labels: readonly string[];
}

export interface Page {
  readonly results: readonly Result[];
  readonly notes: readonly Note[];
  /** Of one run; the median of several. */
  readonly milliseconds: number;
  /** One run for each. */
  readonly files: readonly string[];
  readonly top: number | undefined;
  /** Files that the outputs go to. */
  readonly written: readonly string[];
}

const NOTES = 3;

export function runText(model: Pick<Model, 'simd'> & { readonly device: string }, page: Page, io: Io): string {
  const { results, notes, milliseconds, files, top, written } = page;
  const time = `${milliseconds.toFixed(2)} ms`;
  const how = files.length > 1 ? `${files.length} runs, ${time} each (median)` : time;
  const what = model.device === 'wasm' ? `wasm (${model.simd} SIMD)` : model.device;
  const lines = wrap(`ran on ${what}: ${how}`, io.columns);
  // Files are mostly prepared alike: said once, then only where it differs.
  const texts = new Map<string, Note[]>();
  for (const note of notes) texts.set(note.text, [...(texts.get(note.text) ?? []), note]);
  const shown = Array.from(texts).slice(0, NOTES);
  for (const [text, [first, ...more]] of shown) {
    const who = `${show(basename(first?.file ?? ''))}${more.length > 0 ? ` and ${more.length} more` : ''}`;
    lines.push(...wrap(`${who}: ${text}`, io.columns, '  ').map((line) => styled(io, 'dim', line)));
  }
  lines.push('');
  if (top === undefined) lines.push(...summary(results, io));
  else for (const result of results) lines.push(...largest(result, top, files, io));
  if (written.length > 0)
    lines.push('', ...wrap(`Outputs go to ${written.map((file) => show(file)).join(', ')}`, io.columns, '  '));
  return `${lines.join('\n')}\n`;
}

const FIRST = 4;

function summary(results: readonly Result[], io: Io): string[] {
  const columns = [
    { title: 'output', flexible: true },
    { title: 'type' },
    { title: 'min', align: 'right' },
    { title: 'max', align: 'right' },
    { title: 'first values', flexible: true },
  ] as const;
  const rows = results.map(({ name, tensor }) => {
    const values = Float64Array.from(toReals(tensor));
    const least = values.reduce((a, b) => Math.min(a, b), Infinity);
    const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const ends = values.length === 0 ? ['–', '–'] : [number(least), number(most)];
    const more = values.length > FIRST ? ' …' : '';
    return [show(name), formatType(tensor), ...ends, `${Array.from(values.slice(0, FIRST), number).join(' ')}${more}`];
  });
  const [head = '', ...body] = table(columns, rows, io.columns);
  return [styled(io, 'dim', head), ...body];
}

export interface Rank {
  readonly index: number;
  /** NaN and infinities as text, as everywhere in JSON. */
  readonly value: number | string;
  readonly label?: string;
}

/** The `top` largest values of each row (the last axis), the largest first; of equal ones the first. NaN comes last. */
export function ranked({ tensor, labels }: Result, top: number): readonly (readonly Rank[])[] {
  const values = Float64Array.from(toReals(tensor));
  const width = tensor.shape.at(-1) ?? 1;
  const count = width === 0 ? 0 : values.length / width;
  const order = (value: number): number => (Number.isNaN(value) ? -Infinity : value);
  return Array.from({ length: count }, (_, row) => {
    const own = values.subarray(row * width, (row + 1) * width);
    const indices = Array.from(own.keys()).sort((a, b) => {
      const [x, y] = [order(own[a] ?? 0), order(own[b] ?? 0)];
      return x === y ? a - b : y > x ? 1 : -1;
    });
    return indices.slice(0, top).map((index) => {
      const value = own[index] ?? 0;
      const label = labels[index];
      return { index, value: Number.isFinite(value) ? value : String(value), ...(label !== undefined && { label }) };
    });
  });
}

const ROWS = 20;

function largest(result: Result, top: number, files: readonly string[], io: Io): string[] {
  const { name, tensor, labels } = result;
  const ranks = ranked(result, top);
  const byFile = files.length > 1 && ranks.length === files.length;
  const columns = [
    byFile ? { title: 'file', flexible: true } : ({ title: 'row', align: 'right' } as const),
    { title: 'index', align: 'right' },
    { title: 'value', align: 'right' },
    { title: labels.length > 0 ? 'label' : '', flexible: true },
  ] as const;
  const most = byFile ? ranks.length : Math.min(ranks.length, ROWS);
  const rows = ranks.slice(0, most).flatMap((list, row) =>
    list.map(({ index, value, label }, place) => {
      const first = byFile ? show(basename(files[row] ?? '')) : String(row);
      return [place === 0 ? first : '', String(index), number(Number(value)), show(label ?? '')];
    }),
  );
  const [head = '', ...body] = table(columns, rows, io.columns);
  const more = ranks.length > most ? [`  and ${ranks.length - most} rows more: --json or --output has them`] : [];
  return [styled(io, 'bold', `${show(name)}: ${formatType(tensor)}`), styled(io, 'dim', head), ...body, ...more];
}

function number(value: number): string {
  return Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : value.toPrecision(4);
}
