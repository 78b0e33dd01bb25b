/**
 * `grim train`: a network, or a description of one, and labelled examples in; a trained network out. The state is kept on
 * disk while it runs: interrupted, the same command goes on where it was, with the same bits. What was pruned stays zero.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Graph, GrimError, print, show } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { masksOf } from '@grim/prune';
import type { Examples, NodeTrainer, TrainerOptions } from '@grim/train';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile, writeWhole } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { count, type Io, jsonText, percent, styled } from '../output.ts';
import { sha256 } from '../prune/examples.ts';
import { readGraph } from '../prune/read-graph.ts';
import { checkReport, sendReport } from '../report.ts';
import type { Finished } from '../results/run.ts';
import { type RecordedInput, recordOf, recordPath } from '../run-record.ts';
import { wrap } from '../table.ts';
import { endOf } from '../tensor-files.ts';
import type { TrainCommandOptions } from '../train/args.ts';

type Library = typeof import('@grim/train');

/** Between two checkpoints, and between two lines of progress. */
const SAVE_MS = 30_000;
const LINE_MS = 5_000;

export async function trainCommand(options: TrainCommandOptions, io: Io): Promise<number> {
  const { model, output, data, force } = options;
  const inputs = [model, ...(existsSync(data) ? [data] : [])];
  checkReport(options, inputs);
  const target = { path: output, kind: kindOf(output), force, inputs } as const;
  const record = { path: recordPath(output), kind: 'report', force, inputs } as const;
  about(output, () => checkTarget(output, target));
  about(record.path, () => checkTarget(record.path, record));
  const folder = `${output}.training`;
  io.resumable?.('the last checkpoint is kept, and the same command goes on from there');
  const made = await trainedBy(options, io, folder);
  const { content, steps, seconds, validation: result } = made;
  const report = reportOf(made, options);
  io.write({ ...target, content, spent: [folder] });
  const run = { inputs: made.inputs, output: { path: output, content }, seed: options.seed, report };
  io.write({ ...record, content: jsonText(recordOf('train', options.argv, { ...run, versions: made.versions })) });
  if (options.record) io.record?.(finishedOf(report, made.modelSha256, options));
  if (sendReport(report, options, inputs, io)) {
    const right =
      result.correct === undefined
        ? `loss ${result.loss.toPrecision(4)}`
        : `${count(result.correct)} of ${count(result.examples)} right (${percent(result.correct, result.examples)}), loss ${result.loss.toPrecision(4)}`;
    const text = [
      `  ${count(steps)} steps of ${options.batch}, ${duration(seconds)}. Again: grim reproduce ${show(record.path)}`,
      `  Next: grim prune ${show(output)}, or grim compile ${show(output)} -o model.grim`,
    ];
    const lines = text.flatMap((line) => wrap(line, io.columns, '  '));
    io.out([styled(io, 'bold', `${show(output)}: ${right}`), ...lines, ''].join('\n'));
  }
  return EXIT.done;
}

/** What came of a run. */
export interface Trained {
  readonly content: Uint8Array;
  readonly inputs: readonly RecordedInput[];
  readonly modelSha256: string;
  /** Of the engine. */
  readonly versions: Readonly<Record<string, string>>;
  readonly steps: number;
  readonly resumed: number;
  readonly seconds: number;
  readonly examples: number;
  readonly masks: Masks;
  readonly epochs: readonly Epoch[];
  readonly validation: Awaited<ReturnType<NodeTrainer['evaluate']>>;
}

