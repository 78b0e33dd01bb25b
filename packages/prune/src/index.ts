/** Public names of `@grim/prune`, and nothing else. */
export { type AdmmOptions, type AdmmPeriod, type AdmmResult, pruneAdmm } from './admm.ts';
export { type AllocateOptions, type Allocation, allocateDensity } from './allocate.ts';
export type { Calibrator, Feeds, Runner } from './calibrator.ts';
export {
  type BlockCurve,
  type Candidate,
  type CandidateOptions,
  type CurvePoint,
  candidatePlans,
  type LayerCurves,
  uniformPlan,
} from './candidates.ts';
export type { PruneErrorCode } from './errors.ts';
export { type Estimate, estimateOneShot, type LayerEstimate, macsPerSecond } from './estimate.ts';
export { type FinetuneOptions, finetune, masksOf } from './finetune.ts';
export { type Layer, prunableLayers } from './layers.ts';
export { outputLoss } from './loss.ts';
export type { RetrainOptions, Target, TrainedLayer, TrainedResult } from './masked.ts';
export { type OneShotResult, pruneOneShot } from './oneshot.ts';
export {
  BASELINES,
  type BlockShape,
  type LayerReport,
  type OneShotOptions,
  type OneShotState,
  type Progress,
} from './options.ts';
export type { CellUpdate } from './parameters.ts';
export type { CancelSignal } from './pulse.ts';
export {
  pruneReweighted,
  type ReweightedOptions,
  type ReweightedResult,
  type ReweightedRound,
} from './reweighted.ts';
export {
  type Executor,
  type FixedCost,
  fastestWithin,
  type Goal,
  type LayerChoice,
  type LayerChoices,
  type Plan,
  planFor,
  type SearchOptions,
  tradeOffs,
} from './search.ts';
export type { Criterion, MaskSearch } from './select.ts';
export { type Sensitivity, type SensitivityOptions, sensitivities } from './sensitivity.ts';
export type {
  EvaluateOptions,
  Evaluation,
  Penalty,
  Trainer,
  TrainOptions,
  TrainProgress,
  TrainReport,
} from './trainer.ts';
export type { LayerUpdate } from './update.ts';
