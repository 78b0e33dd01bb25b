/** What `grim run` reads besides tensors: pictures, sounds, archives; and what it makes of them. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { deflateSync } from 'node:zlib';
import { decodeWav, readNpy, readNpz, writeNpy } from '@grim/files';
import { GrimError, type Tensor, type TensorType } from '@grim/ir';
import type { Model } from '@grim/runtime';
import { pictureInput } from '@grim/runtime/picture';
import encodeJpeg, { init as initEncoder } from '@jsquash/jpeg/encode.js';
import { zipSync } from 'fflate';
import { beforeAll, describe, expect, it } from 'vitest';
import { audioTensor } from '../src/inputs/audio.ts';
import { decodePicture } from '../src/inputs/decode-picture.ts';
import type { Picture } from '../src/inputs/picture.ts';
import { asPreprocess, normalisation, type PictureOptions, prepare } from '../src/inputs/preprocess.ts';
import { centreCropped, resized } from '../src/inputs/resize.ts';
import { pngBytes } from './png-bytes.ts';

/** The code of what `work` throws; anything but a GrimError fails the test. */
async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof GrimError) return error.code;
    throw error;
  }
}

/** A seeded number below `n`. */
function source(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** Every cut, and `count` copies with one to three bytes changed, half of them near the front. */
function damaged(bytes: Uint8Array, count: number, cuts: number): Uint8Array[] {
  const random = source(bytes.length);
  const step = Math.max(1, Math.floor(bytes.length / cuts));
  const result = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) => bytes.slice(0, i * step));
  for (let i = 0; i < count; i++) {
    const copy = Uint8Array.from(bytes);
    for (let flips = random(3); flips >= 0; flips--)
      copy[random(random(2) === 0 ? Math.min(64, copy.length) : copy.length)] = random(256);
    result.push(copy);
  }
  return result;
}

/** The picture that Pillow was given for the sums below. */
const WIDTH = 40;
const HEIGHT = 26;
const sample = (x: number, y: number, c: number): number => (x * x * 7 + y * 13 * (c + 1) + c * 29 + x * y * 5) % 256;
const PICTURE: Picture = {
  width: WIDTH,
  height: HEIGHT,
  channels: 3,
  data: Uint8Array.from({ length: WIDTH * HEIGHT * 3 }, (_, i) =>
    sample(Math.floor(i / 3) % WIDTH, Math.floor(i / 3 / WIDTH), i % 3),
  ),
};
const sum = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex').slice(0, 16);

