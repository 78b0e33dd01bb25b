/**
 * `grim compile`: an ONNX model becomes a `.grim` file. The file is written whole or not at all, and nothing is written when
 * any operator has no kernels. Modules that are kept beside it are written first: the file is never there without them.
 */

import type { FoundPattern } from '@grim/bcr';
import type { CompileOptions } from '@grim/codegen';
import { type Manifest, quote, show, type ValueInfo, type WasmFamily } from '@grim/ir';
import type { CompileCommandOptions } from '../args.ts';
import { type Compiled, compileModel, explainGraph } from '../compile-model.ts';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { soundPreprocess } from '../inputs/audio.ts';
import { asPreprocess, normalisation } from '../inputs/preprocess.ts';
import { checkLabels, readLabels } from '../labels.ts';
import { modulePath } from '../modules.ts';
import { approximate, bytes, count, type Io, jsonText, percent, styled } from '../output.ts';
import { sha256 } from '../prune/examples.ts';
import { checkReport, sendReport } from '../report.ts';
import { recordOf, recordPath } from '../run-record.ts';
import { table, wrap } from '../table.ts';
import { checkUsed, readSchedules } from '../tune/schedules.ts';

/** Of the modules in a file. */
function familiesOf(wide: boolean): readonly WasmFamily[] {
  return wide ? ['wide', 'relaxed', 'plain'] : ['relaxed', 'plain'];
}

export function compileCommand(options: CompileCommandOptions, io: Io): number {
  const { model, output, weights, split, wide, force } = options;
  const inputs = [model, options.labels, options.schedules].filter((path) => path !== undefined);
  const file = { path: output, kind: 'model', force, inputs } as const;
  const beside = split ? familiesOf(wide).map((family) => [family, modulePath(output, family)] as const) : [];
  checkReport(options, inputs);
  about(output, () => checkTarget(output, file));
  for (const [, path] of beside) about(path, () => checkTarget(path, { kind: 'module', force, inputs }));
  const record = { path: recordPath(output), kind: 'report', force, inputs } as const;
  if (options.runJson) about(record.path, () => checkTarget(record.path, record));
  const made = compiledBy(options);
  const { compiled, chosen, used, content } = made;
  const explained = options.explain ? about(model, () => explainGraph(compiled.graph, chosen, weights)) : undefined;
  const { modules } = compiled;
  if (modules)
    for (const [family, path] of beside) {
      const code = modules[family];
      if (code) io.write({ path, kind: 'module', force, inputs, content: code });
    }
  io.write({ ...file, content });
  const report = reportOf(compiled, made.modelBytes, { explained, schedules: used }, options);
  if (options.runJson) {
    const { explained: _, ...summary } = report;
    const hashes = inputs.map((path) => ({ path, sha256: sha256(about(path, () => readRegularFile(path))) }));
    const run = { inputs: hashes, output: { path: output, content }, report: summary };
    io.write({ ...record, content: jsonText(recordOf('compile', options.argv, run)) });
  }
  if (sendReport(report, options, inputs, io)) io.out(textOf(report, options, io));
  return EXIT.done;
}

interface Made {
  readonly content: Uint8Array;
  readonly seconds: number;
  readonly compiled: Compiled;
  /** Of the compiler. */
  readonly chosen: CompileOptions;
  /** Schedules that were given and are of a layer of the model. */
  readonly used: number | undefined;
  readonly modelBytes: number;
}

/** What the command line asks for, compiled; nothing is written. */
export function compiledBy(options: CompileCommandOptions): Made {
  const { model, weights, sparse, split, wide, threads, targets } = options;
  const started = performance.now();
  const labels = options.labels === undefined ? undefined : readLabels(options.labels);
  const schedules = options.schedules === undefined ? undefined : readSchedules(options.schedules);
  const describe = (manifest: Manifest): Manifest => described(manifest, labels, options);
  const source = about(model, () => readRegularFile(model));
  const chosen = { wide, ...(targets && { targets }), ...(threads && { threads }), ...(schedules && { schedules }) };
  const how = { weights, sparse, split, describe, options: chosen };
  const compiled = about(model, () => compileModel(source, importOptions(model, options), how));
  const used = schedules && checkUsed(options.schedules ?? '', schedules, compiled.model);
  const seconds = (performance.now() - started) / 1000;
  return { content: compiled.bytes, seconds, compiled, chosen, used, modelBytes: source.length };
}

/** With what the command line says of pictures and of classes. */
function described(
  manifest: Manifest,
  labels: readonly string[] | undefined,
  { preprocess, sound, labels: file = '' }: CompileCommandOptions,
): Manifest {
  const labelled = labels && about(file, () => checkLabels(labels, manifest.outputs));
  const outputs = manifest.outputs.map((output) => (labels && output === labelled ? { ...output, labels } : output));
  if (sound) return { ...manifest, inputs: ofSounds(manifest, sound), outputs };
  if (!preprocess) return { ...manifest, outputs };
  const [picture, ...more] = manifest.inputs.filter(({ shape }) => shape.length === 4 || shape.length === 3);
  if (!picture || more.length > 0) {
    const found = manifest.inputs.map(({ name, shape }) => `${quote(name)} [${shape.join(', ')}]`).join(', ');
    throw new UsageError(
      `--layout, --channels, --scale, --mean and --std need one input of pictures, [N, C, H, W]; the model has ${found}. Leave them out.`,
    );
  }
  const own = asPreprocess(normalisation(picture, undefined, preprocess));
  const inputs = manifest.inputs.map((input) => (input === picture ? { ...input, preprocess: own } : input));
  return { ...manifest, inputs, outputs };
}

