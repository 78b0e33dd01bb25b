/** From sound to a tensor: channels mixed where the model has one, another rate where that is asked for. */

import { badAudio, mixed, type Sound } from '@grim/files';
import { formatType, fromReals, GrimError, type Tensor, type TensorType } from '@grim/ir';

export interface AudioOptions {
  /** Samples per second that the model wants; undefined: as they are. */
  readonly resample?: number;
}

/** Samples after resampling: half a gigabyte. */
const MAX_SAMPLES = 2 ** 27;

/**
 * @param type  [..., samples] or [..., channels, samples]; open lengths take those of the sound, others before them must be 1
 * @throws {GrimError} GRIM_CLI_BAD_TENSOR when the sound does not fit the input
 */
export function audioTensor(
  sound: Sound,
  type: TensorType,
  { resample }: AudioOptions,
): { readonly tensor: Tensor; readonly note: string } {
  const refuse = (what: string): never => {
    throw new GrimError('GRIM_CLI_BAD_TENSOR', what);
  };
  const { dtype, shape } = type;
  if (!dtype.includes('float')) refuse(`the input is ${formatType(type)}; sound becomes floats. Give a .npy file.`);
  const dims = shape ?? ['samples'];
  const keeps = sound.channels > 1 && dims.at(-2) === sound.channels;
  const parts = keeps ? Array.from({ length: sound.channels }, (_, c) => channel(sound, c)) : [mixed(sound)];
  const rate = resample ?? sound.rate;
  const tracks = parts.map((part) => resampled(part, sound.rate, rate));
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

/** Zero crossings of the sinc on each side, and the share of the lower band that passes: torchaudio's defaults. */
const [CROSSINGS, ROLLOFF] = [6, 0.99];

/**
 * Windowed-sinc interpolation (Hann), as torchaudio's `resample` with its defaults.
 * @see https://ccrma.stanford.edu/~jos/resample/
 */
function resampled(samples: Float32Array, from: number, to: number): Float32Array {
  const divisor = gcd(from, to);
  const [old, fresh] = [from / divisor, to / divisor];
  if (old === fresh) return samples;
  const length = Math.ceil((samples.length * fresh) / old);
  if (length > MAX_SAMPLES) badAudio(`resampled it has ${length} samples; at most ${MAX_SAMPLES} are made. Cut it`);
  // Of the narrower of both bands, in cycles per old sample.
  const band = (Math.min(old, fresh) * ROLLOFF) / old;
  const reach = Math.ceil(CROSSINGS / band);
  return Float32Array.from({ length }, (_, i) => {
    const centre = (i * old) / fresh;
    let sum = 0;
    for (
      let at = Math.max(0, Math.floor(centre) - reach);
      at <= Math.min(samples.length - 1, centre + reach + 1);
      at++
    ) {
      const t = (at - centre) * band;
      if (Math.abs(t) >= CROSSINGS) continue;
      const window = Math.cos((t * Math.PI) / CROSSINGS / 2) ** 2;
      sum += (samples[at] ?? 0) * window * (t === 0 ? 1 : Math.sin(t * Math.PI) / (t * Math.PI));
    }
    return sum * band;
  });
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
