import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { graph, type Tensor } from '@grim/ir';
import { readTensorFile, toOnnx, writeTensorFile } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { textWidth } from '../src/table.ts';
import { grim, TINY, temporaryFolder } from './grim.ts';
import { modelBytes, type NodeParts, value, weight } from './onnx-bytes.ts';

function save(bytes: Uint8Array): string {
  const path = join(temporaryFolder(), 'model.onnx');
  writeFileSync(path, bytes);
  return path;
}
const widest = (text: string): number => Math.max(...text.split('\n').map(textWidth));
/** A path of any length; it is the one thing that is never wrapped: it is there to be copied. */
const withoutNext = (text: string): string => text.replace(/^Next: .*$/m, '');

/** Unknown operators on a Conv; their outputs are declared, so that what follows has types. */
function withUnknown(operators: readonly string[], domain = ''): Uint8Array {
  const nodes: NodeParts[] = [{ op: 'Conv', name: 'conv', inputs: ['x', 'w'], outputs: ['v0'] }];
  operators.forEach((op, i) => {
    nodes.push({ op, name: `odd${i}`, domain, inputs: [`v${i}`, 'm'], outputs: [`v${i + 1}`] });
  });
  return modelBytes({
    nodes,
    inputs: [value('x', [1, 2, 4, 4])],
    outputs: [value(`v${operators.length}`, [1, 3, 4, 4])],
    weights: [weight('w', [3, 2, 1, 1]), weight('m', [4, 4])],
    values: operators.map((_, i) => value(`v${i}`, [1, 3, 4, 4])),
    domains: domain === '' ? [] : [domain],
  });
}

