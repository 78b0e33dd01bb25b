import { type DType, type Graph, graph, type OpName, type Tensor, type Weight } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { check, random, randomTensor } from './check.ts';

const TYPES = ['float32', 'float16', 'bfloat16', 'float64'] as const;

function toleranceOf(dtype: DType) {
  if (dtype === 'float16') return { relative: 2 ** -9, absolute: 2e-3 };
  if (dtype === 'bfloat16') return { relative: 2 ** -6, absolute: 2e-2 };
  if (dtype === 'float64') return { relative: 1e-12, absolute: 1e-12 };
  return { relative: 2e-5, absolute: 1e-5 };
}

interface Case {
  readonly op: OpName;
  readonly attributes?: object;
  readonly x: readonly number[];
  /** Shapes of the parameters; a variance is never negative. */
  readonly parameters?: readonly (readonly number[])[];
  readonly outputs?: number;
  readonly constant?: boolean;
}

function build(
  { op, attributes = {}, x, parameters = [], outputs = 1, constant = false }: Case,
  dtype: DType,
  seed: number,
) {
  const next = random(seed);
  const inputs: Record<string, Tensor> = { x: randomTensor(dtype, x, next, false) };
  const g: Graph = graph(`${op} ${dtype} [${x}] ${JSON.stringify(attributes)}`, (b) => {
    const names = parameters.map((shape, i) => {
      const given = randomTensor(dtype, shape, next, false);
      const value = (i === 3 ? { ...given, data: positive(given) } : given) as Weight;
      if (constant) return b.weight(`p${i}`, value);
      inputs[`p${i}`] = value;
      return b.input(`p${i}`, dtype, shape);
    });
    b.addMany(op, [b.input('x', dtype, x), ...names], outputs, attributes as never).forEach((name, i) => {
      b.output(`y${i}`, name);
    });
  });
  return { g, inputs };
}

/** Without the sign: the highest bit of a 16-bit float. */
function positive({ dtype, data }: Tensor): Tensor['data'] {
  return dtype.endsWith('16')
    ? (data as Uint16Array).map((bits) => bits & 0x7fff)
    : (data as Float32Array).map((v) => Math.abs(v));
}

function checkCase(given: Case, seed = 1): void {
  for (const dtype of TYPES) {
    if (given.op === 'LRN' && dtype === 'float64') continue;
    const { g, inputs } = build(given, dtype, seed);
    check(g, { inputs, ...toleranceOf(dtype) });
  }
}

const SHAPES: readonly (readonly number[])[] = [
  [2, 6, 5, 7],
  [1, 4, 33],
  [3, 8],
  [2, 2, 1, 1],
  [2, 4, 2, 3, 5],
  [1, 2, 0],
];

