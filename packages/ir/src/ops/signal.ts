/** Fourier transforms, and the windows and filter banks around them. Complex numbers are pairs in a last axis of 2. */
import { dtype, flag, type InferContext, type Inferred, op } from '../op.ts';
import { type Dim, type DType, FLOAT_DTYPES, formatShape, NUMERIC_DTYPES, type Shape } from '../types.ts';

const LENGTHS: readonly DType[] = ['int32', 'int64'];

/** The value of an input that holds one element: undefined when it is absent or not known. */
function scalarInput(c: InferContext, input: number, name: string): number | undefined {
  if (!c.has(input)) return undefined;
  const shape = c.shape(input);
  if (shape && (shape.length > 1 || (typeof shape[0] === 'number' && shape[0] !== 1)))
    c.fail(`${name} has shape ${formatShape(shape)}; a scalar is needed.`);
  return c.reals(input)?.[0];
}

function positive(c: InferContext, input: number, name: string): number | undefined {
  const value = scalarInput(c, input, name);
  if (value !== undefined && value < 1) c.fail(`${name} is ${value}; at least 1 is needed.`);
  return value;
}

/** Bins of a transform of n points that says everything when the signal is real. */
const uniqueBins = (n: number): number => Math.floor(n / 2) + 1;

function checkComponents(c: InferContext, what: string, shape: Shape, real: boolean | undefined): void {
  const components = shape.at(-1);
  if (typeof components !== 'number') return;
  const wanted = real === undefined ? [1, 2] : real ? [1] : [2];
  if (!wanted.includes(components))
    c.fail(
      `${what} has shape ${formatShape(shape)}; the last axis must have length ${wanted.join(' or ')} ` +
        `(${real === undefined ? '1 is real, 2 complex' : real ? 'real: the transform is onesided' : 'complex: the inverse is onesided'}).`,
    );
}

function inferDft(c: InferContext<{ readonly inverse: number; readonly onesided: number }>): readonly Inferred[] {
  const { inverse, onesided } = c.attributes;
  const given = positive(c, 1, 'dft_length');
  const axisGiven = scalarInput(c, 2, 'axis');
  const shape = c.shape(0);
  if (!shape) return [null];
  const rank = shape.length;
  if (rank < 2) c.fail(`input has shape ${formatShape(shape)}; a signal axis and a last axis of 1 or 2 are needed.`);
  checkComponents(c, 'input', shape, onesided ? !inverse : undefined);
  const components: Dim = inverse && onesided ? 1 : 2;
  if (c.has(2) && axisGiven === undefined) {
    const sameLength = !onesided && !c.has(1);
    return [shape.map((dim, d) => (d === rank - 1 ? components : sameLength ? dim : c.unknown()))];
  }
  const asked = axisGiven ?? -2;
  const axis = asked < 0 ? asked + rank : asked;
  if (asked < -rank || asked === -1 || asked >= rank - 1)
    c.fail(
      `axis is ${asked}; of rank ${rank}, ${-rank} to -2 or 0 to ${rank - 2} are taken: the last axis is the components.`,
    );
  const length = shape[axis] as Dim;
  // The points of the transform: as given, or as many as there are; a onesided spectrum of k bins comes from 2(k - 1).
  const implied = typeof length === 'number' ? (inverse && onesided ? 2 * (length - 1) : length) : undefined;
  const points = c.has(1) ? given : implied;
  if (points !== undefined && points < 1)
    c.fail(`axis ${axis} of ${formatShape(shape)} gives a transform of ${points} points; at least 1 is needed.`);
  const out: Dim =
    points === undefined
      ? !c.has(1) && !onesided
        ? length
        : c.unknown()
      : onesided && !inverse
        ? uniqueBins(points)
        : points;
  return [shape.map((dim, d) => (d === rank - 1 ? components : d === axis ? out : dim))];
}

