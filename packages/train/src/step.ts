/**
 * One training step as one graph: forward, loss, backward and optimiser. Weights, optimiser state, masks, penalties and
 * learning rate are inputs; the new weights and state are outputs, fed back in the next step.
 */
import { type Graph, type GraphBuilder, graph } from '@grim/ir';
import { type Differentiation, differentiate } from './autodiff.ts';
import { type Emitter, type Shape, sizeOf } from './emit.ts';
import { fail } from './errors.ts';
import type { Loss, Network } from './network.ts';
import type { Optimizer } from './optimizer.ts';

export interface StepOptions {
  readonly loss: Loss;
  readonly parameters: readonly string[];
  readonly optimizer: Required<Optimizer>;
  readonly masked: ReadonlySet<string>;
  /** Of each penalised weight: whether one strength goes for all elements, or each has its own. */
  readonly penalised: ReadonlyMap<string, 'scalar' | 'elements'>;
  readonly distilled: { readonly weight: number; readonly temperature: number } | undefined;
  /** Gradients are scaled down to this norm, taken over all of them; infinite: never. */
  readonly clipNorm: number;
  /** Follow the statistics of the batch, or keep the stored ones and normalise by them. */
  readonly statistics: 'batch' | 'stored';
}

/** Names of inputs and outputs that are not the network's own. */
export const STEP = {
  target: 'grim.target',
  teacher: 'grim.teacher',
  rate: 'grim.rate',
  /** Share by which running statistics follow the batch. */
  follow: 'grim.follow',
  /** Adam: 1 / (1 − β^t) of both moments. */
  firstScale: 'grim.first-scale',
  secondScale: 'grim.second-scale',
  loss: 'grim.loss',
  scores: 'grim.scores',
  first: (weight: string) => `grim.first:${weight}`,
  second: (weight: string) => `grim.second:${weight}`,
  mask: (weight: string) => `grim.mask:${weight}`,
  strength: (weight: string) => `grim.strength:${weight}`,
  toward: (weight: string) => `grim.toward:${weight}`,
  next: (input: string) => `grim.next:${input}`,
} as const;

/** The step graph; its inputs beyond the network's are those of {@link STEP} that the options ask for. */
export function stepGraph(network: Network, options: StepOptions): Graph {
  const { graph: net, scores } = network;
  const training = options.statistics === 'batch';
  return graph('train-step', (b) => {
    const moving = new Set([...options.parameters, ...(training ? statisticsOf(net) : [])]);
    declare(b, net, moving);
    const d = differentiate(b, net, { wanted: options.parameters, training });
    const e = d.emit;
    const { loss, seed } = lossOf(b, e, network, options);
    b.output(STEP.loss, loss);
    b.output(STEP.scores, scores);
    const gradients = new Map(d.backward(new Map([[scores, seed]])));
    for (const name of options.parameters)
      if (!gradients.has(name))
        fail(
          'GRIM_TRAIN_BAD_NETWORK',
          `weight ${name}: the loss does not depend on it. Leave it out of the parameters.`,
          { weight: name },
        );
    clip(e, gradients, options.clipNorm);
    b.input(STEP.rate, 'float32', []);
    update(b, e, net, gradients, options);
    if (d.running.length > 0) follow(b, d);
  });
}

/** Forward in training mode: the statistics of one batch, by the weight that stores them. */
export function statisticsGraph(network: Network): Graph {
  const { graph: net } = network;
  return graph('statistics', (b) => {
    declare(b, net, new Set());
    const d = differentiate(b, net, { wanted: [], training: true });
    for (const { weight, value } of d.running) b.output(STEP.next(weight), value);
  });
}

/** Weights that hold running statistics. */
export function statisticsOf(net: Graph): string[] {
  return net.nodes.flatMap((node) =>
    node.op === 'BatchNormalization' ? node.inputs.slice(3, 5).filter((name) => net.weights.has(name)) : [],
  );
}

/** Inputs and weights under their names; those that move become inputs. */
function declare(b: GraphBuilder, net: Graph, moving: ReadonlySet<string>): void {
  for (const [name, type] of net.inputs) b.input(name, type.dtype, type.shape);
  for (const [name, weight] of net.weights) {
    if (moving.has(name)) b.input(name, weight.dtype, weight.shape);
    else b.weight(name, weight);
  }
}