describe('PNG', () => {
  const samples = (count: number, depth: number): number[] =>
    Array.from({ length: count }, (_, i) => (i * 7919 + 3) % 2 ** depth);

  it.for([
    [0, 1],
    [0, 2],
    [0, 4],
    [0, 8],
    [0, 16],
    [2, 8],
    [2, 16],
  ] as const)('reads colour type %s with %s bits', async ([color, depth]) => {
    const channels = color === 0 ? 1 : 3;
    const values = samples(13 * 7 * channels, depth);
    const found = await decodePicture(pngBytes({ width: 13, height: 7, color, depth, samples: values }));
    expect(found).toMatchObject({ width: 13, height: 7, channels });
    expect(Array.from(found.data)).toEqual(values.map((value) => Math.round((255 * value) / (2 ** depth - 1))));
  });

  it.for([8, 16])('reads interlaced files with %s bits, and refuses those with fewer', async (depth) => {
    const kind = { width: 9, height: 11, color: 2, samples: samples(297, depth), depth } as const;
    const plain = await decodePicture(pngBytes(kind));
    expect(await decodePicture(pngBytes({ ...kind, interlaced: true }))).toEqual(plain);
    const narrow = pngBytes({ ...kind, color: 0, depth: 2, samples: samples(99, 2), interlaced: true });
    await expect(decodePicture(narrow)).rejects.toThrow(/interlaced with 2 bits.*Save it without/);
  });

  it('reads palettes, and refuses colours beyond them', async () => {
    const kind = { width: 5, height: 1, color: 3, depth: 2, palette: [9, 8, 7, 1, 2, 3, 255, 0, 128] };
    const found = await decodePicture(pngBytes({ ...kind, samples: [2, 1, 0, 1, 2] }));
    expect(Array.from(found.data)).toEqual([255, 0, 128, 1, 2, 3, 9, 8, 7, 1, 2, 3, 255, 0, 128]);
    await expect(decodePicture(pngBytes({ ...kind, samples: [3, 1, 0, 1, 2] }))).rejects.toThrow(/beyond the palette/);
  });

  it('takes alpha that hides nothing, and refuses what is transparent', async () => {
    const rgba = (alpha: number) => pngBytes({ width: 1, height: 1, color: 6, depth: 8, samples: [1, 2, 3, alpha] });
    expect(Array.from((await decodePicture(rgba(255))).data)).toEqual([1, 2, 3]);
    await expect(decodePicture(rgba(254))).rejects.toThrow(/transparent in places.*Flatten it/);
    const gray = pngBytes({ width: 1, height: 1, color: 4, depth: 16, samples: [1000, 65535] });
    expect(Array.from((await decodePicture(gray)).data)).toEqual([4]);
    const marked = pngBytes({
      ...{ width: 1, height: 1, color: 3, depth: 8, samples: [0], palette: [1, 2, 3] },
      extra: [['tRNS', Uint8Array.of(0)]],
    });
    await expect(decodePicture(marked)).rejects.toThrow(/transparent/);
  });

  it('L11: refuses sizes and pixels that the file only claims, before it allocates them', async () => {
    const kind = { width: 4, height: 4, color: 0, depth: 8, samples: samples(16, 8) };
    const huge = pngBytes({ ...kind, width: 2 ** 31 - 1, height: 2 ** 31 - 1, pixels: new Uint8Array(8) });
    await expect(decodePicture(huge)).rejects.toThrow(/at most 67108864 are decoded/);
    await expect(decodePicture(pngBytes({ ...kind, width: 0, samples: [] }))).rejects.toThrow(/nothing in it/);
    const bomb = pngBytes({ ...kind, pixels: deflateSync(new Uint8Array(2 ** 24)) });
    await expect(decodePicture(bomb)).rejects.toThrow(/20 bytes of pixels cannot be inflated/);
    const short = pngBytes({ ...kind, pixels: deflateSync(new Uint8Array(19)) });
    await expect(decodePicture(short)).rejects.toThrow(/19 bytes of pixels, 20 expected/);
  });

  it('refuses damage with a code', async () => {
    const kinds = [
      { color: 2, depth: 8, samples: samples(297, 8) },
      { color: 2, depth: 16, samples: samples(297, 16), interlaced: true },
      { color: 3, depth: 4, samples: samples(99, 2), palette: samples(12, 8) },
    ];
    for (const kind of kinds) {
      const bytes = pngBytes({ width: 9, height: 11, ...kind });
      for (const [i, bad] of damaged(bytes, 150, 150).entries()) {
        const code = await codeOf(() => decodePicture(bad));
        expect([undefined, 'GRIM_CLI_BAD_IMAGE']).toContain(code);
        if (i < 100) expect(code, `cut ${i}`).toBeDefined();
      }
    }
  });
});