/** @param folder  of the checkpoint; undefined: nothing is kept */
export async function trainedBy(options: TrainCommandOptions, io: Io, folder: string | undefined): Promise<Trained> {
  const { model, output } = options;
  const library = await load();
  const started = performance.now();
  const source = about(model, () => readRegularFile(model));
  const modelSha256 = sha256(source);
  const graph = networkOf(source, options, library);
  const given = examplesOf(graph, options, library);
  io.err(`  ${count(given.examples.count)} examples to train on, ${count(given.validation.count)} to check with\n`);
  const trainer = about(model, () => library.createTrainer(graph, { ...trainerOptions(options), ...given }));
  const steps = options.steps ?? options.epochs * trainer.stepsPerEpoch;
  const run = sha256(Buffer.from(JSON.stringify(runOf(options, steps, modelSha256))));
  const store = folder === undefined ? undefined : checkpoints(folder, run, trainer);
  const masks = masksOf(graph);
  if (masks.size > 0) io.err(`  ${prunedText(masks)}\n`);
  const resumed = (await store?.restore()) ?? 0;
  if (resumed > 0) io.err(`  ${count(resumed)} of ${count(steps)} steps were done before; going on from there.\n`);
  const course = { options, io, trainer, steps, store, masks, schedule: library.schedule };
  const epochs = await train(course).catch((error: unknown) => keepLast(error, folder, store, trainer));
  const validation = await trainer.evaluate();
  const trained = await trainer.graph();
  const content = kindOf(output) === 'ir' ? new TextEncoder().encode(print(trained)) : toOnnx(trained);
  await trainer.dispose();
  return {
    ...{ content, modelSha256, steps, resumed, masks, epochs, validation },
    inputs: inputsOf(options, modelSha256, given),
    versions: { 'onnxruntime-node': library.engineVersion() },
    seconds: (performance.now() - started) / 1000,
    examples: given.examples.count,
  };
}

const kindOf = (output: string): 'ir' | 'onnx' => (endOf(output) === '.ir' ? 'ir' : 'onnx');

function reportOf(made: Trained, { model, output, data, batch, seed, threads }: TrainCommandOptions) {
  const { content, steps, resumed, seconds, examples, masks, epochs, validation } = made;
  return {
    schema: 'grim.train/1',
    ...{ model, output, data, steps, resumed, seconds },
    bytes: content.length,
    sha256: sha256(content),
    ...{ examples, batch, seed, threads },
    ...(masks.size > 0 && { pruned: { layers: masks.size, density: aliveIn(masks) } }),
    ...{ epochs, validation },
  };
}

/** Files by their bytes; examples as they were read, since what lies beside them in a folder changes nothing. */
function inputsOf(
  { model, data, validation: other, teacher }: TrainCommandOptions,
  modelSha256: string,
  { examples, validation }: Given,
): readonly RecordedInput[] {
  return [
    { path: model, sha256: modelSha256 },
    { path: data, ...hashOf(other === undefined ? [examples, validation] : [examples]) },
    ...(other === undefined ? [] : [{ path: other, ...hashOf([validation]) }]),
    ...(teacher === undefined
      ? []
      : [{ path: teacher, sha256: sha256(about(teacher, () => readRegularFile(teacher))) }]),
  ];
}

