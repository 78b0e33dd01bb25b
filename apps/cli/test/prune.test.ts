/** `grim prune` and `grim reproduce`: networks that others can read, runs that go on where they were, and bad input. */
import nodeFs, { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeNpy } from '@grim/files';
import { parse, type Tensor } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { parseHTML } from 'linkedom';
import { describe, expect, it, vi } from 'vitest';
import { decodePicture } from '../src/inputs/decode-picture.ts';
import { PRUNE_EXAMPLES } from '../src/prune/args.ts';
import { htmlReport, wilson } from '../src/prune/html-report.ts';
import { layerStore } from '../src/prune/layer-store.ts';
import { maskPicture } from '../src/prune/mask-picture.ts';
import { DEMO, grim, start, TINY, temporaryFolder } from './grim.ts';
import { examples, folderWith, network, outputOf, prune } from './prune-folder.ts';

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
