/** Public names of `@grim/conformance`, and nothing else. */
export { type Case, type DataSet, findCases, findModels, type Model } from './cases.ts';
export { cifarBatch, standardised } from './cifar.ts';
export { type Comparison, compareTensors, describeDifference } from './compare.ts';
export { defaultExpectedFailures, type ExpectedFailures, parseExpectedFailures } from './expected.ts';
export {
  type Backend,
  type CaseResult,
  type Files,
  type Loaded,
  type RunResult,
  referenceBackend,
  runCase,
  runCases,
  summarize,
  typeProblem,
} from './run.ts';
export { taskData } from './task-data.ts';
export { answerTask, compileTask, TASKS } from './tasks.ts';
export { dotTolerance, type Tolerance, toleranceOf } from './tolerance.ts';
export { wasmBackend } from './wasm.ts';
export { buildWith, type WasmOptions, wasmBackendWith } from './wasm-variants.ts';
export { webgpuBackend } from './webgpu.ts';
