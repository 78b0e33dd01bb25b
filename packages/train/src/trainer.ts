/**
 * A `Trainer` on onnxruntime-node: one step graph for each combination of masks and penalties, built when first needed.
 * All state is a map of arrays and two counters, so that saving is copying.
 */
import { type Graph, quote } from '@grim/ir';
import type { EvaluateOptions, Evaluation, Penalty, Trainer, TrainOptions, TrainReport } from '@grim/prune';
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { fillBatch, indicesOf, type OrderCache } from './data/examples.ts';
import { type Shape, sizeOf } from './emit.ts';
import { type Engine, engine, float, number, numbersOf, type Value } from './engine.ts';
import { fail } from './errors.ts';
import type { Network } from './network.ts';
import { correctOf, lossSum } from './score.ts';
import { checkTrainOptions, type Settings, settingsOf, type TrainerOptions } from './settings.ts';
import { STEP, statisticsGraph, stepGraph } from './step.ts';

interface State {
  /** Weights, statistics and optimiser state, by the input of the step graph they feed. */
  readonly values: Map<string, Value>;
  step: number;
  optimizerStep: number;
}

/** A `Trainer` that says how far it has come. */
export interface NodeTrainer extends Trainer {
  /** Steps since it was made, those before a restored state included. */
  steps(): number;
}

/**
 * @throws {GrimError} GRIM_TRAIN_BAD_NETWORK, GRIM_TRAIN_BAD_DATA, GRIM_TRAIN_BAD_OPTION, GRIM_TRAIN_NO_GRADIENT,
 *   GRIM_TRAIN_ENGINE; what `@grim/ir` throws for a graph whose batch cannot be changed
 * @example
 * const trainer = createTrainer(fromOnnx(bytes), { examples, validation });
 * await trainer.train({ steps: trainer.stepsPerEpoch, rate: 0.01 });
 */
