/** Kernels of the operators in `ops/signal.ts`. */
import { fromReals, toReals } from '../numeric.ts';
import type { signalOps } from '../ops/signal.ts';
import type { Tensor } from '../types.ts';
import { sizeOf } from './indexing.ts';
import type { Kernel, Kernels } from './kernel.ts';

interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

const complex = (length: number): Complex => ({ re: new Float64Array(length), im: new Float64Array(length) });

function smallestFactor(n: number): number {
  for (let p = 2; p * p <= n; p++) if (n % p === 0) return p;
  return n;
}

/**
 * y[k] = Σ x[n] · exp(sign · 2πi · k · n / N), by splitting N along its prime factors (Cooley and Tukey): the terms with
 * n = q·m + r are, but for a factor, the k-th value of a transform of N / q points. A prime N is summed as it stands.
 * Not scaled.
 */
function transform({ re, im }: Complex, sign: 1 | -1): Complex {
  const points = re.length;
  const result = complex(points);
  if (points === 1) {
    result.re.set(re);
    result.im.set(im);
    return result;
  }
  const q = smallestFactor(points);
  const rows = points / q;
  const parts = Array.from({ length: q }, (_, r) => {
    const part = complex(rows);
    for (let m = 0; m < rows; m++) {
      part.re[m] = re[q * m + r] ?? 0;
      part.im[m] = im[q * m + r] ?? 0;
    }
    return transform(part, sign);
  });
  const cosines = new Float64Array(points);
  const sines = new Float64Array(points);
  for (let k = 0; k < points; k++) {
    cosines[k] = Math.cos((2 * Math.PI * k) / points);
    sines[k] = sign * Math.sin((2 * Math.PI * k) / points);
  }
  for (let k = 0; k < points; k++) {
    let [sumRe, sumIm] = [0, 0];
    for (let r = 0; r < q; r++) {
      const part = parts[r] as Complex;
      const [a, b] = [part.re[k % rows] as number, part.im[k % rows] as number];
      const turn = (k * r) % points;
      const [cosine, sine] = [cosines[turn] as number, sines[turn] as number];
      sumRe += a * cosine - b * sine;
      sumIm += a * sine + b * cosine;
    }
    result.re[k] = sumRe;
    result.im[k] = sumIm;
  }
  return result;
}

const dft: Kernel<'DFT'> = (c) => {
  const input = c.input(0);
  const { inverse, onesided } = c.attributes;
  const { dtype, shape } = c.outputs[0] as Tensor;
  const rank = input.shape.length;
  const asked = c.inputs[2] ? Number(c.inputs[2].data[0]) : -2;
  const axis = asked < 0 ? asked + rank : asked;
  const given = input.shape[axis] ?? 0;
  const bins = shape[axis] ?? 0;
  const halved = inverse === 1 && onesided === 1;
  const points = c.inputs[1] ? Number(c.inputs[1].data[0]) : halved ? 2 * (given - 1) : given;
  const components = input.shape[rank - 1] ?? 1;
  const outComponents = shape[rank - 1] ?? 2;
  // [outer, axis, inner, components]: what lies before and between the two axes.
  const outer = sizeOf(input.shape.slice(0, axis));
  const inner = sizeOf(input.shape.slice(axis + 1, -1));
  const x = toReals(input);
  const y = new Float64Array(sizeOf(shape));
  // Of a onesided spectrum, the other half is the mirror image, conjugated.
  const used = Math.min(given, halved ? Math.floor(points / 2) + 1 : points);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++) {
      const signal = complex(points);
      for (let n = 0; n < used; n++) {
        const at = ((o * given + n) * inner + i) * components;
        signal.re[n] = x[at] ?? 0;
        if (components === 2) signal.im[n] = x[at + 1] ?? 0;
        if (halved && n > 0 && n < points - n) {
          signal.re[points - n] = signal.re[n] as number;
          signal.im[points - n] = -(signal.im[n] as number);
        }
      }
      // A real signal has real values at these two; what is given besides is not used.
      if (halved) {
        signal.im[0] = 0;
        if (points % 2 === 0) signal.im[points / 2] = 0;
      }
      const spectrum = transform(signal, inverse ? 1 : -1);
      const scale = inverse ? 1 / points : 1;
      for (let k = 0; k < bins; k++) {
        const at = ((o * bins + k) * inner + i) * outComponents;
        y[at] = (spectrum.re[k] as number) * scale;
        if (outComponents === 2) y[at + 1] = (spectrum.im[k] as number) * scale;
      }
    }
  return [fromReals(dtype, shape, y)];
};

