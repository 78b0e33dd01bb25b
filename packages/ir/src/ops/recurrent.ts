/** Recurrent layers. A direction is one run over the sequence; W, R, B and P hold one slice for each. */
import { quote } from '../errors.ts';
import {
  type AttributesOf,
  flag,
  float,
  floats,
  type InferContext,
  int,
  op,
  optional,
  string,
  strings,
} from '../op.ts';
import { type Dim, FLOAT_DTYPES, isStatic, type Shape, type TensorType } from '../types.ts';
import { sharedLengths } from './lengths.ts';

/** Defaults of a function's parameters; null where one has none and must be given, absent where there is no such parameter. */
interface Parameters {
  readonly alpha?: number | null;
  readonly beta?: number | null;
}

/** The activation functions that ONNX lists, by lower-case name, with the defaults of their parameters. */
const ACTIVATIONS: ReadonlyMap<string, Parameters> = new Map<string, Parameters>([
  ['relu', {}],
  ['tanh', {}],
  ['sigmoid', {}],
  ['softsign', {}],
  ['softplus', {}],
  ['affine', { alpha: 1, beta: 0 }],
  ['leakyrelu', { alpha: 0.01 }],
  ['thresholdedrelu', { alpha: 1 }],
  ['scaledtanh', { alpha: null, beta: null }],
  ['hardsigmoid', { alpha: 0.2, beta: 0.5 }],
  ['elu', { alpha: 1 }],
]);

/** One activation function with its parameters: `name` is a key of {@link ACTIVATIONS}. */
export interface Activation {
  readonly name: string;
  readonly alpha: number;
  readonly beta: number;
}

interface ActivationAttributes {
  readonly activations?: readonly string[] | undefined;
  readonly activation_alpha?: readonly number[] | undefined;
  readonly activation_beta?: readonly number[] | undefined;
}

/**
 * The functions of all directions, one after the other. `activation_alpha` and `activation_beta` are used up in order by
 * those functions that have such a parameter.
 *
 * @returns the list, or what is wrong with the attributes, as the rest of a sentence
 */
export function activationsOf(
  attributes: ActivationAttributes,
  defaults: readonly string[],
  directions: number,
): readonly Activation[] | string {
  const { activations = Array.from({ length: directions }, () => defaults).flat() } = attributes;
  const count = defaults.length * directions;
  // The schema's own default of RNN is the list for two directions; with one direction the second is not used.
  if (activations.length !== count && !(directions === 1 && activations.length === 2 * count))
    return `activations has ${activations.length} names; ${count} are needed (${defaults.length} per direction).`;
  const rest = { alpha: [...(attributes.activation_alpha ?? [])], beta: [...(attributes.activation_beta ?? [])] };
  const result: Activation[] = [];
  for (const given of activations) {
    const name = given.toLowerCase();
    const parameters = ACTIVATIONS.get(name);
    if (!parameters) return `activation ${quote(given)} is unknown; ONNX has ${[...ACTIVATIONS.keys()].join(', ')}.`;
    const value = { alpha: 0, beta: 0 };
    for (const key of ['alpha', 'beta'] as const) {
      const fallback = parameters[key];
      if (fallback === undefined) continue;
      const found = rest[key].shift() ?? fallback;
      if (found === null) return `activation ${name} needs a value in activation_${key}.`;
      value[key] = found;
    }
    result.push({ name, ...value });
  }
  for (const key of ['alpha', 'beta'] as const)
    if (rest[key].length > 0 && activations.some((name) => ACTIVATIONS.get(name.toLowerCase())?.[key] !== undefined))
      return `activation_${key} has ${rest[key].length} values more than the activations take.`;
  return result.slice(0, count);
}

const DIRECTIONS = ['forward', 'reverse', 'bidirectional'] as const;
export const directionsOf = (direction: string): number => (direction === 'bidirectional' ? 2 : 1);

const attributes = {
  activation_alpha: optional(floats()),
  activation_beta: optional(floats()),
  activations: optional(strings()),
  clip: optional(float()),
  direction: string(DIRECTIONS, 'forward'),
  hidden_size: optional(int(undefined, { min: 1 })),
  layout: flag(0),
} as const;

/** What tells the three apart: the gates, and the functions that one direction uses by default. */
export const RECURRENT = {
  RNN: { gates: 1, activations: ['Tanh'] },
  GRU: { gates: 3, activations: ['Sigmoid', 'Tanh'] },
  LSTM: { gates: 4, activations: ['Sigmoid', 'Tanh', 'Tanh'] },
} as const;

type Common = AttributesOf<typeof attributes>;