describe('normalizations are close to the reference', () => {
  it('BatchNormalization with statistics given', () => {
    for (const x of [...SHAPES, [5]])
      for (const constant of [false, true]) {
        const channels = [x.length === 1 ? 1 : (x[1] ?? 1)];
        checkCase({
          op: 'BatchNormalization',
          x,
          constant,
          parameters: [channels, channels, channels, channels],
          attributes: { epsilon: 1e-3 },
        });
      }
  });
  it('BatchNormalization with statistics of its own', () => {
    for (const x of SHAPES.slice(0, 5)) {
      const channels = [x[1] ?? 1];
      const attributes = { training_mode: 1, momentum: 0.7 };
      for (const outputs of [1, 3])
        checkCase({
          op: 'BatchNormalization',
          x,
          attributes,
          outputs,
          parameters: [channels, channels, channels, channels],
        });
    }
  });
  it('InstanceNormalization', () => {
    for (const x of SHAPES) checkCase({ op: 'InstanceNormalization', x, parameters: [[x[1] ?? 1], [x[1] ?? 1]] });
  });
  it('GroupNormalization', () => {
    for (const x of SHAPES)
      for (const groups of [1, 2]) {
        const channels = [x[1] ?? 1];
        checkCase({
          op: 'GroupNormalization',
          x,
          attributes: { num_groups: groups, epsilon: 1e-2 },
          parameters: [channels, channels],
        });
      }
  });
  it('LayerNormalization on any axis, with and without bias and statistics', () => {
    for (const x of SHAPES.slice(0, 5))
      for (let axis = -x.length; axis < x.length; axis++) {
        const own = x.slice(axis < 0 ? axis + x.length : axis);
        checkCase({ op: 'LayerNormalization', x, attributes: { axis }, parameters: [own, own] });
        checkCase({ op: 'LayerNormalization', x, attributes: { axis }, parameters: [own.slice(-1)] });
      }
    const { g, inputs } = build(
      { op: 'LayerNormalization', x: [3, 4, 9], parameters: [[9], [9]], outputs: 3 },
      'float32',
      4,
    );
    check(g, { inputs, ...toleranceOf('float32') });
  });
  it('RMSNormalization on any axis', () => {
    for (const x of SHAPES.slice(0, 5))
      for (let axis = -x.length; axis < x.length; axis++)
        checkCase({
          op: 'RMSNormalization',
          x,
          attributes: { axis, epsilon: 1e-4 },
          parameters: [x.slice(axis < 0 ? axis + x.length : axis)],
        });
  });
  it('LpNormalization on any axis; a vector of zeros stays', () => {
    for (const x of SHAPES)
      for (let axis = -x.length; axis < x.length; axis++)
        for (const p of [1, 2]) checkCase({ op: 'LpNormalization', x, attributes: { axis, p } });
    const { g, inputs } = build({ op: 'LpNormalization', x: [2, 5], attributes: { axis: 1 } }, 'float32', 1);
    ((inputs['x'] as Tensor).data as Float32Array).fill(0, 0, 5);
    check(g, { inputs, ...toleranceOf('float32') });
  });
  it('MeanVarianceNormalization over any axes', () => {
    checkCase({ op: 'MeanVarianceNormalization', x: [2, 3, 5, 7] });
    for (const axes of [[0], [1, 2], [-1], [0, 1, 2]])
      checkCase({ op: 'MeanVarianceNormalization', x: [3, 4, 9], attributes: { axes } });
  });
  it('LRN of any size and power', () => {
    for (const size of [1, 2, 3, 5, 8, 40])
      for (const beta of [0.75, 0.5, 1, 0.6, 2])
        checkCase({ op: 'LRN', x: [2, 9, 3, 5], attributes: { size, beta, alpha: 0.3, bias: 1.5 } });
    checkCase({ op: 'LRN', x: [1, 0, 3], attributes: { size: 3 } });
  });
  it('a mean far from zero does not drown the deviation', () => {
    for (const [op, parameters, attributes] of [
      ['LayerNormalization', [[64]], {}],
      ['InstanceNormalization', [[2], [2]], {}],
      ['MeanVarianceNormalization', [], { axes: [2] }],
    ] as const) {
      const { g, inputs } = build({ op, x: [2, 2, 64], parameters, attributes }, 'float32', 3);
      const x = (inputs['x'] as Tensor).data as Float32Array;
      for (let i = 0; i < x.length; i++) x[i] = (x[i] ?? 0) + 4000;
      check(g, { inputs, relative: 1e-3, absolute: 1e-3 });
    }
  });
  it('what follows joins the last kernel', () => {
    const followed = (relu: boolean) =>
      compile(
        graph('joined', (b) => {
          const y = b.add('LayerNormalization', [b.input('x', 'float32', [3, 8]), b.input('s', 'float32', [8])]);
          b.output('y', relu ? b.add('Relu', [y]) : y);
        }),
      ).manifest.kernels.length;
    expect(followed(true)).toBe(followed(false));
  });
  it('a channel norm of float64 across channels is refused with the node', () => {
    const { g } = build({ op: 'LRN', x: [1, 3, 2], attributes: { size: 3 } }, 'float64', 1);
    expect(() => compile(g)).toThrowError(/LRN.*float64.*float32/);
  });
});