export function createTrainer(given: Graph, options: TrainerOptions): NodeTrainer {
  const settings = settingsOf(given, options);
  const { network, parameters, batch, prepare, seed, examples, outputs, labelled } = settings;
  const state: State = { values: initial(settings), step: 0, optimizerStep: 0 };
  const order: OrderCache = { epoch: -1, order: new Uint32Array() };
  const engines = new Map<string, Promise<Engine>>();
  let teacher: Promise<Engine> | undefined;
  let disposed = false;
  const check = (): void => {
    if (disposed) fail('GRIM_TRAIN_BAD_OPTION', 'trainer: it has been disposed of. Make another.');
  };
  let key = '';

  async function stepEngine(o: TrainOptions): Promise<Engine> {
    const masked = new Set(o.masks?.keys());
    const penalised = new Map(
      Array.from(
        o.penalties ?? [],
        ([name, { strength }]) => [name, typeof strength === 'number' ? 'scalar' : 'elements'] as const,
      ),
    );
    key = JSON.stringify([[...masked].sort(), [...penalised].sort()]);
    let found = engines.get(key);
    if (!found) {
      // An arena of a session is as large as its activations: one is kept.
      await release(engines);
      found = engine(stepGraph(network, { ...settings, masked, penalised }), settings.threads);
      engines.set(key, found);
    }
    return found;
  }

  function trainingBatch(step: number) {
    const indices = indicesOf(examples.count, batch, step, seed, order);
    return fillBatch(examples, indices, outputs, { ...settings.batchOptions, prepare }, [seed, 2, step]);
  }

  async function teach(inputs: Value): Promise<Value | undefined> {
    const { distilled } = settings;
    if (!distilled) return undefined;
    teacher ??= engine(scoring(distilled.network), settings.threads);
    const found = await (await teacher).run({ [distilled.network.input]: inputs });
    return float(numbersOf(found[STEP.scores]), [batch, outputs]);
  }

  async function train(o: TrainOptions): Promise<TrainReport> {
    check();
    checkTrainOptions(o, settings);
    const started = performance.now();
    const run = await stepEngine(o);
    const fixed = constraintFeeds(o, settings);
    applyMasks(o, state.values);
    const shape = [batch, ...network.inputShape];
    let [loss, correct] = [0, 0];
    for (let i = 0; i < o.steps; i++) {
      if (o.signal?.aborted) throw o.signal.reason;
      const made = trainingBatch(state.step);
      const inputs = float(made.inputs, shape);
      const rate = typeof o.rate === 'number' ? o.rate : o.rate(i);
      const lesson = await teach(inputs);
      const feeds: Record<string, Value> = {
        ...fixed,
        ...Object.fromEntries(state.values),
        [network.input]: inputs,
        [STEP.target]: float(made.targets, settings.targetShape),
        [STEP.rate]: number(rate),
        ...(settings.running.length > 0 && { [STEP.follow]: number(settings.follow) }),
        ...(lesson && { [STEP.teacher]: lesson }),
        ...corrections(settings, state.optimizerStep + 1),
      };
      const results = await run.run(feeds);
      const own = numbersOf(results[STEP.loss])[0] ?? Number.NaN;
      if (!Number.isFinite(own))
        fail(
          'GRIM_TRAIN_DIVERGED',
          `train: the loss is ${own} at step ${state.step + 1} (learning rate ${rate}). Lower the rate, clip the gradients (clipNorm), or warm up.`,
          { step: state.step + 1, rate },
        );
      for (const name of state.values.keys()) {
        const next = results[STEP.next(name)];
        if (next) state.values.set(name, next);
      }
      state.step++;
      state.optimizerStep++;
      const right = made.labels && correctOf(numbersOf(results[STEP.scores]), made.labels, outputs);
      loss += own;
      correct += right ?? 0;
      o.onStep?.({
        step: i + 1,
        steps: o.steps,
        epoch: state.step / settings.stepsPerEpoch,
        rate,
        loss: own,
        ...(right !== undefined && { correct: right }),
        examples: batch,
      });
    }
    return {
      steps: o.steps,
      examples: o.steps * batch,
      loss: loss / o.steps,
      ...(labelled && { accuracy: correct / (o.steps * batch) }),
      seconds: (performance.now() - started) / 1000,
    };
  }

  async function evaluate({ on = 'validation', examples: most, signal }: EvaluateOptions = {}): Promise<Evaluation> {
    check();
    const set = on === 'train' ? examples : options.validation;
    if (!set)
      return fail(
        'GRIM_TRAIN_BAD_OPTION',
        "evaluate: there are no validation examples. Give `validation`, or ask for on: 'train'.",
      );
    const count = Math.min(most ?? set.count, set.count);
    const run = await engine(scoring({ ...network, graph: withValues(network.graph, state.values) }), settings.threads);
    let [loss, correct] = [0, 0];
    try {
      for (let first = 0; first < count; first += batch) {
        if (signal?.aborted) throw signal.reason;
        // The last batch is filled up with its first example, which is not counted.
        const own = Math.min(batch, count - first);
        const indices = Array.from({ length: batch }, (_, i) => (i < own ? first + i : first));
        const made = fillBatch(set, indices, outputs, { prepare }, undefined);
        const found = await run.run({ [network.input]: float(made.inputs, [batch, ...network.inputShape]) });
        const scores = numbersOf(found[STEP.scores]).subarray(0, own * outputs);
        loss += lossSum(scores, made.targets, outputs, settings.loss);
        if (made.labels) correct += correctOf(scores, made.labels, outputs);
      }
    } finally {
      await run.dispose();
    }
    return { examples: count, loss: loss / count, ...(labelled && { correct, accuracy: correct / count }) };
  }

  async function recalibrate(batches: number): Promise<void> {
    check();
    if (!(Number.isInteger(batches) && batches > 0))
      fail('GRIM_TRAIN_BAD_OPTION', `recalibrate: ${batches} batches; a positive integer is needed.`);
    if (settings.running.length === 0) return;
    const graph = withValues(network.graph, state.values);
    const run = await engine(statisticsGraph({ ...network, graph }), settings.threads);
    const sums = new Map<string, Float64Array>();
    try {
      for (let i = 0; i < batches; i++) {
        const made = trainingBatch(state.step + i);
        const found = await run.run({ [network.input]: float(made.inputs, [batch, ...network.inputShape]) });
        for (const name of settings.running) {
          const value = numbersOf(found[STEP.next(name)]);
          const sum = sums.get(name) ?? new Float64Array(value.length);
          for (let j = 0; j < sum.length; j++) sum[j] = (sum[j] as number) + (value[j] as number);
          sums.set(name, sum);
        }
      }
    } finally {
      await run.dispose();
    }
    for (const [name, sum] of sums)
      state.values.set(
        name,
        float(
          Float32Array.from(sum, (v) => v / batches),
          shapeOf(name),
        ),
      );
  }

  const shapeOf = (name: string): Shape => network.graph.weights.get(name)?.shape ?? [];

  return {
    parameters,
    stepsPerEpoch: settings.stepsPerEpoch,
    steps: () => state.step,
    graph: async () => withValues(given, state.values),
    weights: async (names = parameters) =>
      new Map(names.map((name) => [name, numbersOf(known(state.values.get(name), name)).slice()])),
    async setWeights(values) {
      check();
      for (const [name, value] of values) {
        const now = numbersOf(known(state.values.get(name), name));
        if (now.length !== value.length)
          fail(
            'GRIM_TRAIN_BAD_OPTION',
            `setWeights: ${quote(name)} has ${now.length} numbers, ${value.length} were given.`,
            { name },
          );
        state.values.set(name, float(value.slice(), shapeOf(name)));
      }
    },
    async resetOptimizer() {
      check();
      for (const [name, value] of state.values)
        if (!network.graph.weights.has(name))
          state.values.set(name, float(new Float32Array(numbersOf(value).length), value.dims));
      state.optimizerStep = 0;
    },
    train,
    evaluate,
    recalibrate,
    async save() {
      const values = new Map(Array.from(state.values, ([name, value]) => [name, numbersOf(value)] as const));
      const { step, optimizerStep } = state;
      return writeCheckpoint({ fingerprint: settings.fingerprint, step, optimizerStep, values });
    },
    async restore(bytes) {
      check();
      const saved = readCheckpoint(bytes);
      if (saved.fingerprint !== settings.fingerprint)
        fail(
          'GRIM_TRAIN_BAD_CHECKPOINT',
          'checkpoint: it is of another network, other data or other options. Give those of the run that wrote it.',
        );
      for (const [name, value] of saved.values) {
        const now = known(state.values.get(name), name);
        state.values.set(name, float(value.slice(), now.dims));
      }
      state.step = saved.step;
      state.optimizerStep = saved.optimizerStep;
    },
    async dispose() {
      disposed = true;
      await release(engines);
      if (teacher) await (await teacher).dispose();
      teacher = undefined;
    },
  };
}