describe('JPEG', () => {
  let jpeg: Uint8Array;
  let gray: Uint8Array;
  beforeAll(async () => {
    const wasm = createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm');
    await (initEncoder as (module: WebAssembly.Module) => Promise<void>)(new WebAssembly.Module(readFileSync(wasm)));
    // Smooth, so that little is lost: left red, below green.
    const data = new Uint8ClampedArray(48 * 32 * 4);
    for (let i = 0; i < 48 * 32; i++) data.set([255 - (i % 48) * 5, Math.floor(i / 48) * 7, 60, 255], 4 * i);
    const image = { data, width: 48, height: 32, colorSpace: 'srgb' } as ImageData;
    jpeg = new Uint8Array(await encodeJpeg(image, { quality: 95, progressive: false }));
    gray = new Uint8Array(await encodeJpeg(image, { quality: 95, color_space: 1 }));
  });

  /** With an EXIF segment that says how the camera was held. */
  const turned = (orientation: number): Uint8Array => {
    const exif = [...'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0'].map((c) => c.charCodeAt(0));
    const content = [...exif, orientation, 0, 0, 0, 0, 0, 0, 0];
    return Uint8Array.from([0xff, 0xd8, 0xff, 0xe1, 0, content.length + 2, ...content, ...jpeg.subarray(2)]);
  };
  const at = ({ data, width, channels }: Picture, x: number, y: number): number[] =>
    Array.from(data.subarray((y * width + x) * channels, (y * width + x + 1) * channels));
  const close = (found: readonly number[], wanted: readonly number[]): boolean =>
    found.length === wanted.length && found.every((value, i) => Math.abs(value - (wanted[i] ?? 0)) < 12);

  it('reads baseline and progressive, colour and gray', async () => {
    const found = await decodePicture(jpeg);
    expect(found).toMatchObject({ width: 48, height: 32, channels: 3 });
    expect(close(at(found, 4, 20), [235, 140, 60])).toBe(true);
    expect(await decodePicture(gray)).toMatchObject({ width: 48, height: 32, channels: 1 });
  });

  it('turns pictures as EXIF says', async () => {
    const right = await decodePicture(turned(6));
    expect(right).toMatchObject({ width: 32, height: 48 });
    expect(close(at(right, 31 - 20, 4), [235, 140, 60])).toBe(true);
    const over = await decodePicture(turned(3));
    expect(close(at(over, 47 - 4, 31 - 20), [235, 140, 60])).toBe(true);
  });

  it('refuses CMYK, other depths, two frames, and sizes that the file only claims', async () => {
    const frame = jpeg.findIndex((byte, i) => byte === 0xff && (jpeg[i + 1] === 0xc0 || jpeg[i + 1] === 0xc2));
    const changed = (offset: number, ...bytes: number[]): Uint8Array => {
      const copy = Uint8Array.from(jpeg);
      copy.set(bytes, frame + offset);
      return copy;
    };
    await expect(decodePicture(changed(9, 4))).rejects.toThrow(
      /4 components \(CMYK, for printing\)\. Convert it to RGB/,
    );
    await expect(decodePicture(changed(4, 12))).rejects.toThrow(/samples have 12 bits/);
    await expect(decodePicture(changed(5, 0xff, 0xff, 0xff, 0xff))).rejects.toThrow(/65535 × 65535 pixels; at most/);
    const length = 2 + ((jpeg[frame + 2] ?? 0) << 8) + (jpeg[frame + 3] ?? 0);
    const twice = [...jpeg.subarray(0, frame + length), ...jpeg.subarray(frame)];
    await expect(decodePicture(Uint8Array.from(twice))).rejects.toThrow(/two frames/);
  });

  it('refuses more scans than a picture needs', async () => {
    const scan = jpeg.findIndex((byte, i) => byte === 0xff && jpeg[i + 1] === 0xda);
    const many = [
      ...jpeg.subarray(0, -2),
      ...Array.from({ length: 101 }, () => [...jpeg.subarray(scan, scan + 14)]).flat(),
    ];
    await expect(decodePicture(Uint8Array.from(many))).rejects.toThrow(/more than 100 scans/);
  });

  it('refuses damage with a code, and never fills up what is missing', async () => {
    const cuts = 60;
    for (const [i, bad] of damaged(jpeg, 80, cuts).entries()) {
      const code = await codeOf(() => decodePicture(bad));
      expect([undefined, 'GRIM_CLI_BAD_IMAGE']).toContain(code);
      if (i < cuts) expect(code, `cut ${i}`).toBeDefined();
    }
  });

  it('says what a file is that is no picture', async () => {
    const text = (content: string) => decodePicture(new TextEncoder().encode(content));
    await expect(text('')).rejects.toThrow(/it is empty/);
    await expect(text('GIF89a')).rejects.toThrow(/a GIF/);
    await expect(text('version https://git-lfs')).rejects.toThrow(/LFS pointer/);
  });
});

