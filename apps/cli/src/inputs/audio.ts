/**
 * From sound to a tensor: samples, with channels mixed where the model has one and another rate where that is asked for, or
 * features of frames. Both are computed by the runtime, as in a page.
 */
import { mixed, type Sound } from '@grim/files';
import { formatType, fromReals, GrimError, type SoundPreprocess, type Tensor, type TensorType } from '@grim/ir';
import { checkSound, framed, resampleSound, soundFeatures, soundProblem } from '@grim/runtime/sound';
import { UsageError } from '../errors.ts';

export interface AudioOptions {
  /** Samples per second that the model wants; undefined: as they are. */
  readonly resample?: number;
  /** Features in place of samples. */
  readonly features?: FeatureOptions;
}

/** What `--features` says; the rest follows from the input, or is as `grim train` has it. */
export interface FeatureOptions {
  readonly kind: 'mfcc' | 'logmel';
  /** Hertz. Default 16,000. */
  readonly rate?: number;
  /** Milliseconds of a frame. Default 40. */
  readonly window?: number;
  /** Milliseconds from frame to frame. Default 20. */
  readonly step?: number;
  /** Default 40; of `logmel` as many as the input has features. */
  readonly bands?: number;
  /** Hertz. Default 20. */
  readonly lowest?: number;
  /** Hertz. Default 4,000. */
  readonly highest?: number;
}

const refuse = (what: string): never => {
  throw new GrimError('GRIM_CLI_BAD_TENSOR', what);
};

/** Open lengths: ten features, as many frames as the sound has. */
const USUAL_FEATURES = 10;

/**
 * All that the options leave open.
 * @param type  [..., frames, features]
 * @throws {UsageError} when no sound becomes such an input
 */
export function soundPreprocess(
  type: TensorType,
  { kind, rate = 16000, window = 40, step = 20, lowest = 20, highest = Math.min(4000, rate / 2), ...o }: FeatureOptions,
  { mean = [0], std = [1] }: Partial<Pick<SoundPreprocess, 'mean' | 'std'>> = {},
): SoundPreprocess {
  const last = type.shape?.at(-1);
  const features = typeof last === 'number' ? last : USUAL_FEATURES;
  const samples = (ms: number): number => Math.round((rate * ms) / 1000);
  const how = {
    ...{ rate, window: samples(window), step: samples(step) },
    fft: 2 ** Math.ceil(Math.log2(Math.max(samples(window), 2))),
    bands: o.bands ?? (kind === 'mfcc' ? Math.max(40, features) : features),
    ...{ lowest, highest, coefficients: kind === 'mfcc' ? features : 0, mean, std },
  };
  const problem = soundProblem({ name: '', dtype: type.dtype, shape: shapeOf(type, features, 1), sound: how });
  if (problem !== undefined)
    throw new UsageError(
      `--features ${kind}: ${problem}. The input is ${formatType(type)}; [1, frames, features] of float32 is needed, frames of 2 to 65536 samples, and 0 ≤ lowest < highest ≤ rate / 2.`,
    );
  return how;
}

/** @throws {RuntimeError}, {GrimError} GRIM_CLI_BAD_TENSOR when the sound does not fit the input */
export function featuresTensor(
  sound: Sound,
  type: TensorType,
  how: SoundPreprocess,
): { readonly tensor: Tensor; readonly note: string } {
  const features = how.coefficients || how.bands;
  const found = soundFeatures(resampleSound(mixed(sound), sound.rate, how.rate), how);
  if (found.frames === 0)
    refuse(`its ${sound.samples.length / sound.channels} samples are shorter than one frame. Fill it up with silence.`);
  const shape = shapeOf(type, features, found.frames);
  const frames = shape.at(-2) ?? 1;
  checkSound({ name: 'input', dtype: type.dtype, shape, sound: how });
  const notes = [
    `${frames} frames of ${features} ${how.coefficients > 0 ? 'MFCCs' : 'log-mel bands'} at ${how.rate} Hz`,
    ...(how.rate === sound.rate ? [] : [`resampled from ${sound.rate} Hz`]),
    ...(sound.channels > 1 ? [`${sound.channels} channels mixed to 1`] : []),
    ...(found.frames > frames ? [`cut from ${found.frames} frames`] : []),
    ...(found.frames < frames ? [`filled up from ${found.frames} frames`] : []),
  ];
  return { tensor: { dtype: 'float32', shape, data: framed(found, frames) }, note: notes.join(', ') };
}

/** With the open lengths of the input: one sound, its frames, its features. */
function shapeOf({ shape }: TensorType, features: number, frames: number): readonly number[] {
  const open = [...(shape ?? [1, 'frames', 'features'])];
  const own = [...open.slice(0, -2).map(() => 1), frames, features];
  return open.map((dim, i) => (typeof dim === 'number' ? dim : (own[i] ?? 1)));
}

/**
 * @param type  [..., samples] or [..., channels, samples]; open lengths take those of the sound, others before them must be 1
 * @throws {GrimError} GRIM_CLI_BAD_TENSOR when the sound does not fit the input
 */
export function audioTensor(
  sound: Sound,
  type: TensorType,
  { resample }: AudioOptions,
): { readonly tensor: Tensor; readonly note: string } {
  const { dtype, shape } = type;
  if (!dtype.includes('float')) refuse(`the input is ${formatType(type)}; sound becomes floats. Give a .npy file.`);
  const dims = shape ?? ['samples'];
  const keeps = sound.channels > 1 && dims.at(-2) === sound.channels;
  const parts = keeps ? Array.from({ length: sound.channels }, (_, c) => channel(sound, c)) : [mixed(sound)];
  const rate = resample ?? sound.rate;
  const tracks = parts.map((part) => resampleSound(part, sound.rate, rate));
  const length = tracks[0]?.length ?? 0;
  const outer = dims.slice(0, keeps ? -2 : -1);
  const last = dims.at(-1);
  if (dims.length === 0 || outer.some((dim) => typeof dim === 'number' && dim !== 1))
    refuse(`the input is ${formatType(type)}; sound needs [1, samples]. Give a .npy file.`);
  if (typeof last === 'number' && last !== length)
    refuse(
      `it holds ${length} samples (${(length / rate).toFixed(3)} s at ${rate} Hz), the input takes ${last}. Cut it, or fill it up with silence.`,
    );
  const result = new Float64Array(length * tracks.length);
  tracks.forEach((track, c) => {
    result.set(track, c * length);
  });
  const own = [...outer.map(() => 1), ...(keeps ? [sound.channels] : []), length];
  const notes = [
    `${length} samples at ${rate} Hz`,
    ...(rate === sound.rate ? [] : [`resampled from ${sound.rate} Hz`]),
    ...(sound.channels > 1 && !keeps ? [`${sound.channels} channels mixed to 1`] : []),
  ];
  return { tensor: fromReals(dtype, own, result), note: notes.join(', ') };
}

function channel({ samples, channels }: Sound, which: number): Float32Array {
  return Float32Array.from({ length: samples.length / channels }, (_, i) => samples[i * channels + which] ?? 0);
}
