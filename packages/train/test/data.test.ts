/** Data sets from files made here, and from the shared ones where they are. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { encode } from 'fast-png';
import { zipSync } from 'fflate';
import { afterAll, describe, expect, it } from 'vitest';
import { fillBatch, indicesOf } from '../src/data/examples.ts';
import { buildNetwork, createTrainer, type Examples, holdOut, loadExamples, mfcc, partsOf } from '../src/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'grim-train-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;
/** A folder of files. */
function files(content: Readonly<Record<string, Uint8Array | string>>): string {
  const root = join(folder, String(made++));
  for (const [path, bytes] of Object.entries(content)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), bytes);
  }
  return root;
}

const bytes = (length: number, make: (i: number) => number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => make(i));
const png = (width: number, height: number, channels: 1 | 3, make: (i: number) => number): Uint8Array =>
  encode({ width, height, channels, depth: 8, data: bytes(width * height * channels, make) });

function wav(samples: number, rate = 8000, hertz = 440): Uint8Array {
  const out = Buffer.alloc(44 + 2 * samples);
  out.write('RIFF', 0);
  out.writeUInt32LE(36 + 2 * samples, 4);
  out.write('WAVEfmt ', 8);
  out.writeUInt32LE(16, 16);
  out.writeUInt16LE(1, 20);
  out.writeUInt16LE(1, 22);
  out.writeUInt32LE(rate, 24);
  out.writeUInt32LE(2 * rate, 28);
  out.writeUInt16LE(2, 32);
  out.writeUInt16LE(16, 34);
  out.write('data', 36);
  out.writeUInt32LE(2 * samples, 40);
  for (let i = 0; i < samples; i++)
    out.writeInt16LE(Math.round(10000 * Math.sin((2 * Math.PI * hertz * i) / rate)), 44 + 2 * i);
  return out;
}

function tar(content: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const parts: Buffer[] = [];
  for (const [name, body] of Object.entries(content)) {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('        ', 148);
    header.write('0ustar\0', 156);
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    parts.push(header, Buffer.from(body), Buffer.alloc((512 - (body.length % 512)) % 512));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

function npy(type: string, shape: readonly number[], body: Uint8Array): Uint8Array {
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const header = Buffer.from(`${text.padEnd(117)}\n`);
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), Buffer.from([header.length, 0]), header, body]);
}

