/**
 * `grim prune`: a network and some examples in, a sparse network out, with a record of how it was made. Layers that are
 * finished are kept on disk until the network is written: interrupted, the same command goes on where it was.
 */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { bind, type Graph, print, show } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import {
  BASELINES,
  type BlockShape,
  estimateOneShot,
  macsPerSecond,
  type OneShotOptions,
  type OneShotResult,
  type Progress,
  prunableLayers,
  pruneOneShot,
} from '@grim/prune';
import { compileGraph } from '../compile-model.ts';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { approximate, bytes, type FileKind, type Io, jsonText, percent, styled } from '../output.ts';
import type { PruneCommandOptions } from '../prune/args.ts';
import { compiledCalibrator } from '../prune/calibrator.ts';
import type { Curves } from '../prune/curves.ts';
import { drawCurve } from '../prune/draw-curve.ts';
import { agreementOf } from '../prune/evaluate.ts';
import { type Calibration, readExamples, sha256 } from '../prune/examples.ts';
import { type FoundPlan, findPlan } from '../prune/find-plan.ts';
import { type HtmlReport, htmlReport } from '../prune/html-report.ts';
import { layerStore, partStore } from '../prune/layer-store.ts';
import { withLengths } from '../prune/lengths.ts';
import { readGraph } from '../prune/read-graph.ts';
import { type UsedRecipe, withRecipe } from '../prune/recipe.ts';
import { checkReport, sendReport } from '../report.ts';
import { checkPlot } from '../reram/plots.ts';
import { type Finished, lengthsOf } from '../results/run.ts';
import { recordOf, recordPath } from '../run-record.ts';
import { block, blockText, blocks as parseBlocks } from '../shares.ts';
import { table, wrap } from '../table.ts';
import { endOf } from '../tensor-files.ts';
import { version } from '../version.ts';

export async function pruneCommand(asked: PruneCommandOptions, io: Io): Promise<number> {
  const { model, output, force, dryRun } = asked;
  const inputs = [model, ...(asked.recipe === undefined ? [] : [asked.recipe])];
  checkReport(asked, inputs);
  if (dryRun || output === undefined) return dryRunOf(asked, io);
  const target = { path: output, kind: kindOf(output), force, inputs } as const;
  const record = { path: recordPath(output), kind: 'report', force, inputs } as const;
  about(output, () => checkTarget(output, target));
  about(record.path, () => checkTarget(record.path, record));
  const page = { kind: 'other', force, inputs } as const;
  if (asked.report !== undefined) about(asked.report, () => checkTarget(asked.report as string, page));
  checkPlot(asked.curve === undefined ? undefined : { path: asked.curve, force, inputs });
  const folder = `${output}.layers`;
  io.resumable?.('finished layers are kept, and the same command goes on from there');
  const made = await prunedBy(asked, io, folder);
  const { options } = made;
  const report = reportOf(made, options);
  io.write({ ...target, content: made.content, spent: [folder] });
  io.write({ ...record, content: jsonText(runRecordOf(made, options)) });
  if (options.curve !== undefined && made.found?.curve)
    await drawCurve(made.found as FoundPlan, model, { path: options.curve, force, inputs }, io);
  if (options.report !== undefined)
    io.write({ ...page, path: options.report, content: await htmlReport(await pageOf(made, report, options)) });
  if (options.record) io.record?.(finishedOf(made, report, options));
  if (sendReport(report, options, inputs, io)) io.out(textOf(report, made, io));
  return EXIT.done;
}

/** What came of a run. */
export interface Pruned {
  /** With what a recipe adds. */
  readonly options: PruneCommandOptions;
  readonly recipe: UsedRecipe | undefined;
  /** As it was read. */
  readonly dense: Graph;
  readonly content: Uint8Array;
  readonly result: OneShotResult;
  readonly calibration: Calibration;
  readonly modelBytes: number;
  readonly modelSha256: string;
  readonly seconds: number;
  readonly resumed: number;
  /** Where a search chose blocks and densities. */
  readonly found?: Pick<FoundPlan, 'density' | 'block'> & Partial<FoundPlan>;
}

