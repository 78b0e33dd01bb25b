/** `grim types`, and what the TypeScript compiler makes of it. */
import nodeFs, { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeWhole } from '../src/files.ts';
import { grim, ROOT, start, TINY, temporaryFolder } from './grim.ts';

let bytes: string | Uint8Array = '';
beforeAll(async () => {
  const { files } = await grim(['compile', TINY, '--dim', 'N=1', '-o', 'tiny.grim']);
  bytes = files[0]?.content ?? '';
});

function model(): string {
  const path = join(temporaryFolder(), 'tiny.grim');
  writeFileSync(path, bytes);
  return path;
}

/** Errors of a program beside the model and its types, each as code and sentence. */
function check(folder: string, program: string): string[] {
  const file = join(folder, 'app.ts');
  writeFileSync(file, program);
  const source = (path: string) => [join(ROOT, 'packages', path)];
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.esnext.d.ts', 'lib.dom.d.ts'],
    types: [],
    paths: { '@grim/runtime': source('runtime/src/index.ts'), '@grim/ir': source('ir/src/index.ts') },
  };
  const compiler = ts.createProgram([file], options);
  const found = [
    ...compiler.getOptionsDiagnostics(),
    ...compiler.getSyntacticDiagnostics(),
    ...compiler.getSemanticDiagnostics(compiler.getSourceFile(file)),
  ];
  return found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}

describe('grim types', () => {
  it('writes the types beside the model, the same each time', async () => {
    const path = model();
    const { code, out, err } = await start(['types', path]).ended;
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('tiny.grim.d.ts: image → probabilities');
    const first = readFileSync(`${path}.d.ts`, 'utf8');
    expect(first).toContain('"image": Sized<Float32Array, 400>;');
    expect((await start(['types', path]).ended).code).toBe(0);
    expect(readFileSync(`${path}.d.ts`, 'utf8')).toBe(first);
  });

  it('leaves a file alone that it did not write', async () => {
    const path = model();
    writeFileSync(`${path}.d.ts`, 'export const mine = 1;');
    const { code, err, files } = await grim(['types', path]);
    expect([code, files]).toEqual([1, []]);
    expect(err).toMatch(/is no file of types of grim.*--force.*GRIM_CLI_OUTPUT/);
    expect((await grim(['types', path, '--force'])).code).toBe(0);
  });

  it.each([
    ['an ONNX model', TINY],
    ['a file that is cut short', 'cut'],
  ])('refuses %s', async (_, file) => {
    const path = file === 'cut' ? join(temporaryFolder(), 'cut.grim') : file;
    if (file === 'cut') writeFileSync(path, bytes.slice(0, 5000));
    const { code, err, files } = await grim(['types', path, '-o', join(temporaryFolder(), 'x.d.ts')]);
    expect([code, files]).toEqual([1, []]);
    expect(err).toMatch(/GRIM_RUNTIME_BAD_(SOURCE|ARTIFACT)/);
  });

  it('says the same to a program', async () => {
    const { out, files } = await grim(['types', model(), '--json']);
    expect(JSON.parse(out)).toMatchObject({
      schema: 'grim.types/1',
      inputs: [{ name: 'image', dtype: 'float32', shape: [1, 1, 20, 20] }],
    });
    expect(files).toHaveLength(1);
  });

  it('lets the compiler find a wrong name, type and length, and nothing wrong in what is right', async () => {
    const path = model();
    const { files } = await grim(['types', path]);
    for (const { path, content, ...options } of files) writeWhole(path, content, options, nodeFs);
    const errors = check(
      join(path, '..'),
      `import digits, { type Inputs, load } from './tiny.grim';
       import { loadModel } from '@grim/runtime';
       const model = await load({ signal: AbortSignal.timeout(1000) });
       const image = digits.inputs.image.create();
       const { probabilities } = await model.run({ image });
       const ten: 10 = digits.outputs.probabilities.length;
       const shape: readonly [1, 1, 20, 20] = digits.inputs.image.shape;
       const first: number | undefined = probabilities[0];
       await model.run({ image: new Float32Array(400) }, { outputs: { probabilities } });
       const same = await loadModel<Inputs>(digits.url);
       await same.run({ image });
       const rows: number = model.inputs.image.shape.length;
       export { ten, shape, first, rows };`,
    );
    expect(errors).toEqual([]);
    const wrong = check(
      join(path, '..'),
      `import digits from './tiny.grim';
       const model = await digits.load();
       const image = digits.inputs.image.create();
       const { probabilities } = await model.run({ image });
       await model.run({ imgae: image });
       await model.run({ image: new Uint8Array(400) });
       await model.run({ image: probabilities });
       await model.run({});
       await model.run({ image }, { outputs: { probabilities: image } });
       digits.load({ sinal: null });
       (await model.run({ image })).logits;`,
    );
    expect(wrong).toEqual([
      expect.stringMatching(/'imgae' does not exist.*'image'\?$|'imgae' does not exist/),
      expect.stringMatching(/Uint8Array.* is not assignable .*Float32Array/),
      expect.stringMatching(/Type '10' is not assignable to type '400'/),
      expect.stringMatching(/Property '"?image"?' is missing/),
      expect.stringMatching(/Type '400' is not assignable to type '10'/),
      expect.stringMatching(/'sinal' does not exist/),
      expect.stringMatching(/Property 'logits' does not exist/),
    ]);
  });
});
