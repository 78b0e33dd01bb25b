/** Recipes of `grim prune`: what they may say, and what is refused. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { grim, start } from './grim.ts';
import { folderWith, outputOf } from './prune-folder.ts';

describe('recipes', () => {
  const recipe = { schema: 'grim.prune-recipe/1', density: 0.5, block: '4x16', fast: true, examples: 32 };

  it('say density, block and layers; the command line counts more, and the record gives the bytes', async () => {
    const { folder, data, model } = folderWith();
    const file = join(folder, 'recipe.json');
    writeFileSync(
      file,
      JSON.stringify({
        ...recipe,
        layers: { conv2: 'dense', fc2: { density: 0.3, block: '2xK' }, conv3: { density: 0.4 } },
      }),
    );
    const output = join(folder, 'p.onnx');
    const argv = ['prune', model, '--data', data, '-o', output, '--recipe', file, '--json'];
    const { code, out, files } = await grim([...argv, '--examples', '40']);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report.calibration.examples).toBe(40);
    const shown = report.layers.map(({ name, target, block }: (typeof report.layers)[0]) => [name, target, block]);
    expect(shown).toEqual([
      ['conv3', 0.4, { rows: 4, cols: 16 }],
      ['fc1', 0.5, { rows: 4, cols: 16 }],
      ['fc2', 0.3, { rows: 2, cols: 32 }],
    ]);
    const record = join(folder, 'p.onnx.run.json');
    writeFileSync(record, outputOf(files, 'run.json'));
    const again = await grim(['reproduce', record, '--json']);
    expect(JSON.parse(again.out)).toMatchObject({ identical: true, differences: [] });
  });

  it('may be modules, which are not run again when a record is reproduced', async () => {
    const { folder, data, model } = folderWith();
    const [file, trace] = [join(folder, 'recipe.mts'), join(folder, 'ran')];
    writeFileSync(
      file,
      `import { appendFileSync } from 'node:fs';\nappendFileSync(${JSON.stringify(trace)}, 'x');\nconst half: number = 0.5;\nexport default { ...${JSON.stringify(recipe)}, density: half };\n`,
    );
    const argv = ['prune', model, '--data', data, '-o', join(folder, 'p.onnx'), '--recipe', file, '--no-record'];
    const { child, ended } = start(argv);
    const { code, err } = await ended;
    expect([code, child.exitCode, code === 0 ? '' : err]).toEqual([0, 0, '']);
    expect(readFileSync(trace, 'utf8')).toBe('x');
    const again = await grim(['reproduce', join(folder, 'p.onnx.run.json'), '--json']);
    expect(JSON.parse(again.out)).toMatchObject({ identical: true });
    expect(readFileSync(trace, 'utf8')).toBe('x');
  });

  it.for([
    ['no', /neither JSON nor a module/],
    ['[]', /this is no object/],
    [{ ...recipe, schema: 'grim.prune-recipe/2' }, /its schema is "grim.prune-recipe\/2"/],
    [{ ...recipe, densty: 0.5 }, /"densty" is unknown; .*density/],
    [{ ...recipe, density: 2 }, /density is no share/],
    [{ ...recipe, block: '4x' }, /block is no block/],
    [{ ...recipe, method: 'magic' }, /method is none of oneshot/],
    [{ ...recipe, fast: 1 }, /fast is neither true nor false/],
    [{ ...recipe, seed: 0.5 }, /seed is no whole number/],
    [{ ...recipe, layers: { conv9: 'dense' } }, /names "conv9", which is no layer.*"conv2"/],
    [{ ...recipe, layers: { conv2: { rate: 1 } } }, /layers: "conv2": "rate" is unknown/],
    [{ ...recipe, layers: { conv2: 3 } }, /"conv2" is neither "dense" nor an object/],
  ] as const)('that are wrong are named: %o', async ([content, sentence]) => {
    const { folder, data, model } = folderWith();
    const file = join(folder, 'recipe.json');
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
    const { code, err, files } = await grim(['prune', model, '--data', data, '--dry-run', '--recipe', file]);
    expect([code, files, err]).toEqual([1, [], expect.stringMatching(sentence)]);
    expect(err).toContain('GRIM_CLI_BAD_RECIPE');
  });

  it('without a density need one on the command line', async () => {
    const { folder, data, model } = folderWith();
    const file = join(folder, 'recipe.json');
    writeFileSync(file, JSON.stringify({ schema: recipe.schema, block: '2xK' }));
    const argv = ['prune', model, '--data', data, '--dry-run', '--recipe', file];
    const { code, err } = await grim(argv);
    expect([code, err]).toEqual([2, expect.stringMatching(/neither the command line nor the recipe/)]);
    expect((await grim([...argv, '--density', '0.5'])).code).toBe(0);
  });
});
