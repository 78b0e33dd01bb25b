/** From sounds to inputs: by what follows from the definitions. That the numbers are those of `grim run` and of training, the command's tests say. */
import { compile, pack } from '@grim/codegen';
import { graph, type SoundPreprocess } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../src/index.ts';
import { resampleSound, soundFeatures, soundInput } from '../src/sound.ts';

const HOW: SoundPreprocess = {
  ...{ rate: 16000, window: 640, step: 320, fft: 1024, bands: 40, lowest: 20, highest: 4000, coefficients: 10 },
  ...{ mean: [0], std: [1] },
};
const tone = (hertz: number, length: number, rate = 16000): Float32Array =>
  Float32Array.from({ length }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / rate));

/** A model that gives its input back, and says this of sounds. */
function file(sound: unknown, shape: readonly number[] = [1, 5, 10]): Uint8Array {
  const net = graph('same', (b) => b.output('y', b.add('Identity', [b.input('x', 'float32', shape)])));
  const compiled = compile(net);
  const inputs = compiled.manifest.inputs.map((one) => ({ ...one, sound: sound as SoundPreprocess }));
  return pack({ ...compiled, manifest: { ...compiled.manifest, inputs } });
}
const error = async (work: () => unknown) => {
  try {
    await work();
  } catch (caught) {
    return caught as { readonly code: string; readonly message: string };
  }
  throw new Error('nothing was refused');
};

describe('a sound becomes an input', () => {
  it('a file that says how is of version 1.1, which the core of 1.0 loads and runs', async () => {
    const bytes = file(HOW);
    expect([...bytes.subarray(4, 8)]).toEqual([1, 0, 1, 0]);
    using model = await loadModel(bytes);
    const input = soundInput(model, tone(440, 16000));
    expect(input['x']).toHaveLength(50);
    expect((await model.run(input))['y']).toEqual(input['x']);
  });

  it('cuts, or goes on with the last frame', async () => {
    using model = await loadModel(file(HOW));
    const long = soundInput(model, tone(440, 16000))['x'] as Float32Array;
    const [short, two] = [tone(440, 640 + 320), soundFeatures(tone(440, 640 + 320), HOW)];
    expect(two.frames).toBe(2);
    const filled = soundInput(model, short)['x'] as Float32Array;
    expect(filled.subarray(0, 20)).toEqual(two.data);
    for (const t of [2, 3, 4]) expect(filled.subarray(10 * t, 10 * t + 10)).toEqual(two.data.subarray(10));
    expect(long.subarray(0, 20)).toEqual(two.data);
  });

  it('a tone is loudest in the band around its frequency', () => {
    const how = { ...HOW, coefficients: 0 };
    const mel = (hertz: number) => 1127 * Math.log1p(hertz / 700);
    for (const hertz of [300, 1000, 2500]) {
      const { data, features } = soundFeatures(tone(hertz, 640), how);
      expect(features).toBe(40);
      const loudest = data.indexOf(Math.max(...data));
      const wanted = ((mel(hertz) - mel(20)) / (mel(4000) - mel(20))) * 41 - 1;
      expect(Math.abs(loudest - wanted)).toBeLessThanOrEqual(1);
    }
  });

  it('silence is the floor: its logarithm in the first coefficient, nothing in the others', () => {
    const { data } = soundFeatures(new Float32Array(640), HOW);
    expect(data[0]).toBeCloseTo(Math.sqrt(2 / 40) * 40 * Math.log(1e-12), 3);
    for (const value of data.subarray(1)) expect(Math.abs(value)).toBeLessThan(1e-9);
  });

  it('less the mean, over the spread, of each feature or of all', () => {
    const plain = soundFeatures(tone(440, 640), HOW).data;
    const mean = Array.from({ length: 10 }, (_, i) => i);
    const each = soundFeatures(tone(440, 640), { ...HOW, mean, std: [2] }).data;
    for (const [i, value] of each.entries()) expect(value).toBe(Math.fround(((plain[i] as number) - i) / 2));
  });

  it('at another rate, of several channels, of an AudioBuffer', async () => {
    using model = await loadModel(file(HOW));
    const wanted = soundInput(model, tone(440, 16000))['x'] as Float32Array;
    const faster = soundInput(model, tone(440, 44100, 44100), { sampleRate: 44100 })['x'] as Float32Array;
    // What the filter leaves of the tone's neighbourhood is what differs.
    for (let t = 1; t < 4; t++)
      expect(Math.abs((faster[10 * t] as number) - (wanted[10 * t] as number))).toBeLessThan(25);
    const silent = new Float32Array(16000);
    const half = tone(440, 16000).map((one) => one / 2);
    expect(soundInput(model, [tone(440, 16000), silent])).toEqual(soundInput(model, half));
    const buffer = { sampleRate: 16000, numberOfChannels: 1, getChannelData: () => tone(440, 16000) };
    expect(soundInput(model, buffer)['x']).toEqual(wanted);
  });

  it('resampling keeps a tone that fits both rates', () => {
    const down = resampleSound(tone(440, 44100, 44100), 44100, 16000);
    expect(down).toHaveLength(16000);
    const wanted = tone(440, 16000);
    for (let i = 100; i < 15900; i++) expect(Math.abs((down[i] as number) - (wanted[i] as number))).toBeLessThan(2e-3);
    expect(resampleSound(wanted, 16000, 16000)).toBe(wanted);
  });
});

