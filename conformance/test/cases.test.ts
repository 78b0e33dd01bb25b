import nodeFs, { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { GrimError, graph, type Tensor } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Backend,
  findCases,
  findModels,
  parseExpectedFailures,
  referenceBackend,
  runCases,
} from '../src/index.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'grim-cases-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function write(path: string, content: string | Uint8Array = ''): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}
const names = (folder = root): readonly string[] => findCases(folder).map(({ name }) => name);
const files = { read: (path: string): Uint8Array => readFileSync(path) };

/** A float32 tensor as TensorProto: dims 1, data_type 2, name 8, raw_data 9. */
function tensorFile(name: string, values: readonly number[]): Uint8Array {
  const raw = new Uint8Array(Float32Array.from(values).buffer);
  const text = new TextEncoder().encode(name);
  return Uint8Array.from([0x08, values.length, 0x10, 1, 0x42, text.length, ...text, 0x4a, raw.length, ...raw]);
}
/** y = a − b, so that exchanged inputs show. */
const difference: Uint8Array = toOnnx(
  graph('difference', (b) => {
    const x = b.input('a', 'float32', [2]);
    const y = b.input('b', 'float32', [2]);
    b.output('y', b.add('Sub', [x, y], {}, { output: 'y' }));
  }),
);
function writeCase(folder: string, a: string, b: string, y: readonly number[], order = [0, 1]): void {
  write(`${folder}/model.onnx`, difference);
  write(`${folder}/test_data_set_0/input_${order[0]}.pb`, tensorFile(a, [5, 7]));
  write(`${folder}/test_data_set_0/input_${order[1]}.pb`, tensorFile(b, [1, 2]));
  write(`${folder}/test_data_set_0/output_0.pb`, tensorFile('y', y));
}