/** Rule of all three; LSTM has the inputs and outputs that only it has after those in common. */
function infer(c: InferContext<Common>, kind: keyof typeof RECURRENT): readonly Shape[] {
  const { gates, activations } = RECURRENT[kind];
  const { direction, hidden_size: hiddenSize, layout, clip } = c.attributes;
  const directions = directionsOf(direction);
  const functions = activationsOf(c.attributes, activations, directions);
  if (typeof functions === 'string') c.fail(functions, 'GRIM_IR_BAD_ATTRIBUTE');
  if (clip !== undefined && !(clip > 0))
    c.fail(`clip is ${clip}; a positive number is needed.`, 'GRIM_IR_BAD_ATTRIBUTE');

  const lengths = sharedLengths(c);
  const times = (n: number) => (n === 1 ? 'hidden_size' : `${n}*hidden_size`);
  lengths.set('num_directions', directions, `direction ${direction}`);
  if (hiddenSize !== undefined) lengths.set('hidden_size', hiddenSize, 'the attribute');
  lengths.match(2, 'R', ['num_directions', times(gates), 'hidden_size']);
  const hidden = lengths.get('hidden_size');
  if (typeof hidden === 'number')
    for (const n of [gates, 2 * gates, 3]) lengths.set(times(n), n * hidden, `hidden_size ${hidden}`);
  lengths.match(
    0,
    'X',
    layout === 0 ? ['seq_length', 'batch_size', 'input_size'] : ['batch_size', 'seq_length', 'input_size'],
  );
  lengths.match(1, 'W', ['num_directions', times(gates), 'input_size']);
  lengths.match(3, 'B', ['num_directions', times(2 * gates)]);
  lengths.match(4, 'sequence_lens', ['batch_size']);
  const state =
    layout === 0 ? ['num_directions', 'batch_size', 'hidden_size'] : ['batch_size', 'num_directions', 'hidden_size'];
  lengths.match(5, 'initial_h', state);
  if (kind === 'LSTM') {
    lengths.match(6, 'initial_c', state);
    lengths.match(7, 'P', ['num_directions', times(3)]);
  }

  const steps = lengths.get('seq_length');
  const given = c.has(4) ? c.integers(4) : undefined;
  if (typeof steps === 'number')
    given?.forEach((length, b) => {
      if (length < 0 || length > steps)
        c.fail(`sequence_lens[${b}] is ${length}; the sequence has ${steps} steps (0 to ${steps} are taken).`);
    });
  const [batch, dims] = [lengths.get('batch_size'), [directions, lengths.get('hidden_size')] as const];
  const last: Dim[] = layout === 0 ? [dims[0], batch, dims[1]] : [batch, ...dims];
  const all: Dim[] = layout === 0 ? [steps, directions, batch, dims[1]] : [batch, steps, ...dims];
  return kind === 'LSTM' ? [all, last, last] : [all, last];
}

/** Each step multiplies the input by W and the state by R; sequence_lens is not counted on to shorten anything. */
function macs(inputs: readonly (TensorType | undefined)[]): number {
  const [x, w, r] = inputs.map((type) => type?.shape ?? null);
  const peepholes = inputs[7]?.shape ?? [];
  if (!x || !w || !r || !isStatic(x) || !isStatic(w) || !isStatic(r) || !isStatic(peepholes)) return 0;
  const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const perStep = product(w) + product(r) + (inputs[7] ? product(peepholes) : 0);
  return (x[0] ?? 0) * (x[1] ?? 0) * perStep;
}

const types = { T: FLOAT_DTYPES };
const inputs = ['X: T', 'W: T', 'R: T', 'B?: T', 'sequence_lens?: int32', 'initial_h?: T'] as const;

export const recurrentOps = {
  RNN: op({
    since: 22,
    inputs,
    outputs: ['Y?: T', 'Y_h?: T'],
    types,
    attributes,
    infer: (c) => infer(c, 'RNN'),
    macs,
  }),
  GRU: op({
    since: 22,
    inputs,
    outputs: ['Y?: T', 'Y_h?: T'],
    types,
    attributes: { ...attributes, linear_before_reset: flag(0) },
    infer: (c) => infer(c, 'GRU'),
    macs,
  }),
  LSTM: op({
    since: 22,
    inputs: [...inputs, 'initial_c?: T', 'P?: T'],
    outputs: ['Y?: T', 'Y_h?: T', 'Y_c?: T'],
    types,
    attributes: { ...attributes, input_forget: flag(0) },
    infer: (c) => infer(c, 'LSTM'),
    macs,
  }),
};
