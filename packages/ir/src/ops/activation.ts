/** Activation functions of neural networks. The formula of each is beside its kernel, in `reference/activation.ts`. */
import { float, op, string } from '../op.ts';
import { FLOAT_DTYPES } from '../types.ts';
import { broadcastShapes } from './broadcast.ts';
import { floatFunction, sameShape } from './pointwise.ts';

export const activationOps = {
  Celu: op({
    since: 12,
    ...floatFunction,
    types: { T: ['float32'] },
    attributes: { alpha: float(1) },
    infer: (c) => {
      if (c.attributes.alpha === 0) c.fail('alpha is 0 and the formula divides by it.', 'GRIM_IR_BAD_ATTRIBUTE');
      return sameShape(c);
    },
  }),
  Elu: op({ since: 22, ...floatFunction, attributes: { alpha: float(1) } }),
  Gelu: op({ since: 20, ...floatFunction, attributes: { approximate: string(['none', 'tanh'], 'none') } }),
  HardSigmoid: op({
    since: 22,
    ...floatFunction,
    attributes: { alpha: float(Math.fround(0.2)), beta: float(0.5) },
  }),
  HardSwish: op({ since: 22, ...floatFunction }),
  LeakyRelu: op({ since: 16, ...floatFunction, attributes: { alpha: float(Math.fround(0.01)) } }),
  Mish: op({ since: 22, ...floatFunction }),

  PRelu: op({
    since: 16,
    inputs: ['X: T', 'slope: T'],
    outputs: ['Y: T'],
    types: { T: [...FLOAT_DTYPES, 'uint32', 'uint64', 'int32', 'int64'] },
    attributes: {},
    infer: (c) => {
      const [x, slope] = [c.shape(0), c.shape(1)];
      // Only the slope is stretched: the result always has the shape of X.
      const both = broadcastShapes(c, [x, slope]);
      if (x && both && (both.length !== x.length || both.some((dim, i) => typeof x[i] === 'number' && dim !== x[i])))
        c.fail(`slope has shape [${slope?.join(', ')}], which does not broadcast to X's, [${x.join(', ')}].`);
      return [x];
    },
  }),

  Relu: op({ since: 14, ...floatFunction, types: { T: [...FLOAT_DTYPES, 'int8', 'int16', 'int32', 'int64'] } }),
  Selu: op({
    since: 22,
    ...floatFunction,
    attributes: { alpha: float(1.6732631921768188), gamma: float(1.0507010221481323) },
  }),
  Sigmoid: op({ since: 13, ...floatFunction }),
  Softplus: op({ since: 22, ...floatFunction }),
  Softsign: op({ since: 22, ...floatFunction }),
  Swish: op({ since: 24, ...floatFunction, attributes: { alpha: float(1) } }),
  Tanh: op({ since: 13, ...floatFunction }),
  ThresholdedRelu: op({ since: 22, ...floatFunction, attributes: { alpha: float(1) } }),
};
