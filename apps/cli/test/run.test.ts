/** `grim run` with files as they are, and `grim compile` with what it keeps of them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readNpy, writeNpy } from '@grim/files';
import { graph } from '@grim/ir';
import { readTensorFile, toOnnx } from '@grim/ir/onnx';
import { readArtifact } from '@grim/runtime/artifact';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { DEMO, grim, ROOT, start, TINY, temporaryFolder } from './grim.ts';

const THREE = join(DEMO, 'digits/3.png');
const SEVEN = join(DEMO, 'digits/7.png');
const PICTURES = join(DEMO, 'tiny-cnn/test_data_set_0/input_0.pb');

async function json(...argv: string[]) {
  const { code, out, err } = await grim([...argv, '--json']);
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out);
}

function put(name: string, content: string | Uint8Array): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, content);
  return path;
}

/** y = 2a + b, and d = a - b. */
function two(): string {
  const one = graph('two', (b) => {
    const x = b.input('alpha', 'float32', [1, 3]);
    const y = b.input('beta', 'float32', [1, 3]);
    b.output('y', b.add('Add', [b.add('Add', [x, x]), y], {}, { output: 'y' }));
    b.output('d', b.add('Sub', [x, y], {}, { output: 'd' }));
  });
  return put('two.onnx', toOnnx(one));
}

const row = (...values: number[]): Uint8Array =>
  writeNpy({ dtype: 'float32', shape: [1, values.length], data: Float32Array.from(values) });

/** A .grim file that knows pictures and names. */
async function described(...more: string[]): Promise<{ folder: string; target: string }> {
  const folder = temporaryFolder();
  const target = join(folder, 'tiny.grim');
  const labels = join(folder, 'labels.txt');
  writeFileSync(labels, 'zero one two three four five six seven eight nine\n'.replaceAll(' ', '\n'));
  const argv = ['compile', TINY, '--dim', 'N=1', '--scale', '1/255', '--labels', labels, '-o', target, ...more];
  const { code, err, files } = await grim(argv);
  expect([code, err]).toEqual([0, '']);
  for (const { path, content } of files) writeFileSync(path, content);
  return { folder, target };
}

describe('grim run on pictures', () => {
  it('reads one, and says how', async () => {
    const { code, out } = await grim(['run', TINY, THREE, '--top', '1']);
    expect(code).toBe(0);
    expect(out).toMatch(/3\.png: 20 × 20 gray, NCHW, sample\/255\n/);
    expect(out).toMatch(/ 0 +3 +\S+\n$/);
  });

  it('gives what the same samples give as a tensor', async () => {
    const { tensor } = readTensorFile(readFileSync(PICTURES));
    const pixels = (tensor.data as Float32Array).subarray(3 * 400, 4 * 400);
    const rounded = Float32Array.from(pixels, (v) => Math.round(255 * Math.min(1, Math.max(0, v))) / 255);
    const npy = put('x.npy', writeNpy({ dtype: 'float32', shape: [1, 1, 20, 20], data: rounded }));
    const [picture, array] = [await json('run', TINY, THREE), await json('run', TINY, npy)];
    expect(picture.outputs).toEqual(array.outputs);
  });

  it('runs once for each of several files and joins what comes out', async () => {
    const report = await json('run', TINY, THREE, SEVEN, '--top', '1');
    expect(report.files).toEqual([THREE, SEVEN]);
    expect(report.outputs[0].shape).toEqual([2, 10]);
    expect(report.outputs[0].top.map(([first]: { index: number }[]) => first?.index)).toEqual([3, 7]);
    const alone = await json('run', TINY, SEVEN);
    expect(report.outputs[0].data.slice(10)).toEqual(alone.outputs[0].data);
    const { out } = await grim(['run', TINY, THREE, SEVEN, '--top', '1']);
    expect(out).toMatch(/2 runs, .* each \(median\)/);
    expect(out).toMatch(/ 3\.png +3 .*\n +7\.png +7 /);
  });

  it('resizes and crops when asked, and says what to ask for', async () => {
    const { err } = await grim(['run', TINY, THREE, '--resize', '30', '--center-crop', '24']);
    expect(err).toMatch(
      /24 wide and 24 high after resizing and cropping, the input 20 wide and 20 high\. Add --resize 20x20.*BAD_TENSOR/,
    );
    expect((await grim(['run', TINY, THREE, '--resize', '30', '--center-crop', '20'])).code).toBe(0);
  });

  it('takes files of one shape only', async () => {
    const one = graph('any', (b) => b.output('y', b.add('Relu', [b.input('x', 'float32', ['N', 'C', 'H', 'W'])])));
    const model = put('any.onnx', toOnnx(one));
    const png = put('wide.npy', writeNpy({ dtype: 'float32', shape: [1, 1, 2, 3], data: new Float32Array(6) }));
    const { code, err } = await grim(['run', model, THREE, png, '--channels', 'gray']);
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/wide\.npy: it gives \[1, 1, 2, 3\], the first file \[1, 1, 20, 20\]/),
    ]);
  });
});

