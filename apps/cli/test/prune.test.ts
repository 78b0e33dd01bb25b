/** `grim prune` and `grim reproduce`: networks that others can read, runs that go on where they were, and bad input. */
import nodeFs, { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeNpy } from '@grim/files';
import { graph, parse, type Tensor } from '@grim/ir';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { parseHTML } from 'linkedom';
import { describe, expect, it, vi } from 'vitest';
import { breakEven } from '../src/commands/whatif.ts';
import { decodePicture } from '../src/inputs/decode-picture.ts';
import { PRUNE_EXAMPLES } from '../src/prune/args.ts';
import { readExamples } from '../src/prune/examples.ts';
import { openExecutor } from '../src/prune/executor.ts';
import { htmlReport, wilson } from '../src/prune/html-report.ts';
import { layerStore } from '../src/prune/layer-store.ts';
import { maskPicture } from '../src/prune/mask-picture.ts';
import { DEMO, grim, start, TINY, temporaryFolder } from './grim.ts';

const SHAPE = [1, 12, 12];

function randoms(count: number, seed: number, change: (value: number, i: number) => number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return change(state / 2 ** 32, i);
  });
}

/** Seeded, of the shape that the network takes. */
function examples(count: number, change: (value: number, i: number) => number = (value) => value): Uint8Array {
  return writeNpy({ dtype: 'float32', shape: [count, ...SHAPE], data: randoms(count * 144, 7, change) } as Tensor);
}

/** Five layers, of which the three in the middle are pruned. */
function network(): Uint8Array {
  let seed = 1;
  const weight = (...shape: number[]) => {
    const count = shape.reduce((all, length) => all * length, 1);
    const spread = Math.sqrt(3 / (count / (shape[0] ?? 1)));
    return { dtype: 'float32' as const, shape, data: randoms(count, seed++, (v) => (2 * v - 1) * spread) };
  };
  const net = graph('net', (b) => {
    let x = b.input('x', 'float32', ['N', ...SHAPE]);
    const conv = (name: string, outs: number, ins: number, strides: number[]) => {
      x = b.add('Conv', [x, b.weight(`${name}.w`, weight(outs, ins, 3, 3))], { pads: [1, 1, 1, 1], strides }, { name });
      x = b.add('Relu', [x], {}, { name: `${name}.relu` });
    };
    conv('conv1', 8, 1, [1, 1]);
    conv('conv2', 16, 8, [2, 2]);
    conv('conv3', 16, 16, [2, 2]);
    x = b.add('Flatten', [x], {}, { name: 'flatten' });
    x = b.add('MatMul', [x, b.weight('fc1.w', weight(144, 32))], {}, { name: 'fc1' });
    x = b.add('Relu', [x], {}, { name: 'fc1.relu' });
    b.output('y', b.add('MatMul', [x, b.weight('fc2.w', weight(32, 10))], {}, { name: 'fc2' }));
  });
  return toOnnx(net);
}

/** A folder with a network and calibration inputs. */
function folderWith(content: Uint8Array = examples(48)): {
  readonly folder: string;
  readonly data: string;
  readonly model: string;
} {
  const folder = temporaryFolder();
  const [data, model] = [join(folder, 'inputs.npy'), join(folder, 'net.onnx')];
  writeFileSync(data, content);
  writeFileSync(model, network());
  return { folder, data, model };
}

const prune = (data: string, output: string, ...more: string[]) =>
  grim(['prune', join(dirname(output), 'net.onnx'), '--data', data, '--density', '0.5', '-o', output, ...more]);

const outputOf = (files: readonly { readonly path: string; readonly content: string | Uint8Array }[], end: string) => {
  const found = files.find(({ path }) => path.endsWith(end))?.content;
  return typeof found === 'string' ? new TextEncoder().encode(found) : (found ?? new Uint8Array());
};

