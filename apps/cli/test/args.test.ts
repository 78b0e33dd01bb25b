import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { EXAMPLES } from '../src/args.ts';
import { DEMO, grim, ROOT, TINY, temporaryFolder } from './grim.ts';

describe('the command line', () => {
  it.for<readonly [what: string, argv: readonly string[], says: RegExp]>([
    [
      'an unknown option',
      ['inspect', TINY, '--jsno'],
      /unknown option '--jsno'.*Did you mean --json\?.*Usage: grim inspect/,
    ],
    ['an unknown command', ['inspcet', TINY], /unknown command 'inspcet'.*Did you mean inspect\?/],
    ['no command', [], /a command is missing/],
    ['a missing argument', ['inspect'], /<model> is missing/],
    ['an empty argument', ['inspect', ''], /<model> is empty/],
    ['two arguments', ['inspect', TINY, TINY], /too many arguments/],
    ['a missing value', ['inspect', TINY, '--dim'], /argument missing/],
    ['an empty value', ['inspect', TINY, '--top='], /--top.*whole number/],
    ['an empty --json=', ['inspect', TINY, '--json='], /empty/],
    ['a repeated option', ['inspect', TINY, '--top', '1', '--top', '2'], /--top stands twice/],
    ['a name bound twice', ['inspect', TINY, '--dim', 'N=1', '--dim', 'N=2'], /N is given twice/],
    ['a negative number', ['inspect', TINY, '--top', '-3'], /--top/],
    ['a negative length', ['inspect', TINY, '--dim', 'N=-1'], /whole number/],
    ['NaN', ['inspect', TINY, '--dim', 'N=NaN'], /whole number/],
    ['1e999', ['inspect', TINY, '--const', 'x=1e999'], /finite decimal/],
    ['1e3 as a length', ['inspect', TINY, '--dim', 'N=1e3'], /whole number/],
    ['0x10 as a length', ['inspect', TINY, '--shape', 'x=0x10'], /Whole numbers/],
    ['a length of 2^31', ['inspect', TINY, '--dim', 'N=2147483648'], /whole number/],
    ['a pair without =', ['inspect', TINY, '--dim', 'N'], /name=value/],
    ['a pair without a name', ['inspect', TINY, '--dim', '=3'], /name=value/],
    ['an en dash', ['inspect', TINY, '–json'], /dash that is not "-"\. Write --json/],
    ['an em dash', ['inspect', TINY, '—strict'], /Write --strict/],
    ['a wrong regular expression', ['conformance', DEMO, '--filter', '('], /--filter.*regular expression/i],
    ['an unknown backend', ['conformance', DEMO, '--backend', 'gpu'], /Allowed choices are reference, wasm/],
  ])('L1: %s is wrong usage, told in one line', async ([, argv, says]) => {
    const { code, out, err } = await grim(argv);
    expect(err).toMatch(says);
    expect(err).toMatch(/^grim: .*\[GRIM_CLI_USAGE\]\n$/);
    expect([code, out]).toEqual([2, '']);
  });

  it('L1: -- ends the options', async () => {
    expect((await grim(['inspect', '--', TINY])).code).toBe(0);
    const dashed = await grim(['inspect', '--', '--strict']);
    expect(dashed).toMatchObject({ code: 1, err: expect.stringMatching(/^grim: --strict: there is no such file/) });
  });

  it('L1: what was typed moves no cursor when it is shown again', async () => {
    const { err } = await grim(['inspect', TINY, '--\u001b[2J']);
    expect(err).not.toContain('\u001b');
  });

  it('suggests the name of an open length and of an input', async () => {
    const dim = await grim(['inspect', TINY, '--dim', 'n=2']);
    expect(dim).toMatchObject({ code: 2, err: expect.stringContaining('Did you mean "N"?') });
    const input = await grim(['verify', TINY, '--shape', 'imag=1,1,20,20']);
    expect(input).toMatchObject({ code: 2, err: expect.stringContaining('Did you mean "image"?') });
  });

  it('takes a model after --json as the model', async () => {
    const { code, out } = await grim(['inspect', '--json', TINY]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ schema: 'grim.inspect/1', name: 'tiny-cnn' });
  });

  it('prints the version', async () => {
    expect(await grim(['--version'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      err: '',
    });
  });

  it.for(['', ...Object.keys(EXAMPLES)])('prints help for "%s" within 80 columns', async (name) => {
    const { code, out, err } = await grim([...(name ? [name] : []), '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const [example] of EXAMPLES[name] ?? []) expect(out).toContain(`\n  grim ${example}`);
  });

  it('has two examples for every command', () => {
    for (const [name, list] of Object.entries(EXAMPLES)) expect(list.length, name).toBeGreaterThanOrEqual(2);
  });

  /** What the examples of \`compile\` leave behind. */
  async function compiled(): Promise<string> {
    const path = join(temporaryFolder(), 'tiny.grim');
    const { files } = await grim(['compile', TINY, '--dim', 'N=1', '-o', path]);
    writeFileSync(path, files[0]?.content ?? '');
    return path;
  }

  it.for(Object.values(EXAMPLES).flat())('runs the example: grim %s', async ([line]) => {
    // Paths in the examples are those of the repository's root.
    const argv = line.split(' ').map((word) => (word.startsWith('apps/') ? `${ROOT}/${word}` : word));
    if (argv[1] === 'tiny.grim') argv[1] = await compiled();
    vi.stubEnv('XDG_CACHE_HOME', temporaryFolder());
    onTestFinished(() => void vi.unstubAllEnvs());
    const { code, out, err } = await grim(argv);
    expect(code).toBe(0);
    expect(err).toMatch(argv[0] === 'tune' ? /^(grim: trial .+\n)+$/ : /^$/);
    if (line.includes('--json')) expect(JSON.parse(out).schema).toBe(`grim.${line.split(' ')[0]}/1`);
    else expect(out.length).toBeGreaterThan(20);
  });
});