describe('grim run on arrays', () => {
  it('finds the inputs in a .npz by their names', async () => {
    const npz = put('both.npz', zipSync({ 'alpha.npy': row(1, 2, 3), 'beta.npy': row(10, 20, 30) }));
    expect((await json('run', two(), npz)).outputs[0].data).toEqual([12, 24, 36]);
    const named = await json('run', two(), '-i', `beta=${npz}`, '-i', `alpha=${put('a.npy', row(0, 0, 1))}`);
    expect(named.outputs[0].data).toEqual([10, 20, 32]);
    const other = put('other.npz', zipSync({ 'gamma.npy': row(1), 'delta.npy': row(1) }));
    expect((await grim(['run', two(), '-i', `beta=${other}`, '--random'])).err).toMatch(
      /it holds "gamma", "delta", and not "beta"/,
    );
  });

  it('writes the only output, or all of them into a folder by number', async () => {
    const folder = temporaryFolder();
    const alone = await grim(['run', TINY, THREE, '-o', join(folder, 'y.npy')]);
    expect(alone.files.map(({ path }) => path)).toEqual([join(folder, 'y.npy')]);
    const inputs = ['-i', `alpha=${put('a.npy', row(1, 2, 3))}`, '-i', `beta=${put('b.npy', row(1, 1, 1))}`];
    const { files, out } = await grim(['run', two(), ...inputs, '-o', folder]);
    expect(files.map(({ path }) => path)).toEqual(['output_0.npy', 'output_1.npy'].map((name) => join(folder, name)));
    expect(readNpy(files[1]?.content as Uint8Array)).toMatchObject({ shape: [1, 3], data: Float32Array.of(0, 1, 2) });
    expect(out).toContain('Outputs go to ');
    const unclear = await grim(['run', two(), ...inputs, '-o', 'y.npy']);
    expect(unclear).toMatchObject({ code: 2, err: expect.stringMatching(/2 outputs: y, d\. Name the files/) });
  });

  it.for<readonly [what: string, argv: readonly string[], says: RegExp]>([
    ['options for pictures without one', ['--random', '--dim', 'N=1', '--mean', '0.5'], /--mean is for pictures/],
    ['options for sounds without one', [THREE, '--resample', '8000'], /--resample is for sounds \(\.wav\)/],
    ['a size of nothing', [THREE, '--resize', '0'], /A length from 1 to/],
    ['a spread of nothing', [THREE, '--std', '0'], /above 0/],
    ['a scale of nothing', [THREE, '--scale', '1/0'], /above 0, as 1\/255/],
    ['an unknown layout', [THREE, '--layout', 'CHWN'], /Allowed choices are NCHW, NHWC/],
    ['a misspelt option', [THREE, '--centre-crop', '20'], /Did you mean --center-crop\?/],
    ['a misspelt input', ['--input', `imgae=${THREE}`], /"imgae" is no input.*Did you mean "image"\?/],
    ['a misspelt output', [THREE, '--output', 'probabilites=y.npy'], /Did you mean "probabilities"\?/],
    ['names without --top', [THREE, '--labels', 'x.txt'], /Add --top 5/],
    ['a file too many', ['--input', `image=${THREE}`, SEVEN], /"7\.png" is for no input/],
    ['a picture to write', [THREE, '-o', 'y.png'], /\.npy, \.pb, \.json can be written/],
  ])('L1: %s is wrong usage', async ([, argv, says]) => {
    const { code, out, err } = await grim(['run', TINY, ...argv]);
    expect(err).toMatch(says);
    expect([code, out]).toEqual([2, '']);
  });

  it('L1: a file that could be for several inputs needs a name', async () => {
    const { code, err } = await grim(['run', two(), put('a.npy', row(1, 2, 3))]);
    expect([code, err]).toEqual([2, expect.stringMatching(/could be for any of "alpha", "beta"\. Name the files/)]);
  });

  it('refuses names that do not fit the output', async () => {
    const { code, err } = await grim(['run', TINY, THREE, '--top', '1', '--labels', put('l.txt', 'a\nb\n')]);
    expect([code, err]).toEqual([1, expect.stringMatching(/it has 2 names; .*probabilities: 10.*GRIM_CLI_BAD_LABELS/)]);
    const bytes = await grim(['run', TINY, THREE, '--top', '1', '--labels', put('l.txt', Uint8Array.of(255, 254))]);
    expect(bytes.err).toMatch(/no text in UTF-8/);
  });
});

