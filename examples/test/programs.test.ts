/** The examples that are programs, and the types of all of them. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, inject, it, onTestFinished } from 'vitest';
import { copyExample, grim } from './consumer.ts';
import { KEYWORD_TYPES } from './keyword-types.ts';

const consumer = inject('consumer');

/** What the model of the repository gives for a picture of one gray. */
function expected(gray: number): readonly number[] {
  const program = `import { loadModel } from '@grim/runtime';
    const model = await loadModel('digits.grim');
    const { probabilities } = await model.run({ image: new Float32Array(400).fill(${gray} / 255) });
    console.log(JSON.stringify([...probabilities]));`;
  writeFileSync(join(consumer, 'expected.mjs'), program);
  return JSON.parse(node(consumer, 'expected.mjs'));
}

function node(folder: string, ...args: readonly string[]): string {
  return execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
}

it('node-server: answers with probabilities, and says what is wrong with a request', async () => {
  const folder = copyExample(consumer, 'node-server', 'digits.grim');
  const server = spawn(process.execPath, ['server.js'], { cwd: folder, env: { ...process.env, PORT: '0' } });
  onTestFinished(() => void server.kill());
  const [line] = await once(server.stdout, 'data');
  const post = (bytes: number) => fetch(String(line).trim(), { method: 'POST', body: new Uint8Array(bytes).fill(51) });
  const [right, wrong] = await Promise.all([post(400), post(399)]);
  expect([right.status, await right.json()]).toEqual([200, expected(51)]);
  expect([wrong.status, await wrong.text()]).toEqual([400, expect.stringContaining('has 399 elements')]);
});

it('edge-worker: answers where WebAssembly may not be compiled from bytes, nor code made of text', () => {
  const folder = copyExample(consumer, 'edge-worker');
  grim(
    consumer,
    'compile',
    'apps/cli/demo/tiny-cnn/model.onnx',
    '--dim',
    'N=1',
    '--split',
    '-o',
    join(folder, 'digits.grim'),
  );
  // What the bundler of such a platform does with both files, before anything runs.
  const platform = `import { readFileSync } from 'node:fs';
    import { registerHooks } from 'node:module';
    import { fileURLToPath } from 'node:url';
    const upload = {};
    for (const name of ['digits.grim', 'digits.plain.wasm']) upload[name] = readFileSync(name);
    const given = {
      'digits.grim': new Uint8Array(upload['digits.grim']).buffer,
      'digits.plain.wasm': new WebAssembly.Module(upload['digits.plain.wasm']),
    };
    globalThis.given = given;
    const refuse = () => { throw new WebAssembly.CompileError('Wasm code generation disallowed by embedder'); };
    WebAssembly.compile = WebAssembly.compileStreaming = async () => refuse();
    const { instantiate } = WebAssembly;
    WebAssembly.instantiate = async (module, imports) => module instanceof WebAssembly.Module ? instantiate(module, imports) : refuse();
    WebAssembly.Module = new Proxy(WebAssembly.Module, { construct: refuse });
    registerHooks({
      load(url, context, next) {
        const name = url.split('/').pop();
        return name in given
          ? { format: 'module', source: 'export default globalThis.given[' + JSON.stringify(name) + ']', shortCircuit: true }
          : next(url, context);
      },
    });
    const { default: worker } = await import('./worker.js');
    const post = (length) => worker.fetch(new Request('https://edge.test/', { method: 'POST', body: new Uint8Array(length).fill(51) }));
    const [right, wrong] = [await post(400), await post(399)];
    console.log(JSON.stringify({ right: await right.json(), status: wrong.status }));`;
  writeFileSync(join(folder, 'platform.mjs'), platform);
  const answer = JSON.parse(node(folder, '--disallow-code-generation-from-strings', 'platform.mjs'));
  expect(answer.status).toBe(400);
  for (const [i, value] of expected(51).entries()) expect(answer.right[i]).toBeCloseTo(value, 5);
});

it('research: the study runs, and its pruned network is smaller and right', () => {
  const folder = copyExample(consumer, 'research');
  const said = node(folder, 'study.ts');
  const [, small = 0, large = 0] = /(\d+) bytes against (\d+) dense/.exec(said)?.map(Number) ?? [];
  expect(small).toBeGreaterThan(0);
  expect(small).toBeLessThan(0.8 * large);
  expect(Number(/from the reference: (\S+)/.exec(said)?.[1])).toBeLessThan(1e-5);
  const errors = [8, 6, 4].map((bits) => Number(new RegExp(`^${bits} bits: off by (\\S+)`, 'm').exec(said)?.[1]));
  expect(errors[2]).toBeGreaterThan(errors[0] as number);
});

it('examples in TypeScript have the types of their models, by what the packages declare', () => {
  const react = copyExample(consumer, 'react', 'digits.grim', 'digits.grim.d.ts');
  const keywords = copyExample(consumer, 'keywords');
  writeFileSync(join(keywords, 'keywords.grim.d.ts'), node(consumer, '--input-type=module', '--eval', KEYWORD_TYPES));
  const study = copyExample(consumer, 'research');
  const files = [
    join(react, 'main.tsx'),
    join(keywords, 'main.ts'),
    join(keywords, 'model.ts'),
    join(study, 'study.ts'),
  ];
  const program = ts.createProgram(files, {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    jsx: ts.JsxEmit.ReactJSX,
    target: ts.ScriptTarget.ES2024,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: [
      'lib.es2024.d.ts',
      'lib.esnext.disposable.d.ts',
      'lib.dom.d.ts',
      'lib.dom.iterable.d.ts',
      'lib.dom.asynciterable.d.ts',
    ],
    types: ['node'],
    typeRoots: [join(consumer, 'node_modules/@types')],
  });
  const found = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
    const where = file?.fileName.replace(`${consumer}/`, '');
    return `${where}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
  expect(found).toEqual([]);
  expect(readFileSync(join(react, 'digits.grim.d.ts'), 'utf8')).toContain('"image": Sized<Float32Array, 400>;');
});