async function release(engines: Map<string, Promise<Engine>>): Promise<void> {
  const all = Array.from(engines.values());
  engines.clear();
  for (const one of all) await one.then((made) => made.dispose()).catch(() => undefined);
}

function known<T>(value: T | undefined, name: string): T {
  if (value === undefined)
    fail('GRIM_TRAIN_BAD_OPTION', `trainer: ${quote(name)} is no weight that it trains or keeps statistics in.`, {
      name,
    });
  return value;
}

/** Only the scores are asked for. */
const scoring = ({ graph, scores }: Network): Graph => ({ ...graph, outputs: new Map([[STEP.scores, scores]]) });

function withValues(graph: Graph, values: ReadonlyMap<string, Value>): Graph {
  const weights = new Map(graph.weights);
  for (const [name, value] of values) {
    const weight = weights.get(name);
    if (weight) weights.set(name, { ...weight, dtype: 'float32', data: numbersOf(value).slice() });
  }
  return { ...graph, weights };
}

function initial({ network, parameters, running, optimizer }: Settings): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const name of [...parameters, ...running]) {
    const weight = network.graph.weights.get(name);
    if (weight) values.set(name, float(Float32Array.from(weight.data as Float32Array), weight.shape));
  }
  for (const name of parameters) {
    const shape = network.graph.weights.get(name)?.shape ?? [];
    values.set(STEP.first(name), float(new Float32Array(sizeOf(shape)), shape));
    if (optimizer.kind === 'adam') values.set(STEP.second(name), float(new Float32Array(sizeOf(shape)), shape));
  }
  return values;
}

function corrections({ optimizer: { kind, momentum, secondMomentum } }: Settings, step: number): Record<string, Value> {
  if (kind !== 'adam') return {};
  return {
    [STEP.firstScale]: number(1 / (1 - momentum ** step)),
    [STEP.secondScale]: number(1 / (1 - secondMomentum ** step)),
  };
}

/** Before the first step, so that it already sees the masked network. */
function applyMasks({ masks }: TrainOptions, values: Map<string, Value>): void {
  for (const [name, mask] of masks ?? []) {
    const value = known(values.get(name), name);
    const data = numbersOf(value).map((element, i) => (mask[i] === 0 ? 0 : element));
    values.set(name, float(data, value.dims));
  }
}

/** Masks and penalties, the same in every step of a call. */
function constraintFeeds({ masks, penalties }: TrainOptions, { network }: Settings): Record<string, Value> {
  const feeds: Record<string, Value> = {};
  const shapeOf = (name: string): Shape => network.graph.weights.get(name)?.shape ?? [];
  for (const [name, mask] of masks ?? [])
    feeds[STEP.mask(name)] = float(
      Float32Array.from(mask, (kept) => (kept === 0 ? 0 : 1)),
      shapeOf(name),
    );
  for (const [name, penalty] of penalties ?? []) {
    const { strength, target }: Penalty = penalty;
    const shape = shapeOf(name);
    feeds[STEP.strength(name)] = typeof strength === 'number' ? number(strength) : float(strength, shape);
    feeds[STEP.toward(name)] = float(target ?? new Float32Array(sizeOf(shape)), shape);
  }
  return feeds;
}
