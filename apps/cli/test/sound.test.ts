/**
 * Sounds become inputs as a file says: the numbers of training, of `grim run` and of a page are the same, and a keyword network
 * hears what its authors recorded.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { decodeWav } from '@grim/files';
import { graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { loadModel } from '@grim/runtime';
import { soundInput } from '@grim/runtime/sound';
import { mfcc } from '@grim/train/mfcc';
import { describe, expect, it } from 'vitest';
import { grim, ROOT, temporaryFolder } from './grim.ts';

const DATA = resolve(ROOT, process.env['GRIM_DATA'] ?? '../shared/data');

function wav(samples: readonly number[], rate: number): Uint8Array {
  const out = Buffer.alloc(44 + 2 * samples.length);
  out.write('RIFF', 0);
  out.writeUInt32LE(36 + 2 * samples.length, 4);
  out.write('WAVEfmt ', 8);
  out.writeUInt32LE(16, 16);
  out.writeUInt16LE(1, 20);
  out.writeUInt16LE(1, 22);
  out.writeUInt32LE(rate, 24);
  out.writeUInt32LE(2 * rate, 28);
  out.writeUInt16LE(2, 32);
  out.writeUInt16LE(16, 34);
  out.write('data', 36);
  out.writeUInt32LE(2 * samples.length, 40);
  for (const [i, sample] of samples.entries()) out.writeInt16LE(Math.round(32767 * sample), 44 + 2 * i);
  return out;
}

/** A chirp in noise, the same each time. */
function recording(rate: number): readonly number[] {
  let seed = 7;
  return Array.from({ length: rate }, (_, i) => {
    seed = (seed * 16807) % 2147483647;
    return 0.4 * Math.sin(((200 + (800 * i) / rate) * 2 * Math.PI * i) / rate) + 0.1 * (seed / 2147483647 - 0.5);
  });
}

/** A network that gives its input back, a recording, and the file compiled with these flags. */
async function compiled(shape: readonly number[], rate: number, ...flags: readonly string[]) {
  const folder = temporaryFolder();
  const [model, sound, output] = ['same.onnx', 'sound.wav', 'same.grim'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const net = graph('same', (b) => b.output('y', b.add('Identity', [b.input('x', 'float32', shape)])));
  writeFileSync(model, toOnnx(net));
  writeFileSync(sound, wav(recording(rate), rate));
  const { code, err, out, files } = await grim(['compile', model, '-o', output, '--json', ...flags]);
  expect([code, err]).toEqual([0, '']);
  writeFileSync(output, files[0]?.content ?? '');
  return { folder, model, sound, output, report: JSON.parse(out), samples: decodeWav(readFileSync(sound)).samples };
}

/** What `grim run` gives for the recording. */
async function ran(model: string, sound: string, ...flags: readonly string[]): Promise<readonly number[]> {
  const output = join(temporaryFolder(), 'y.json');
  const { code, err, files } = await grim(['run', model, sound, '-o', output, ...flags]);
  expect([code, err]).toEqual([0, '']);
  const value = JSON.parse(String(files[0]?.content));
  return (Array.isArray(value) ? value : value.data).flat(9);
}

const furthest = (a: readonly number[] | Float32Array, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));

describe('sounds', () => {
  it('are the numbers of training, in grim run and in soundInput, from one file', async () => {
    const { sound, output, report, samples, model } = await compiled([1, 49, 10], 16000, '--features', 'mfcc');
    expect(report.sound).toMatchObject({ rate: 16000, window: 640, step: 320, fft: 1024, bands: 40, coefficients: 10 });
    const wanted = mfcc(samples, { rate: 16000, coefficients: 10 });
    expect(wanted).toHaveLength(490);
    using loaded = await loadModel(readFileSync(output));
    const own = soundInput(loaded, samples, { sampleRate: 16000 })['x'] as Float32Array;
    const run = await ran(output, sound);
    expect(Math.max(...wanted) - Math.min(...wanted)).toBeGreaterThan(10);
    expect(furthest(own, wanted)).toBeLessThan(1e-5);
    expect(furthest(own, run)).toBeLessThan(1e-5);
    expect(furthest(await ran(model, sound, '--features', 'mfcc'), wanted)).toBeLessThan(1e-5);
  });

  it('with settings, mean and spread, resampled, as logarithms of bands', async () => {
    const flags = ['--features', 'logmel,rate=8000,window=32,step=16', '--mean=-3', '--std', '2'];
    const { sound, output, report, samples } = await compiled([1, 60, 24], 16000, ...flags);
    expect(report.sound).toMatchObject({ rate: 8000, window: 256, step: 128, bands: 24, coefficients: 0, mean: [-3] });
    using loaded = await loadModel(readFileSync(output));
    const own = soundInput(loaded, samples, { sampleRate: 16000 })['x'] as Float32Array;
    expect(own).toHaveLength(1440);
    expect(furthest(own, await ran(output, sound))).toBeLessThan(1e-5);
  });

  it.for(['yes', 'no', 'silence'])(
    'a GRU of ML-KWS-for-MCU hears "%s" as it did by another engine',
    async (word, context) => {
      const model = join(DATA, 'models/kws_gru_l/model.onnx');
      const sound = join(DATA, `audio/${word}_1000ms.wav`);
      if (!existsSync(model) || !existsSync(sound)) context.skip('the data folder (GRIM_DATA) is not there');
      const output = join(temporaryFolder(), 'kws.grim');
      const { files } = await grim(['compile', model, '--dim', 'N=1', '--features', 'mfcc', '-o', output]);
      writeFileSync(output, files[0]?.content ?? '');
      using loaded = await loadModel(readFileSync(output));
      const { samples, rate } = decodeWav(readFileSync(sound));
      const [scores] = Object.values(await loaded.run(soundInput(loaded, samples, { sampleRate: rate }))) as [
        Float32Array,
      ];
      const words = 'silence unknown yes no up down left right on off stop go'.split(' ');
      const sum = scores.reduce((all, one) => all + Math.exp(one), 0);
      const best = scores.indexOf(Math.max(...scores));
      // The data folder's README has what onnxruntime answered.
      const wanted = { yes: 1, no: 1, silence: 0.839 }[word] ?? 0;
      expect(words[best]).toBe(word);
      expect(Math.abs(Math.exp(scores[best] as number) / sum - wanted)).toBeLessThan(0.001);
    },
  );

  it.for([
    [['--features', 'cepstrum'], /mfcc or logmel is needed/],
    [['--features', 'mfcc,size=3'], /"size=3" is no setting/],
    [['--features', 'mfcc,highest=9000'], /--features mfcc: lowest 20, highest 9000/],
    [['--features', 'mfcc', '--layout', 'NCHW'], /--layout is for pictures, --features for sounds/],
    [['--features', 'mfcc', '--mean', '1,2'], /--features mfcc: mean/],
  ] as const)('L1: %s is wrong usage', async ([flags, sentence]) => {
    const path = join(temporaryFolder(), 'same.onnx');
    writeFileSync(
      path,
      toOnnx(graph('same', (b) => b.output('y', b.add('Identity', [b.input('x', 'float32', [1, 49, 10])])))),
    );
    const { code, err, files } = await grim(['compile', path, '-o', 'x.grim', ...flags]);
    expect([code, err, files]).toEqual([2, expect.stringMatching(sentence), []]);
  });
});
