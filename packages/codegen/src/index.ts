/** Public names of `@grim/codegen`, and nothing else. */
export { type CompileOptions, compile, type Target } from './compile.ts';
export { declarations, modelModule, type Signature } from './declarations.ts';
export { explain } from './explain.ts';
export {
  type GpuForm,
  type GpuLimits,
  type GpuSchedule,
  type GpuSchedules,
  gpuCandidates,
} from './gpu-schedule.ts';
export type { Epilogue, Family } from './kernels/family.ts';
export { maxTileRows } from './kernels/family.ts';
export { addGemm, type GemmOptions, gemmName, packGemm } from './kernels/gemm.ts';
export { addGemv, type GemvOptions, gemvName } from './kernels/gemv.ts';
export { checkLanes, encodeLanes, type LaneOptions, type LaneStream } from './kernels/lanes.ts';
export { addSpmm, type SpmmOptions, spmmName } from './kernels/spmm.ts';
export {
  checkUnits,
  encodeRows,
  encodeUnits,
  type UnitBounds,
  type UnitOptions,
  type UnitStream,
  unitCycles,
} from './kernels/units.ts';
export { addUnary, UNARY, UNARY_ULP, type UnaryName, unaryName } from './math/unary.ts';
export { ConstantPool, type VectorFunction, VectorMath } from './math/vector.ts';
export { type PackOptions, type Part, pack, type SplitModel, writeArtifact } from './pack.ts';
export type { PlanOptions } from './plan-memory.ts';
export type { Schedule, ScheduleForm, Schedules } from './schedule.ts';
export {
  type GpuCandidate,
  type GpuMeasure,
  type GpuMeasurement,
  type GpuTuned,
  type GpuTuneOptions,
  type TunedGpuProduct,
  tuneGpu,
} from './tune/gpu.ts';
export {
  type Candidate,
  type Measure,
  type Measurement,
  type Timed,
  type Tuned,
  type TunedProduct,
  type TuneOptions,
  type TuneProgress,
  tune,
} from './tune/tune.ts';
export {
  type FunctionBuilder,
  type FunctionOptions,
  type FunctionRef,
  type Label,
  type Local,
  type MemoryOptions,
  MODULE_LIMITS,
  ModuleBuilder,
  VECTOR_REGISTERS,
} from './wasm/assembler.ts';
