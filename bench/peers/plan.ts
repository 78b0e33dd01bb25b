/**
 * A network as engines of the TensorFlow family take it: channels last, a short list of fused layers. What `tflite.ts` writes and
 * `tfjs.ts` runs are made of the same plan, and the plan of the same graph that onnxruntime and GRIM run.
 */
import type { Graph, Node } from '@grim/ir';

export type Activation = 'none' | 'relu' | 'relu6';

interface Base {
  /** Numbers of tensors. */
  readonly x: number;
  readonly y: number;
}

export interface Convolution extends Base {
  /** `conv`: weights are [outputs, height, width, inputs]; `depthwise`: [1, height, width, channels]. */
  readonly op: 'conv' | 'depthwise';
  /** Sides of the square window, its step, and the zeros on every side. */
  readonly kernel: number;
  readonly stride: number;
  readonly pad: number;
  readonly activation: Activation;
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

/** y = x · weightsᵀ + bias; weights are [outputs, inputs]. */
interface Dense extends Base {
  readonly op: 'dense';
  readonly activation: Activation;
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

interface Sum extends Base {
  readonly op: 'add';
  readonly other: number;
  readonly activation: Activation;
}

interface MaxPool extends Base {
  readonly op: 'maxPool';
  readonly kernel: number;
  readonly stride: number;
  readonly pad: number;
}

/** Over height and width: [1, channels]. */
interface Mean extends Base {
  readonly op: 'mean';
}

export type Layer = Convolution | Dense | Sum | MaxPool | Mean;

export interface Plan {
  /** Channels last, or [1, features]. Tensor 0 is the input, the last one the output. */
  readonly shapes: readonly (readonly number[])[];
  readonly layers: readonly Layer[];
}

/** @throws {Error} for operators and attributes that the networks of `architectures.ts` do not have */
export function planOf(graph: Graph): Plan {
  const shapes: number[][] = [];
  const tensorOf = new Map<string, number>();
  const layers: Layer[] = [];
  const define = (name: string, shape: readonly number[]): number => {
    tensorOf.set(name, shapes.length);
    return shapes.push([...shape]) - 1;
  };
  const number = (name: string): number => tensorOf.get(name) ?? fail(`no tensor ${name}`);
  const shapeOf = (tensor: number) => shapes[tensor] as [number, number, number, number];
  const values = (name = ''): Float32Array => graph.weights.get(name)?.data as Float32Array;
  for (const [name, { shape }] of graph.inputs) {
    const [n = 1, c = 1, h = 1, w = 1] = shape as readonly number[];
    define(name, [n, h, w, c]);
  }
  const done = new Set<Node>();
  /** The activation behind a node that nothing else reads, and the name of the value that it makes. */
  const activated = ({ outputs: [name = ''] }: Node): { activation: Activation; output: string } => {
    const readers = graph.nodes.filter(({ inputs }) => inputs.includes(name));
    const [only] = readers;
    if (readers.length !== 1 || !only || (only.op !== 'Relu' && only.op !== 'Clip'))
      return { activation: 'none', output: name };
    if (only.op === 'Clip' && (values(only.inputs[1])[0] !== 0 || values(only.inputs[2])[0] !== 6))
      fail('a Clip that is no ReLU6');
    done.add(only);
    return { activation: only.op === 'Relu' ? 'relu' : 'relu6', output: only.outputs[0] ?? '' };
  };
  for (const node of graph.nodes) {
    if (done.has(node)) continue;
    const [first = '', second = '', third = ''] = node.inputs;
    const x = number(first);
    const [n, h, w, c] = shapeOf(x);
    const after = (size: number, kernel: number, stride: number, pad: number) =>
      Math.floor((size + 2 * pad - kernel) / stride) + 1;
    switch (node.op) {
      case 'Conv': {
        const { group, strides, pads } = node.attributes;
        const [outputs = 0, inputs = 0, kernel = 0] = graph.weights.get(second)?.shape ?? [];
        const [stride = 1, pad = 0] = [strides?.[0], pads?.[0]];
        const { activation, output } = activated(node);
        const y = define(output, [n, after(h, kernel, stride, pad), after(w, kernel, stride, pad), outputs]);
        if (group !== 1 && (group !== c || inputs !== 1)) fail('a Conv of groups that is not depthwise');
        const op = group === 1 ? 'conv' : 'depthwise';
        const taps = kernel * kernel;
        // [outputs, inputs, taps] to [outputs, taps, inputs]; a depthwise one to [taps, outputs].
        const weights = group === 1 ? turned(values(second), inputs, taps) : turned(values(second), outputs, taps);
        layers.push({ op, x, y, kernel, stride, pad, activation, weights, bias: values(third) });
        break;
      }
      case 'MaxPool': {
        const { kernel_shape: [kernel = 1] = [], strides, pads } = node.attributes;
        const [stride = 1, pad = 0] = [strides?.[0], pads?.[0]];
        const y = define(node.outputs[0] ?? '', [n, after(h, kernel, stride, pad), after(w, kernel, stride, pad), c]);
        layers.push({ op: 'maxPool', x, y, kernel, stride, pad });
        break;
      }
      case 'Add': {
        const { activation, output } = activated(node);
        const other = number(second);
        layers.push({ op: 'add', x, other, y: define(output, shapeOf(x)), activation });
        break;
      }
      case 'GlobalAveragePool':
        layers.push({ op: 'mean', x, y: define(node.outputs[0] ?? '', [n, c]) });
        break;
      case 'Flatten':
        if (shapes[x]?.length !== 2) fail('a Flatten of more than one pixel');
        tensorOf.set(node.outputs[0] ?? '', x);
        break;
      case 'Gemm': {
        const [outputs = 0] = graph.weights.get(second)?.shape ?? [];
        if (node.attributes.transB !== 1) fail('a Gemm of another layout');
        const { activation, output } = activated(node);
        layers.push({
          ...{ op: 'dense', x, y: define(output, [n, outputs]), activation },
          ...{ weights: values(second), bias: values(third) },
        });
        break;
      }
      default:
        fail(node.op);
    }
  }
  return { shapes, layers };
}

function fail(what: string): never {
  throw new Error(`peers: ${what} is no part of the networks that are compared`);
}

/** Within each [rows, columns] its transpose. */
function turned(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  const size = rows * columns;
  for (let base = 0; base < data.length; base += size)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) result[base + c * rows + r] = data[base + r * columns + c] ?? 0;
  return result;
}

/** A plan as one message: JSON, and all numbers in one array. */
export function flattened({ shapes, layers }: Plan): { readonly json: string; readonly numbers: Float32Array } {
  const parts: Float32Array[] = [];
  let length = 0;
  const put = (values: Float32Array): readonly [from: number, to: number] => {
    parts.push(values);
    length += values.length;
    return [length - values.length, length];
  };
  const flat = layers.map((layer) =>
    'weights' in layer ? { ...layer, weights: put(layer.weights), bias: put(layer.bias) } : layer,
  );
  const numbers = new Float32Array(length);
  let at = 0;
  for (const part of parts) {
    numbers.set(part, at);
    at += part.length;
  }
  return { json: JSON.stringify({ shapes, layers: flat }), numbers };
}

/** What {@link flattened} was given. */
export function restored(json: string, numbers: Float32Array): Plan {
  return JSON.parse(json, (key, value) =>
    key === 'weights' || key === 'bias' ? numbers.subarray(value[0], value[1]) : value,
  );
}
