/** Runs a plan on TensorFlow.js, with its fused kernels: what its converter makes of such a network. */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Activation, Layer, Plan } from './plan.ts';

type Tf = typeof tfjs;

interface TfjsModel {
  /** @param input  channels last */
  run(input: Float32Array): Float32Array;
  dispose(): void;
}

export function tfjsModel(tf: Tf, plan: Plan): TfjsModel {
  const constants = new Map<Layer, readonly [weights: tfjs.Tensor, bias: tfjs.Tensor]>();
  for (const layer of plan.layers) {
    if (!('weights' in layer)) continue;
    const inputs = plan.shapes[layer.x]?.at(-1) ?? 0;
    const outputs = plan.shapes[layer.y]?.at(-1) ?? 0;
    const { weights: data } = layer;
    const weights = tf.tidy(() => {
      if (layer.op === 'dense') return tf.transpose(tf.tensor2d(data, [outputs, inputs]));
      const { kernel } = layer;
      if (layer.op === 'depthwise') return tf.tensor4d(data, [kernel, kernel, outputs, 1]);
      // [outputs, height, width, inputs] to [height, width, inputs, outputs].
      return tf.transpose(tf.tensor4d(data, [outputs, kernel, kernel, inputs]), [1, 2, 3, 0]);
    });
    constants.set(layer, [weights, tf.tensor1d(layer.bias)]);
  }
  const activation = (name: Activation) => (name === 'none' ? 'linear' : name);
  const compute = (layer: Layer, x: tfjs.Tensor, values: readonly tfjs.Tensor[]): tfjs.Tensor => {
    const [filter, bias] = constants.get(layer) ?? [];
    switch (layer.op) {
      case 'conv':
      case 'depthwise': {
        const { stride: strides, pad } = layer;
        const how = { x: x as tfjs.Tensor4D, filter: filter as tfjs.Tensor4D, strides, pad, bias } as const;
        const whole = { ...how, activation: activation(layer.activation) } as const;
        return layer.op === 'conv' ? tf.fused.conv2d(whole as never) : tf.fused.depthwiseConv2d(whole as never);
      }
      case 'maxPool':
        return tf.maxPool(x as tfjs.Tensor4D, layer.kernel, layer.stride, layer.pad);
      case 'mean':
        return tf.mean(x, [1, 2]);
      case 'add': {
        const sum = tf.add(x, values[layer.other] as tfjs.Tensor);
        return layer.activation === 'none' ? sum : layer.activation === 'relu' ? tf.relu(sum) : tf.relu6(sum);
      }
      case 'dense':
        return tf.fused.matMul({
          ...{ a: x as tfjs.Tensor2D, b: filter as tfjs.Tensor2D, bias: bias as tfjs.Tensor },
          activation: activation(layer.activation),
        });
    }
  };
  return {
    run: (input) =>
      // A copy: the next run may reuse what the backend's memory holds.
      tf.tidy(() => {
        const values: tfjs.Tensor[] = [tf.tensor(input, plan.shapes[0] as number[])];
        for (const layer of plan.layers) values[layer.y] = compute(layer, values[layer.x] as tfjs.Tensor, values);
        return Float32Array.from((values.at(-1) as tfjs.Tensor).dataSync());
      }),
    dispose() {
      for (const tensors of constants.values()) for (const tensor of tensors) tensor.dispose();
    },
  };
}
