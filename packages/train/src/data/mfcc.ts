/**
 * Mel-frequency cepstral coefficients as TensorFlow's `AudioSpectrogram` and `Mfcc` compute them, which keyword networks are
 * trained on: frames under a periodic Hann window, magnitudes of a discrete Fourier transform, triangles evenly spaced in
 * mel, logarithm, DCT-II.
 * @see TensorFlow, core/kernels/spectrogram.cc, mfcc_mel_filterbank.cc, mfcc_dct.cc
 */
import { fail } from '../errors.ts';

export interface MfccOptions {
  /** Samples per second. Default 16,000. */
  readonly rate?: number;
  /** Default 40. */
  readonly windowMs?: number;
  /** From frame to frame. Default 20. */
  readonly stepMs?: number;
  /** Triangles between `lowest` and `highest`. Default 40. */
  readonly bands?: number;
  /** Hertz. Default 20. */
  readonly lowest?: number;
  /** Hertz. Default 4,000. */
  readonly highest?: number;
  /** Default 10. */
  readonly coefficients?: number;
}

const FLOOR = 1e-12;
const MAX_FFT = 2 ** 16;
const mel = (hertz: number): number => 1127 * Math.log1p(hertz / 700);

/**
 * @param samples  one channel, −1 to 1; one second of 16 kHz gives [49, 10]
 * @returns [frames, coefficients]
 * @throws {GrimError} GRIM_TRAIN_BAD_OPTION
 */
export function mfcc(samples: Float32Array, options: MfccOptions = {}): Float32Array {
  const {
    rate = 16000,
    windowMs = 40,
    stepMs = 20,
    bands = 40,
    lowest = 20,
    highest = 4000,
    coefficients = 10,
  } = options;
  const [window, step] = [Math.round((rate * windowMs) / 1000), Math.round((rate * stepMs) / 1000)];
  const size = 2 ** Math.ceil(Math.log2(Math.max(window, 2)));
  if (!(window >= 2 && step >= 1 && size <= MAX_FFT && lowest >= 0 && lowest < highest && highest <= rate / 2))
    fail(
      'GRIM_TRAIN_BAD_OPTION',
      `mfcc: frames of ${window} samples every ${step}, ${lowest} to ${highest} Hz at ${rate} samples a second; 0 ≤ lowest < highest ≤ rate / 2 is needed.`,
    );
  if (
    !(
      Number.isInteger(bands) &&
      bands >= 1 &&
      Number.isInteger(coefficients) &&
      coefficients >= 1 &&
      coefficients <= bands
    )
  )
    fail(
      'GRIM_TRAIN_BAD_OPTION',
      `mfcc: ${coefficients} coefficients of ${bands} bands; 1 ≤ coefficients ≤ bands is needed.`,
    );
  const transform = fourier(window, size);
  const filter = filterbank(rate, size, bands, lowest, highest);
  const cosines = Float64Array.from({ length: coefficients * bands }, (_, at) =>
    Math.cos((Math.floor(at / bands) * Math.PI * ((at % bands) + 0.5)) / bands),
  );
  const frames = Math.max(1 + Math.floor((samples.length - window) / step), 0);
  const result = new Float32Array(frames * coefficients);
  for (let frame = 0; frame < frames; frame++) {
    const energies = filter(transform(samples.subarray(frame * step, frame * step + window)));
    const logs = energies.map((energy) => Math.log(Math.max(energy, FLOOR)));
    for (let i = 0; i < coefficients; i++) {
      let sum = 0;
      for (let j = 0; j < bands; j++) sum += (cosines[i * bands + j] as number) * (logs[j] as number);
      result[frame * coefficients + i] = Math.sqrt(2 / bands) * sum;
    }
  }
  return result;
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
function filterbank(
  rate: number,
  size: number,
  bands: number,
  lowest: number,
  highest: number,
): (spectrum: Float64Array) => Float64Array {
  const hertz = rate / size;
  const spacing = (mel(highest) - mel(lowest)) / (bands + 1);
  const first = Math.floor(1.5 + lowest / hertz);
  const last = Math.min(Math.floor(highest / hertz), size / 2);
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
