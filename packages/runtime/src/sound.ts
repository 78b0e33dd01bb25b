/**
 * The entry `@grim/runtime/sound`: from samples of a sound to the input of a model, as the model's file says (rate, frames,
 * mel bands, logarithm, DCT, mean and spread), with the arithmetic of `grim run` and of `grim train`: mel-frequency cepstral
 * coefficients as TensorFlow's `AudioSpectrogram` and `Mfcc` compute them. The same samples give the same numbers in a page,
 * in a worker and in Node.
 * @see TensorFlow, core/kernels/spectrogram.cc, mfcc_mel_filterbank.cc, mfcc_dct.cc
 */
import type { InputInfo, SoundPreprocess } from '@grim/ir';
import { corrupt, didYouMean, fail, quote } from './errors.ts';
import type { Model, Tensors } from './model.ts';
import type { Needed } from './picture.ts';

/** One channel of samples from −1 to 1, several of one length (their mean is taken), or what decodes and records sound in a page. */
export type SoundSource = Float32Array | readonly Float32Array[] | SoundBuffer;

/** An `AudioBuffer`, by what is used of it: Node has no name for it. */
export interface SoundBuffer {
  readonly sampleRate: number;
  readonly numberOfChannels: number;
  getChannelData(channel: number): Float32Array;
}

export interface SoundOptions<K extends PropertyKey = string> {
  /** Which input, where the model has several. */
  readonly input?: K;
  /** Samples per second; an `AudioBuffer` says it itself. Default: as many as the model takes. */
  readonly sampleRate?: number;
}

/** Features of frames: [frames, features]. */
export interface SoundFeatures {
  readonly frames: number;
  readonly features: number;
  readonly data: Float32Array;
}

const FLOOR = 1e-12;
/** What is taken at most: samples, here and after resampling. */
const MAX_SAMPLES = 2 ** 27;
const MAX_RATE = 1e6;
const MAX_FFT = 2 ** 16;
const MAX_BANDS = 1024;

/**
 * The inputs of one run on a sound: at the model's rate, as many frames as the input has (cut, or filled up with the last one).
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_INPUT when the sound or the input is none, BAD_OPTION for another option,
 *   BAD_ARTIFACT when what the file says of sounds cannot be
 * @example
 * const { scores } = await model.run(soundInput(model, samples, { sampleRate: 44100 }));
 */
export function soundInput<I extends Partial<Tensors>, O extends Partial<Tensors>, K extends keyof I = Needed<I>>(
  model: Pick<Model<I, O>, 'manifest' | 'run'>,
  sound: SoundSource,
  options: SoundOptions<K> = {},
): { [P in K]: NonNullable<I[P]> } {
  const { name, how, frames } = inputOf(model.manifest, options.input);
  const samples = samplesOf(sound);
  const rate = 'sampleRate' in sound ? sound.sampleRate : (options.sampleRate ?? how.rate);
  if (!(rate >= 1 && rate <= MAX_RATE))
    fail('BAD_OPTION', `soundInput: sampleRate is ${rate}; samples per second, from 1 to ${MAX_RATE}, are needed.`);
  const found = soundFeatures(resampleSound(samples, rate, how.rate), how);
  if (found.frames === 0)
    fail(
      'BAD_INPUT',
      `soundInput: ${samples.length} samples at ${rate} Hz are shorter than one frame, ${how.window} at ${how.rate} Hz. Fill them up with zeros.`,
    );
  return { [name]: framed(found, frames) } as { [P in K]: NonNullable<I[P]> };
}

/** As many frames as are wanted: cut, or the last one again and again. */
export function framed({ frames: have, features, data }: SoundFeatures, frames: number): Float32Array {
  const result = new Float32Array(frames * features);
  for (let t = 0; t < frames; t++) {
    const from = Math.min(t, have - 1) * features;
    result.set(data.subarray(from, from + features), t * features);
  }
  return result;
}

function inputOf({ inputs, states }: Model['manifest'], name: PropertyKey | undefined) {
  const own = inputs.filter((one) => !states.some(({ input }) => input === one.name));
  const listed = (ones: readonly InputInfo[]): string => ones.map((one) => quote(one.name)).join(', ') || 'none';
  const known = own.filter((one) => one.sound !== undefined);
  const chosen = name === undefined ? known : own.filter((one) => one.name === name);
  const [info, ...more] = chosen;
  if (!info && name !== undefined)
    fail(
      'BAD_OPTION',
      `soundInput: the model has no input ${quote(String(name))}; it has ${listed(own)}.${didYouMean(
        String(name),
        own.map((one) => one.name),
      )}`,
    );
  if (more.length > 0)
    fail('BAD_OPTION', `soundInput: ${listed(known)} of the model take sounds. Say which in { input }.`);
  if (!info?.sound)
    fail(
      'BAD_INPUT',
      `soundInput: the model does not say how a sound becomes ${listed(info ? [info] : own)}. Compile it with --features mfcc, or give it numbers.`,
    );
  return { name: info.name, how: info.sound, frames: checkSound(info) };
}

