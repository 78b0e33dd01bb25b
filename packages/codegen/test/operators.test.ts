import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { operatorTable } from './operators.ts';

it('docs/operators.md says what compiles: `npm run operators` writes it anew', () => {
  const path = new URL('../../../docs/operators.md', import.meta.url);
  expect(readFileSync(path, 'utf8')).toBe(operatorTable());
});
