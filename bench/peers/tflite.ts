/**
 * Writes a plan as a `.tflite` file, as LiteRT.js takes it. With `sparse`, the weights of 1×1 convolutions that are mostly zeros
 * are stored as CSR behind a DENSIFY operator, the one form in which XNNPACK's sparse kernels run; for them to run, padding at
 * a stride above 1 must be a PAD of its own, and so it is in every file.
 *
 * @see TensorFlow's schema.fbs for the numbers of fields; XNNPACK delegate's README, "Sparse inference", for the rules
 */
import { Builder, type Offset } from 'flatbuffers';
import type { Activation, Convolution, Layer, Plan } from './plan.ts';

/** Numbers of builtin operators. */
const OPERATORS = {
  ...{ ADD: 0, CONV_2D: 3, DEPTHWISE_CONV_2D: 4, FULLY_CONNECTED: 9, MAX_POOL_2D: 17, PAD: 34, MEAN: 40 },
  DENSIFY: 124,
} as const;
type Operator = keyof typeof OPERATORS;
/** Numbers in the union of options. */
const OPTIONS = { CONV_2D: 1, DEPTHWISE_CONV_2D: 2, MAX_POOL_2D: 5, FULLY_CONNECTED: 8, ADD: 11, PAD: 22, MEAN: 27 };
const ACTIVATIONS: Readonly<Record<Activation, number>> = { none: 0, relu: 1, relu6: 3 };
const SAME = 0;
const VALID = 1;
const FLOAT32 = 0;
const INT32 = 2;
const SPARSE_CSR = 1;
const INT32_VECTOR = 1;
/** Of weights, from where XNNPACK takes its sparse kernels. */
const MOSTLY = 2 / 3;

interface Tensor {
  readonly shape: readonly number[];
  readonly type: typeof FLOAT32 | typeof INT32;
  /** Of a constant; of a sparse one those that are not zero. */
  readonly data?: Float32Array | Int32Array;
  readonly csr?: Csr;
}

interface Csr {
  readonly segments: Int32Array;
  readonly indices: Int32Array;
}

interface Call {
  readonly operator: Operator;
  readonly inputs: readonly number[];
  readonly output: number;
  /** By number of the field of the options: a byte, an int, a bool. */
  readonly options: readonly (readonly [field: number, kind: 'i8' | 'i32' | 'bool', value: number])[];
}

