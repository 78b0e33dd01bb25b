/** Files that the page writes. */
import { expect, it } from 'vitest';
import { csvOf } from './csv.ts';
import { safeName } from './download.ts';

it('D9: names of files keep letters and digits alone', () => {
  expect(safeName('Time of one run')).toBe('Time-of-one-run');
  expect(safeName('../../etc/passwd')).toBe('etc-passwd');
  expect(safeName('a\u202egnp.exe')).toBe('a-gnp-exe');
  expect(safeName('<img src=x onerror=alert(1)>')).not.toMatch(/[<>="/]/);
  expect(safeName('')).toBe('grim-');
  expect(safeName('con')).toBe('grim-con');
  expect(safeName('x'.repeat(500))).toHaveLength(80);
  expect(safeName('Größe 模型')).toBe('Größe-模型');
});

it('rows become CSV: quoted where needed, numbers as they are, no formulas', () => {
  const rows = [
    { name: 'a,b', ms: 1.5, kept: true, note: undefined },
    { name: 'say "x"\nand y', ms: Number.NaN, kept: false, note: '=HYPERLINK("http://x")' },
  ];
  expect(csvOf(rows)).toBe(
    'name,ms,kept,note\r\n"a,b",1.5,true,\r\n"say ""x""\nand y",,false,"\'=HYPERLINK(""http://x"")"\r\n',
  );
  expect(csvOf([])).toBe('');
});