describe('resize and crop', () => {
  // Pillow 12.3: Image.resize((width, height), BILINEAR), SHA-256 of the bytes.
  it.for([
    [20, 13, '068b720082b3f4aa'],
    [17, 30, 'b40f3147c7ad7c71'],
    [64, 9, '9f0f4f1142966b3a'],
    [40, 7, '235dd1676560bb66'],
    [3, 26, '1dc19ac7fbbf5d9f'],
    [1, 1, '9dfcbb4823600531'],
  ] as const)('to %s × %s gives the bytes of Pillow', ([width, height, wanted]) => {
    expect(sum(resized(PICTURE, { width, height }).data)).toBe(wanted);
  });

  it('takes the shorter side, and the middle, as torchvision', () => {
    expect(resized(PICTURE, 13)).toMatchObject({ width: 20, height: 13 });
    expect(resized(PICTURE, 7)).toMatchObject({ width: Math.trunc((7 * 40) / 26), height: 7 });
    // (26 − 23) / 2 = 1.5 and (40 − 35) / 2 = 2.5: both become 2.
    const { data, ...size } = centreCropped(PICTURE, { width: 35, height: 23 });
    expect([size.width, size.height, Array.from(data.subarray(0, 3))]).toEqual([
      35,
      23,
      [0, 1, 2].map((c) => sample(2, 2, c)),
    ]);
    expect(() => centreCropped(PICTURE, { width: 41, height: 1 })).toThrow(
      /larger than the picture\. Add --resize first/,
    );
    expect(() => resized({ ...PICTURE, height: 1, data: PICTURE.data.slice(0, 120) }, 65536)).toThrow(/at most/);
  });
});

describe('from pictures to tensors', () => {
  const tensor = (
    shape: TensorType['shape'],
    options: PictureOptions,
    dtype: TensorType['dtype'] = 'float32',
  ): Tensor => {
    const type = { dtype, shape };
    return prepare(PICTURE, type, normalisation(type, undefined, options), options).tensor;
  };
  const [x, y] = [11, 5];

  it('scales, centres and spreads each channel, in either layout and order', () => {
    const options = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    const wanted = (c: number, i: number): number =>
      (sample(x, y, c) / 255 - (options.mean[i] ?? 0)) / (options.std[i] ?? 1);
    const rgb = tensor([1, 3, HEIGHT, WIDTH], options);
    const bgr = tensor(['N', 'H', 'W', 'C'], { ...options, layout: 'NHWC', channels: 'bgr' });
    expect([rgb.shape, bgr.shape]).toEqual([
      [1, 3, HEIGHT, WIDTH],
      [1, HEIGHT, WIDTH, 3],
    ]);
    for (let i = 0; i < 3; i++) {
      expect(rgb.data[(i * HEIGHT + y) * WIDTH + x]).toBe(Math.fround(wanted(i, i)));
      expect(bgr.data[(y * WIDTH + x) * 3 + i]).toBe(Math.fround(wanted(2 - i, i)));
    }
  });

  it('makes gray as Pillow', () => {
    const { data } = tensor([1, HEIGHT, WIDTH], { scale: 1 }, 'uint8');
    expect(sum(data as Uint8Array)).toBe('e389a539570f2a09');
  });

  it('says the same in the units of the file', () => {
    const type: TensorType = { dtype: 'float32', shape: [1, 3, HEIGHT, WIDTH] };
    const options: PictureOptions = { channels: 'bgr', scale: 1, mean: [104, 117, 123] };
    const direct = prepare(PICTURE, type, normalisation(type, undefined, options), {}).tensor;
    const own = asPreprocess(normalisation(type, undefined, options));
    const kept = prepare(PICTURE, type, normalisation(type, own, {}), {}).tensor;
    kept.data.forEach((value, i) => {
      expect(value).toBeCloseTo(direct.data[i] as number, 4);
    });
  });

  it.for<readonly [what: string, shape: readonly number[], options: PictureOptions, says: RegExp]>([
    [
      'another size',
      [1, 3, 224, 224],
      {},
      /40 wide and 26 high.*Add --resize 224x224, or --resize 256 --center-crop 224/,
    ],
    ['the other layout', [1, HEIGHT, WIDTH, 3], {}, /NCHW with 26 channels.*Add --layout NHWC/],
    ['four channels', [1, 4, HEIGHT, WIDTH], {}, /with 4 channels; a picture has 1 or 3/],
    ['gray for three', [1, 3, HEIGHT, WIDTH], { channels: 'gray' }, /gray has 1/],
    ['two means', [1, 3, HEIGHT, WIDTH], { mean: [1, 2] }, /--mean has 2 values; rgb takes 1 or 3/],
    ['a matrix', [3, 4], {}, /a picture needs \[N, C, H, W\]/],
    ['a batch', [2, 3, HEIGHT, WIDTH], {}, /takes 2 pictures at once/],
  ])('refuses %s with what to do', ([, shape, options, says]) => {
    expect(() => tensor(shape, options)).toThrow(says);
  });

  it('refuses fractions for integers', () => {
    expect(() => tensor([1, 3, HEIGHT, WIDTH], { scale: 1 / 255 }, 'uint8')).toThrow(/Add --scale 1/);
  });
});

