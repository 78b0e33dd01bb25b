/**
 * How weights move, and how far.
 * @see Kingma & Ba, "Adam", 2015; Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019 and "SGDR", 2017
 */
import { fail } from './errors.ts';

export interface Optimizer {
  /** `sgd` with momentum, or `adam` with decoupled weight decay. */
  readonly kind: 'sgd' | 'adam';
  /** Of the gradients' running mean. Default 0.9. */
  readonly momentum?: number;
  /** SGD only. Default false. */
  readonly nesterov?: boolean;
  /** Adam only: of the running mean of squares. Default 0.999. */
  readonly secondMomentum?: number;
  /** Adam only. Default 1e-8. */
  readonly epsilon?: number;
  /** Weight decay of kernels and matrices; biases, scales and shifts never decay. Default 1e-4 with sgd, 0 with adam. */
  readonly decay?: number;
}

/** Defaults filled in. @throws {GrimError} GRIM_TRAIN_BAD_OPTION */
export function optimizerOf(given: Optimizer): Required<Optimizer> {
  if (given.kind !== 'sgd' && given.kind !== 'adam')
    fail('GRIM_TRAIN_BAD_OPTION', `train: optimizer is ${String(given.kind)}; sgd or adam is needed.`);
  const settings = {
    kind: given.kind,
    momentum: given.momentum ?? 0.9,
    nesterov: given.nesterov ?? false,
    secondMomentum: given.secondMomentum ?? 0.999,
    epsilon: given.epsilon ?? 1e-8,
    decay: given.decay ?? (given.kind === 'sgd' ? 1e-4 : 0),
  };
  for (const key of ['momentum', 'secondMomentum'] as const)
    if (!(settings[key] >= 0 && settings[key] < 1))
      fail('GRIM_TRAIN_BAD_OPTION', `train: ${key} is ${settings[key]}; at least 0 and less than 1 is needed.`);
  if (!(settings.epsilon > 0))
    fail('GRIM_TRAIN_BAD_OPTION', `train: epsilon is ${settings.epsilon}; a positive number is needed.`);
  if (!(settings.decay >= 0 && settings.decay < 1))
    fail('GRIM_TRAIN_BAD_OPTION', `train: decay is ${settings.decay}; at least 0 and less than 1 is needed.`);
  return settings;
}

export interface Schedule {
  /** `cosine` falls to 0 at the last step, `step` by a tenth at half and at three quarters, `constant` stays. */
  readonly kind: 'cosine' | 'step' | 'constant';
  /** The highest learning rate. */
  readonly rate: number;
  /** Of all steps, warm-up included. */
  readonly steps: number;
  /** Steps in which the rate rises from 0. Default 0. */
  readonly warmup?: number;
}

/** Learning rate of each step from 0, as `TrainOptions.rate` takes it. */
export function schedule({ kind, rate, steps, warmup = 0 }: Schedule): (step: number) => number {
  return (step) => {
    if (step < warmup) return (rate * (step + 1)) / (warmup + 1);
    const done = Math.min((step - warmup) / Math.max(steps - warmup, 1), 1);
    if (kind === 'cosine') return (rate * (1 + Math.cos(Math.PI * done))) / 2;
    if (kind === 'step') return done < 0.5 ? rate : done < 0.75 ? rate / 10 : rate / 100;
    return rate;
  };
}