describe('what is not there', () => {
  it('suggests the file that was probably meant, for every command', async () => {
    const wrong = TINY.replace('model.onnx', 'modle.onnx');
    for (const argv of [
      ['inspect', wrong],
      ['run', wrong],
      ['compile', wrong, '-o', 'x.grim'],
      ['verify', wrong],
    ]) {
      const { code, err } = await grim(argv);
      expect([code, err]).toEqual([1, expect.stringMatching(/no such file.*Did you mean ".*model\.onnx"\?/)]);
    }
  });

  it('suggests the folder, and says which is missing', async () => {
    const { err } = await grim(['inspect', TINY.replace('tiny-cnn', 'tiny-cmn')]);
    expect(err).toMatch(/Did you mean ".*tiny-cnn"\?/);
    const { err: none } = await grim(['inspect', join(temporaryFolder(), 'some', 'where.onnx')]);
    expect(none).toMatch(/Its folder ".*some" does not exist/);
  });
});

describe('grim compile', () => {
  it('keeps how pictures are prepared, and names', async () => {
    const { target } = await described();
    const { manifest } = readArtifact(readFileSync(target));
    expect(manifest.inputs[0]?.preprocess).toEqual({ layout: 'NCHW', channels: 'gray', mean: [0], std: [1] });
    expect(manifest.outputs[0]?.labels).toHaveLength(10);
    const { out } = await grim(['run', target, SEVEN, '--top', '1']);
    expect(out).toMatch(/ 0 +7 +\S+ +seven\n$/);
  });

  it('lets the command line say otherwise', async () => {
    const { target } = await described();
    expect((await json('run', target, SEVEN, '--scale', '1')).prepared[0].as).toBe('20 × 20 gray, NCHW, sample');
  });

  it('keeps modules beside the file with --split, which runs with them and not without', async () => {
    const { folder, target } = await described('--split');
    expect(readArtifact(readFileSync(target)).manifest.sections.some(({ kind }) => kind === 'wasm')).toBe(false);
    expect((await json('run', target, SEVEN, '--top', '1')).outputs[0].top[0][0]).toMatchObject({
      index: 7,
      label: 'seven',
    });
    writeFileSync(join(folder, 'tiny.relaxed.wasm'), readFileSync(join(folder, 'tiny.plain.wasm')));
    writeFileSync(join(folder, 'tiny.plain.wasm'), 'nonsense');
    expect((await json('run', target, SEVEN)).simd).toBe('plain');
    const moved = join(temporaryFolder(), 'tiny.grim');
    writeFileSync(moved, readFileSync(target));
    expect((await grim(['run', moved, SEVEN])).err).toMatch(/tiny\.relaxed\.wasm: there is no such file/);
  });

  it('adds a module for wide instructions with --wide, which run leaves alone', async () => {
    const { folder, target } = await described('--wide');
    const families = readArtifact(readFileSync(target)).manifest.sections.flatMap((section) =>
      section.kind === 'wasm' ? [section.family] : [],
    );
    expect(families).toEqual(['wide', 'relaxed', 'plain']);
    expect((await json('run', target, SEVEN)).simd).toBe('relaxed');
    const split = await described('--wide', '--split');
    expect(existsSync(join(split.folder, 'tiny.wide.wasm'))).toBe(true);
    expect(existsSync(join(folder, 'tiny.wide.wasm'))).toBe(false);
    expect((await json('run', split.target, SEVEN)).simd).toBe('relaxed');
  });

  it('F15: writes the modules first, and replaces modules only', async () => {
    const folder = temporaryFolder();
    const target = join(folder, 'x.grim');
    const argv = ['compile', TINY, '--dim', 'N=1', '--split', '-o', target];
    expect((await grim(argv)).files.map(({ path }) => path.slice(folder.length + 1))).toEqual([
      'x.relaxed.wasm',
      'x.plain.wasm',
      'x.grim',
    ]);
    writeFileSync(join(folder, 'x.plain.wasm'), 'a novel');
    const { code, err } = await start(argv).ended;
    expect([code, err]).toEqual([1, expect.stringMatching(/x\.plain\.wasm: it exists, and is no WebAssembly module/)]);
    expect(existsSync(target)).toBe(false);
  });

  it.for<readonly [what: string, argv: readonly string[], says: RegExp]>([
    ['pictures for a model that takes none', ['--scale', '1/255'], /need one input of pictures.*"alpha" \[1, 3\]/],
    ['names for another output', ['--labels', 'LABELS'], /has 2 names.*y: 3, d: 3/],
  ])('refuses %s, and writes nothing', async ([, argv, says]) => {
    const labels = put('l.txt', 'a\nb\n');
    const words = argv.map((word) => (word === 'LABELS' ? labels : word));
    const { code, err, files } = await grim(['compile', two(), ...words, '-o', 'x.grim']);
    expect(err).toMatch(says);
    expect(code === 0).toBe(false);
    expect(files).toEqual([]);
  });
});

const DATA = resolve(ROOT, process.env['GRIM_DATA'] ?? '../shared/data');

describe.skipIf(!existsSync(join(DATA, 'imagenet-samples')))('with photographs of the data folder (GRIM_DATA)', () => {
  // The whole set: npm run accuracy in bench/.
  it('reads SqueezeNet’s first photographs as onnxruntime-node does', async () => {
    const list = JSON.parse(readFileSync(join(DATA, 'imagenet-samples/labels.json'), 'utf8')).slice(0, 4);
    const files = list.map(({ file }: { file: string }) => join(DATA, 'imagenet-samples/images', file));
    const model = join(DATA, 'models/squeezenet_v1_0_pruned_imagenet/model.onnx');
    const options = [
      '--center-crop',
      '227',
      '--channels',
      'bgr',
      '--scale',
      '1',
      '--mean',
      '104,117,123',
      '--top',
      '5',
    ];
    const { outputs } = await json('run', model, ...files, ...options);
    expect(outputs[0].top.map(([first]: { index: number }[]) => first?.index)).toEqual(
      list.map(
        ({ referenceTop1 }: { referenceTop1: Record<string, number> }) =>
          referenceTop1['squeezenet_v1_0_pruned_imagenet'],
      ),
    );
  });
});