/** What stands on the page of `--report`. */
async function pageOf(made: Pruned, report: Report, options: PruneCommandOptions): Promise<HtmlReport> {
  const { dense, result, calibration, found } = made;
  const { model, output = '', argv } = options;
  const whole = found?.candidates ? (found as FoundPlan) : undefined;
  const fitted = whole ? undefined : await agreementOf(dense, result.graph, calibration.batches);
  const held = whole && { same: Math.round(whole.held * (1 - whole.drop / 100)), of: whole.held };
  const agreement = held ?? fitted;
  return {
    title: `${model}, pruned`,
    facts: [
      ['command', `grim ${argv.join(' ')}`],
      ['written', `${output}, ${bytes(report.bytes)} (before: ${bytes(report.modelBytes)})`],
      ['weights kept', `${percent(report.weightDensity, 1)} of ${report.layers.length} layers`],
      ['multiply-adds kept', percent(report.macDensity, 1)],
      ...(whole
        ? [
            ['speed', `${whole.speedup.toFixed(2)} times as fast as dense, one thread, synthetic masks`] as const,
            ['compiled', `${bytes(whole.bytes)} (dense: ${bytes(whole.denseBytes)})`] as const,
          ]
        : []),
      ['difference of the outputs', `${report.loss.toPrecision(3)} on calibration inputs`],
      ['calibration', `${report.calibration.examples} of ${report.calibration.found} examples, no labels`],
      ['stay dense', report.dense.map(({ layer, reason }) => (reason ? `${layer} (${reason})` : layer)).join(', ')],
      ['took', `${report.seconds.toFixed(1)} s`],
      ['made by', `grim ${version()}, Node ${process.version}, seed ${options.seed}, ${cpus()[0]?.model ?? ''}`],
    ],
    ...{ graph: result.graph, layers: result.layers, found: whole },
    agreement: agreement && { ...agreement, heldOut: whole !== undefined },
  };
}