/** A WAV file; `extra` chunks stand before the samples. */
function wavBytes(codec: number, bits: number, channels: number, data: Uint8Array, extensible = false): Uint8Array {
  const format = new DataView(new ArrayBuffer(extensible ? 40 : 16));
  format.setUint16(0, extensible ? 0xfffe : codec, true);
  format.setUint16(2, channels, true);
  format.setUint32(4, 16000, true);
  format.setUint32(8, (16000 * channels * bits) / 8, true);
  format.setUint16(12, (channels * bits) / 8, true);
  format.setUint16(14, bits, true);
  if (extensible) format.setUint16(24, codec, true);
  const chunk = (name: string, content: Uint8Array): number[] => {
    const length = new Uint8Array(Uint32Array.of(content.length).buffer);
    const padding = content.length % 2 === 0 ? [] : [0];
    return [...name].map((c) => c.charCodeAt(0)).concat([...length], [...content], padding);
  };
  const odd = chunk('LIST', Uint8Array.of(1, 2, 3));
  const body = [...odd, ...chunk('fmt ', new Uint8Array(format.buffer)), ...chunk('data', data)];
  const words = [...'WAVE'].map((c) => c.charCodeAt(0));
  return Uint8Array.from(chunk('RIFF', Uint8Array.from([...words, ...body])));
}

describe('WAV', () => {
  const values = [0, 0.5, -1, 0.25, -0.125, 0.75];
  const integers = (bits: number): Uint8Array =>
    Uint8Array.from(
      values.flatMap((value) => {
        const whole = value * 2 ** (bits - 1) + (bits === 8 ? 128 : 0);
        return Array.from({ length: bits / 8 }, (_, i) => Math.floor(whole / 256 ** i) & 255);
      }),
    );

  it.for([
    [1, 8, integers(8)],
    [1, 16, integers(16)],
    [1, 24, integers(24)],
    [1, 32, integers(32)],
    [3, 32, new Uint8Array(Float32Array.from(values).buffer)],
    [3, 64, new Uint8Array(Float64Array.from(values).buffer)],
  ] as const)('reads format %s with %s bits', ([codec, bits, data]) => {
    for (const extensible of [false, true]) {
      const { samples, rate, channels } = decodeWav(wavBytes(codec, bits, 2, data, extensible));
      expect([rate, channels, Array.from(samples)]).toEqual([16000, 2, values]);
    }
  });

  it('mixes channels where the input has none, and keeps them where it has', () => {
    const sound = decodeWav(wavBytes(1, 16, 2, integers(16)));
    const mixed = audioTensor(sound, { dtype: 'float32', shape: [1, 'L'] }, {});
    expect([mixed.tensor.shape, Array.from(mixed.tensor.data as Float32Array)]).toEqual([
      [1, 3],
      [0.25, -0.375, 0.3125],
    ]);
    expect(mixed.note).toBe('3 samples at 16000 Hz, 2 channels mixed to 1');
    const kept = audioTensor(sound, { dtype: 'float32', shape: [1, 2, 3] }, {});
    expect(Array.from(kept.tensor.data as Float32Array)).toEqual([0, -1, -0.125, 0.5, 0.25, 0.75]);
    expect(() => audioTensor(sound, { dtype: 'float32', shape: [1, 512] }, {})).toThrow(
      /3 samples .*takes 512\. Cut it/,
    );
  });

  it('resamples where that is asked for: a sine stays a sine', () => {
    const sine = (rate: number) =>
      Float32Array.from({ length: rate / 10 }, (_, i) => Math.sin((2 * Math.PI * 440 * i) / rate));
    for (const [from, to] of [
      [44100, 16000],
      [8000, 16000],
      [16000, 8000],
    ] as const) {
      const sound = { rate: from, channels: 1, samples: sine(from) };
      const { tensor } = audioTensor(sound, { dtype: 'float32', shape: ['L'] }, { resample: to });
      const wanted = sine(to);
      expect(tensor.shape).toEqual([wanted.length]);
      // Away from the ends, beyond which there is silence.
      for (let i = 50; i < wanted.length - 50; i++)
        expect(Math.abs((tensor.data[i] as number) - (wanted[i] ?? 0))).toBeLessThan(0.01);
    }
  });

  it('refuses damage with a code', async () => {
    const whole = wavBytes(1, 16, 1, integers(16));
    for (const [i, bad] of damaged(whole, 1000, whole.length).entries()) {
      const code = await codeOf(() => decodeWav(bad));
      expect([undefined, 'GRIM_CLI_BAD_AUDIO']).toContain(code);
      if (i < whole.length) expect(code, `cut ${i}`).toBe('GRIM_CLI_BAD_AUDIO');
    }
    expect(() => decodeWav(wavBytes(2, 4, 1, integers(16)))).toThrow(/4 bits of format 2; PCM \(1\) and floats/);
    expect(() => decodeWav(wavBytes(1, 16, 0, integers(16)))).toThrow(/0 channels/);
  });
});