describe('data sets', () => {
  it('CIFAR-10 binary: records of a label and a picture', () => {
    const record = (label: number): Uint8Array => bytes(3073, (i) => (i === 0 ? label : i % 251));
    const root = files({ 'data_batch_2.bin': record(7), 'data_batch_10.bin': Buffer.concat([record(1), record(9)]) });
    const found = loadExamples(root, { shape: [3, 32, 32] });
    expect(found).toMatchObject({ count: 3, shape: [3, 32, 32] });
    expect([...(found.labels ?? [])]).toEqual([7, 1, 9]);
    expect(found.data[3072 + 5]).toBe(6);
    expect(found.classes?.[7]).toBe('horse');
  });

  it('MNIST idx, packed or not', () => {
    const images = Buffer.concat([Buffer.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3]), bytes(12, (i) => i)]);
    const labels = Buffer.from([0, 0, 8, 1, 0, 0, 0, 2, 4, 9]);
    const root = files({ 't10k-images-idx3-ubyte.gz': gzipSync(images), 't10k-labels-idx1-ubyte': labels });
    const found = loadExamples(root, { shape: [1, 2, 3] });
    expect(found).toMatchObject({ count: 2, shape: [1, 2, 3] });
    expect([...(found.labels ?? [])]).toEqual([4, 9]);
    expect([...found.data]).toEqual([...bytes(12, (i) => i)]);
  });

  it('sheets: a row is a picture, its label counted through all sheets', () => {
    const labels = JSON.stringify({ labels: [0, 1, 2, 3, 4, 5] });
    const root = files({
      'x_labels.json': labels,
      'part/x_2.png': png(4, 2, 3, (i) => i),
      'part/x_1.png': png(4, 2, 3, () => 9),
    });
    const found = loadExamples(join(root, 'part'), { shape: [3, 2, 2] });
    expect([...(found.labels ?? [])]).toEqual([2, 3, 4, 5]);
    // Red, then green, then blue of the first row of the second sheet.
    expect([...found.data.subarray(24, 36)]).toEqual([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
  });

  it('pictures in a folder for each class, classes as another part has them', () => {
    const root = files({ 'cat/a.png': png(2, 1, 1, () => 1), 'dog/b.png': png(2, 1, 1, () => 2) });
    expect(loadExamples(root, { shape: [1, 1, 2] })).toMatchObject({ classes: ['cat', 'dog'] });
    const found = loadExamples(root, { shape: [1, 1, 2], classes: ['dog', 'cat'] });
    expect([...(found.labels ?? [])]).toEqual([1, 0]);
  });

  it('recordings named after their class, in a packed archive', () => {
    const archive = gzipSync(tar({ 'x/1_b_0.wav': wav(4000), 'x/0_a_0.wav': wav(800) }));
    const root = files({ 'train.tar.gz': archive, 'test.tar.gz': archive });
    const parts = partsOf(root);
    expect(parts).toEqual({ train: join(root, 'train.tar.gz'), validation: join(root, 'test.tar.gz') });
    const found = loadExamples(parts.train, { shape: [30, 12] });
    expect(found).toMatchObject({ count: 2, classes: ['0', '1'] });
    expect([...(found.labels ?? [])]).toEqual([0, 1]);
    const own = mfcc(
      Float32Array.from(
        { length: 800 },
        (_, i) => Math.round(10000 * Math.sin((2 * Math.PI * 440 * i) / 8000)) / 2 ** 15,
      ),
      { rate: 8000, coefficients: 12 },
    );
    expect(own.length).toBe(4 * 12);
    expect([...found.data.subarray(0, 48)]).toEqual([...own]);
    // The last frame goes on to the end.
    expect([...found.data.subarray(29 * 12, 30 * 12)]).toEqual([...own.subarray(36)]);
  });

  it('.npz with classes, or with wanted outputs', () => {
    const x = npy('<f4', [2, 3], new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer));
    const classes = npy('<i8', [2], new Uint8Array(BigInt64Array.of(3n, 1n).buffer));
    const outputs = npy('<f8', [2, 2], new Uint8Array(Float64Array.of(1, 2, 3, 4).buffer));
    const first = loadExamples(join(files({ 'a.npz': zipSync({ 'x.npy': x, 'y.npy': classes }) }), 'a.npz'), {
      shape: [3],
    });
    expect([...(first.labels ?? [])]).toEqual([3, 1]);
    const second = loadExamples(files({ 'a.npz': zipSync({ 'x.npy': x, 'y.npy': outputs }) }), { shape: [3] });
    expect([...(second.targets ?? [])]).toEqual([1, 2, 3, 4]);
  });

  it.each([
    ['no data', { 'readme.txt': 'x' }],
    ['a record cut short', { 'a.bin': bytes(3072, () => 0) }],
    [
      'an idx file of another length',
      { 'images-idx3-ubyte': Buffer.from([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 3]) },
    ],
    ['a damaged picture', { 'cat/a.png': bytes(64, (i) => i) }],
    ['a picture of another size', { 'cat/a.png': png(3, 3, 1, () => 0) }],
    ['a JPEG picture', { 'cat/a.jpg': bytes(64, (i) => i) }],
    ['a damaged recording', { 'yes/a.wav': wav(400).subarray(0, 100) }],
    ['an archive with a wrong checksum', { 'a/b.txt': 'x', 'x.npz': bytes(40, (i) => i) }],
    ['a sheet without a label', { 'l_labels.json': '{"labels":[1]}', 'x_0.png': png(4, 2, 1, () => 0) }],
  ] as const)('refuses %s', (_, content) => {
    let code: unknown;
    try {
      loadExamples(files(content), { shape: [1, 2, 2] });
    } catch (error) {
      code = (error as { code?: unknown }).code;
    }
    expect(code).toBe('GRIM_TRAIN_BAD_DATA');
  });

  it('refuses an archive that is damaged or unpacks to nothing of use', () => {
    const whole = tar({ 'yes/a.wav': wav(400) });
    for (const damaged of [whole.with(3, 1), whole.subarray(0, 700), bytes(512, () => 7)]) {
      const path = join(files({ 'a.tar': damaged }), 'a.tar');
      expect(() => loadExamples(path, { shape: [2, 2] })).toThrow(
        expect.objectContaining({ code: 'GRIM_TRAIN_BAD_DATA' }),
      );
    }
    const path = join(files({ 'a.tar.gz': whole }), 'a.tar.gz');
    expect(() => loadExamples(path, { shape: [2, 2] })).toThrow(
      expect.objectContaining({ code: 'GRIM_TRAIN_BAD_DATA' }),
    );
  });

  const data = resolve(import.meta.dirname, '../../..', process.env['GRIM_DATA'] ?? '../shared/data');
  it.skipIf(!existsSync(data))(
    'the spoken digits and CIFAR-10 of the data folder, as their papers say (GRIM_DATA)',
    () => {
      const spoken = loadExamples(join(data, 'fsdd/test.tar.gz'), { shape: [30, 13], limit: 60 });
      expect(spoken).toMatchObject({ count: 60 });
      const pictures = loadExamples(join(data, 'cifar10/test'), { shape: [3, 32, 32] });
      const perClass = new Array<number>(10).fill(0);
      for (const label of pictures.labels ?? []) perClass[label] = (perClass[label] as number) + 1;
      expect(perClass).toEqual([103, 89, 100, 103, 90, 86, 112, 102, 106, 109]);
    },
  );
});

