// biome-ignore-all lint/suspicious/noTemplateCurlyInString: shells write variables so.
/** `grim completion`: the scripts, in shells that are here. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { grim, temporaryFolder } from './grim.ts';

async function scriptOf(shell: string): Promise<string> {
  const { code, out, err } = await grim(['completion', shell]);
  expect([code, err]).toEqual([0, '']);
  return out;
}

const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0;

describe('grim completion', () => {
  it.for<readonly [words: readonly string[], offers: readonly string[], not: readonly string[]]>([
    [['ins'], ['inspect'], ['bench']],
    [
      ['reram', ''],
      ['map', 'cost', 'certify'],
      ['inspect', '--trials'],
    ],
    [['tune', 'x.onnx', '--tr'], ['--trials'], ['--data']],
    [['prune', '--method', ''], ['oneshot', 'magnitude'], ['--data']],
    [['results', 'his'], ['history'], ['list']],
    [['results', 'history', '--pl'], ['--plot'], []],
    [['reram', 'map', '--preset', 'is'], ['isaac-8bit'], ['tinyadc']],
  ])('completes %j in bash', async ([words, offers, not], context) => {
    if (!has('bash')) context.skip('there is no bash here');
    const path = join(temporaryFolder(), 'grim.bash');
    writeFileSync(path, await scriptOf('bash'));
    const program =
      'source "$1"; shift; COMP_WORDS=(grim "$@"); COMP_CWORD=$#; _grim; printf "%s\\n" "${COMPREPLY[@]}"';
    const offered = execFileSync('bash', ['-c', program, 'bash', path, ...words], { encoding: 'utf8' }).split('\n');
    for (const word of offers) expect(offered).toContain(word);
    for (const word of not) expect(offered).not.toContain(word);
  });

  it.for(['zsh', 'fish', 'pwsh'] as const)('is a script that %s accepts', async (program, context) => {
    const text = await scriptOf(program === 'pwsh' ? 'powershell' : program);
    expect(text).toContain('inspect');
    expect(text).toContain('magnitude');
    if (!has(program)) context.skip(`there is no ${program} here`);
    const path = join(temporaryFolder(), program === 'pwsh' ? 'grim.ps1' : 'grim');
    writeFileSync(path, text);
    execFileSync(program, program === 'pwsh' ? ['-File', path] : ['-n', path]);
  });

  it('L1: asks which shell, and knows four', async () => {
    expect(await grim(['completion'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/bash, zsh, fish, powershell/),
    });
    expect(await grim(['completion', 'csh'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/Allowed choices are bash/),
    });
  });
});
