/** Public names of `@grim/train`, and nothing else. */
export type { Augmentation, Examples, Preparation } from './data/examples.ts';
export type { TrainErrorCode } from './errors.ts';
export type { Loss } from './network.ts';
export { type Optimizer, type Schedule, schedule } from './optimizer.ts';
export type { TrainerOptions } from './settings.ts';
export { createTrainer } from './trainer.ts';
