/**
 * What pruning with training asks of whoever trains: some steps under masks and penalties, weights in and out, and how good
 * the network is. ADMM, reweighted groups and masked fine-tuning are loops over these few calls; no engine is named here.
 *
 * Weights go by their name in the graph and have its layout: Conv [M, C / group, k…], Gemm and MatMul as stored, recurrent
 * layers [directions, gates · hidden, …].
 */
import type { Graph } from '@grim/ir';
import type { CancelSignal } from './pulse.ts';

/**
 * Adds ½·strength·(w − target)² to the loss, summed over the elements of one weight; in the gradient
 * strength·(w − target). ADMM: strength ρ, target Z − U. Reweighted groups: one strength per element, target absent (0).
 */
export interface Penalty {
  /** Of all elements, or of each. */
  readonly strength: number | Float32Array;
  /** Of the length of the weight. Default: zeros. */
  readonly target?: Float32Array;
}

export interface TrainOptions {
  /** Optimiser steps, one batch each, counted from where the last call ended. */
  readonly steps: number;
  /** Learning rate, or a function of the step of this call, from 0. */
  readonly rate: number | ((step: number) => number);
  /**
   * By name of the weight: 1 where an element lives, 0 where it is zero. Weight, gradient and momentum are multiplied by it
   * in every step, so no masked element is ever other than 0 after one. Weights without a mask train freely.
   */
  readonly masks?: ReadonlyMap<string, Uint8Array>;
  /** By name of the weight. */
  readonly penalties?: ReadonlyMap<string, Penalty>;
  readonly signal?: CancelSignal;
  readonly onStep?: (progress: TrainProgress) => void;
}

/** After one step. */
export interface TrainProgress {
  /** Of this call, from 1. */
  readonly step: number;
  readonly steps: number;
  /** Passes over the training set since the trainer was made; fractional. */
  readonly epoch: number;
  readonly rate: number;
  /** Of this batch, before the step, without penalties. */
  readonly loss: number;
  /** Of this batch, as trained on; absent where examples have no class. */
  readonly correct?: number;
  readonly examples: number;
}

/** Of a call of `train`: averages over its batches, before each step. */
export interface TrainReport {
  readonly steps: number;
  readonly examples: number;
  readonly loss: number;
  /** 0 to 1; absent where examples have no class. */
  readonly accuracy?: number;
  readonly seconds: number;
}

export interface Evaluation {
  readonly examples: number;
  /** Mean over the examples, without penalties. */
  readonly loss: number;
  /** Examples whose class has the largest score; absent where examples have no class. */
  readonly correct?: number;
  /** `correct` over `examples`. */
  readonly accuracy?: number;
}

export interface EvaluateOptions {
  /** Default `validation`: examples that training never sees. `train`: training examples as they are, without augmentation. */
  readonly on?: 'validation' | 'train';
  /** The first so many; default all. */
  readonly examples?: number;
  readonly signal?: CancelSignal;
}

/**
 * A network, its data and its optimiser. Calls are made one at a time. The same calls on a trainer made with the same
 * options give the same bits, and so do the same calls on one that has been given the saved state of another.
 */
export interface Trainer {
  /** Weights that training changes, in the order of the graph; running statistics are not among them. */
  readonly parameters: readonly string[];
  /** Steps of one pass over the training set. */
  readonly stepsPerEpoch: number;
  /** The network with the weights of now; patterns, names and everything else as given. */
  graph(): Promise<Graph>;
  /** Copies of the values of now; by default of all parameters. */
  weights(names?: readonly string[]): Promise<ReadonlyMap<string, Float32Array>>;
  /** Replaces values; their momentum stays. Running statistics of batch normalisations may be given too. */
  setWeights(values: ReadonlyMap<string, Float32Array>): Promise<void>;
  /** Zeros the momentum of all weights: after a mask or other weights came in. */
  resetOptimizer(): Promise<void>;
  /** @throws the reason of the signal, after a whole step; GRIM_TRAIN_DIVERGED when the loss is not finite */
  train(options: TrainOptions): Promise<TrainReport>;
  evaluate(options?: EvaluateOptions): Promise<Evaluation>;
  /** Estimates the running statistics of batch normalisations afresh, from so many training batches; no weight changes. */
  recalibrate(batches: number): Promise<void>;
  /** Everything that later steps depend on, as bytes: weights, momentum, statistics, place in the data, random state. */
  save(): Promise<Uint8Array>;
  /** @throws {GrimError} GRIM_TRAIN_BAD_CHECKPOINT unless the bytes are of a trainer of the same network, data and options */
  restore(state: Uint8Array): Promise<void>;
  dispose(): Promise<void>;
}
