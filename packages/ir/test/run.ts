/** One operator run on its own: what the tests of the operator families are written with. */
import { type AttributeInput, graph } from '../src/graph.ts';
import { inferTypes } from '../src/infer.ts';
import { fromBigs, fromReals, toReals } from '../src/numeric.ts';
import type { OpName } from '../src/ops.ts';
import { evaluate } from '../src/reference/index.ts';
import { type DType, isBig, type Tensor, type TensorType } from '../src/types.ts';

/** A tensor; the values are rounded to the dtype. */
export function t(dtype: DType, shape: readonly number[], values: readonly (number | bigint)[]): Tensor {
  if (isBig(dtype)) return fromBigs(dtype, shape, values.map(BigInt));
  return fromReals(dtype, shape, values.map(Number));
}

/** The elements as they are held: bit patterns of 16-bit floats, bigints of 64-bit integers. */
export function elements(value: Tensor | undefined): (number | bigint)[] {
  return Array.from((value?.data ?? []) as ArrayLike<number | bigint>);
}

/** The elements as doubles. */
export function reals(value: Tensor | undefined): number[] {
  return value ? Array.from(toReals(value)) : [];
}

function single<O extends OpName>(
  op: O,
  types: readonly (TensorType | undefined)[],
  attributes: AttributeInput<O>,
  outputs: number,
  weights: readonly (Tensor | undefined)[] = [],
) {
  return graph('test', (b) => {
    const names = types.map((type, i) => {
      const weight = weights[i];
      if (weight) return b.weight(`x${i}`, weight);
      return type ? b.input(`x${i}`, type.dtype, type.shape) : '';
    });
    const results = b.addMany(op, names, outputs, attributes, { name: 'node' });
    for (const [i, name] of results.entries()) b.output(`y${i}`, name);
  });
}

/** The outputs of one operator; an absent optional input is undefined. */
export function runOp<O extends OpName>(
  op: O,
  inputs: readonly (Tensor | undefined)[],
  attributes: AttributeInput<O> = {},
  outputs = 1,
): Tensor[] {
  const given: Record<string, Tensor> = {};
  inputs.forEach((value, i) => {
    if (value) given[`x${i}`] = value;
  });
  const results = evaluate(single(op, inputs, attributes, outputs), given);
  return Array.from({ length: outputs }, (_, i) => results[`y${i}`] as Tensor);
}

/** What the shape rule says of the outputs; an input with `data` is a weight, whose value the rule knows. */
export function inferOp<O extends OpName>(
  op: O,
  inputs: readonly (TensorType | Tensor | undefined)[],
  attributes: AttributeInput<O> = {},
  outputs = 1,
): TensorType[] {
  const weights = inputs.map((input) => (input && 'data' in input ? input : undefined));
  const g = single(op, inputs, attributes, outputs, weights);
  const types = inferTypes(g);
  return Array.from(g.outputs.values(), (name) => types.get(name) as TensorType);
}

/** The code of the error that `run` throws, and its message. */
export function refusal(run: () => unknown): { code: unknown; message: string } {
  try {
    run();
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    return { code, message };
  }
  throw new Error('nothing was refused');
}