function inferStft(c: InferContext<{ readonly onesided: number }>): readonly Inferred[] {
  const step = positive(c, 1, 'frame_step');
  const lengthGiven = positive(c, 3, 'frame_length');
  const signal = c.shape(0);
  const window = c.has(2) ? c.shape(2) : undefined;
  if (!c.has(2) && !c.has(3)) c.fail('neither window nor frame_length is given; one is needed.', 'GRIM_IR_ARITY');
  if (window && window.length !== 1) c.fail(`window has shape ${formatShape(window)}; rank 1 is needed.`);
  const windowLength = typeof window?.[0] === 'number' ? window[0] : undefined;
  if (windowLength === 0) c.fail('window is empty; at least one element is needed.');
  if (windowLength !== undefined && lengthGiven !== undefined && windowLength !== lengthGiven)
    c.fail(`window has ${windowLength} elements, frame_length is ${lengthGiven}. Both must be the same.`);
  if (!signal) return [null];
  if (signal.length !== 3) c.fail(`signal has shape ${formatShape(signal)}; [batch, length, 1 or 2] is needed.`);
  checkComponents(c, 'signal', signal, c.attributes.onesided ? true : undefined);
  const frame = lengthGiven ?? windowLength;
  const [batch = 0, length = 0] = signal;
  let frames: Dim | undefined;
  if (typeof length === 'number' && frame !== undefined) {
    if (length < frame) c.fail(`signal has ${length} samples, a frame ${frame}; at least one frame must fit.`);
    if (step !== undefined) frames = Math.floor((length - frame) / step) + 1;
  }
  const bins: Dim = frame === undefined ? c.unknown() : c.attributes.onesided ? uniqueBins(frame) : frame;
  return [[batch, frames ?? c.unknown(), bins, 2]];
}

const window = op({
  since: 17,
  inputs: ['size: T1'],
  outputs: ['output: *'],
  types: { T1: LENGTHS },
  attributes: { output_datatype: dtype('float32'), periodic: flag(1) },
  infer: (c) => {
    const { output_datatype: type } = c.attributes;
    checkOutputType(c, type, NUMERIC_DTYPES);
    return [{ dtype: type, shape: [positive(c, 0, 'size') ?? c.unknown()] }];
  },
});

function checkOutputType(c: InferContext, type: DType, allowed: readonly DType[]): void {
  if (!allowed.includes(type))
    c.fail(`output_datatype is ${type}; ${allowed.join(', ')} are taken.`, 'GRIM_IR_BAD_ATTRIBUTE');
}

export const signalOps = {
  DFT: op({
    since: 20,
    inputs: ['input: T1', 'dft_length?: T2', 'axis?: int64'],
    outputs: ['output: T1'],
    types: { T1: FLOAT_DTYPES, T2: LENGTHS },
    attributes: { inverse: flag(0), onesided: flag(0) },
    infer: inferDft,
  }),

  STFT: op({
    since: 17,
    inputs: ['signal: T1', 'frame_step: T2', 'window?: T1', 'frame_length?: T2'],
    outputs: ['output: T1'],
    types: { T1: FLOAT_DTYPES, T2: LENGTHS },
    attributes: { onesided: flag(1) },
    infer: inferStft,
  }),

  HannWindow: window,
  HammingWindow: window,
  BlackmanWindow: window,

  MelWeightMatrix: op({
    since: 17,
    inputs: ['num_mel_bins: T1', 'dft_length: T1', 'sample_rate: T1', 'lower_edge_hertz: T2', 'upper_edge_hertz: T2'],
    outputs: ['output: *'],
    types: { T1: LENGTHS, T2: FLOAT_DTYPES },
    attributes: { output_datatype: dtype('float32') },
    infer: (c) => {
      const { output_datatype: type } = c.attributes;
      checkOutputType(c, type, NUMERIC_DTYPES);
      const melBins = positive(c, 0, 'num_mel_bins');
      const points = positive(c, 1, 'dft_length');
      const rate = positive(c, 2, 'sample_rate');
      const lower = scalarInput(c, 3, 'lower_edge_hertz');
      const upper = scalarInput(c, 4, 'upper_edge_hertz');
      if (lower !== undefined && !(lower >= 0 && lower < Infinity))
        c.fail(`lower_edge_hertz is ${lower}; 0 or more is needed.`);
      if (upper !== undefined && !(upper > (lower ?? 0) && upper < Infinity))
        c.fail(
          `upper_edge_hertz is ${upper}; a frequency above lower_edge_hertz${lower === undefined ? '' : ` (${lower})`} is needed.`,
        );
      if (upper !== undefined && rate !== undefined && upper > rate / 2)
        c.fail(`upper_edge_hertz is ${upper}; sample_rate ${rate} carries frequencies up to ${rate / 2}.`);
      return [
        { dtype: type, shape: [points === undefined ? c.unknown() : uniqueBins(points), melBins ?? c.unknown()] },
      ];
    },
  }),
};