function ofSounds(
  { inputs, states }: Manifest,
  { mean, std, ...features }: NonNullable<CompileCommandOptions['sound']>,
): Manifest['inputs'] {
  const own = inputs.filter(({ name }) => !states.some(({ input }) => input === name));
  const [only, ...more] = own;
  if (!only || more.length > 0)
    throw new UsageError(
      `--features needs one input, [1, frames, features]; the model has ${own.map(({ name }) => quote(name)).join(', ') || 'none'}. Leave it out.`,
    );
  const sound = soundPreprocess(only, features, { ...(mean && { mean }), ...(std && { std }) });
  return inputs.map((input) => (input === only ? { ...input, sound } : input));
}

type Report = ReturnType<typeof reportOf>;

function reportOf(
  { model: { manifest, wasm }, bytes: file, modules, patterns }: Compiled,
  modelBytes: number,
  { explained, schedules }: { readonly explained: string | undefined; readonly schedules: number | undefined },
  { model, output, weights, wide }: CompileCommandOptions,
) {
  const typed = ({ name, dtype, shape }: ValueInfo) => ({ name, dtype, shape });
  return {
    schema: 'grim.compile/1',
    model,
    modelBytes,
    output,
    bytes: file.length,
    name: manifest.name,
    inputs: manifest.inputs.map(typed),
    outputs: manifest.outputs.map(typed),
    weights,
    constantBytes: manifest.constantBytes,
    arenaBytes: manifest.arenaBytes,
    kernels: manifest.kernels.length,
    wasmBytes: { ...(wasm.wide && { wide: wasm.wide.length }), relaxed: wasm.relaxed.length, plain: wasm.plain.length },
    ...(modules && { modules: familiesOf(wide).map((family) => modulePath(output, family)) }),
    preprocess: manifest.inputs.find(({ preprocess }) => preprocess)?.preprocess,
    sound: manifest.inputs.find(({ sound }) => sound)?.sound,
    labels: manifest.outputs.find(({ labels }) => labels)?.labels?.length,
    patterns,
    layers: manifest.layers,
    /** That were given and are of a layer of the model. */
    schedules,
    ...(explained === undefined ? {} : { explained }),
  } as const;
}

function textOf(report: Report, { model }: CompileCommandOptions, io: Io): string {
  const { name, output, inputs, outputs, patterns } = report;
  const width = io.columns;
  const values = (title: string, list: Report['inputs']): string[] => {
    const rows = list.map(({ name, dtype, shape }) => [show(name), dtype, `[${shape.join(', ')}]`]);
    const [, ...body] = table(
      [{ title: '', flexible: true }, { title: '' }, { title: '', flexible: true }],
      rows,
      width,
    );
    return [styled(io, 'bold', title), ...body];
  };
  const sizes = [
    `constants ${bytes(report.constantBytes)}`,
    `activations ${bytes(report.arenaBytes)}`,
    `${count(report.kernels)} kernels in ${bytes(report.wasmBytes.relaxed)} of code`,
  ];
  const lines = [
    styled(
      io,
      'bold',
      `${show(name) || show(model)}: ${bytes(report.modelBytes)} → ${bytes(report.bytes)} in ${show(output)}`,
    ),
    ...wrap(`  ${sizes.join(', ')}, weights as ${report.weights}`, width, '  '),
    ...(report.modules
      ? wrap(`  modules beside it: ${report.modules.map((path) => show(path)).join(', ')}`, width, '  ')
      : []),
    '',
    ...values('Inputs', inputs),
    ...values('Outputs', outputs),
    ...patternLines(patterns, io),
    ...(report.explained === undefined
      ? []
      : ['', ...report.explained.split('\n').flatMap((line) => wrap(line, width, '     '))]),
    '',
    `Next: grim run ${quoted(output)} ${next(report)}`.trimEnd(),
  ];
  return `${lines.join('\n')}\n`;
}

/** The files that such a run takes. */
function next({ inputs, preprocess, sound, labels }: Report): string {
  const top = labels === undefined ? '' : ' --top 5';
  if (preprocess && inputs.length === 1) return `PICTURE.jpg${top}`;
  if (sound && inputs.length === 1) return `SOUND.wav${top}`;
  return inputs.map(({ name }) => quoted(`--input ${name}=FILE.npy`, '--input ')).join(' ') + top;
}

/** The patterns as a table; nothing where there are none. */
export function patternLines(patterns: readonly FoundPattern[], io: Io): string[] {
  if (patterns.length === 0) return [];
  const columns = [
    { title: 'layer', flexible: true },
    { title: 'operator', flexible: true },
    { title: 'M × K', align: 'right' },
    { title: 'blocks', align: 'right' },
    { title: 'kept', align: 'right' },
    { title: 'weights', align: 'right' },
  ] as const;
  const rows = patterns.map(({ layer, op, m, k, block, density }) => [
    show(layer),
    op,
    `${m} × ${k}`,
    `${block.rows} × ${block.cols}`,
    percent(density, 1),
    approximate(Math.round(density * m * k)),
  ]);
  const [head = '', ...body] = table(columns, rows, io.columns);
  return ['', styled(io, 'bold', 'BCR patterns found among the zeros'), styled(io, 'dim', head), ...body];
}

/** As a shell takes it. */
function quoted(word: string, prefix = ''): string {
  const rest = word.slice(prefix.length);
  return /^[\w./=:-]+$/.test(rest) ? prefix + rest : `${prefix}'${show(rest)}'`;
}