describe('what a file may not say of sounds is refused when it is used', () => {
  const list = (length: number) => new Array<number>(length).fill(1);
  it.each<[string, unknown]>([
    ['nothing', null],
    ['a text', 'mfcc'],
    ['no rate', { ...HOW, rate: undefined }],
    ['a rate of 0', { ...HOW, rate: 0 }],
    ['a broken window', { ...HOW, window: 640.5 }],
    ['no step', { ...HOW, step: 0 }],
    ['a transform shorter than a frame', { ...HOW, fft: 512 }],
    ['a transform of no power of two', { ...HOW, fft: 1000 }],
    ['a huge transform', { ...HOW, fft: 2 ** 30 }],
    ['a billion bands', { ...HOW, bands: 1e9, coefficients: 0 }],
    ['more coefficients than bands', { ...HOW, coefficients: 41 }],
    ['frequencies beyond half the rate', { ...HOW, highest: 9000 }],
    ['frequencies that fall', { ...HOW, lowest: 4000, highest: 20 }],
    ['frequencies of text', { ...HOW, lowest: '20', highest: {} }],
    ['a mean of two', { ...HOW, mean: list(2) }],
    ['a mean of text', { ...HOW, mean: ['1'] }],
    ['a spread of 0', { ...HOW, std: [0] }],
    ['another number of features', { ...HOW, coefficients: 12 }],
  ])('%s', async (_, sound) => {
    // As a file may be, not as the compiler writes it: any JSON.
    const net = graph('same', (b) => b.output('y', b.add('Identity', [b.input('x', 'float32', [1, 5, 10])])));
    using model = await loadModel(pack(compile(net)));
    const inputs = model.manifest.inputs.map((one) => ({ ...one, sound: sound as SoundPreprocess }));
    const hostile = { ...model, manifest: { ...model.manifest, inputs }, run: model.run.bind(model) };
    expect(await error(() => soundInput(hostile, tone(440, 16000), { input: 'x' }))).toMatchObject({
      code: expect.stringMatching(/^GRIM_RUNTIME_BAD_(ARTIFACT|INPUT)$/),
      message: expect.stringContaining('"x"'),
    });
  });

  it('and what is no sound, in words', async () => {
    using model = await loadModel(file(HOW));
    const says = async (sound: unknown, options: object, code: string, words: RegExp) =>
      expect(await error(() => soundInput(model, sound as Float32Array, options))).toMatchObject({
        code: `GRIM_RUNTIME_BAD_${code}`,
        message: expect.stringMatching(words),
      });
    await says(new Float32Array(100), {}, 'INPUT', /100 samples at 16000 Hz are shorter than one frame/);
    await says([1, 2], {}, 'INPUT', /a Float32Array/);
    await says([new Float32Array(2), new Float32Array(3)], {}, 'INPUT', /several of one length/);
    await says(tone(440, 800), { sampleRate: 0 }, 'OPTION', /sampleRate is 0/);
    await says(tone(440, 800), { input: 'z' }, 'OPTION', /no input "z"; it has "x"/);
    const net = graph('same', (b) => b.output('y', b.add('Identity', [b.input('x', 'float32', [1, 5, 10])])));
    using silent = await loadModel(pack(compile(net)));
    expect((await error(() => soundInput(silent, tone(440, 800)))).message).toMatch(
      /does not say how a sound becomes "x"/,
    );
  });
});
