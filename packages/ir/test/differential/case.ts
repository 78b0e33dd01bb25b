/** One node as an ONNX file, run by GRIM and by onnxruntime. */
import { toReal } from '../../src/numeric.ts';
import { fromOnnx } from '../../src/onnx/index.ts';
import { evaluate } from '../../src/reference/index.ts';
import type { Tensor } from '../../src/types.ts';
import { modelFile, node, value } from '../onnx/model-file.ts';
import type { Generator } from './generator.ts';

/** A node of some opset. */
export interface Parts {
  readonly op?: string;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attributes?: NonNullable<Parameters<typeof node>[3]>;
  readonly outputs?: number;
  /** Inputs that are initializers of the file, not inputs of the graph. */
  readonly weights?: readonly number[];
  /** What onnxruntime runs instead: the same in a newer form, where it has no kernel for this one. */
  readonly same?: Parts & { readonly opset: number };
}

/** One operator in some of the opsets where its form changed. */
export interface Form {
  readonly op: string;
  readonly opsets: readonly number[];
  readonly make: (g: Generator, opset: number) => Parts;
}

/** onnxruntime-node cannot be fed float16 by newer versions of Node.js, so those inputs are always initializers. */
const weightsOf = ({ inputs, weights = [] }: Parts): readonly number[] => [
  ...weights,
  ...inputs.flatMap((t, i) => (t?.dtype === 'float16' && !weights.includes(i) ? [i] : [])),
];

export function modelOf(op: string, opset: number, parts: Parts): Uint8Array {
  const { inputs, attributes = {}, outputs = 1 } = parts;
  const weights = weightsOf(parts);
  const names = inputs.map((tensor, i) => (tensor ? `x${i}` : ''));
  const results = Array.from({ length: outputs }, (_, i) => `y${i}`);
  return modelFile({
    opset,
    nodes: [node(parts.op ?? op, names, results, attributes)],
    inputs: inputs.flatMap((t, i) => (t && !weights.includes(i) ? [value(`x${i}`, t.shape, t.dtype)] : [])),
    weights: Object.fromEntries(weights.flatMap((i) => (inputs[i] ? [[`x${i}`, inputs[i]]] : []))),
    outputs: results,
  });
}

export const feedsOf = (parts: Parts): Record<string, Tensor> =>
  Object.fromEntries(parts.inputs.flatMap((t, i) => (t && !weightsOf(parts).includes(i) ? [[`x${i}`, t]] : [])));

export function ours(op: string, opset: number, parts: Parts): Readonly<Record<string, Tensor>> {
  return evaluate(fromOnnx(modelOf(op, opset, parts)), feedsOf(parts));
}

/** What differs, or undefined. Floats may differ by rounding, the more so the fewer bits they have. */
export function difference(found: Tensor | undefined, wanted: Tensor): string | undefined {
  if (!found) return 'is missing';
  if (found.dtype !== wanted.dtype) return `is ${found.dtype}, not ${wanted.dtype}`;
  if (found.shape.join() !== wanted.shape.join()) return `has shape [${found.shape}], not [${wanted.shape}]`;
  const float = wanted.dtype.includes('float');
  const tolerance = wanted.dtype.endsWith('float16') ? 5e-3 : wanted.dtype === 'float64' ? 1e-6 : 1e-4;
  for (let i = 0; i < wanted.data.length; i++) {
    if (!float) {
      if (found.data[i] !== wanted.data[i]) return `[${i}] is ${found.data[i]}, not ${wanted.data[i]}`;
      continue;
    }
    const [a, b] = [toReal(found, i), toReal(wanted, i)];
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
    if (!(Math.abs(a - b) <= tolerance * (1 + Math.abs(b)))) return `[${i}] is ${a}, not ${b}`;
  }
  return undefined;
}
