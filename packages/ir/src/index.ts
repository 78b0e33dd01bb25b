/** Public names of `@grim/ir`, and nothing else. */
export type * from './artifact.ts';
export { type Binding, bind, requireStatic } from './bind.ts';
export { GrimError, type GrimErrorCode, invariant, quote, show } from './errors.ts';
export { fold } from './fold.ts';
export { type GemmView, gemmView, type Macs, macs, type TypeLookup, weightIndex } from './gemm.ts';
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
export { type Activation, activationsOf, directionsOf, RECURRENT } from './ops/recurrent.ts';
export { isOpName, OPS, type OpName } from './ops.ts';
export { type ParseOptions, parse } from './parse.ts';
export { type BcrPattern, type BlockGrid, patternMask, patternProblem } from './pattern.ts';
export { type PrintOptions, print } from './print.ts';
export { suggest } from './suggest.ts';
export {
  bytesPerElement,
  type Dim,
  DTYPES,
  type DType,
  type DTypeArrays,
  elementCount,
  formatShape,
  formatType,
  isStatic,
  type Shape,
  type Tensor,
  type TensorArray,
  type TensorType,
  viewAs,
} from './types.ts';
export { type Diagnostic, verify } from './verify.ts';
