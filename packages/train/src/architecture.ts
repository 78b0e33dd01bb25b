/**
 * Networks from a short description, with random weights to train from: what `arch.json` holds.
 *
 * `{ "name", "input": [3, 32, 32], "layers": […] }`, each layer one of
 * `{ "conv": channels, "kernel": 3, "stride": 1, "group": 1, "norm": true, "relu": true }`,
 * `{ "block": channels, "stride": 1 }` (two 3×3 convolutions beside a shortcut; He et al., 2016),
 * `{ "separable": channels, "stride": 1 }` (depthwise 3×3, then 1×1; Howard et al., 2017),
 * `{ "maxpool": 2 }`, `{ "avgpool": 2 }`, `{ "globalpool": true }`, `{ "gru": hidden, "sequence": false }`
 * (over [T, F]; the last state, or with `sequence` the states of all steps, [T, hidden]),
 * `{ "dense": outputs, "relu": false }`.
 * @see He et al., "Delving Deep into Rectifiers", 2015 (the deviation of initial weights)
 */
import { type Graph, type GraphBuilder, graph, quote } from '@grim/ir';
import { type Shape, sizeOf } from './emit.ts';
import { fail } from './errors.ts';
import { normal, type Random, randomStream } from './random.ts';

type Layer = Readonly<Record<string, unknown>>;

/** The network that a description (parsed JSON) says, with weights by `seed`. @throws {GrimError} GRIM_TRAIN_BAD_NETWORK */
export function buildNetwork(description: unknown, seed = 1): Graph {
  const bad = (why: string): never => fail('GRIM_TRAIN_BAD_NETWORK', `architecture: ${why}.`);
  const given = (typeof description === 'object' && description !== null ? description : {}) as Layer;
  const { name = 'network', input, layers } = given;
  if (typeof name !== 'string') bad('its name is no text');
  if (!Array.isArray(input) || input.length < 1 || input.length > 3 || !input.every((n) => isCount(n, 1e5)))
    bad('input, the shape of one example as [C, H, W] or [T, F], is missing');
  if (!Array.isArray(layers) || layers.length === 0 || layers.length > 1000)
    bad('layers, a list of 1 to 1000, is missing');
  const random = randomStream(seed, 3);
  return graph(name as string, (b) => {
    const x = b.input('input', 'float32', ['N', ...(input as number[])]);
    let state: State = { value: x, shape: input as number[] };
    (layers as unknown[]).forEach((layer, i) => {
      if (typeof layer !== 'object' || layer === null) bad(`layer ${i} is no object`);
      state = addLayer(
        { b, random, at: `layer${i}`, layer: layer as Layer, bad: (why) => bad(`layer ${i}: ${why}`) },
        state,
      );
    });
    b.output('scores', state.value);
  });
}

interface State {
  readonly value: string;
  /** Of one example. */
  readonly shape: Shape;
}
interface Around {
  readonly b: GraphBuilder;
  readonly random: Random;
  readonly at: string;
  readonly layer: Layer;
  bad(why: string): never;
}

const isCount = (value: unknown, most: number): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most;

const KNOWN: Readonly<Record<string, readonly string[]>> = {
  conv: ['kernel', 'stride', 'group', 'norm', 'relu'],
  block: ['stride'],
  separable: ['stride'],
  maxpool: [],
  avgpool: [],
  globalpool: [],
  gru: ['sequence'],
  dense: ['relu'],
};