function hashOf(parts: readonly (Examples | undefined)[]): { readonly sha256: string; readonly examples: number } {
  const hash = createHash('sha256');
  let all = 0;
  for (const part of parts) {
    if (!part) continue;
    const { count: own, shape, data, labels, classes, targets } = part;
    all += own;
    hash.update(JSON.stringify({ count: own, shape, classes }));
    for (const values of [data, labels, targets])
      if (values) hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return { sha256: hash.digest('hex'), examples: all };
}

type Report = ReturnType<typeof reportOf>;

/** Runs over the same examples, for as long, make a line over time. */
function finishedOf(report: Report, modelSha256: string, options: TrainCommandOptions): Finished {
  const { model, data, batch, rate, seed } = options;
  const { loss, accuracy } = report.validation;
  return {
    ...{ kind: 'train', model, modelSha256, report },
    setting: { data: basename(data), steps: report.steps, batch, rate, seed },
    values: [
      ...(accuracy === undefined ? [] : [{ what: 'share right', value: accuracy, better: 'more' as const }]),
      { what: 'validation loss', value: loss, better: 'less' },
      { what: 'bytes', value: report.bytes, better: 'less' },
    ],
  };
}

/** The engine is large and native: only who trains installs it. */
async function load(): Promise<Library> {
  try {
    return await import('@grim/train');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new GrimError(
      'GRIM_CLI_NO_TRAINER',
      'grim train: @grim/train is not installed here. It brings onnxruntime-node, some 290 MB: npm install @grim/train',
    );
  }
}

function networkOf(content: Uint8Array, { model: path, seed }: TrainCommandOptions, { buildNetwork }: Library): Graph {
  return about(path, () => {
    if (!/\.json$/i.test(path)) {
      const none = { dims: new Map(), shapes: new Map(), constants: new Map() };
      return readGraph(content, importOptions(path, none));
    }
    return buildNetwork(parsed(content), seed);
  });
}

function parsed(content: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch (error) {
    throw new GrimError(
      'GRIM_CLI_BAD_MODEL',
      `it is no JSON: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
}

interface Given {
  readonly examples: Examples;
  readonly validation: Examples;
}

function examplesOf(graph: Graph, options: TrainCommandOptions, { loadExamples, partsOf, holdOut }: Library): Given {
  const [input] = graph.inputs.values();
  const shape = (input?.shape ?? []).slice(1).map(Number);
  const parts =
    options.validation === undefined ? partsOf(options.data) : { train: options.data, validation: options.validation };
  const how = { shape, ...(options.limit !== undefined && { limit: options.limit }) };
  const examples = loadExamples(parts.train, how);
  if (parts.validation === undefined) {
    const [kept, held] = holdOut(examples, 0.1, options.seed);
    return { examples: kept, validation: held };
  }
  const classes = examples.classes && { classes: examples.classes };
  return { examples, validation: loadExamples(parts.validation, { ...how, ...classes }) };
}

function trainerOptions(o: TrainCommandOptions): Omit<TrainerOptions, 'examples'> {
  const prepare = { ...(o.mean && { mean: o.mean }), ...(o.std && { std: o.std }) };
  const augment = {
    ...(o.crop !== undefined && { crop: o.crop }),
    ...(o.flip && { flip: true }),
    ...(o.shift !== undefined && { shift: o.shift }),
    ...(o.noise !== undefined && { noise: o.noise }),
  };
  const none = { dims: new Map(), shapes: new Map(), constants: new Map() };
  const { teacher } = o;
  return {
    ...{ prepare, augment },
    ...{ batch: o.batch, labelSmoothing: o.labelSmoothing, mix: o.mix, seed: o.seed, threads: o.threads },
    optimizer: { kind: o.optimizer, ...(o.decay !== undefined && { decay: o.decay }) },
    ...(o.clipNorm !== undefined && { clipNorm: o.clipNorm }),
    ...(teacher !== undefined && {
      distill: {
        teacher: about(teacher, () => readGraph(readRegularFile(teacher), importOptions(teacher, none))),
        weight: o.distill,
        temperature: o.temperature,
      },
    }),
  };
}

/** What decides the course of a run besides network and data, whose hash the trainer keeps. */
function runOf({ rate, schedule, warmup, epochs }: TrainCommandOptions, steps: number, source: string): object {
  return { rate, schedule, warmup, epochs, steps, source };
}

type Masks = ReturnType<typeof masksOf>;

function aliveIn(masks: Masks): number {
  const all = Array.from(masks.values());
  const alive = all.reduce((sum, mask) => sum + mask.reduce((own, one) => own + one, 0), 0);
  return alive / all.reduce((sum, { length }) => sum + length, 0);
}

const prunedText = (masks: Masks): string =>
  `${count(masks.size)} layers are pruned, ${percent(aliveIn(masks), 1)} of their weights alive; what is zero stays zero.`;

/** When it diverged: the last good state as a network, and a sentence that says so. */
async function keepLast(
  error: unknown,
  folder: string | undefined,
  store: Store | undefined,
  trainer: NodeTrainer,
): Promise<never> {
  if (!(error instanceof GrimError) || error.code !== 'GRIM_TRAIN_DIVERGED' || !store || !folder) throw error;
  const kept = await store.restore();
  await trainer.dispose();
  if (kept === 0) throw error;
  const path = join(folder, 'last-good.onnx');
  const content = toOnnx(await trainer.graph());
  about(path, () => writeWhole(path, content, { kind: 'onnx', force: true, inputs: [] }));
  throw new GrimError(
    error.code,
    `${error.message} As it was after ${count(kept)} steps it is kept in ${show(path)}: begin there, with another -o.`,
    { ...error.details, kept, path },
  );
}

interface Store {
  /** @returns steps that were done before */
  restore(): Promise<number>;
  save(): Promise<void>;
}

/** One file, replaced whole. It begins as a checkpoint does; the hash of the run is behind its bytes. */
function checkpoints(folder: string, run: string, trainer: NodeTrainer): Store {
  const path = join(folder, 'training.checkpoint');
  return {
    async restore() {
      if (!existsSync(path)) return 0;
      return about(path, async () => {
        const bytes = readRegularFile(path);
        const end = bytes.length - run.length;
        if (end <= 0 || new TextDecoder().decode(bytes.subarray(end)) !== run)
          throw new GrimError(
            'GRIM_TRAIN_BAD_CHECKPOINT',
            'it is of a run of another network, or with another rate, schedule or length. Remove it to begin again, or give the options of that run.',
          );
        await trainer.restore(bytes.subarray(0, end));
        return trainer.steps();
      });
    },
    async save() {
      const state = await trainer.save();
      const content = new Uint8Array(state.length + run.length);
      content.set(state);
      content.set(new TextEncoder().encode(run), state.length);
      about(folder, () => mkdirSync(folder, { recursive: true }));
      about(path, () => writeWhole(path, content, { kind: 'checkpoint', force: true, inputs: [] }));
    },
  };
}

async function checkFinite(trainer: NodeTrainer): Promise<void> {
  for (const [name, values] of await trainer.weights())
    if (!values.every(Number.isFinite))
      throw new GrimError(
        'GRIM_TRAIN_DIVERGED',
        `train: ${show(name)} is not finite after step ${trainer.steps()}. Lower the rate, clip the gradients (--clip-norm), or warm up.`,
        { step: trainer.steps(), weight: name },
      );
}

interface Course {
  readonly options: TrainCommandOptions;
  readonly io: Io;
  readonly trainer: NodeTrainer;
  readonly steps: number;
  /** Undefined: nothing is kept. */
  readonly store: Store | undefined;
  readonly masks: Masks;
  readonly schedule: Library['schedule'];
}

interface Epoch {
  readonly epoch: number;
  readonly loss: number;
  readonly accuracy?: number;
  readonly validation: object;
}

/** Epoch by epoch, each checked on the validation examples; in pieces, so that the state is saved now and then. */
async function train(course: Course): Promise<readonly Epoch[]> {
  const { options, io, trainer, steps, store, masks, schedule } = course;
  const rateAt = schedule({ kind: options.schedule, rate: options.rate, steps, warmup: options.warmup });
  const perEpoch = trainer.stepsPerEpoch;
  const line = progressLine(io, steps, options.batch, trainer.steps());
  const epochs: Epoch[] = [];
  let saved = performance.now();
  let [loss, correct, seen] = [0, 0, 0];
  while (trainer.steps() < steps) {
    const done = trainer.steps();
    const end = Math.min((Math.floor(done / perEpoch) + 1) * perEpoch, steps);
    const stop = new AbortController();
    try {
      await trainer.train({
        steps: end - done,
        rate: (step) => rateAt(done + step),
        masks,
        signal: stop.signal,
        onStep: (progress) => {
          loss += progress.loss;
          correct += progress.correct ?? 0;
          seen++;
          line(progress);
          if (performance.now() - saved > SAVE_MS) stop.abort(PAUSE);
        },
      });
    } catch (error) {
      if (error !== PAUSE) throw error;
    }
    if (trainer.steps() === end) {
      const validation = await trainer.evaluate();
      const epoch = end / perEpoch;
      const accuracy = validation.accuracy === undefined ? {} : { accuracy: correct / (seen * options.batch) };
      epochs.push({ epoch, loss: loss / seen, ...accuracy, validation });
      const right =
        validation.correct === undefined ? '' : `, ${percent(validation.correct, validation.examples)} right`;
      io.err(
        `  epoch ${epoch.toFixed(epoch % 1 === 0 ? 0 : 2)}: loss ${(loss / seen).toPrecision(4)}; validation loss ${validation.loss.toPrecision(4)}${right}\n`,
      );
      [loss, correct, seen] = [0, 0, 0];
    }
    await checkFinite(trainer);
    await store?.save();
    saved = performance.now();
  }
  return epochs;
}

/** Not an error: the run pauses to be saved. */
const PAUSE = Symbol('pause');

function progressLine(io: Io, steps: number, batch: number, before: number) {
  const started = performance.now();
  let last = started;
  let done = before;
  return ({ loss, correct, epoch, rate }: { loss: number; correct?: number; epoch: number; rate: number }): void => {
    done++;
    const now = performance.now();
    if (now - last < LINE_MS) return;
    last = now;
    const perSecond = (done - before) / ((now - started) / 1000);
    const right = correct === undefined ? '' : `, ${percent(correct, batch)} right`;
    io.err(
      `  step ${count(done)} of ${count(steps)} (epoch ${epoch.toFixed(2)}): loss ${loss.toPrecision(4)}${right}, rate ${rate.toPrecision(3)}, ${(perSecond * batch).toFixed(0)} examples/s, ${duration((steps - done) / perSecond)} left\n`,
    );
  };
}

function duration(seconds: number): string {
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