describe('grim prune', () => {
  it.for(['prune', 'reproduce'])('prints help for %s within 80 columns, with its examples', async (name) => {
    const { code, out, err } = await grim([name, '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(PRUNE_EXAMPLES[name]?.length).toBeGreaterThanOrEqual(2);
    for (const [example] of PRUNE_EXAMPLES[name] ?? []) expect(out).toContain(`\n  grim ${example}`);
  });

  it.for(PRUNE_EXAMPLES['prune'] ?? [])('runs the example: grim %s', async ([line]) => {
    const { folder, data, model } = folderWith();
    const files: Record<string, string> = {
      'net.onnx': line.includes('images') ? TINY : model,
      'images/': join(DEMO, 'digits'),
      'x.npy': data,
    };
    const argv = line.split(' ').map((word) => files[word] ?? word.replace('sparse', join(folder, 'sparse')));
    const { code, out } = await grim(argv);
    expect(code).toBe(0);
    for (const row of out.replaceAll(folder, '').split('\n')) expect(row.length).toBeLessThanOrEqual(80);
  });

  it('writes ONNX, the text form and a compiled model, each with as many zeros as asked for', async () => {
    const { folder, data } = folderWith();
    const report = async (output: string, ...more: string[]) => {
      const { code, out, files } = await prune(data, output, '--json', ...more);
      expect(code).toBe(0);
      return { report: JSON.parse(out), bytes: outputOf(files, output) };
    };
    const onnx = await report(join(folder, 'p.onnx'));
    const weights = fromOnnx(onnx.bytes).weights;
    for (const { name, density, target } of onnx.report.layers) {
      expect(density).toBeLessThanOrEqual(target);
      const layer = fromOnnx(onnx.bytes).nodes.find((node) => node.name === name);
      const data = weights.get(layer?.inputs[1] ?? '')?.data as Float32Array;
      const zeros = data.reduce((sum, value) => sum + (value === 0 ? 1 : 0), 0);
      expect(zeros / data.length).toBeGreaterThanOrEqual(1 - target);
    }
    expect(onnx.report.layers.map(({ name }: { name: string }) => name)).toEqual(['conv2', 'conv3', 'fc1']);
    const ir = await report(join(folder, 'p.ir'));
    const graph = parse(new TextDecoder().decode(ir.bytes));
    expect([...graph.weights.values()].filter(({ pattern }) => pattern)).toHaveLength(ir.report.layers.length);
    const compiled = await report(join(folder, 'p.grim'), '--dim', 'N=1');
    expect(new TextDecoder().decode(compiled.bytes.subarray(0, 4))).toBe('GRIM');
    // And the text form compiles to the very same model.
    writeFileSync(join(folder, 'p.ir'), ir.bytes);
    const again = await grim(['compile', join(folder, 'p.ir'), '--dim', 'N=1', '-o', join(folder, 'q.grim')]);
    expect(again.err).toBe('');
    expect(outputOf(again.files, 'q.grim')).toEqual(compiled.bytes);
  });

  it('M10: goes on after any layer with the same bytes as without the break, kept layers damaged or not', async () => {
    const { folder, data } = folderWith();
    const output = join(folder, 'p.onnx');
    const whole = await prune(data, output, '--block', '4x16');
    const layers = readdirSync(`${output}.layers`).sort();
    expect(layers.length).toBe(3);
    const wanted = outputOf(whole.files, 'p.onnx');
    // The last layer cut short: it is computed again.
    const last = join(`${output}.layers`, layers.at(-1) ?? '');
    writeFileSync(last, readFileSync(last).subarray(0, 200));
    const resumed = await prune(data, output, '--block', '4x16', '--json');
    expect(JSON.parse(resumed.out).resumed).toBe(layers.length - 1);
    expect(outputOf(resumed.files, 'p.onnx')).toEqual(wanted);
    // Another run's layers are left alone and not used.
    const other = await prune(data, output, '--block', '2xK', '--json');
    expect(JSON.parse(other.out).resumed).toBe(0);
    expect(readdirSync(`${output}.layers`).length).toBe(2 * layers.length);
  });

  it('L5: killed with SIGKILL after the first layer, the same command ends in the same bytes and cleans up', async () => {
    const { folder, data, model } = folderWith();
    const argv = (output: string) => ['prune', model, '--data', data, '--density', '0.5', '-o', join(folder, output)];
    const { child, ended } = start(argv('killed.onnx'));
    // As soon as a layer stands.
    const layers = join(folder, 'killed.onnx.layers');
    const timer = setInterval(() => {
      if (existsSync(layers) && readdirSync(layers).some((name) => name.endsWith('.json'))) child.kill('SIGKILL');
    }, 5);
    await ended;
    clearInterval(timer);
    const [resumed, undisturbed] = [await start(argv('killed.onnx')).ended, await start(argv('whole.onnx')).ended];
    expect([resumed.code, undisturbed.code]).toEqual([0, 0]);
    expect(readFileSync(join(folder, 'killed.onnx'))).toEqual(readFileSync(join(folder, 'whole.onnx')));
    expect(readdirSync(folder).filter((name) => name.endsWith('.layers') || name.endsWith('.tmp'))).toEqual([]);
    const again = await start(['reproduce', join(folder, 'whole.onnx.run.json'), '--json']).ended;
    expect(again.code).toBe(0);
    expect(JSON.parse(again.out)).toMatchObject({ schema: 'grim.reproduce/1', identical: true, differences: [] });
  }, 300_000);

  it('reproduce names the input that has changed, and refuses what is no record', async () => {
    const { folder, data } = folderWith();
    const { files } = await prune(data, join(folder, 'p.onnx'));
    const record = join(folder, 'p.onnx.run.json');
    writeFileSync(record, outputOf(files, 'run.json'));
    writeFileSync(
      data,
      examples(48, (value) => 1 - value),
    );
    const changed = await grim(['reproduce', record]);
    expect([changed.code, changed.out]).toEqual([
      3,
      expect.stringMatching(/^different: (?s:.*)input .*inputs\.npy.* is another file/),
    ]);
    for (const text of ['{}', 'no', JSON.stringify({ schema: 'grim.prune-run/1', argv: ['run', 'x'] })]) {
      writeFileSync(record, text);
      const { code, err } = await grim(['reproduce', record]);
      expect([code, err]).toEqual([1, expect.stringContaining('GRIM_CLI_BAD_RECORD')]);
    }
  });

  it('says what is wrong with calibration inputs: none, NaN, the wrong shape, too few, constant', async () => {
    const { folder, data } = folderWith();
    const output = join(folder, 'p.onnx');
    mkdirSync(join(folder, 'empty'));
    const says = async (content: Uint8Array | undefined, code: number, sentence: RegExp) => {
      if (content) writeFileSync(data, content);
      const found = await prune(content ? data : join(folder, 'empty'), output);
      expect([found.code, found.out + found.err]).toEqual([code, expect.stringMatching(sentence)]);
      expect(found.files.length).toBe(code === 0 ? 2 : 0);
    };
    await says(undefined, 1, /no example in .*GRIM_PRUNE_BAD_CALIBRATION/);
    await says(
      examples(4, (value, i) => (i === 99 ? Number.NaN : value)),
      1,
      /is NaN at element.*GRIM_PRUNE_BAD_CALIBRATION/,
    );
    await says(
      writeNpy({ dtype: 'float32', shape: [4, 3], data: new Float32Array(12) } as Tensor),
      1,
      /GRIM_CLI_BAD_TENSOR/,
    );
    await says(examples(1), 0, /fc1.*few samples/);
    await says(
      examples(8, () => 0),
      0,
      /fc1.*constant inputs/,
    );
  });

  it('says what is wrong with the command line', async () => {
    const { folder, data, model } = folderWith();
    const base = ['prune', model, '--data', data];
    for (const [argv, sentence] of [
      [base, /--density <share> is missing/],
      [['prune', model, '--density', '0.5'], /--data <path> is missing/],
      [[...base, '--density', '0.5'], /-o <file> is missing/],
      [[...base, '--density', '1.5', '-o', join(folder, 'p.onnx')], /A share above 0/],
      [[...base, '--density', '0.5', '-o', join(folder, 'p.txt')], /ends in \.onnx/],
      [[...base, '--density', '0.5', '--target-speedup', '2', '-o', join(folder, 'p.onnx')], /leaves nothing to find/],
      [[...base, '--density', '0.5', '--block', '2xK,4x16', '-o', join(folder, 'p.onnx')], /several blocks/],
      [[...base, '--max-drop', '1', '--max-bytes', '1MB', '-o', join(folder, 'p.onnx')], /Give it alone/],
      [[...base, '--max-bytes', 'much', '-o', join(folder, 'p.onnx')], /as 1MB/],
      [[...base, '--density', '0.5', '--block', '0x4', '-o', join(folder, 'p.onnx')], /as 4x16 or 2xK/],
    ] as const) {
      const { code, err } = await grim(argv);
      expect([code, err]).toEqual([2, expect.stringMatching(sentence)]);
    }
  });

  it('L4: a disk that is full in the middle costs no finished layer: with room again the same bytes come out', async () => {
    const { folder, data } = folderWith();
    const output = join(folder, 'p.onnx');
    const undisturbed = await prune(data, join(folder, 'other.onnx'));
    let files = 0;
    const write = nodeFs.writeSync;
    const full = vi.spyOn(nodeFs, 'writeSync').mockImplementation(((
      handle: number,
      bytes: Uint8Array,
      from: number,
    ) => {
      if (++files < 3) return write(handle, bytes, from);
      // Half of it still found room.
      if (files === 3) return write(handle, bytes, from, Math.floor(bytes.length / 2));
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    }) as typeof write);
    const stopped = await prune(data, output);
    full.mockRestore();
    expect([stopped.code, stopped.files]).toEqual([1, []]);
    expect(stopped.err).toMatch(/the disk is full.*GRIM_CLI_WRITE/);
    const kept = readdirSync(`${output}.layers`);
    expect(kept.length).toBe(2);
    expect(kept.every((name) => name.endsWith('.json'))).toBe(true);
    const resumed = await prune(data, output, '--json');
    expect(JSON.parse(resumed.out).resumed).toBe(2);
    expect(outputOf(resumed.files, 'p.onnx')).toEqual(outputOf(undisturbed.files, 'other.onnx'));
  });

  it('draws a page that needs nothing else: layers, masks, how they were found, answers with their interval', async () => {
    const { folder, data } = folderWith();
    const page = join(folder, 'page.html');
    const { code, files } = await prune(data, join(folder, 'p.onnx'), '--block', '4x16', '--report', page);
    expect(code).toBe(0);
    const html = new TextDecoder().decode(outputOf(files, 'page.html'));
    expect(html.length).toBeLessThan(2e6);
    expect(html.replaceAll('http://www.w3.org/', '')).not.toMatch(/https?:|src="(?!data:)|<script|@import/);
    const { document } = parseHTML(html);
    const texts = (selector: string) => [...document.querySelectorAll(selector)].map((one) => one.textContent ?? '');
    expect(texts('h2')).toEqual(['Answers', 'Layers', 'Masks', 'How the masks were found']);
    expect(texts('figcaption')).toEqual(['conv2, 16×72', 'conv3, 16×144', 'fc1, 32×144']);
    expect(texts('p')[0]).toMatch(/% of 48 examples that the weights were fitted to.*95 % interval/s);
    // As dark as the mask is dense.
    const net = fromOnnx(outputOf(files, 'p.onnx'));
    const [figure] = document.querySelectorAll('img');
    const source = figure?.getAttribute('src')?.split(',')[1] ?? '';
    const { data: shades } = await decodePicture(Uint8Array.from(Buffer.from(source, 'base64')));
    const weight = net.weights.get(net.nodes.find(({ name }) => name === 'conv2')?.inputs[1] ?? '');
    const kept = Array.from((weight?.data ?? []) as Float32Array, (value) => Number(value !== 0));
    const channels = shades.length / kept.length;
    expect(kept.map((_, i) => Number((shades[i * channels] ?? 0) < 128))).toEqual(kept);
  });

  it('names of layers cannot break the page', async () => {
    const evil = '<img src=x onerror=alert(1)>';
    const layer = { name: evil, grid: { rows: 4, cols: 4, blockRows: 2, blockCols: 4 }, target: 0.5, density: 0.5 };
    const html = await htmlReport({
      ...{
        title: `"${evil}`,
        facts: [[evil, evil]],
        graph: fromOnnx(network()),
        agreement: undefined,
        found: undefined,
      },
      layers: [{ ...layer, macs: 1, activationAware: false, samples: 1, seconds: 1 }],
    });
    expect(html).not.toContain('<img');
    expect(parseHTML(html).document.querySelector('td')?.textContent).toBe(evil);
  });

  it('stays below 2 MB for a large network, and says how sure a share is', async () => {
    const [rows, cols] = [4096, 4096];
    const all = (count: number) => Uint16Array.from({ length: count }, (_, i) => i).filter((i) => (i * 7919) % 5 < 2);
    const pattern = {
      grid: { rows, cols, blockRows: rows, blockCols: cols },
      keptRows: [all(rows)],
      keptCols: [all(cols)],
    };
    const picture = maskPicture(pattern, [640, 160]);
    expect([picture.width, picture.height]).toEqual([586, 158]);
    expect(picture.png.length).toBeLessThan(100_000);
    // Wilson's interval of 8 of 10, by hand.
    expect(wilson(8, 10).map((share) => share.toFixed(3))).toEqual(['0.490', '0.943']);
    expect(wilson(10, 10)[1]).toBe(1);
    expect(wilson(0, 10)[0]).toBe(0);
  });

  it('L4: layers are not kept where a folder cannot be made, and the run says so', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    const store = layerStore(join(folder, 'file', 'layers'));
    expect(() => store.save({ version: 1, fingerprint: '0123456789abcdef', layers: [] })).toThrow();
  });
});

/** Of the dense network, for one example. */
async function compiledBytes(model: string, data: string): Promise<number> {
  const output = join(dirname(model), 'dense.grim');
  const { files } = await grim([
    'prune',
    model,
    '--data',
    data,
    '-o',
    output,
    '--dim',
    'N=1',
    '--density',
    '1',
    '--json',
  ]);
  return outputOf(files, 'dense.grim').length;
}

describe('grim prune with an aim', () => {
  it('finds blocks and densities, keeps the plan for a run that goes on, and reproduces without timing again', async () => {
    const { folder, data, model } = folderWith();
    const output = join(folder, 'p.onnx');
    const argv = ['prune', model, '--data', data, '-o', output, '--target-speedup', '1.05', '--block', '2xK,4x16'];
    const more = ['--dim', 'N=8', '--seconds', '2', '--fast', '--json', '--curve', join(folder, 'curve.svg')];
    const first = await grim([...argv, ...more]);
    expect([first.code, first.code === 0 ? '' : first.err]).toEqual([0, '']);
    const { found, layers } = JSON.parse(first.out);
    expect(found.speedup).toBeGreaterThanOrEqual(1.05);
    for (const { name, target } of layers) expect(target).toBe(found.density[name]);
    expect(Object.values(found.block).every((block) => block === '2xK' || block === '4x16')).toBe(true);
    // Unstructured and structured pruning stand beside the blocks.
    expect(found.curve.map(({ series }: { series: string }) => series)).toEqual(['2xK', '4x16', '1xK', 'KxK']);
    // Candidates all keep to the aim; the one that was taken is beaten by none.
    expect(found.candidates.length).toBeGreaterThan(1);
    for (const { speedup, loss } of found.candidates) {
      expect(speedup).toBeGreaterThanOrEqual(1.05);
      expect(loss).toBeGreaterThanOrEqual(found.loss);
    }
    expect(new TextDecoder().decode(outputOf(first.files, 'curve.svg'))).toMatch(/^<svg/);
    // Again, from what is kept: the very same plan, and the same bytes.
    const second = await grim([...argv, ...more]);
    expect(JSON.parse(second.out).found).toEqual(found);
    expect(outputOf(second.files, 'p.onnx')).toEqual(outputOf(first.files, 'p.onnx'));
    const record = join(folder, 'p.onnx.run.json');
    writeFileSync(record, outputOf(first.files, 'run.json'));
    const again = await grim(['reproduce', record, '--json']);
    expect(JSON.parse(again.out)).toMatchObject({ identical: true });
  });

  it('says the best that can be had and what binds, when the aim cannot be met', async () => {
    const { folder, data, model } = folderWith();
    const argv = ['prune', model, '--data', data, '-o', join(folder, 'p.onnx'), '--seconds', '1', '--block', '4x16'];
    const { code, err, files } = await grim([...argv, '--target-speedup', '900x']);
    expect([code, files]).toEqual([1, []]);
    expect(err).toMatch(
      /the best that can be had are .* ms; most of that.*takes (conv2|conv3|fc1).*GRIM_PRUNE_BAD_TARGET/,
    );
    const small = await grim([...argv, '--max-bytes', '100']);
    expect([small.code, small.files]).toEqual([1, []]);
    expect(small.err).toMatch(/100 bytes are asked for, and the best that can be had are \d+; most of that.*takes fc1/);
  });

  it('L5: killed with SIGKILL in the middle of a search, it goes on from what was measured; the record gives the bytes', async () => {
    const { folder, data, model } = folderWith();
    const output = join(folder, 'p.onnx');
    const most = Math.round((await compiledBytes(model, data)) * 0.9);
    const aim = ['--max-bytes', String(most), '--block', '2xK', '--dim', 'N=1'];
    const argv = ['prune', model, '--data', data, '-o', output, ...aim];
    const more = ['--seconds', '1', '--fast', '--threads', '1', '--no-record'];
    const { child, ended } = start([...argv, ...more]);
    const found = (what: string) =>
      existsSync(`${output}.layers`) && readdirSync(`${output}.layers`).some((name) => name.startsWith(what));
    const timer = setInterval(() => found('curves') && child.kill('SIGKILL'), 2);
    await ended;
    clearInterval(timer);
    const resumed = await start([...argv, ...more]).ended;
    expect([resumed.code, resumed.code === 0 ? '' : resumed.err]).toEqual([0, '']);
    // Losses of single layers were not measured again, nor the blocks timed.
    expect(resumed.err).not.toMatch(/2xK at /);
    expect(existsSync(`${output}.layers`)).toBe(false);
    const again = await start(['reproduce', `${output}.run.json`, '--json']).ended;
    expect(JSON.parse(again.out)).toMatchObject({ identical: true, differences: [] });
  }, 300_000);

  it('says how long a search will take', async () => {
    const { data, model } = folderWith();
    const argv = ['prune', model, '--data', data, '--target-speedup', '2', '--dry-run', '--json'];
    const { code, out, files } = await grim(argv);
    expect([code, files]).toEqual([0, []]);
    const { seconds, searchSeconds } = JSON.parse(out);
    expect(searchSeconds).toBeGreaterThan(20);
    expect(seconds).toBeGreaterThan(searchSeconds);
  });

  it('finds a network of so many bytes, compiled', async () => {
    const { folder, data, model } = folderWith();
    const output = join(folder, 'p.grim');
    const argv = ['prune', model, '--data', data, '-o', output, '--dim', 'N=1', '--seconds', '1', '--fast', '--json'];
    const most = Math.round((await compiledBytes(model, data)) * 0.9);
    const { code, out, err, files } = await grim([...argv, '--max-bytes', String(most), '--block', '2xK']);
    expect([code, code === 0 ? '' : err]).toEqual([0, '']);
    const { found } = JSON.parse(out);
    expect(found.bytes).toBeLessThanOrEqual(most);
    // What was said of synthetic masks, of the network as it was pruned.
    expect(outputOf(files, 'p.grim').length / found.bytes).toBeLessThan(1.1);
  });

  it('finds the fastest network whose answers hardly change on examples that it was not fitted to', async () => {
    const { folder, data, model } = folderWith(examples(128));
    const argv = ['prune', model, '--data', data, '-o', join(folder, 'p.onnx'), '--seconds', '1', '--block', '4x16'];
    const { code, out } = await grim([...argv, '--batch', '16', '--max-drop', '10', '--fast', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out).found.drop).toBeLessThanOrEqual(10);
  });
});

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

describe('trials of a search', () => {
  const context = async () => {
    const { data, model } = folderWith();
    const net = fromOnnx(readFileSync(model));
    const { batches } = await readExamples(net, {
      data: [data],
      examples: 48,
      batch: 16,
      sheet: false,
      how: { picture: {}, audio: {} },
    } as never);
    return {
      graph: net,
      fitted: batches.slice(0, 2),
      held: batches.slice(2),
      oneShot: { activationAware: 'never' as const },
    };
  };
  const trial = (density: number) => ({
    density: { conv2: density, conv3: density, fc1: 1 },
    block: Object.fromEntries(['conv2', 'conv3', 'fc1'].map((name) => [name, { rows: 2, cols: 9 }])),
  });

  it('give the same results in this thread and in workers, several at once, in whatever order', async () => {
    const given = await context();
    const here = openExecutor(given, 1);
    const wanted = [];
    for (const density of [0.5, 0.2, 0.1]) wanted.push(await here.run(trial(density)));
    expect(wanted.map(({ loss }) => loss)).toEqual(wanted.map(({ loss }) => loss).sort((a, b) => a - b));
    const workers = openExecutor(given, 2);
    expect([here.width, workers.width]).toEqual([1, 2]);
    const found = await Promise.all([0.5, 0.2, 0.1].map((density) => workers.run(trial(density))));
    expect(found).toEqual(wanted);
    await Promise.all([here.close(), workers.close()]);
  });

  it('fail with the code of what went wrong in a worker, which then goes on', async () => {
    const workers = openExecutor(await context(), 2);
    const bad = workers.run({ density: { nowhere: 0.5 }, block: {} });
    await expect(bad).rejects.toMatchObject({ code: 'GRIM_PRUNE_NO_LAYER', details: { name: 'nowhere' } });
    expect((await workers.run(trial(0.5))).loss).toBeGreaterThan(0);
    await workers.close();
  });
});

describe('grim whatif', () => {
  it('prints help within 80 columns, with its examples', async () => {
    const { code, out, err } = await grim(['whatif', '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const [example] of PRUNE_EXAMPLES['whatif'] ?? []) expect(out).toContain(`\n  grim ${example}`);
  });

  it('times every block at every density, says where sparse pays, and writes no file that could run', async () => {
    const { model } = folderWith();
    const argv = [
      'whatif',
      model,
      '--dim',
      'N=16',
      '--blocks',
      '2xK,4x8..8x16',
      '--density',
      '0.1..0.4',
      '--seconds',
      '1',
    ];
    const { code, out, files } = await grim([...argv, '--json']);
    expect([code, files]).toEqual([0, []]);
    const report = JSON.parse(out);
    expect(report.schema).toBe('grim.whatif/1');
    const cells = report.cells as { block: string; density: number; speedup: number; bytes: number }[];
    expect(cells.map(({ block, density }) => `${block}@${density}`)).toEqual(
      ['2xK', '4x8', '8x16'].flatMap((block) => [0.1, 0.2, 0.4].map((density) => `${block}@${density}`)),
    );
    for (const { speedup } of cells) expect(speedup).toBeGreaterThan(0);
    expect(cells[0]?.bytes).toBeLessThan(cells[2]?.bytes ?? 0);
    expect(report.layers.map(({ name }: { name: string }) => name)).toEqual(['conv2', 'conv3', 'fc1']);
    const text = await grim([...argv.slice(0, -4), '--density', '0.2', '--seconds', '1']);
    for (const row of text.out.split('\n')) expect(row.length).toBeLessThanOrEqual(80);
  });

  it('compares with a network that was really pruned, and wants its block and density for that', async () => {
    const { folder, data, model } = folderWith();
    const { files } = await prune(data, join(folder, 'p.ir'), '--block', '4x16');
    writeFileSync(join(folder, 'p.ir'), outputOf(files, 'p.ir'));
    const check = ['whatif', model, '--check', join(folder, 'p.ir'), '--seconds', '1', '--json', '--dim', 'N=8'];
    const { code, out } = await grim([...check, '--blocks', '4x16', '--density', '0.5']);
    expect(code).toBe(0);
    const { speedup, predictedSpeedup, off } = JSON.parse(out).check;
    expect(off).toBeCloseTo(predictedSpeedup / speedup - 1, 10);
    expect((await grim([...check, '--density', '0.1,0.5'])).code).toBe(2);
  });

  it('finds the density where sparse and dense meet, between those that were measured', () => {
    const cells = (ratios: readonly number[]) =>
      ratios.map((ratio, i) => ({
        block: { rows: 4, cols: 16 },
        density: 0.1 * 2 ** i,
        layers: [{ name: 'a', ms: ratio, denseMs: 1, kernel: '' }],
      }));
    expect(breakEven('a', cells([0.25, 0.5, 0.9]))).toBe(1);
    expect(breakEven('a', cells([1.25, 1.5, 1.9]))).toBe(null);
    // Half way on a logarithmic axis between 0.2 and 0.4.
    expect(breakEven('a', cells([0.25, 0.5, 1.5]))).toBeCloseTo(0.2 * Math.SQRT2, 10);
    expect(breakEven('b', cells([0.25, 0.5, 1.5]))).toBe(null);
  });
});

describe('grim diff', () => {
  it('prints help within 80 columns, with its examples', async () => {
    const { code, out, err } = await grim(['diff', '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const [example] of PRUNE_EXAMPLES['diff'] ?? []) expect(out).toContain(`\n  grim ${example}`);
  });

  it('finds nothing between identical networks, whatever the gate', async () => {
    const { data, model } = folderWith();
    const { code, out } = await grim([
      'diff',
      model,
      model,
      '--data',
      data,
      '--fail-if',
      'speed<0.97,error>0',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ identical: true, structure: [], weights: [], failed: [] });
  });

  it('names the layer of a fault that was put in, what it does downstream, and fails the gate', async () => {
    const { folder, data, model } = folderWith();
    const before = fromOnnx(readFileSync(model));
    const weights = new Map(before.weights);
    const node = before.nodes.find(({ name }) => name === 'conv3');
    const name = node?.inputs[1] ?? '';
    const old = weights.get(name) as Tensor & { readonly data: Float32Array };
    const faulty = old.data.map((value, i) => (i === 17 ? value + 3 : value));
    weights.set(name, { dtype: 'float32', shape: old.shape, data: faulty });
    const other = join(folder, 'faulty.onnx');
    writeFileSync(other, toOnnx({ ...before, weights }));
    const argv = ['diff', model, other, '--data', data, '--seconds', '1'];
    const { code, out } = await grim([...argv, '--fail-if', 'error>0.001,bytes>2', '--json']);
    expect(code).toBe(3);
    const report = JSON.parse(out);
    expect(report.structure).toEqual([]);
    expect(report.weights.map((one: { node: string }) => one.node)).toEqual(['conv3']);
    expect(report.failed).toEqual(['error>0.001']);
    const errors = new Map(report.layers.map(({ layer, error }: { layer: string; error: number }) => [layer, error]));
    expect([errors.get('conv1'), errors.get('conv2')]).toEqual([0, 0]);
    for (const layer of ['conv3', 'fc1', 'fc2']) expect(errors.get(layer)).toBeGreaterThan(0.001);
    const text = await grim(argv);
    expect(text.out).toMatch(/conv3/);
    for (const row of text.out.replaceAll(folder, '').split('\n')) expect(row.length).toBeLessThanOrEqual(80);
  });

  it('says what is gone, new and changed in the structure', async () => {
    const { folder, data, model } = folderWith();
    const before = fromOnnx(readFileSync(model));
    const relabelled = join(folder, 'relabelled.onnx');
    writeFileSync(
      relabelled,
      toOnnx({
        ...before,
        nodes: before.nodes.map((node) => (node.name === 'fc1.relu' ? { ...node, name: 'act' } : node)) as never,
      }),
    );
    const found = await grim(['diff', model, relabelled, '--data', data, '--seconds', '1', '--json']);
    expect(JSON.parse(found.out).structure).toEqual([
      { node: 'fc1.relu', what: 'Relu is gone' },
      { node: 'act', what: 'Relu is new' },
    ]);
    expect(JSON.parse(found.out).top1).toBe(0);
  });
});
