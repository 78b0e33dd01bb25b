/**
 * `grim run`: a compiled model, or an ONNX model that is compiled first for the shapes of its inputs; run once, or once for
 * each file. Outputs as a page, as JSON, as files.
 */
import { join } from 'node:path';
import { type Graph, isStatic, quote, type Tensor } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { loadModel, type Model } from '@grim/runtime';
import { readArtifact } from '@grim/runtime/artifact';
import { loadModel as loadOnGpu, type WebGpuModel } from '@grim/runtime/webgpu';
import type { RunCommandOptions } from '../args.ts';
import { compileModel } from '../compile-model.ts';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, isFolder, readRegularFile } from '../files.ts';
import { openGpu } from '../gpu.ts';
import { importOptions } from '../import-options.ts';
import {
  checkNames,
  checkSameShape,
  type GivenInputs,
  gather,
  type ModelInput,
  type Note,
  readOwn,
} from '../inputs/gather.ts';
import { inputKind } from '../inputs/read.ts';
import { joined } from '../join-tensors.ts';
import { checkLabels, readLabels } from '../labels.ts';
import { modulesBeside } from '../modules.ts';
import type { Io } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { type Result, ranked, runText } from '../run-text.ts';
import { checkTensorName, jsonOf, writeTensor } from '../tensor-files.ts';

export async function runCommand(options: RunCommandOptions, io: Io): Promise<number> {
  const { model: path, force } = options;
  const read = [path, ...options.inputs.values(), ...options.files];
  checkReport(options, read);
  for (const file of [...options.inputs.values(), ...options.files]) inputKind(file);
  for (const file of options.outputs.values()) checkTensorName(file);
  if (options.labels !== undefined && options.top === undefined)
    throw new UsageError('--labels names what --top shows. Add --top 5.');
  const labels = options.labels === undefined ? undefined : readLabels(options.labels);
  const { bytes, modelInputs, given, first } = await loaded(options);
  using model = await about(path, () => modelOf(path, bytes, options));
  const outputs = targets(model, options);
  const labelled = labels && about(options.labels ?? '', () => checkLabels(labels, model.manifest.outputs)).name;
  for (const [name, file] of outputs) {
    const kind = file.endsWith('.npy') ? 'array' : file.endsWith('.pb') ? 'other' : 'report';
    about(file, () => checkTarget(file, { kind, force, inputs: read }));
    if ([...outputs].some(([other, its]) => other !== name && its === file))
      throw new UsageError(`${quote(file)} is to hold two outputs.`);
  }
  const { results, notes, milliseconds } = await runAll(model, modelInputs, given, first, options);
  for (const { name, tensor } of results) {
    const file = outputs.get(name);
    if (file === undefined) continue;
    io.write({ path: file, ...about(file, () => writeTensor(file, name, tensor)), force, inputs: read });
  }
  const { top } = options;
  const named = results.map((result) => ({
    ...result,
    labels: (result.name === labelled && labels) || labelsOf(model, result.name),
  }));
  const report = {
    schema: 'grim.run/1',
    model: path,
    ...(options.files.length > 0 && { files: options.files }),
    ...(notes.length > 0 && { prepared: notes.map(({ file, text }) => ({ file, as: text })) }),
    ...{ device: model.device, simd: model.simd, threads: model.threads, milliseconds },
    outputs: named.map((result) => ({
      name: result.name,
      ...jsonOf(result.tensor),
      ...(top !== undefined && { top: ranked(result, top) }),
    })),
  };
  const page = { results: named, notes, milliseconds, files: options.files, top, written: [...outputs.values()] };
  if (sendReport(report, options, read, io)) io.out(runText(model, page, io));
  return EXIT.done;
}

interface Loaded {
  /** Of a `.grim` file. */
  readonly bytes: Uint8Array;
  readonly modelInputs: ReadonlyMap<string, ModelInput>;
  readonly given: GivenInputs;
  /** The first file of several: its shape decided what was compiled. */
  readonly first: { readonly tensor: Tensor; readonly note: Note | undefined } | undefined;
}

async function loaded(options: RunCommandOptions): Promise<Loaded> {
  const { model: path } = options;
  const content = about(path, () => readRegularFile(path));
  const isCompiled = new TextDecoder('latin1').decode(content.subarray(0, 4)) === 'GRIM';
  const graph = isCompiled ? undefined : about(path, () => fromOnnx(content, importOptions(path, options)));
  if (!graph && options.dims.size + options.shapes.size + options.constants.size > 0)
    throw new UsageError(
      '--dim, --shape and --const bind what an ONNX model leaves open; the .grim file is compiled already. Leave them out, or compile again.',
    );
  const modelInputs: ReadonlyMap<string, ModelInput> = graph ? graph.inputs : about(path, () => inputsOf(content));
  const given = await gather(modelInputs, options);
  const { own } = given;
  const first = own && (await readOwn(modelInputs, own.name, own.files[0] ?? '', options));
  const tensors = new Map(given.fixed);
  if (own && first) tensors.set(own.name, first.tensor);
  const bytes = graph ? compiledFor(graph, content, tensors, options) : content;
  return { bytes, modelInputs, given, first };
}

