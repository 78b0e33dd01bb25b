/** Public names of `@grim/bcr`, and nothing else. */
export { attachPatterns, type FoundPattern } from './attach-patterns.ts';
export type { Bcrc } from './bcrc.ts';
export { type BlockLocal, patternOf } from './block-local.ts';
export { fromBytes, toBytes } from './bytes.ts';
export { type Cover, cover, coverOn } from './cover.ts';
export type { Csr } from './csr.ts';
export type { BcrErrorCode, Matrix } from './matrix.ts';
export { decode, encode, type Format, multiply, type PackedMatrix } from './multiply.ts';
export {
  applyPattern,
  type Block,
  blockAt,
  blockCounts,
  blockGrid,
  blocksOf,
  checkPattern,
  densePattern,
  density,
  nonZeros,
} from './pattern.ts';
export { type ProjectOptions, projectBcr, projectBcrInSteps } from './project.ts';
export { orderedRuns, reorderRows, type Signature, signatures } from './reorder.ts';
export { type PatternStats, stats } from './stats.ts';
export { findZeroBlocks, type ZeroBlocks } from './zero-blocks.ts';