describe('.npz', () => {
  const array = (n: number): Uint8Array =>
    writeNpy({ dtype: 'float32', shape: [n], data: Float32Array.from({ length: n }, (_, i) => i) });
  const good = zipSync({ 'x.npy': array(5), 'y.npy': [array(3), { level: 0 }], 'notes.txt': new Uint8Array(4) });

  it('holds arrays by name, stored or deflated', () => {
    const entries = readNpz(good);
    expect([...entries.keys()]).toEqual(['x', 'y']);
    expect(Array.from(entries.values(), (entry) => readNpy(entry()).shape)).toEqual([[5], [3]]);
  });

  it('L11: unpacks nothing that cannot be what it says', () => {
    const zip = zipSync({ 'x.npy': new Uint8Array(2 ** 20) });
    const claims = (size: number): Uint8Array => {
      const copy = Uint8Array.from(zip);
      const view = new DataView(copy.buffer);
      const central = copy.findLastIndex((_, i) => view.byteLength - i >= 4 && view.getUint32(i, true) === 0x02014b50);
      view.setUint32(central + 24, size, true);
      return copy;
    };
    expect(() => readNpz(claims(2 ** 31)).get('x')?.()).toThrow(/at most 1073741824 are unpacked/);
    expect(() => readNpz(claims(2 ** 29)).get('x')?.()).toThrow(/which cannot be/);
    expect(() => readNpz(claims(16)).get('x')?.()).toThrow(/damaged|cannot be/);
    expect(() => readNpz(zipSync({}))).toThrow(/no array/);
  });

  it('refuses damage with a code', async () => {
    for (const bad of damaged(good, 1000, good.length)) {
      const code = await codeOf(() => {
        for (const entry of readNpz(bad).values()) readNpy(entry());
      });
      expect([undefined, 'GRIM_CLI_BAD_TENSOR']).toContain(code);
    }
  });
});

describe('a page and the command', () => {
  it('make the same numbers of the same pixels, to the last bit', () => {
    const shape = [1, 3, 20, 20];
    const own = { layout: 'NCHW', channels: 'bgr', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;
    const type = { dtype: 'float32', shape } as const;
    const options = { resize: 24, crop: { height: 20, width: 20 } };
    const { tensor } = prepare(PICTURE, type, normalisation(type, own, options), options);
    const manifest = { inputs: [{ name: 'x', ...type, preprocess: own }], states: [] };
    const model = { manifest } as unknown as Model<{ x: Float32Array }>;
    expect(pictureInput(model, PICTURE, { resize: 24 }).x).toEqual(tensor.data);
    const rgba = Uint8Array.from({ length: WIDTH * HEIGHT * 4 }, (_, i) =>
      i % 4 === 3 ? 255 : (PICTURE.data[Math.floor(i / 4) * 3 + (i % 4)] ?? 0),
    );
    expect(pictureInput(model, { ...PICTURE, channels: 4, data: rgba }, { resize: 24 }).x).toEqual(tensor.data);
  });
});