/** As a file says it, where `sound` may be anything. */
export type SoundInputInfo = Pick<InputInfo, 'name' | 'dtype' | 'shape' | 'sound'>;

/**
 * What the file says of the sounds of an input. The reader of files leaves it to whom it concerns.
 * @returns frames of the input
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_ARTIFACT
 */
export function checkSound(info: SoundInputInfo): number {
  const problem = soundProblem(info);
  if (problem !== undefined) corrupt(`what it says of sounds for ${quote(info.name)} is wrong: ${problem}`);
  return info.shape.at(-2) as number;
}

/** What is wrong with it; undefined: nothing. */
export function soundProblem({ dtype, shape, sound }: SoundInputInfo): string | undefined {
  if (typeof sound !== 'object' || sound === null) return 'it is no record';
  const { rate, window, step, fft, bands, lowest, highest, coefficients, mean, std } = sound as SoundPreprocess;
  const isWhole = (value: unknown, least: number, most: number): boolean =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
  if (!isWhole(rate, 1, MAX_RATE)) return `rate ${rate}`;
  if (!isWhole(window, 2, MAX_FFT)) return `window ${window}`;
  if (!isWhole(step, 1, MAX_SAMPLES)) return `step ${step}`;
  if (!isWhole(fft, window, MAX_FFT) || 2 ** Math.round(Math.log2(fft)) !== fft) return `fft ${fft}`;
  if (!isWhole(bands, 1, MAX_BANDS)) return `bands ${bands}`;
  if (!isWhole(coefficients, 0, bands)) return `coefficients ${coefficients}`;
  if (!(lowest >= 0 && lowest < highest && highest <= rate / 2)) return `lowest ${lowest}, highest ${highest}`;
  const features = coefficients || bands;
  const isList = (list: unknown, least: number): boolean =>
    Array.isArray(list) &&
    (list.length === 1 || list.length === features) &&
    list.every((one) => Number.isFinite(one) && one > least);
  if (!isList(mean, Number.NEGATIVE_INFINITY)) return 'mean';
  if (!isList(std, 0)) return 'std';
  const [last, frames = 0, ...outer] = shape.toReversed();
  return dtype === 'float32' && last === features && frames >= 1 && outer.every((length) => length === 1)
    ? undefined
    : `${dtype} [${shape.join(', ')}] takes no frames of ${features} features`;
}

function samplesOf(sound: SoundSource): Float32Array {
  const channels: readonly Float32Array[] =
    sound instanceof Float32Array
      ? [sound]
      : 'getChannelData' in sound
        ? Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel))
        : sound;
  const [first] = channels;
  const whole = channels.every((one) => one instanceof Float32Array && one.length === first?.length);
  if (!first || !whole || first.length > MAX_SAMPLES)
    fail(
      'BAD_INPUT',
      `soundInput: a Float32Array of at most ${MAX_SAMPLES} samples, several of one length, or an AudioBuffer is needed.`,
    );
  if (channels.length === 1) return first;
  return first.map((_, i) => channels.reduce((sum, one) => sum + (one[i] as number), 0) / channels.length);
}

const mel = (hertz: number): number => 1127 * Math.log1p(hertz / 700);

/**
 * Frames under a periodic Hann window, magnitudes of a discrete Fourier transform, triangles evenly spaced in mel, logarithm,
 * and, where `coefficients` is not 0, DCT-II; less the mean, over the spread.
 * @param samples  one channel at `how.rate`, −1 to 1
 * @param how  as {@link checkSound} lets it pass
 */
export function soundFeatures(samples: Float32Array, how: SoundPreprocess): SoundFeatures {
  const { window, step, fft, bands, coefficients, mean, std } = how;
  const features = coefficients || bands;
  const transform = fourier(window, fft);
  const filter = filterbank(how);
  const cosines = Float64Array.from({ length: coefficients * bands }, (_, at) =>
    Math.cos((Math.floor(at / bands) * Math.PI * ((at % bands) + 0.5)) / bands),
  );
  const frames = Math.max(1 + Math.floor((samples.length - window) / step), 0);
  const data = new Float32Array(frames * features);
  for (let frame = 0; frame < frames; frame++) {
    const energies = filter(transform(samples.subarray(frame * step, frame * step + window)));
    const logs = energies.map((energy) => Math.log(Math.max(energy, FLOOR)));
    for (let i = 0; i < features; i++) {
      let value = logs[i] as number;
      if (coefficients > 0) {
        let sum = 0;
        for (let j = 0; j < bands; j++) sum += (cosines[i * bands + j] as number) * (logs[j] as number);
        value = Math.sqrt(2 / bands) * sum;
      }
      // As a trainer does it, whose features are float32 before they are scaled.
      data[frame * features + i] =
        (Math.fround(value) - (mean[i] ?? (mean[0] as number))) / (std[i] ?? (std[0] as number));
    }
  }
  return { frames, features, data };
}

