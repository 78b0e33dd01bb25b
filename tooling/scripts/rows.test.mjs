import { expect, it } from 'vitest';
import { coverage, idsIn, readRows, rows, uncovered } from './rows.mjs';

it('has a test for every row of docs/bad-input.md that does not wait', () => {
  expect(uncovered().map(({ id, title }) => `${id}: ${title}`)).toEqual([]);
});

it('knows every row that a test names', () => {
  const known = new Set(rows().map(({ id }) => id));
  expect([...coverage().keys()].filter((id) => !known.has(id))).toEqual([]);
});

it('lists each row once', () => {
  const ids = rows().map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)]);
  expect(ids.length).toBeGreaterThanOrEqual(70);
});

it('reads ids at the front of names only', () => {
  expect([...idsIn("it('P1: a'); it.for(x)(`L9, G21: b`); it(\"X1, X2: c\"); it('as P3: d'); // 'T1 e'")]).toEqual([
    ...['P1', 'L9', 'G21', 'X1', 'X2'],
  ]);
});

it('reads a table', () => {
  expect(readRows('| # | row | waits |\n| --- | --- | --- |\n| P1 | an empty file | |\n| X6 | a | for b |')).toEqual([
    { id: 'P1', title: 'an empty file', waits: '' },
    { id: 'X6', title: 'a', waits: 'for b' },
  ]);
});