function addLayer(a: Around, state: State): State {
  const kind = Object.keys(KNOWN).find((name) => Object.hasOwn(a.layer, name));
  if (kind === undefined)
    return a.bad(`it is ${quote(Object.keys(a.layer).join(', '))}; one of ${Object.keys(KNOWN).join(', ')} is needed`);
  const unknown = Object.keys(a.layer).find((key) => key !== kind && !KNOWN[kind]?.includes(key));
  if (unknown !== undefined)
    a.bad(`${quote(unknown)} is not known; ${kind} has ${KNOWN[kind]?.join(', ') || 'no options'}`);
  const count = (key: string, otherwise?: number): number => {
    const value = a.layer[key] ?? otherwise;
    return isCount(value, 65536) ? value : a.bad(`${key} is ${JSON.stringify(value)}; a positive integer is needed`);
  };
  const flag = (key: string, otherwise: boolean): boolean => {
    const value = a.layer[key] ?? otherwise;
    return typeof value === 'boolean' ? value : a.bad(`${key} is ${JSON.stringify(value)}; true or false is needed`);
  };
  const pictures = (): Shape =>
    state.shape.length === 3
      ? state.shape
      : a.bad(`it needs [C, H, W]; the layer before gives [${state.shape.join(', ')}]`);
  switch (kind) {
    case 'conv': {
      pictures();
      const options = { kernel: count('kernel', 3), stride: count('stride', 1), group: count('group', 1) };
      return conv(a, state, '', count('conv'), { ...options, norm: flag('norm', true), relu: flag('relu', true) });
    }
    case 'block': {
      const [from] = pictures();
      const [channels, stride] = [count('block'), count('stride', 1)];
      const inner = conv(a, state, '.1', channels, { kernel: 3, stride, group: 1, norm: true, relu: true });
      const outer = conv(a, inner, '.2', channels, { kernel: 3, stride: 1, group: 1, norm: true, relu: false });
      const same = from === channels && stride === 1;
      const shortcut = same
        ? state
        : conv(a, state, '.shortcut', channels, { kernel: 1, stride, group: 1, norm: true, relu: false });
      return {
        value: a.b.add('Relu', [a.b.add('Add', [outer.value, shortcut.value])], {}, { name: `${a.at}.relu` }),
        shape: outer.shape,
      };
    }
    case 'separable': {
      const [from = 1] = pictures();
      const depth = conv(a, state, '.depthwise', from, {
        kernel: 3,
        stride: count('stride', 1),
        group: from,
        norm: true,
        relu: true,
      });
      return conv(a, depth, '.pointwise', count('separable'), {
        kernel: 1,
        stride: 1,
        group: 1,
        norm: true,
        relu: true,
      });
    }
    case 'maxpool':
    case 'avgpool': {
      const [channels = 1, h = 1, w = 1] = pictures();
      const side = count(kind);
      if (side > h || side > w) a.bad(`its window of ${side} is larger than [${state.shape.join(', ')}]`);
      const op = kind === 'maxpool' ? 'MaxPool' : 'AveragePool';
      const value = a.b.add(op, [state.value], { kernel_shape: [side, side], strides: [side, side] }, { name: a.at });
      return { value, shape: [channels, Math.floor(h / side), Math.floor(w / side)] };
    }
    case 'globalpool': {
      const [channels = 1] = pictures();
      const pooled = a.b.add('GlobalAveragePool', [state.value], {}, { name: a.at });
      return { value: a.b.add('Flatten', [pooled]), shape: [channels] };
    }
    case 'gru':
      return gru(a, state, count('gru'), flag('sequence', false));
    default: {
      const outputs = count('dense');
      const inputs = sizeOf(state.shape);
      const flat = state.shape.length === 1 ? state.value : a.b.add('Flatten', [state.value]);
      const w = weight(a, 'weight', [outputs, inputs], Math.sqrt((flag('relu', false) ? 2 : 1) / inputs));
      const value = a.b.add('Gemm', [flat, w, constant(a, 'bias', outputs, 0)], { transB: 1 }, { name: a.at });
      return { value: flag('relu', false) ? a.b.add('Relu', [value]) : value, shape: [outputs] };
    }
  }
}

interface ConvOptions {
  readonly kernel: number;
  readonly stride: number;
  readonly group: number;
  readonly norm: boolean;
  readonly relu: boolean;
}