describe('grim inspect', () => {
  it('prints a page that reads well at 80 columns', async () => {
    const { code, out, err } = await grim(['inspect', TINY]);
    expect([code, err]).toEqual([0, '']);
    expect(withoutNext(out)).toMatchInlineSnapshot(`
      "tiny-cnn
        21.9 kB, ONNX IR 10, opset 21, made by grim

      Inputs
        image  float32  [N, 1, 20, 20]
      Outputs
        probabilities  float32  [N, 10]
        "N" is an open length: bind it with --dim N=1

      9 nodes: Conv 2, MaxPool 2, Relu 2, Flatten 1, Gemm 1, Softmax 1
      5,258 parameters in 6 weights (21.0 kB), 64.0 % of them zero
      148 k MACs (148,000) per run, with N = 1

      Weights as matrices A[M × K], multiplied with B[K × N]
        layer   operator     M × K    N    MACs   zeros  their form
        conv1   Conv         8 × 9  400  19.5 %     0 %  –
        conv2   Conv       16 × 72  100  77.8 %  75.0 %  4 × 18 blocks
        digits  Gemm      10 × 400    1   2.7 %  62.5 %  2 × 400 blocks


      "
    `);
    expect(out).toContain(`\nNext: grim verify ${TINY}\n`);
    expect(widest(withoutNext(out))).toBeLessThanOrEqual(80);
  });

  it('gives everything to a program', async () => {
    const { out } = await grim(['inspect', TINY, '--json']);
    const report = JSON.parse(out);
    expect(Object.keys(report)).toEqual([
      ...[
        'schema',
        'file',
        'fileBytes',
        'name',
        'producer',
        'producerVersion',
        'irVersion',
        'opsets',
        'inputs',
        'outputs',
      ],
      ...['operators', 'parameters', 'assumed', 'macs', 'weights', 'problems'],
    ]);
    expect(report).toMatchObject({
      schema: 'grim.inspect/1',
      inputs: [{ name: 'image', dtype: 'float32', shape: ['N', 1, 20, 20] }],
      assumed: { N: 1 },
      macs: 148_000,
      problems: [],
    });
    expect(report.weights[1]).toMatchObject({
      ...{ layer: 'conv2', op: 'Conv', m: 16, k: 72, n: 100, groups: 1, macs: 115_200, zeros: 864 },
      ...{ form: 'blocks', block: { rows: 4, cols: 18 }, explained: 1 },
    });
  });

  it('binds lengths by name, by input and by value', async () => {
    const byDim = JSON.parse((await grim(['inspect', TINY, '--json', '-', '--dim', 'N=8'])).out);
    expect(byDim).toMatchObject({ macs: 8 * 148_000, assumed: {} });
    const byShape = JSON.parse((await grim(['inspect', TINY, '--json', '-', '--shape', 'image=3,1,20,20'])).out);
    expect(byShape.macs).toBe(3 * 148_000);
    const scaled = save(
      modelBytes({
        nodes: [{ op: 'Mul', name: 'n', inputs: ['x', 's'], outputs: ['y'] }],
        inputs: [value('x', [2]), value('s', [])],
        outputs: [value('y', [2])],
      }),
    );
    expect(JSON.parse((await grim(['inspect', scaled, '--json', '-', '--const', 's=3'])).out).inputs).toHaveLength(1);
  });

  it.for([0, 1, 7])('lists %i unsupported operators at once, with nodes, share and remedy', async (n) => {
    const names = Array.from({ length: n }, (_, i) => `Odd${i}`);
    const path = save(withUnknown(names));
    const { code, out } = await grim(['inspect', path]);
    expect(code).toBe(0);
    expect(out.match(/is not supported \[GRIM_IR_UNSUPPORTED_OP\]/g) ?? []).toHaveLength(n);
    names.forEach((name, i) => {
      expect(out).toContain(`operator "${name}" is not supported`);
      expect(out).toContain(`1 node: odd${i}`);
    });
    expect(out.match(/share of the MACs: /g) ?? []).toHaveLength(n);
    expect(out.match(/Replace it before the export/g) ?? []).toHaveLength(n);
    expect(out.includes('Next: grim verify')).toBe(n === 0);
    expect((await grim(['inspect', path, '--strict'])).code).toBe(n === 0 ? 0 : 3);
    const report = JSON.parse((await grim(['inspect', path, '--json'])).out);
    expect(report.problems.map(({ op }: { op: string }) => op)).toEqual(names);
    expect(widest(withoutNext(out))).toBeLessThanOrEqual(80);
  });

  it('gives the share of the MACs of an operator that multiplies by a weight', async () => {
    const path = save(withUnknown(['Odd0', 'Odd1']));
    const { problems } = JSON.parse((await grim(['inspect', path, '--json'])).out);
    // The Conv makes 3·16·2 = 96 MACs; each of the others multiplies [1, 3, 4, 4] by a [4, 4]: 192.
    expect(problems.map(({ macs, macsShare }: Record<string, number>) => [macs, macsShare])).toEqual([
      [192, 192 / 480],
      [192, 192 / 480],
    ]);
    expect((await grim(['inspect', path])).out).toContain('share of the MACs: 40.0 %');
  });

  it('names the domain of an operator that is no standard one', async () => {
    const { out } = await grim(['inspect', save(withUnknown(['FusedConv'], 'com.microsoft'))]);
    expect(out).toContain('operator "com.microsoft.FusedConv" is not supported');
    expect(out).toContain('export without the optimisations');
  });

  it('tells blocks, scattered zeros, zero matrices and dense ones apart, in every layout', async () => {
    const zeros = { dense: () => 1, all: () => 0, blocks: (r: number, c: number) => (r % 8 < 4 || c % 32 < 8 ? 0 : 1) };
    const make = (keep: (r: number, c: number) => number, transposed: boolean): Tensor<'float32'> => ({
      dtype: 'float32',
      shape: transposed ? [128, 64] : [64, 128],
      data: Float32Array.from({ length: 64 * 128 }, (_, i) =>
        transposed ? keep(i % 64, Math.floor(i / 64)) : keep(Math.floor(i / 128), i % 128),
      ),
    });
    const model = graph('forms', (b) => {
      const x = b.input('x', 'float32', [5, 128]);
      for (const [name, keep] of Object.entries(zeros))
        for (const transB of [0, 1]) {
          const w = b.weight(`${name}${transB}`, make(keep, transB === 0));
          b.output(`y_${name}${transB}`, b.add('Gemm', [x, w], { transB }, { name: `${name}${transB}` }));
        }
    });
    const { weights } = JSON.parse((await grim(['inspect', save(toOnnx(model)), '--json'])).out);
    expect(weights.map(({ layer, m, k, n, form }: Record<string, unknown>) => [layer, m, k, n, form])).toEqual([
      ['dense0', 64, 128, 5, 'none'],
      ['dense1', 64, 128, 5, 'none'],
      ['all0', 64, 128, 5, 'all'],
      ['all1', 64, 128, 5, 'all'],
      ['blocks0', 64, 128, 5, 'blocks'],
      ['blocks1', 64, 128, 5, 'blocks'],
    ]);
  });

  it('says why the MACs are unknown, and what to give', async () => {
    const path = save(
      modelBytes({
        nodes: [{ op: 'Conv', name: 'c', inputs: ['x', 'w'], outputs: ['y'] }],
        inputs: [value('x', [1, 2, 'length'])],
        outputs: [value('y', [1, 3, 'm'])],
        weights: [weight('w', [3, 2, 5])],
      }),
    );
    const { code, out } = await grim(['inspect', path]);
    expect(code).toBe(0);
    expect(out).toContain('MACs unknown: ');
    expect(out).toContain('--dim length=1');
    const bound = await grim(['inspect', path, '--dim', 'length=9']);
    expect(bound.out).toContain('150 MACs');
  });

  it('shows the largest weights only when there are many, and all on demand', async () => {
    const path = join(process.env['GRIM_DATA'] ?? '', 'models/resnet56_cifar10/model.onnx');
    const many = graph('many', (b) => {
      let x = b.input('x', 'float32', [1, 4]);
      for (let i = 0; i < 40; i++) {
        const w = b.weight(`w${i}`, { dtype: 'float32', shape: [4, 4], data: new Float32Array(16).fill(i + 1) });
        x = b.add('MatMul', [x, w]);
      }
      b.output('y', x);
    });
    const model = existsSync(path) ? path : save(toOnnx(many));
    const lines = async (...more: string[]): Promise<number> =>
      ((await grim(['inspect', model, ...more])).out.match(/^ {2}\S+ +(Conv|Gemm|MatMul) /gm) ?? []).length;
    expect(await lines()).toBe(30);
    expect(await lines('--top', '5')).toBe(5);
    expect(await lines('--all')).toBeGreaterThanOrEqual(40);
    expect(JSON.parse((await grim(['inspect', model, '--json'])).out).weights.length).toBeGreaterThanOrEqual(40);
  });

  const nasty = [
    '\u001b[31mred\u001b[0m',
    'a\nb\rc',
    '\u202ebackwards',
    '__proto__',
    '=cmd|calc',
    '`rm`|$(x)',
    '🧱'.repeat(300),
    '  ',
  ];

  it.for(nasty)('L9, G21: a name like %j neither moves the cursor nor breaks the page', async (name) => {
    const path = save(
      modelBytes({
        name,
        producer: name,
        nodes: [{ op: 'Gemm', name, inputs: ['x', name], outputs: ['y'] }],
        inputs: [value('x', [name, 4])],
        outputs: [value('y', [name, 3])],
        weights: [weight(name, [4, 3])],
      }),
    );
    for (const argv of [
      ['inspect', path],
      ['verify', path],
      ['inspect', path, '--dim', 'nope=1', '--verbose'],
    ]) {
      const { out, err } = await grim(argv);
      expect((out + err).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
      expect(err.length).toBeLessThan(8000);
      if (argv.length === 2) expect(widest(withoutNext(out))).toBeLessThanOrEqual(80);
    }
  });

  it.for(nasty)('L10: a name like %j comes back unchanged from the JSON', async (name) => {
    const path = save(
      modelBytes({
        nodes: [{ op: 'Gemm', name, inputs: ['x', 'w'], outputs: ['y'] }],
        inputs: [value('x', [2, 4])],
        outputs: [value('y', [2, 3])],
        weights: [weight('w', [4, 3])],
      }),
    );
    const { code, out } = await grim(['inspect', path, '--json']);
    if (code === 0) expect(JSON.parse(out).weights[0]?.layer ?? name).toBe(name);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });
});

describe('grim conformance and verify', () => {
  /** The demo with one expected number changed. */
  function wrong(): string {
    const path = save(readFileSync(TINY));
    const from = join(dirname(TINY), 'test_data_set_0');
    const to = join(dirname(path), 'test_data_set_0');
    const { name: output, tensor } = readTensorFile(readFileSync(join(from, 'output_0.pb')));
    const data = Float32Array.from(tensor.data as Float32Array);
    data[data.length - 1] = 7;
    const files = {
      'input_0.pb': readFileSync(join(from, 'input_0.pb')),
      'output_0.pb': writeTensorFile(output, { dtype: 'float32', shape: tensor.shape, data }),
    };
    mkdirSync(to);
    for (const [name, content] of Object.entries(files)) writeFileSync(join(to, name), content);
    return path;
  }

  it('say in one line what differs, where and by how much, and exit 1', async () => {
    const path = wrong();
    for (const argv of [
      ['conformance', dirname(path)],
      ['verify', path],
      ['verify', dirname(path)],
    ]) {
      const { code, out, err } = await grim(argv);
      expect([code, err]).toEqual([1, '']);
      expect(out).toMatch(
        /^FAILED \S+: output "probabilities" differs in 1 of 100: \[9, 9\] is \S+, expected 7, off by \S+\n/,
      );
      expect(out).toMatch(/\n0 passed, 1 failed, 0 skipped\n$/);
    }
  });

  it('give the same to a program', async () => {
    const path = wrong();
    for (const command of ['conformance', 'verify']) {
      const { code, out } = await grim([command, dirname(path), '--json']);
      expect(code).toBe(1);
      expect(JSON.parse(out)).toMatchObject({
        schema: `grim.${command}/1`,
        ...{ passed: 0, failed: 1, skipped: 0 },
        cases: [{ status: 'failed', reason: expect.stringContaining('[9, 9]'), maxError: expect.closeTo(6, 0) }],
      });
    }
  });

  it('write the report to a file beside the text', async () => {
    const { out, files } = await grim(['conformance', dirname(TINY), '--json', join(temporaryFolder(), 'r.json')]);
    expect(out).toBe('1 passed, 0 failed, 0 skipped\n');
    expect(files).toHaveLength(1);
    expect(JSON.parse(String(files[0]?.content))).toMatchObject({ schema: 'grim.conformance/1', passed: 1 });
  });

  it('take a list of expected failures, which may not hold one that passes', async () => {
    const folder = dirname(wrong());
    const list = join(temporaryFolder(), 'list.txt');
    const { name } = JSON.parse((await grim(['conformance', folder, '--json'])).out).cases[0];
    writeFileSync(list, `${name}: a known difference\n`);
    const known = await grim(['conformance', folder, '--expected', list]);
    expect(known.code).toBe(0);
    expect(known.out).toContain('0 passed, 1 failed (1 expected), 0 skipped');
    writeFileSync(list, 'tiny-cnn: not true any more\nelsewhere: not looked at\n');
    const stale = await grim(['conformance', dirname(dirname(TINY)), '--expected', list]);
    expect(stale.code).toBe(1);
    expect(stale.out).toContain('UNEXPECTEDLY PASSES tiny-cnn');
  });

  it('verify runs a small model without test data, and says so of one it cannot run', async () => {
    const add = (shape: readonly (number | string)[]): Uint8Array =>
      modelBytes({
        nodes: [{ op: 'Add', name: 'n', inputs: ['x', 'x'], outputs: ['y'] }],
        inputs: [value('x', shape)],
        outputs: [value('y', shape)],
      });
    const said = async (...argv: string[]): Promise<string> =>
      (await grim(['verify', ...argv])).out.replaceAll('\n  ', ' ');
    expect(await said(save(add([3])))).toContain('runs on made-up inputs (3 numbers)');
    const open = save(add(['N']));
    expect(await said(open)).toContain('not run, as lengths of "x" are open');
    expect(await said(open, '--dim', 'N=5')).toContain('(5 numbers)');
  });

  it('doctor fits 80 columns, names what is missing, and gives a program the same', async () => {
    const { code, out } = await grim(['doctor']);
    expect(code).toBe(0);
    expect(widest(out)).toBeLessThanOrEqual(80);
    for (const name of [
      'Node',
      'processor',
      'memory',
      'WASM SIMD',
      'WASM relaxed SIMD',
      'WASM threads',
      'WebGPU',
      'Chromium',
      'Vulkan',
    ])
      expect(out).toMatch(new RegExp(`^  (ok|!!| -) ${name} +\\S`, 'm'));
    const report = JSON.parse((await grim(['doctor', '--json'])).out);
    expect(report.schema).toBe('grim.doctor/1');
    for (const { state, remedy } of report.findings) if (state === 'missing') expect(remedy).toMatch(/\w/);
  });
});