/** Mean over the batch, and its gradient by the scores. */
function lossOf(
  b: GraphBuilder,
  e: Emitter,
  { scores, scoresShape }: Network,
  { loss, distilled }: StepOptions,
): { readonly loss: string; readonly seed: string } {
  const [batch = 1] = scoresShape;
  const rows: Shape = loss === 'mse' ? scoresShape : [batch, sizeOf(scoresShape) / batch];
  const flat = e.reshape(scores, rows);
  const target = b.input(STEP.target, 'float32', rows);
  const all = rows.map((_, axis) => axis);
  if (loss === 'mse') {
    const off = e.sub(flat, target);
    const mean = e.reduce('ReduceMean', e.mul(off, off), all, false);
    return { loss: mean, seed: e.scale(off, 2 / sizeOf(rows)) };
  }
  // Targets of one row add up to 1, so that the gradient is softmax − target.
  const part = (logits: string, wanted: string, weight: number, steep: number) => {
    const logs = e.add('LogSoftmax', [logits], { axis: 1 });
    const sum = e.reduce('ReduceSum', e.mul(logs, wanted), all, false);
    return {
      loss: e.scale(sum, -weight / batch),
      seed: e.scale(e.sub(e.add('Exp', [logs]), wanted), steep / batch),
    };
  };
  const hard = part(flat, target, 1 - (distilled?.weight ?? 0), 1 - (distilled?.weight ?? 0));
  if (!distilled) return { loss: hard.loss, seed: e.reshape(hard.seed, scoresShape) };
  const { weight, temperature: t } = distilled;
  const teacher = e.add('Softmax', [e.scale(b.input(STEP.teacher, 'float32', rows), 1 / t)], { axis: 1 });
  // Times t², so that its gradient keeps its size when t grows (Hinton, Vinyals & Dean, 2015).
  const soft = part(e.scale(flat, 1 / t), teacher, weight * t * t, weight * t);
  return { loss: e.sum(hard.loss, soft.loss), seed: e.reshape(e.sum(hard.seed, soft.seed), scoresShape) };
}

function clip(e: Emitter, gradients: Map<string, string>, most: number): void {
  if (most === Number.POSITIVE_INFINITY) return;
  const squares = Array.from(gradients.values(), (gradient) =>
    e.reshape(e.add('ReduceSumSquare', [gradient], { keepdims: 0 }), [1]),
  );
  const norm = e.add('Sqrt', [e.reduce('ReduceSum', e.concat(squares, 0), [0], false)]);
  const share = e.add('Min', [e.div(e.scalar(most), e.sum(norm, e.scalar(1e-12))), e.scalar(1)]);
  for (const [name, gradient] of gradients) gradients.set(name, e.mul(gradient, share));
}

function update(
  b: GraphBuilder,
  e: Emitter,
  net: Graph,
  gradients: ReadonlyMap<string, string>,
  { parameters, optimizer, masked, penalised }: StepOptions,
): void {
  const corrections =
    optimizer.kind === 'adam'
      ? [b.input(STEP.firstScale, 'float32', []), b.input(STEP.secondScale, 'float32', [])]
      : [];
  for (const weight of parameters) {
    const shape = (net.weights.get(weight)?.shape ?? []) as Shape;
    const mask = masked.has(weight) ? b.input(STEP.mask(weight), 'float32', shape) : undefined;
    /** The sum or difference of two values, masked, as an output. */
    const keep = (op: 'Add' | 'Sub', left: string, right: string, output: string): void => {
      if (mask === undefined) e.add(op, [left, right], {}, output);
      else e.add('Mul', [e.add(op, [left, right]), mask], {}, output);
      b.output(output);
    };
    let gradient = gradients.get(weight) as string;
    const penalty = penalised.get(weight);
    if (penalty) {
      const strength = b.input(STEP.strength(weight), 'float32', penalty === 'scalar' ? [] : shape);
      const toward = b.input(STEP.toward(weight), 'float32', shape);
      gradient = e.sum(gradient, e.mul(e.sub(weight, toward), strength));
    }
    // Biases, scales and shifts do not decay.
    const decay = shape.length > 1 ? optimizer.decay : 0;
    const first = b.input(STEP.first(weight), 'float32', shape);
    if (optimizer.kind === 'sgd') {
      if (decay > 0) gradient = e.sum(gradient, e.scale(weight, decay));
      keep('Add', e.scale(first, optimizer.momentum), gradient, STEP.next(STEP.first(weight)));
      const momentum = STEP.next(STEP.first(weight));
      const step = optimizer.nesterov ? e.sum(gradient, e.scale(momentum, optimizer.momentum)) : momentum;
      keep('Sub', weight, e.mul(step, STEP.rate), STEP.next(weight));
    } else {
      const { momentum, secondMomentum, epsilon } = optimizer;
      const second = b.input(STEP.second(weight), 'float32', shape);
      keep('Add', e.scale(first, momentum), e.scale(gradient, 1 - momentum), STEP.next(STEP.first(weight)));
      const squares = e.scale(e.mul(gradient, gradient), 1 - secondMomentum);
      keep('Add', e.scale(second, secondMomentum), squares, STEP.next(STEP.second(weight)));
      const [firstScale = '', secondScale = ''] = corrections;
      const deviation = e.add('Sqrt', [e.mul(STEP.next(STEP.second(weight)), secondScale)]);
      const step = e.div(e.mul(STEP.next(STEP.first(weight)), firstScale), e.sum(deviation, e.scalar(epsilon)));
      // Decay apart from the moments (Loshchilov & Hutter, 2019).
      const whole = decay > 0 ? e.sum(step, e.scale(weight, decay)) : step;
      keep('Sub', weight, e.mul(whole, STEP.rate), STEP.next(weight));
    }
  }
}

function follow(b: GraphBuilder, { emit: e, running }: Differentiation): void {
  const share = b.input(STEP.follow, 'float32', []);
  for (const { weight, value } of running) {
    e.add('Add', [weight, e.mul(e.sub(value, weight), share)], {}, STEP.next(weight));
    b.output(STEP.next(weight));
  }
}