describe('findCases', () => {
  it('finds model.onnx at any depth, sorted with numbers by value', () => {
    for (const folder of ['b/test_10', 'b/test_9', 'a', 'c/d/e/f']) write(`${folder}/model.onnx`);
    write('a/other.onnx');
    expect(names()).toEqual(['a', 'b/test_9', 'b/test_10', 'c/d/e/f']);
  });

  it('L2: a folder that may not be read is a case that fails, and the walk goes on', async () => {
    for (const folder of ['a', 'b', 'c']) writeCase(folder, 'a', 'b', [4, 5]);
    const { readdirSync } = nodeFs;
    const forbidden = (path: string) => Object.assign(new Error(`EACCES ${path}`), { code: 'EACCES' });
    const forbid = (refused: RegExp, code = 'EACCES') => {
      nodeFs.readdirSync = ((path: string) => {
        if (refused.test(path)) throw Object.assign(forbidden(path), { code });
        return readdirSync(path);
      }) as never;
      syncBuiltinESMExports();
    };
    const read = (path: string) => {
      if (/\/b\//.test(path) && !path.endsWith('model.onnx')) throw forbidden(path);
      return readFileSync(path);
    };
    try {
      forbid(/\/b$/);
      expect(names()).toEqual(['a', 'b', 'c']);
      forbid(/\/b\/test_data_set_0$/);
      const { cases } = await runCases(findCases(root), referenceBackend, { read });
      expect(cases.map(({ name, status }) => `${name} ${status}`)).toEqual(['a passed', 'b failed', 'c passed']);
      forbid(/\/b$/, 'EMFILE');
      expect(() => names()).toThrow('EACCES');
    } finally {
      nodeFs.readdirSync = readdirSync;
      syncBuiltinESMExports();
    }
  });

  it('X5: a model.onnx that is no file is a case that fails, a folder of that name is walked', async () => {
    write('linked/test_data_set_0/output_0.pb', tensorFile('y', [1]));
    symlinkSync(join(root, 'nowhere'), join(root, 'linked', 'model.onnx'));
    write('folder/model.onnx/model.onnx', difference);
    expect(names()).toEqual(['folder/model.onnx', 'linked']);
    const read = (path: string): Uint8Array => {
      if (path.endsWith('linked/model.onnx')) throw new GrimError('GRIM_CLI_NOT_FOUND', 'there is no such file.');
      return readFileSync(path);
    };
    const [, linked] = (await runCases(findCases(root), referenceBackend, { read })).cases;
    expect(linked).toMatchObject({ name: 'linked', status: 'failed' });
  });

  it('takes a folder that is itself a case', () => {
    write('one/model.onnx');
    expect(names(join(root, 'one'))).toEqual(['one']);
  });

  it('follows links to folders once, and is not caught in a circle', () => {
    write('real/model.onnx');
    symlinkSync(root, join(root, 'real', 'circle'));
    symlinkSync(join(root, 'real'), join(root, 'again'));
    symlinkSync(join(root, 'nowhere'), join(root, 'dangling'));
    expect(names()).toEqual(['real']);
  });

  it('goes 300 folders deep', () => {
    write(`${'d/'.repeat(300)}model.onnx`);
    expect(names()).toHaveLength(1);
  });

  it('orders inputs by their number and leaves gaps', () => {
    write('m/model.onnx');
    for (const n of [10, 2, 0]) write(`m/test_data_set_1/input_${n}.pb`);
    write('m/test_data_set_0/output_0.pb');
    const [one] = findCases(root);
    expect(one?.dataSets.map(({ name }) => name)).toEqual(['test_data_set_0', 'test_data_set_1']);
    const inputs = one?.dataSets[1]?.inputs ?? [];
    expect(inputs).toHaveLength(11);
    expect(inputs.flatMap((path, i) => (path ? [i] : []))).toEqual([0, 2, 10]);
  });

  it('lists every .onnx file for findModels, and takes a single file', () => {
    write('a/x.onnx');
    write('a/y.onnx');
    write('b/model.onnx');
    expect(findModels(root).map(({ name }) => name)).toEqual(['a/x.onnx', 'a/y.onnx', 'b']);
    expect(findModels(join(root, 'a', 'x.onnx')).map(({ name }) => name)).toEqual(['x.onnx']);
  });
});

describe('runCases', () => {
  it('gives inputs by name where the files have names, else by position', async () => {
    writeCase('named', 'a', 'b', [4, 5]);
    writeCase('swapped', 'a', 'b', [4, 5], [1, 0]);
    writeCase('nameless', '', '', [4, 5]);
    writeCase('other-names', 'p', 'q', [4, 5]);
    const result = await runCases(findCases(root), referenceBackend, files);
    expect(result).toMatchObject({ passed: 4, failed: 0, skipped: 0, ok: true });
  });

  it('tells in one line what differs, where and by how much', async () => {
    writeCase('wrong', 'a', 'b', [4, 50]);
    const { cases, ok } = await runCases(findCases(root), referenceBackend, files);
    expect(ok).toBe(false);
    expect(cases).toEqual([
      {
        name: 'wrong',
        status: 'failed',
        reason: 'output "y" differs in 1 of 2: [1] is 5, expected 50, off by 45',
        maxError: 45,
      },
    ]);
  });

  it('skips what has no data or types that the backend does not take, and fails what it does not support', async () => {
    write('bare/model.onnx', difference);
    writeCase('typed', 'a', 'b', [4, 5]);
    const throwing = (code: string): Backend => ({
      name: 'none',
      load() {
        throw new GrimError(code, 'no.');
      },
    });
    const both: Backend = {
      name: 'none',
      load() {
        const problems = [{ code: 'GRIM_ONNX_UNSUPPORTED_TYPE', message: 'input "s": string.' }];
        throw new GrimError('GRIM_IR_UNSUPPORTED_OP', 'An operator is not supported.', { problems });
      },
    };
    const strings = await runCases(findCases(root), both, files);
    expect(strings.cases[1]?.reason).toBe('input "s": string. [GRIM_ONNX_UNSUPPORTED_TYPE]');
    const types = await runCases(findCases(root), throwing('GRIM_ONNX_UNSUPPORTED_TYPE'), files);
    expect(types.cases.map(({ status, reason }) => `${status}: ${reason}`)).toEqual([
      'skipped: no test_data_set_* folder beside the model',
      'skipped: no. [GRIM_ONNX_UNSUPPORTED_TYPE]',
    ]);
    expect((await runCases(findCases(root), throwing('GRIM_IR_UNSUPPORTED_OP'), files)).failed).toBe(1);
  });

  it('calls a bug a bug and goes on', async () => {
    writeCase('a', 'a', 'b', [4, 5]);
    const broken: Backend = {
      name: 'broken',
      load: () => ({ inputs: ['a', 'b'], outputs: ['y'], run: () => undefined as unknown as Map<string, Tensor> }),
    };
    const { cases } = await runCases(findCases(root), broken, files);
    expect(cases[0]?.reason).toMatch(/^TypeError.*this is a bug of GRIM/);
  });

  it('lets expected failures pass, and reports those that pass', async () => {
    writeCase('bad', 'a', 'b', [0, 0]);
    writeCase('good', 'a', 'b', [4, 5]);
    const list = parseExpectedFailures('# why\nbad: known: a reason\nelsewhere: not in this tree\n', 'list');
    const known = await runCases(findCases(root), referenceBackend, files, list);
    expect(known).toMatchObject({ passed: 1, failed: 1, ok: true, unexpectedPasses: [] });
    expect(known.cases[0]?.expected).toBe('known: a reason');
    const stale = await runCases(
      findCases(root),
      referenceBackend,
      files,
      new Map([
        ['good', 'x'],
        ['bad', 'y'],
      ]),
    );
    expect(stale).toMatchObject({ ok: false, unexpectedPasses: ['good'] });
  });

  it('fails a data set without outputs: nothing was compared', async () => {
    write('empty/model.onnx', difference);
    write('empty/test_data_set_0/input_0.pb', tensorFile('a', [1, 2]));
    const { cases } = await runCases(findCases(root), referenceBackend, files);
    expect(cases[0]?.reason).toContain('no output_*.pb');
  });

  it('names the test data file that cannot be read', async () => {
    writeCase('cut', 'a', 'b', [4, 5]);
    const path = 'cut/test_data_set_0/input_1.pb';
    write(path, readFileSync(join(root, path)).subarray(0, 9));
    const { cases } = await runCases(findCases(root), referenceBackend, files);
    expect(cases[0]).toMatchObject({
      status: 'failed',
      reason: expect.stringContaining('test_data_set_0/input_1.pb: '),
    });
  });
});

describe('parseExpectedFailures', () => {
  it('refuses a line without a reason and a name that stands twice', () => {
    expect(() => parseExpectedFailures('name', 'list')).toThrowError(/list:1/);
    expect(() => parseExpectedFailures('a: x\na: y', 'list')).toThrowError(/list:2.*twice/);
  });
});