describe('batches', () => {
  const examples: Examples = {
    count: 10,
    shape: [1, 4, 4],
    data: bytes(160, (i) => 16 + (i % 200)),
    labels: bytes(10, (i) => i % 3),
  };

  it('go through every example once an epoch, in another order each, the same for the same seed', () => {
    const epoch = (first: number, seed: number): number[] => {
      const cache = { epoch: -1, order: new Uint32Array() };
      return [0, 1, 2, 3, 4].flatMap((step) => [...indicesOf(10, 2, first + step, seed, cache)]);
    };
    expect(epoch(0, 1).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(epoch(0, 1)).toEqual(epoch(0, 1));
    expect(epoch(5, 1)).not.toEqual(epoch(0, 1));
    expect(epoch(0, 2)).not.toEqual(epoch(0, 1));
  });

  it('are scaled by channel, and left alone for evaluation', () => {
    const options = { prepare: { mean: [0.5], std: [0.25] }, augment: { crop: 2, flip: true }, labelSmoothing: 0.3 };
    const { inputs, targets, labels } = fillBatch(examples, [3], 3, options, undefined);
    expect(inputs[0]).toBeCloseTo((64 / 255 - 0.5) / 0.25, 5);
    expect([...targets]).toEqual([1, 0, 0]);
    expect(labels).toEqual([0]);
  });

  it('cropping moves a picture and fills with black, mirroring turns it', () => {
    const seen = new Set<string>();
    for (let step = 0; step < 200; step++) {
      const { inputs } = fillBatch(examples, [0], 3, { augment: { crop: 1, flip: true } }, [1, 2, step]);
      seen.add([...inputs].map((value) => Math.round(value * 255)).join());
    }
    // 3 × 3 places, two ways.
    expect(seen.size).toBe(18);
    expect(seen.has([...examples.data.subarray(0, 16)].join())).toBe(true);
    const down = [0, 0, 0, 0, ...examples.data.subarray(0, 12)].join();
    expect(seen.has(down)).toBe(true);
  });

  it('smoothed and mixed targets still add up to 1', () => {
    const { targets } = fillBatch(examples, [0, 1, 2, 3], 3, { labelSmoothing: 0.1, mix: 0.5 }, [1, 2, 3]);
    for (let k = 0; k < 4; k++)
      expect((targets[3 * k] as number) + (targets[3 * k + 1] as number) + (targets[3 * k + 2] as number)).toBeCloseTo(
        1,
        5,
      );
  });

  it('held-out examples are none of the others, and all together are all', () => {
    const [kept, held] = holdOut(examples, 0.2, 3);
    expect([kept.count, held.count]).toEqual([8, 2]);
    const firsts = [...kept.data.filter((_, i) => i % 16 === 0), ...held.data.filter((_, i) => i % 16 === 0)];
    expect(firsts.toSorted((a, b) => a - b)).toEqual(
      [...examples.data.filter((_, i) => i % 16 === 0)].toSorted((a, b) => a - b),
    );
  });
});

describe('architectures', () => {
  it('a description becomes a network that trains', async () => {
    const layers = [
      { conv: 4, stride: 2 },
      { block: 4 },
      { block: 8, stride: 2 },
      { separable: 8 },
      { maxpool: 2 },
      { globalpool: true },
      { dense: 3 },
    ];
    const net = buildNetwork({ name: 'small', input: [1, 16, 16], layers }, 3);
    const examples: Examples = {
      count: 8,
      shape: [1, 16, 16],
      data: bytes(2048, (i) => i % 256),
      labels: bytes(8, (i) => i % 3),
    };
    const trainer = createTrainer(net, { examples, batch: 4, threads: 1 });
    const { loss } = await trainer.train({ steps: 2, rate: 0.01 });
    expect(loss).toBeGreaterThan(0);
    await trainer.dispose();
  });

  it('recurrent layers stand one above the other: all states of the first are the sequence of the second', async () => {
    const layers = [{ gru: 6, sequence: true }, { gru: 5 }, { dense: 3 }];
    const net = buildNetwork({ input: [7, 4], layers }, 3);
    const data = Float32Array.from({ length: 8 * 28 }, (_, i) => Math.sin(i));
    const examples: Examples = { count: 8, shape: [7, 4], data, labels: bytes(8, (i) => i % 3) };
    const trainer = createTrainer(net, { examples, batch: 8, threads: 1, optimizer: { kind: 'adam' } });
    await trainer.train({ steps: 60, rate: 0.05 });
    expect((await trainer.evaluate({ on: 'train' })).correct).toBe(8);
    await trainer.dispose();
  });

  it('the same seed gives the same weights, another gives others', () => {
    const make = (seed: number): unknown =>
      buildNetwork({ input: [5, 4], layers: [{ gru: 6 }, { dense: 2 }] }, seed).weights.get('layer0.R')?.data;
    expect(make(1)).toEqual(make(1));
    expect(make(1)).not.toEqual(make(2));
  });

  it.each([
    ['nothing', null],
    ['no layers', { input: [3, 8, 8] }],
    ['an unknown layer', { input: [3, 8, 8], layers: [{ convolution: 4 }] }],
    ['an unknown option', { input: [3, 8, 8], layers: [{ conv: 4, strides: 2 }] }],
    ['a number that is none', { input: [3, 8, 8], layers: [{ conv: 'four' }] }],
    ['a GRU over pictures', { input: [3, 8, 8], layers: [{ gru: 4 }] }],
    ['a pool larger than the picture', { input: [3, 8, 8], layers: [{ maxpool: 9 }] }],
    ['a group that does not divide', { input: [3, 8, 8], layers: [{ conv: 4, group: 2 }] }],
  ])('refuses %s', (_, description) => {
    expect(() => buildNetwork(description)).toThrow(expect.objectContaining({ code: 'GRIM_TRAIN_BAD_NETWORK' }));
  });
});
