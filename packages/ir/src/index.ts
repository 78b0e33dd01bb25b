/** Public names of `@grim/ir`, and nothing else. */
export { GrimError, type GrimErrorCode, invariant, quote, show } from './errors.ts';
export {
  type AttributeInput,
  type Attributes,
  bodiesOf,
  type Graph,
  type GraphBuilder,
  graph,
  type Node,
  type NodeOf,
  type Weight,
  withDefaults,
} from './graph.ts';
export { inferTypes } from './infer.ts';
export { LIMITS, type Limits } from './limits.ts';
export { fromBfloat16, fromFloat16, fromReals, toBfloat16, toFloat16, toReals } from './numeric.ts';
export { isOpName, type OpName, OPS } from './ops.ts';
export { type BcrPattern, type BlockGrid, patternMask } from './pattern.ts';
export {
  bytesPerElement,
  type Dim,
  type DType,
  DTYPES,
  type DTypeArrays,
  elementCount,
  formatShape,
  formatType,
  isStatic,
  type Shape,
  type Tensor,
  type TensorArray,
  type TensorType,
} from './types.ts';