export function writeTflite(plan: Plan, { sparse = false }: { readonly sparse?: boolean } = {}): Uint8Array {
  const tensors: Tensor[] = plan.shapes.map((shape) => ({ shape, type: FLOAT32 }));
  const calls: Call[] = [];
  const constant = (shape: readonly number[], data: Float32Array | Int32Array): number =>
    tensors.push({ shape, type: data instanceof Float32Array ? FLOAT32 : INT32, data }) - 1;
  const call = (operator: Operator, inputs: readonly number[], output: number, options: Call['options'] = []) => {
    calls.push({ operator, inputs, output, options });
  };
  /** `x` with its padding, or how the window pads it itself. */
  const padded = (x: number, { kernel, stride, pad }: { kernel: number; stride: number; pad: number }) => {
    if (pad === 0) return { from: x, padding: VALID };
    if (stride === 1 && kernel === 2 * pad + 1) return { from: x, padding: SAME };
    const [n = 1, h = 0, w = 0, c = 0] = plan.shapes[x] ?? [];
    const from = tensors.push({ shape: [n, h + 2 * pad, w + 2 * pad, c], type: FLOAT32 }) - 1;
    call('PAD', [x, constant([4, 2], Int32Array.of(0, 0, pad, pad, pad, pad, 0, 0))], from);
    return { from, padding: VALID };
  };
  const weightsOf = ({ op, kernel, weights }: Convolution, inputs: number, outputs: number): number => {
    const shape = op === 'conv' ? [outputs, kernel, kernel, inputs] : [1, kernel, kernel, outputs];
    const packed = sparse && op === 'conv' && kernel === 1 ? compressed(weights, inputs) : undefined;
    if (!packed) return constant(shape, weights);
    const stored = tensors.push({ shape, type: FLOAT32, data: packed.values, csr: packed }) - 1;
    const whole = tensors.push({ shape, type: FLOAT32 }) - 1;
    call('DENSIFY', [stored], whole);
    return whole;
  };
  const add = (layer: Layer): void => {
    const { x, y } = layer;
    const inputs = plan.shapes[x]?.at(-1) ?? 0;
    const outputs = plan.shapes[y]?.at(-1) ?? 0;
    switch (layer.op) {
      case 'conv':
      case 'depthwise': {
        const { from, padding } = padded(x, layer);
        const weights = weightsOf(layer, inputs, outputs);
        const fields = [
          ...([[0, 'i8', padding] as const, [1, 'i32', layer.stride] as const] as const),
          [2, 'i32', layer.stride] as const,
        ];
        const activation = ACTIVATIONS[layer.activation];
        const all = [from, weights, constant([outputs], layer.bias)];
        if (layer.op === 'conv') call('CONV_2D', all, y, [...fields, [3, 'i8', activation]]);
        else call('DEPTHWISE_CONV_2D', all, y, [...fields, [3, 'i32', 1], [4, 'i8', activation]]);
        break;
      }
      case 'maxPool': {
        // Behind a ReLU: zeros around it are never the largest alone.
        const { from, padding } = padded(x, layer);
        const { stride, kernel } = layer;
        call('MAX_POOL_2D', [from], y, [
          ...([
            [0, 'i8', padding],
            [1, 'i32', stride],
            [2, 'i32', stride],
          ] as const),
          ...([
            [3, 'i32', kernel],
            [4, 'i32', kernel],
          ] as const),
        ]);
        break;
      }
      case 'add':
        call('ADD', [x, layer.other], y, [[0, 'i8', ACTIVATIONS[layer.activation]]]);
        break;
      case 'mean':
        call('MEAN', [x, constant([2], Int32Array.of(1, 2))], y, [[0, 'bool', 0]]);
        break;
      case 'dense':
        call('FULLY_CONNECTED', [x, constant([outputs, inputs], layer.weights), constant([outputs], layer.bias)], y, [
          [0, 'i8', ACTIVATIONS[layer.activation]],
        ]);
    }
  };
  plan.layers.forEach(add);
  return file(tensors, calls, 0, plan.shapes.length - 1);
}

/** Rows of [outputs, inputs] as CSR; undefined where too few are zeros. */
function compressed(weights: Float32Array, inputs: number): (Csr & { readonly values: Float32Array }) | undefined {
  const kept = weights.reduce((count, value) => count + Number(value !== 0), 0);
  if (kept > (1 - MOSTLY) * weights.length) return undefined;
  const [values, indices] = [new Float32Array(kept), new Int32Array(kept)];
  const segments = new Int32Array(weights.length / inputs + 1);
  let at = 0;
  for (const [i, value] of weights.entries()) {
    if (value !== 0) {
      values[at] = value;
      indices[at++] = i % inputs;
    }
    if ((i + 1) % inputs === 0) segments[(i + 1) / inputs] = at;
  }
  return { values, indices, segments };
}

