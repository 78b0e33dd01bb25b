/** Public names of `@grim/train`, and nothing else. */
export { buildNetwork } from './architecture.ts';
export type { Augmentation, Examples, Preparation } from './data/examples.ts';
export { holdOut, type LoadOptions, loadExamples, partsOf } from './data/load.ts';
export { type MfccOptions, mfcc } from './data/mfcc.ts';
export { engineVersion } from './engine.ts';
export type { TrainErrorCode } from './errors.ts';
export { type JournalOptions, type JournalStore, journaled } from './journal.ts';
export type { Loss } from './network.ts';
export { type Optimizer, type Schedule, schedule } from './optimizer.ts';
export type { TrainerOptions } from './settings.ts';
export { createTrainer, type NodeTrainer } from './trainer.ts';
