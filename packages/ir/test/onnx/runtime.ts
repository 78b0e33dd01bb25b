/** onnxruntime, the judge of exported files. */
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { type DType, isDType, type Tensor, viewAs } from '../../src/types.ts';

/** Runs a model; inputs by name. float16 goes through as bits. */
export async function runtime(
  model: Uint8Array,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<ReadonlyMap<string, Tensor>> {
  // A plain optimisation level: the file is on trial, not the optimiser. 4: only fatal messages.
  const session = await InferenceSession.create(model, { logSeverityLevel: 4, graphOptimizationLevel: 'basic' });
  try {
    const feeds: Record<string, OrtTensor> = {};
    for (const name of session.inputNames) {
      const tensor = inputs[name];
      if (tensor)
        feeds[name] = new OrtTensor(tensor.dtype as 'float32', tensor.data as Float32Array, [...tensor.shape]);
    }
    const results = await session.run(feeds);
    return new Map(session.outputNames.map((name) => [name, fromOrt(results[name] as OrtTensor)]));
  } finally {
    await session.release();
  }
}

function fromOrt({ type, dims, data }: OrtTensor): Tensor {
  const dtype: DType = isDType(type) ? type : 'float32';
  const { buffer, byteOffset, length } = data as Float32Array;
  return { dtype, shape: [...dims], data: viewAs(dtype, buffer, byteOffset, length) } as Tensor;
}
