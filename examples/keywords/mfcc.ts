/**
 * Mel-frequency cepstral coefficients as TensorFlow's `AudioSpectrogram` and `Mfcc` compute them, which the keyword networks
 * were trained on: frames of 40 ms every 20 ms under a periodic Hann window, magnitudes of a discrete Fourier transform,
 * 40 triangles between 20 and 4000 Hz, logarithm, DCT-II.
 * @see TensorFlow, core/kernels/spectrogram.cc, mfcc_mel_filterbank.cc, mfcc_dct.cc
 */

export const RATE = 16000;
export const WINDOW = 640;
export const STEP = 320;
/** The next power of two. */
const FFT = 1024;
const BINS = FFT / 2 + 1;
const BANDS = 40;
const COEFFICIENTS = 10;
const [LOWEST, HIGHEST] = [20, 4000];
const FLOOR = 1e-12;

const mel = (hertz: number): number => 1127 * Math.log1p(hertz / 700);

/** @param samples  16 kHz, −1 to 1; one second gives [49, 10] */
export function mfcc(samples: Float32Array): Float32Array {
  const frames = 1 + Math.floor((samples.length - WINDOW) / STEP);
  const result = new Float32Array(frames * COEFFICIENTS);
  for (let frame = 0; frame < frames; frame++)
    result.set(frameMfcc(samples.subarray(frame * STEP, frame * STEP + WINDOW)), frame * COEFFICIENTS);
  return result;
}

/** @param samples  one window of 640; gives its ten coefficients */
export function frameMfcc(samples: Float32Array): Float32Array {
  const logs = bands(magnitudes(samples)).map((energy) => Math.log(Math.max(energy, FLOOR)));
  return Float32Array.from({ length: COEFFICIENTS }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < BANDS; j++) sum += Math.cos((i * Math.PI * (j + 0.5)) / BANDS) * (logs[j] ?? 0);
    return Math.sqrt(2 / BANDS) * sum;
  });
}

/** Iterative radix-2 transform of the windowed samples, padded with zeros. */
function magnitudes(samples: Float32Array): Float64Array {
  const [re, im] = [new Float64Array(FFT), new Float64Array(FFT)];
  const bits = Math.log2(FFT);
  for (const [i, sample] of samples.entries()) {
    let at = 0;
    for (let bit = 0; bit < bits; bit++) at |= ((i >> bit) & 1) << (bits - 1 - bit);
    re[at] = sample * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
  }
  for (let size = 2; size <= FFT; size *= 2)
    for (let start = 0; start < FFT; start += size)
      for (let k = 0; k < size / 2; k++) {
        const [a, b] = [start + k, start + k + size / 2];
        const angle = (-2 * Math.PI * k) / size;
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        const [x, y] = [re[b] as number, im[b] as number];
        const [p, q] = [c * x - s * y, c * y + s * x];
        re[b] = (re[a] as number) - p;
        im[b] = (im[a] as number) - q;
        re[a] = (re[a] as number) + p;
        im[a] = (im[a] as number) + q;
      }
  return Float64Array.from({ length: BINS }, (_, i) => Math.hypot(re[i] as number, im[i] as number));
}

/** Each bin's magnitude is shared between the two bands whose centres it lies between. */
function bands(spectrum: Float64Array): number[] {
  const hertz = RATE / 2 / (BINS - 1);
  const spacing = (mel(HIGHEST) - mel(LOWEST)) / (BANDS + 1);
  const result = new Array<number>(BANDS).fill(0);
  for (let bin = Math.floor(1.5 + LOWEST / hertz); bin <= Math.floor(HIGHEST / hertz); bin++) {
    const position = (mel(bin * hertz) - mel(LOWEST)) / spacing;
    const upper = Math.ceil(position) - 1;
    const share = Math.ceil(position) - position;
    const value = spectrum[bin] as number;
    if (upper >= 1) result[upper - 1] = (result[upper - 1] as number) + value * share;
    if (upper < BANDS) result[upper] = (result[upper] as number) + value * (1 - share);
  }
  return result;
}