/** @param folder  of finished layers; undefined: nothing is kept */
export async function prunedBy(asked: PruneCommandOptions, io: Io, folder: string | undefined): Promise<Pruned> {
  const { model } = asked;
  const started = performance.now();
  const content = about(model, () => readRegularFile(model));
  const graph = graphOf(content, asked);
  const { options, recipe } = await complete(asked, graph);
  const calibration = await readExamples(graph, options);
  const store = folder === undefined ? undefined : layerStore(folder);
  const modelSha256 = sha256(content);
  const hashes = [modelSha256, ...(recipe ? [recipe.sha256] : [])];
  const found = await planOf(graph, calibration, options, hashes, folder, io);
  const progress = progressLines(io);
  const calibrator = compiledCalibrator(calibration.batches, (operators) =>
    io.err(`  ${show(operators)}: no kernels; the reference evaluator runs these parts, slowly.\n`),
  );
  let resumed = 0;
  let told = 0;
  const result = await about(model, () =>
    pruneOneShot(graph, calibrator, {
      ...pruneOptions(options, found),
      ...(store && {
        resume: (fingerprint: string) => {
          const state = store.load(fingerprint);
          resumed = state?.layers.length ?? 0;
          told = resumed;
          if (resumed > 0) io.err(`  ${resumed} layers were finished before; going on from there.\n`);
          return state;
        },
      }),
      onProgress: progress.step,
      onLayer: (state) => {
        store?.save(state);
        for (const { reports } of state.layers.slice(told)) for (const one of reports) progress.layer(one);
        told = state.layers.length;
      },
    }),
  );
  return {
    content: encoded(result.graph, options),
    ...{ options, recipe, dense: graph, result, calibration, resumed, modelSha256 },
    ...(found && { found }),
    modelBytes: content.length,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Lengths stay open while pruning, as far as they are: the batch is the calibration's. They are bound in the end. */
function graphOf(content: Uint8Array, options: PruneCommandOptions): Graph {
  const { model } = options;
  const open = { ...options, dims: new Map<string, number>(), shapes: new Map<string, readonly number[]>() };
  return about(model, () => readGraph(content, importOptions(model, open)));
}

async function complete(asked: PruneCommandOptions, graph: Graph): ReturnType<typeof withRecipe> {
  const found = await withRecipe(asked, graph);
  const { density, aim, plan } = found.options;
  if (density === undefined && !plan && Object.values(aim).every((one) => one === undefined))
    throw new UsageError(
      'neither the command line nor the recipe says how much is kept: --density <share> is missing.',
    );
  return found;
}

/** Blocks to choose from: low and wide ones where a kernel walks over columns, taller ones where it has one, as in recurrent networks. */
function usualBlocks(graph: Graph): readonly BlockShape[] {
  const recurrent = prunableLayers(graph).some(({ op }) => op === 'GRU' || op === 'LSTM' || op === 'RNN');
  return parseBlocks(recurrent ? '8x64,16x64,32x128' : '2xK,1xK,4xK,8x64');
}

/** What the search finds, or found before; undefined where density and block are given. */
async function planOf(
  graph: Graph,
  calibration: Calibration,
  options: PruneCommandOptions,
  hashes: readonly string[],
  folder: string | undefined,
  io: Io,
): Promise<Pruned['found']> {
  const { model, aim, seed, density, dims, shapes, argv } = options;
  if (options.plan) return options.plan;
  if (density !== undefined) return undefined;
  const blocks = options.blocks.length > 0 ? options.blocks : usualBlocks(graph);
  const key = [...hashes, ...calibration.files.map(({ sha256: hash }) => hash), ...argv].join('\n');
  const store = folder === undefined ? undefined : partStore<FoundPlan>(folder, 'plan', key);
  const curves = folder === undefined ? undefined : partStore<Curves>(folder, 'curves', key);
  const earlier = store?.load();
  if (earlier) return earlier;
  const lengths = { dims: Object.fromEntries(dims), shapes: Object.fromEntries(shapes) };
  const timed = about(model, () => withLengths(dims.size + shapes.size > 0 ? bind(graph, lengths) : graph));
  const plan = await about(model, () =>
    findPlan(
      graph,
      timed,
      calibration,
      { aim, blocks, seed, seconds: options.seconds, threads: options.threads, compare: options.curve !== undefined },
      methodOptions(options),
      curves,
      io,
    ),
  );
  store?.save(plan);
  return plan;
}

function pruneOptions(options: PruneCommandOptions, plan: Pruned['found']): OneShotOptions {
  const { density = 1, blocks } = options;
  const [first] = blocks;
  const method = methodOptions(options);
  if (!plan) return { density, ...(first && { block: first }), ...method };
  return {
    // A layer that stays dense is not named.
    density: Object.fromEntries(Object.entries(plan.density).filter(([, share]) => share < 1)),
    block: Object.fromEntries(Object.entries(plan.block).map(([name, shape]) => [name, block(shape)])),
    ...method,
  };
}

function methodOptions({ method, seed, fast }: PruneCommandOptions): Partial<OneShotOptions> {
  return {
    seed,
    ...(fast && { activationAware: 'never' as const }),
    ...(method !== 'oneshot' && BASELINES[method]),
  };
}

function kindOf(path: string): FileKind {
  const end = endOf(path);
  return end === '.onnx' ? 'onnx' : end === '.ir' ? 'ir' : 'model';
}

function encoded(graph: Graph, { model, output, dims, shapes }: PruneCommandOptions): Uint8Array {
  const lengths = {
    ...(dims.size > 0 && { dims: Object.fromEntries(dims) }),
    ...(shapes.size > 0 && { shapes: Object.fromEntries(shapes) }),
  };
  const bound = about(model, () => (dims.size + shapes.size > 0 ? bind(graph, lengths) : graph));
  const end = endOf(output ?? '');
  if (end === '.onnx') return toOnnx(bound);
  if (end === '.ir') return new TextEncoder().encode(print(bound));
  return about(model, () => compileGraph(bound).bytes);
}

const QUIET_MS = 8000;

/** A line for each layer, and one now and then while a step takes long. */
function progressLines(io: Io) {
  let last = performance.now();
  let index = 0;
  let layers = 0;
  const line = (words: string): void => {
    io.err(`  ${words}\n`);
    last = performance.now();
  };
  return {
    step(progress: Progress): void {
      ({ index, layers } = progress);
      if (performance.now() - last > QUIET_MS)
        line(`${index + 1}/${layers} ${show(progress.layer)}: ${progress.step} ${percent(progress.done, 1)}`);
    },
    layer({ name, density, error, activationAware, seconds, warning }: OneShotResult['layers'][number]): void {
      const lost = error === undefined ? '' : `, ${percent(error, 1)} of its output lost`;
      const aware = activationAware ? ', activation-aware' : '';
      const warn = warning === undefined ? '' : ` (${warning})`;
      line(
        `${index + 1}/${layers} ${show(name)}: density ${density.toFixed(3)}${lost}${aware}, ${seconds.toFixed(1)} s${warn}`,
      );
    },
  };
}

type Report = ReturnType<typeof reportOf>;

function reportOf(made: Pruned, options: PruneCommandOptions) {
  const { result, calibration, content } = made;
  const { graph, layers, weightDensity, macDensity, loss } = result;
  return {
    schema: 'grim.prune/1',
    model: options.model,
    modelBytes: made.modelBytes,
    output: options.output,
    bytes: content.length,
    method: options.method,
    density: options.density,
    ...(made.found && { found: made.found }),
    block: options.blocks.map(blockText).join(),
    ...{ weightDensity, macDensity, loss },
    calibration: { examples: calibration.examples, found: calibration.found, leftOver: calibration.leftOver },
    dense: prunableLayers(graph)
      .filter(({ name }) => !layers.some((layer) => layer.name === name))
      .map(({ name, exempt }) => ({ layer: name, ...(exempt && { reason: exempt }) })),
    layers: layers.map(({ name, grid, target, density, macs, error, activationAware, samples, seconds, warning }) => ({
      ...{ name, rows: grid.rows, cols: grid.cols, block: { rows: grid.blockRows, cols: grid.blockCols } },
      ...{ target, density, macs, error, activationAware, samples, seconds, warning },
    })),
    resumed: made.resumed,
    seconds: made.seconds,
  } as const;
}

function finishedOf({ modelSha256 }: Pruned, report: Report, options: PruneCommandOptions): Finished {
  const { method, density, aim, model } = options;
  return {
    ...{ kind: 'prune', model, modelSha256, report },
    setting: { method, density, aim, block: report.block, ...lengthsOf(options) },
    values: [
      { what: 'bytes', value: report.bytes, better: 'less' },
      { what: 'share of weights kept', value: report.weightDensity, better: 'less' },
      { what: 'share of multiply-adds kept', value: report.macDensity, better: 'less' },
      { what: 'loss', value: report.loss, better: 'less' },
    ],
  };
}

function runRecordOf(made: Pruned, options: PruneCommandOptions): object {
  const { found, recipe, content } = made;
  return recordOf('prune', options.argv, {
    found: {
      ...(found && { plan: { density: found.density, block: found.block } }),
      ...(recipe && { recipe: recipe.value }),
    },
    inputs: [
      { path: options.model, sha256: made.modelSha256 },
      ...(recipe ? [{ path: recipe.path, sha256: recipe.sha256 }] : []),
      ...made.calibration.files,
    ],
    output: { path: options.output ?? '', content },
    seed: options.seed,
    report: reportOf(made, options),
  });
}

function textOf(report: Report, { result, found }: Pruned, io: Io): string {
  const { layers, output = '' } = report;
  const rows = layers.map((layer) => [
    show(layer.name),
    `${layer.rows}×${layer.cols}`,
    `${layer.block.rows}×${layer.block.cols}`,
    layer.density.toFixed(3),
    layer.error === undefined ? '' : percent(layer.error, 1),
    `${layer.activationAware ? 'aware' : ''}${layer.warning === undefined ? '' : ` ${layer.warning}`}`.trim(),
  ]);
  const columns = [
    { title: 'layer', flexible: true },
    { title: 'matrix', align: 'right' as const },
    { title: 'blocks', align: 'right' as const },
    { title: 'density', align: 'right' as const },
    { title: 'lost', align: 'right' as const },
    { title: '' },
  ];
  const few = layers.some(({ warning }) => warning !== undefined);
  return [
    styled(
      io,
      'bold',
      `${show(output)}: ${layers.length} layers, ${percent(report.weightDensity, 1)} of their weights`,
    ),
    ...table(columns, rows, io.columns),
    '',
    ...wrap(
      `  ${percent(result.macDensity, 1)} of their multiply-adds are left; the outputs differ by ${result.loss.toPrecision(3)} on calibration inputs. ${report.seconds.toFixed(1)} s, ${bytes(report.bytes)}, ${report.calibration.examples} of ${report.calibration.found} examples.`,
      io.columns,
      '  ',
    ),
    ...(found?.speedup === undefined
      ? []
      : wrap(
          `  ${found.speedup.toFixed(2)} times as fast as dense with synthetic masks; of ${found.held ?? 0} examples held out, ${(found.drop ?? 0).toFixed(1)} % had another answer. The best of ${found.candidates?.length ?? 0} candidates. Dense stay: ${
            Object.entries(found.density)
              .filter(([, share]) => share === 1)
              .map(([name]) => show(name))
              .join(', ') || 'none but the first, the last and depthwise layers'
          }.`,
          io.columns,
          '  ',
        )),
    ...(few ? wrap('  few samples: fewer than the layer has inputs. Give more examples.', io.columns, '  ') : []),
    ...wrap(
      `  How it was made: ${show(recordPath(output))}; again: grim reproduce ${show(recordPath(output))}`,
      io.columns,
      '  ',
    ),
    ...(endOf(output) === '.grim' ? [] : wrap(`  Next: grim compile ${show(output)} -o model.grim`, io.columns, '  ')),
    '',
  ].join('\n');
}

async function dryRunOf(asked: PruneCommandOptions, io: Io): Promise<number> {
  const { model } = asked;
  const content = about(model, () => readRegularFile(model));
  const graph = graphOf(content, asked);
  const { options } = await complete(asked, graph);
  const calibration = await readExamples(graph, options);
  const estimate = about(model, () =>
    estimateOneShot(
      graph,
      calibration.batches,
      pruneOptions({ ...options, density: options.density ?? 0.25 }, options.plan),
    ),
  );
  const rate = macsPerSecond();
  // One run of the dense network on one batch, by the very kernels that calibration uses.
  const [batch] = calibration.batches;
  const runner = await compiledCalibrator(calibration.batches).prepare(staticGraph(graph, calibration));
  if (batch) await runner.run(batch);
  const start = performance.now();
  if (batch) await runner.run(batch);
  const runSeconds = ((performance.now() - start) / 1000) * calibration.batches.length;
  await runner.dispose?.();
  const layers = estimate.layers.map((layer) => ({ ...layer, seconds: layer.macs / rate }));
  const once = layers.reduce((sum, layer) => sum + layer.seconds, 0) + estimate.runs * runSeconds;
  const searchSeconds =
    options.density === undefined && !options.plan ? secondsOfSearch(options, once, runSeconds, layers.length) : 0;
  const seconds = once + searchSeconds;
  const report = {
    schema: 'grim.prune-plan/1',
    model,
    calibration: { examples: calibration.examples, found: calibration.found, leftOver: calibration.leftOver },
    seconds,
    ...(searchSeconds > 0 && { searchSeconds }),
    peakBytes: estimate.peakBytes,
    machineBytes: totalmem(),
    macsPerSecond: rate,
    layers,
  };
  if (!sendReport(report, options, [model], io)) return EXIT.done;
  const rows = layers.map((layer) => [
    show(layer.name),
    `${layer.m}×${layer.k}`,
    `${layer.block.rows}×${layer.block.cols}`,
    layer.density.toFixed(3),
    `${layer.seconds.toFixed(1)} s`,
    bytes(layer.bytes),
  ]);
  const right = (title: string) => ({ title, align: 'right' as const });
  io.out(
    [
      styled(io, 'bold', `${show(model)}: ${layers.length} layers, ${calibration.examples} examples`),
      ...table(
        [
          { title: 'layer', flexible: true },
          right('matrix'),
          right('blocks'),
          right('density'),
          right('time'),
          right('memory'),
        ],
        rows,
        io.columns,
      ),
      '',
      ...wrap(
        `  About ${seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} minutes`} at ${approximate(rate)} multiply-adds a second, and ${bytes(estimate.peakBytes)} of memory${searchSeconds > 0 ? `; ${Math.ceil(searchSeconds)} s of it for the search, whose densities are taken as a quarter here` : ''}. Nothing was written.`,
        io.columns,
        '  ',
      ),
      '',
    ].join('\n'),
  );
  return EXIT.done;
}

/** Timing, losses of single layers, candidates that are pruned on three quarters of the examples. */
function secondsOfSearch(
  { blocks, seconds, threads = availableParallelism() }: PruneCommandOptions,
  once: number,
  run: number,
  layers: number,
): number {
  const candidates = Math.max(1, blocks.length) + 2;
  const rounds = Math.ceil(candidates / Math.min(threads, candidates));
  // Half the network for each of two densities, on three eighths of the examples.
  return seconds + layers * run * (3 / 8) + rounds * once * (3 / 4);
}

function staticGraph(graph: Graph, { batches }: Calibration): Graph {
  const inputs = new Map(graph.inputs);
  for (const [name, { dtype, shape }] of Object.entries(batches[0] ?? {})) inputs.set(name, { dtype, shape });
  return { ...graph, inputs };
}