function file(tensors: readonly Tensor[], calls: readonly Call[], input: number, output: number): Uint8Array {
  const b = new Builder(2 ** 20);
  const ints = (values: readonly number[] | Int32Array): Offset => {
    b.startVector(4, values.length, 4);
    for (let i = values.length - 1; i >= 0; i--) b.addInt32(values[i] ?? 0);
    return b.endVector();
  };
  const offsets = (values: readonly Offset[]): Offset => {
    b.startVector(4, values.length, 4);
    for (const value of values.toReversed()) b.addOffset(value);
    return b.endVector();
  };
  const table = (fields: number, fill: () => void): Offset => {
    b.startObject(fields);
    fill();
    return b.endObject();
  };
  /** Kernels load whole vectors. */
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array | Int32Array): Offset => {
    const all = new Uint8Array(buffer, byteOffset, byteLength);
    b.startVector(1, byteLength, 16);
    for (let i = byteLength - 1; i >= 0; i--) b.addInt8(all[i] ?? 0);
    return b.endVector();
  };
  const used = [...new Set(calls.map(({ operator }) => operator))];
  const codes = used.map((operator) =>
    table(4, () => {
      // Two fields: old readers know the first, of a byte.
      b.addFieldInt8(0, Math.min(127, OPERATORS[operator]), 0);
      b.addFieldInt32(2, 1, 1);
      b.addFieldInt32(3, OPERATORS[operator], 0);
    }),
  );
  // Buffer 0 is the empty one.
  const buffers: Offset[] = [table(1, () => {})];
  const written = tensors.map(({ shape, type, data, csr }, i) => {
    let buffer = 0;
    if (data) {
      const content = bytes(data);
      buffer = buffers.push(table(1, () => b.addFieldOffset(0, content, 0))) - 1;
    }
    const sparsity = csr && sparsityOf(csr, shape);
    const dims = ints(shape);
    const name = b.createString(`t${i}`);
    return table(8, () => {
      b.addFieldOffset(0, dims, 0);
      b.addFieldInt8(1, type, 0);
      b.addFieldInt32(2, buffer, 0);
      b.addFieldOffset(3, name, 0);
      if (sparsity) b.addFieldOffset(6, sparsity, 0);
    });
  });
  /** Rows dense, their columns compressed: [O, 1, 1, I]. */
  function sparsityOf({ segments, indices }: Csr, [outputs = 0]: readonly number[]): Offset {
    const dense = (size: number) => table(6, () => b.addFieldInt32(1, size, 0));
    const vector = (values: Int32Array) => {
      const list = ints(values);
      return table(1, () => b.addFieldOffset(0, list, 0));
    };
    const [starts, columns] = [vector(segments), vector(indices)];
    const rows = [dense(outputs), dense(1), dense(1)];
    const compressed = table(6, () => {
      b.addFieldInt8(0, SPARSE_CSR, 0);
      b.addFieldInt8(2, INT32_VECTOR, 0);
      b.addFieldOffset(3, starts, 0);
      b.addFieldInt8(4, INT32_VECTOR, 0);
      b.addFieldOffset(5, columns, 0);
    });
    const metadata = offsets([...rows, compressed]);
    const order = ints([0, 1, 2, 3]);
    return table(3, () => {
      b.addFieldOffset(0, order, 0);
      b.addFieldOffset(2, metadata, 0);
    });
  }
  const operators = calls.map(({ operator, inputs, output: to, options }) => {
    const [from, into] = [ints(inputs), ints([to])];
    const kind = operator === 'DENSIFY' ? 0 : OPTIONS[operator];
    const chosen =
      kind &&
      table(8, () => {
        for (const [field, type, value] of options) {
          if (type === 'i32') b.addFieldInt32(field, value, 0);
          else b.addFieldInt8(field, value, 0);
        }
      });
    return table(9, () => {
      b.addFieldInt32(0, used.indexOf(operator), 0);
      b.addFieldOffset(1, from, 0);
      b.addFieldOffset(2, into, 0);
      if (!kind) return;
      b.addFieldInt8(3, kind, 0);
      b.addFieldOffset(4, chosen, 0);
    });
  });
  const lists = [offsets(written), ints([input]), ints([output]), offsets(operators)];
  const subgraph = table(5, () => {
    for (const [field, list] of lists.entries()) b.addFieldOffset(field, list, 0);
  });
  const [allCodes, graphs, allBuffers] = [offsets(codes), offsets([subgraph]), offsets(buffers)];
  const model = table(8, () => {
    b.addFieldInt32(0, 3, 0);
    b.addFieldOffset(1, allCodes, 0);
    b.addFieldOffset(2, graphs, 0);
    b.addFieldOffset(4, allBuffers, 0);
  });
  b.finish(model, 'TFL3');
  return b.asUint8Array();
}