function inputsOf(content: Uint8Array): ReadonlyMap<string, ModelInput> {
  const { inputs } = readArtifact(content).manifest;
  return new Map(
    inputs.map(({ name, dtype, shape, preprocess, sound }) => [
      name,
      { dtype, shape, ...(preprocess && { preprocess }), ...(sound && { sound }) },
    ]),
  );
}

/** What the model is compiled for: the shapes that the inputs have. */
function compiledFor(
  graph: Graph,
  content: Uint8Array,
  tensors: ReadonlyMap<string, Tensor>,
  options: RunCommandOptions,
): Uint8Array {
  const { model: path } = options;
  const shapes = new Map(options.shapes);
  for (const [name, { shape }] of graph.inputs) {
    const own = tensors.get(name)?.shape;
    if (own && !isStatic(shape)) shapes.set(name, own);
  }
  const targets = options.device === 'webgpu' ? (['wasm', 'webgpu'] as const) : undefined;
  const how = targets ? { options: { targets } } : {};
  return about(path, () => compileModel(content, importOptions(path, { ...options, shapes }), how).bytes);
}

type AnyModel = Model | WebGpuModel;

async function modelOf(path: string, bytes: Uint8Array, { device }: RunCommandOptions): Promise<AnyModel> {
  const module = modulesBeside(path, readArtifact(bytes).manifest);
  const kept = module ? { module } : {};
  return device === 'wasm'
    ? loadModel(bytes, kept)
    : loadOnGpu(bytes, { ...kept, device, gpu: (await openGpu()).device });
}

/** Name of each output that is written → its file. */
function targets(model: AnyModel, { outputs, output, files }: RunCommandOptions): ReadonlyMap<string, string> {
  const names = model.manifest.outputs.map(({ name }) => name);
  checkNames('output', [...outputs.keys()], names);
  if (output === undefined) return outputs;
  if (outputs.size > 0)
    throw new UsageError(`${quote(output)} is for no output: others have names. Write it as name=file.`);
  // By index: names are the model's, and may be anything.
  if (isFolder(output)) return new Map(names.map((name, i) => [name, join(output, `output_${i}.npy`)]));
  checkTensorName(output);
  const [only = '', ...more] = names;
  if (more.length > 0)
    throw new UsageError(
      `the model has ${names.length} outputs: ${names.join(', ')}. Name the files, as --output ${only}=${output}, or give a folder.`,
    );
  if (files.includes(output)) throw new UsageError(`${quote(output)} is read and written.`);
  return new Map([[only, output]]);
}

async function runAll(
  model: AnyModel,
  inputs: ReadonlyMap<string, ModelInput>,
  { fixed, own, notes: before }: GivenInputs,
  first: Loaded['first'],
  options: RunCommandOptions,
): Promise<{ results: readonly Result[]; notes: readonly Note[]; milliseconds: number }> {
  const notes = [...before];
  const times: number[] = [];
  const found: Record<string, Tensor['data']>[] = [];
  const fed: Record<string, Tensor['data']> = {};
  for (const [name, { data }] of fixed) fed[name] = data;
  for (const [i, file] of (own?.files ?? ['']).entries()) {
    if (own && first) {
      const { tensor, note } = i === 0 ? first : await readOwn(inputs, own.name, file, options);
      checkSameShape(file, tensor, first.tensor);
      fed[own.name] = tensor.data;
      if (note) notes.push(note);
      // Each file stands for itself: what one run left in the states is not for the next.
      if (i > 0) model.reset();
    }
    const start = performance.now();
    found.push(await about(options.model, () => model.run(fed)));
    times.push(performance.now() - start);
  }
  const results = model.manifest.outputs.map(({ name, dtype, shape }) => {
    const parts = found.map((one) => ({ dtype, shape, data: one[name] }) as Tensor);
    return { name, tensor: about(options.model, () => joined(parts)), labels: [] };
  });
  const median = times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
  return { results, notes, milliseconds: median };
}

function labelsOf(model: AnyModel, name: string): readonly string[] {
  return model.manifest.outputs.find((output) => output.name === name)?.labels ?? [];
}
