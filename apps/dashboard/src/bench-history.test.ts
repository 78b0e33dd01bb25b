/** What a browser kept, or somebody wrote there. */
import { expect, it } from 'vitest';
import { readMeasured } from './bench-history.ts';

it('D7: storage that holds anything else is as good as empty', () => {
  const good = { at: 1, model: 'm', contender: 'dense', ms: 2 };
  expect(readMeasured(JSON.stringify([good]))).toEqual([good]);
  for (const text of [null, '', '{', 'null', '7', '{"at":1}', '[null]', '[[]]', '["x"]', '[{"at":"1","model":"m"}]'])
    expect(readMeasured(text)).toEqual([]);
  expect(readMeasured(JSON.stringify([{ ...good, ms: -1 }, { ...good, ms: '2' }, good]))).toEqual([good]);
  expect(readMeasured(JSON.stringify(Array.from({ length: 999 }, () => good)))).toHaveLength(300);
});
