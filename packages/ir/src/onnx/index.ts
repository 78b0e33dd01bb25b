/** Public names of `@grim/ir/onnx`: ONNX files in and out. */
export type { Binding } from '../bind.ts';
export { type ExportOptions, type ForeignNode, toOnnx } from './export.ts';
export type { ExternalData } from './external.ts';
export { fromOnnx, type ImportOptions } from './import.ts';
export type { UnsupportedOp } from './problems.ts';
export { type DeclaredValue, type OnnxSummary, type OperatorCount, scanOnnx } from './scan.ts';
export { type NamedTensor, readTensorFile, writeTensorFile } from './tensor-file.ts';
