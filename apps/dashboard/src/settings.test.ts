/** Links hold all that was set; links from strangers set nothing that is not in the table. */
import { describe, expect, it } from 'vitest';
import { readHash, writeHash } from './settings.ts';

describe('the link of a page', () => {
  it('is empty at first, and holds what was changed', () => {
    const first = readHash('');
    expect(writeHash(first)).toBe('');
    const changed = { ...first, tab: 'bench', density: 0.15, seed: 7, file: 'a b&c=#.onnx', gpu: true } as const;
    expect(readHash(`#${writeHash(changed)}`)).toEqual(changed);
  });

  it.for([
    'tab=<script>',
    'density=0',
    'density=1e9',
    'density=NaN',
    'seed=1.5',
    'rows=-1',
    'layer=1e7',
    'gpu=1',
    'model=../../etc/passwd',
    'model=__proto__',
    '__proto__=1',
    'constructor=1',
    `file=${'x'.repeat(201)}`,
    '%',
    '%E0%A4%A',
  ])('leaves out what does not fit: %s', (hash) => {
    expect(readHash(hash)).toEqual(readHash(''));
  });
});