const stft: Kernel<'STFT'> = (c) => {
  const signal = c.input(0);
  const step = Number(c.input(1).data[0]);
  const { dtype, shape } = c.outputs[0] as Tensor;
  const [batch = 0, frames = 0, bins = 0] = shape;
  const [, samples = 0, components = 1] = signal.shape;
  const window = c.inputs[2] && toReals(c.inputs[2]);
  const length = window?.length ?? Number(c.inputs[3]?.data[0]);
  const x = toReals(signal);
  const y = new Float64Array(sizeOf(shape));
  for (let b = 0; b < batch; b++)
    for (let f = 0; f < frames; f++) {
      const frame = complex(length);
      for (let n = 0; n < length; n++) {
        const at = (b * samples + f * step + n) * components;
        const weight = window?.[n] ?? 1;
        frame.re[n] = (x[at] ?? 0) * weight;
        if (components === 2) frame.im[n] = (x[at + 1] ?? 0) * weight;
      }
      const spectrum = transform(frame, -1);
      for (let k = 0; k < bins; k++) {
        const at = ((b * frames + f) * bins + k) * 2;
        y[at] = spectrum.re[k] as number;
        y[at + 1] = spectrum.im[k] as number;
      }
    }
  return [fromReals(dtype, shape, y)];
};

/** a0 - a1·cos(2πn / N) + a2·cos(4πn / N), N being the size, or one less for a symmetric window. */
function cosineWindow(a0: number, a1: number, a2: number): Kernel<'HannWindow'> {
  return (c) => {
    const { dtype, shape } = c.outputs[0] as Tensor;
    const [size = 0] = shape;
    const period = c.attributes.periodic ? size : size - 1;
    const values = Float64Array.from({ length: size }, (_, n) => {
      // A symmetric window of one element is all middle; the formula would divide 0 by 0.
      const angle = period === 0 ? Math.PI : (2 * Math.PI * n) / period;
      return a0 - a1 * Math.cos(angle) + a2 * Math.cos(2 * angle);
    });
    return [fromReals(dtype, shape, values)];
  };
}

const toMel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
const toHertz = (mel: number): number => 700 * (10 ** (mel / 2595) - 1);

/** Triangles that overlap by half, their corners equally far apart on the mel scale and rounded down to a bin. */
const melWeightMatrix: Kernel<'MelWeightMatrix'> = (c) => {
  const scalar = (i: number) => toReals(c.input(i))[0] ?? 0;
  const [points, rate] = [scalar(1), scalar(2)];
  const [low, high] = [toMel(scalar(3)), toMel(scalar(4))];
  const { dtype, shape } = c.outputs[0] as Tensor;
  const [, melBins = 0] = shape;
  const step = (high - low) / (melBins + 2);
  const corners = Float64Array.from({ length: melBins + 2 }, (_, i) =>
    Math.floor(((points + 1) * toHertz(low + i * step)) / rate),
  );
  const weights = new Float64Array(sizeOf(shape));
  for (let m = 0; m < melBins; m++) {
    const [left = 0, center = 0, right = 0] = corners.subarray(m, m + 3);
    for (let bin = left; bin < center; bin++) weights[bin * melBins + m] = (bin - left) / (center - left);
    weights[center * melBins + m] = 1;
    for (let bin = center + 1; bin < right; bin++) weights[bin * melBins + m] = (right - bin) / (right - center);
  }
  return [fromReals(dtype, shape, weights)];
};

export const signalKernels: Kernels<keyof typeof signalOps> = {
  DFT: dft,
  STFT: stft,
  HannWindow: cosineWindow(0.5, 0.5, 0),
  HammingWindow: cosineWindow(25 / 46, 21 / 46, 0),
  BlackmanWindow: cosineWindow(0.42, 0.5, 0.08),
  MelWeightMatrix: melWeightMatrix,
};