/** Magnitudes of the windowed samples, padded with zeros to `size`: an iterative radix-2 transform. */
function fourier(window: number, size: number): (samples: Float32Array) => Float64Array {
  const bits = Math.log2(size);
  const hann = Float64Array.from({ length: window }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / window));
  const places = Uint32Array.from({ length: window }, (_, i) => {
    let at = 0;
    for (let bit = 0; bit < bits; bit++) at |= ((i >> bit) & 1) << (bits - 1 - bit);
    return at;
  });
  const cosine = Float64Array.from({ length: size / 2 }, (_, k) => Math.cos((-2 * Math.PI * k) / size));
  const sine = Float64Array.from({ length: size / 2 }, (_, k) => Math.sin((-2 * Math.PI * k) / size));
  const [re, im] = [new Float64Array(size), new Float64Array(size)];
  return (samples) => {
    re.fill(0);
    im.fill(0);
    for (let i = 0; i < samples.length; i++) re[places[i] as number] = (samples[i] as number) * (hann[i] as number);
    for (let span = 2; span <= size; span *= 2)
      for (let start = 0; start < size; start += span)
        for (let k = 0; k < span / 2; k++) {
          const [a, b] = [start + k, start + k + span / 2];
          const [c, s] = [cosine[(k * size) / span] as number, sine[(k * size) / span] as number];
          const [x, y] = [re[b] as number, im[b] as number];
          const [p, q] = [c * x - s * y, c * y + s * x];
          re[b] = (re[a] as number) - p;
          im[b] = (im[a] as number) - q;
          re[a] = (re[a] as number) + p;
          im[a] = (im[a] as number) + q;
        }
    return Float64Array.from({ length: size / 2 + 1 }, (_, i) => Math.hypot(re[i] as number, im[i] as number));
  };
}

/** Each bin's magnitude is shared between the two bands whose centres it lies between. */
function filterbank({ rate, fft, bands, lowest, highest }: SoundPreprocess): (spectrum: Float64Array) => Float64Array {
  const hertz = rate / fft;
  const spacing = (mel(highest) - mel(lowest)) / (bands + 1);
  const first = Math.floor(1.5 + lowest / hertz);
  const last = Math.min(Math.floor(highest / hertz), fft / 2);
  const positions = Float64Array.from(
    { length: Math.max(last - first + 1, 0) },
    (_, i) => (mel((first + i) * hertz) - mel(lowest)) / spacing,
  );
  return (spectrum) => {
    const result = new Float64Array(bands);
    positions.forEach((position, i) => {
      const upper = Math.ceil(position) - 1;
      const share = Math.ceil(position) - position;
      const value = spectrum[first + i] as number;
      if (upper >= 1) result[upper - 1] = (result[upper - 1] as number) + value * share;
      if (upper < bands) result[upper] = (result[upper] as number) + value * (1 - share);
    });
    return result;
  };
}

/** Zero crossings of the sinc on each side, and the share of the lower band that passes: torchaudio's defaults. */
const [CROSSINGS, ROLLOFF] = [6, 0.99];

/**
 * One channel at another rate: windowed-sinc interpolation (Hann), as torchaudio's `resample` with its defaults.
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_INPUT when there would be more than 2^27 samples
 * @see https://ccrma.stanford.edu/~jos/resample/
 */
export function resampleSound(samples: Float32Array, from: number, to: number): Float32Array {
  const divisor = gcd(from, to);
  const [old, fresh] = [from / divisor, to / divisor];
  if (old === fresh) return samples;
  const length = Math.ceil((samples.length * fresh) / old);
  if (length > MAX_SAMPLES)
    fail('BAD_INPUT', `the sound has ${length} samples at ${to} Hz; at most ${MAX_SAMPLES} are made. Cut it.`);
  // Of the narrower of both bands, in cycles per old sample.
  const band = (Math.min(old, fresh) * ROLLOFF) / old;
  const reach = Math.ceil(CROSSINGS / band);
  return Float32Array.from({ length }, (_, i) => {
    const centre = (i * old) / fresh;
    let sum = 0;
    const last = Math.min(samples.length - 1, centre + reach + 1);
    for (let at = Math.max(0, Math.floor(centre) - reach); at <= last; at++) {
      const t = (at - centre) * band;
      if (Math.abs(t) >= CROSSINGS) continue;
      const window = Math.cos((t * Math.PI) / CROSSINGS / 2) ** 2;
      sum += (samples[at] as number) * window * (t === 0 ? 1 : Math.sin(t * Math.PI) / (t * Math.PI));
    }
    return sum * band;
  });
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