function conv(a: Around, { value, shape }: State, part: string, channels: number, o: ConvOptions): State {
  const [from = 1, h = 1, w = 1] = shape;
  if (from % o.group !== 0 || channels % o.group !== 0)
    a.bad(`group ${o.group} does not divide ${from} and ${channels} channels`);
  const pad = Math.floor(o.kernel / 2);
  const length = (side: number): number => Math.floor((side + 2 * pad - o.kernel) / o.stride) + 1;
  if (length(h) < 1 || length(w) < 1) a.bad(`its kernel of ${o.kernel} is larger than [${shape.join(', ')}]`);
  const depth = from / o.group;
  const kernel = weight(
    a,
    `${part}.weight`,
    [channels, depth, o.kernel, o.kernel],
    Math.sqrt(2 / (depth * o.kernel * o.kernel)),
  );
  const inputs = o.norm ? [value, kernel] : [value, kernel, constant(a, `${part}.bias`, channels, 0)];
  const attributes = {
    kernel_shape: [o.kernel, o.kernel],
    pads: [pad, pad, pad, pad],
    strides: [o.stride, o.stride],
    group: o.group,
  };
  let result = a.b.add('Conv', inputs, attributes, { name: `${a.at}${part}` });
  if (o.norm) {
    const [scale, shift, mean, variance] = [
      ['scale', 1],
      ['shift', 0],
      ['mean', 0],
      ['variance', 1],
    ].map(([name, fill]) => constant(a, `${part}.${name}`, channels, fill as number)) as [
      string,
      string,
      string,
      string,
    ];
    result = a.b.add('BatchNormalization', [result, scale, shift, mean, variance], {}, { name: `${a.at}${part}.norm` });
  }
  if (o.relu) result = a.b.add('Relu', [result], {}, { name: `${a.at}${part}.relu` });
  return { value: result, shape: [channels, length(h), length(w)] };
}

function gru(a: Around, { value, shape }: State, hidden: number, sequence: boolean): State {
  const [steps = 1, features = 1] = shape;
  if (shape.length !== 2) a.bad(`it needs [T, F]; the layer before gives [${shape.join(', ')}]`);
  const deviation = 1 / Math.sqrt(3 * hidden);
  const inputs = [
    a.b.add('Transpose', [value], { perm: [1, 0, 2] }),
    weight(a, 'W', [1, 3 * hidden, features], 1 / Math.sqrt(features)),
    weight(a, 'R', [1, 3 * hidden, hidden], deviation),
    constant(a, 'B', 6 * hidden, 0, [1, 6 * hidden]),
  ];
  if (steps < 1) a.bad('there is no step');
  const attributes = { hidden_size: hidden, linear_before_reset: 1 };
  const axis = (at: bigint): string =>
    a.b.weight(named(a, 'axes'), { dtype: 'int64', shape: [1], data: BigInt64Array.of(at) });
  if (sequence) {
    // [T, directions, N, hidden] → [N, T, hidden]
    const [all = ''] = a.b.addMany('GRU', inputs, [named(a, 'states')], attributes, { name: a.at });
    const states = a.b.add('Squeeze', [all, axis(1n)]);
    return { value: a.b.add('Transpose', [states], { perm: [1, 0, 2] }), shape: [steps, hidden] };
  }
  const [, last = ''] = a.b.addMany('GRU', inputs, ['', named(a, 'state')], attributes, { name: a.at });
  return { value: a.b.add('Squeeze', [last, axis(0n)]), shape: [hidden] };
}

const named = (a: Around, part: string): string => `${a.at}.${part.replace(/^\./, '')}`;

function weight(a: Around, part: string, shape: Shape, deviation: number): string {
  const data = Float32Array.from({ length: sizeOf(shape) }, () => deviation * normal(a.random));
  return a.b.weight(named(a, part), { dtype: 'float32', shape, data });
}

function constant(a: Around, part: string, length: number, value: number, shape: Shape = [length]): string {
  return a.b.weight(named(a, part), { dtype: 'float32', shape, data: new Float32Array(length).fill(value) });
}
