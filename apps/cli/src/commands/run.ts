/**
 * `grim run`: a compiled model, or an ONNX model that is compiled first for the shapes of its inputs, run once. Outputs as a
 * page, as JSON, as files.
 */
import { formatType, type Graph, isStatic, quote, show, type Tensor, type TensorType, toReals } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { loadModel, type Model } from '@grim/runtime';
import type { RunCommandOptions } from '../args.ts';
import { compileModel } from '../compile-model.ts';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { madeUpInputs } from '../made-up-inputs.ts';
import { type Io, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { table } from '../table.ts';
import { checkTensorName, jsonOf, readTensor, writeTensor } from '../tensor-files.ts';

type Types = ReadonlyMap<string, TensorType>;

export async function runCommand(options: RunCommandOptions, io: Io): Promise<number> {
  const { model: path, outputs, force } = options;
  const read = [path, ...options.inputs.values()];
  checkReport(options, read);
  for (const file of [...options.inputs.values(), ...outputs.values()]) checkTensorName(file);
  const labels = options.labels === undefined ? undefined : readLabels(options.labels);
  const content = about(path, () => readRegularFile(path));
  const isCompiled = new TextDecoder('latin1').decode(content.subarray(0, 4)) === 'GRIM';
  const graph = isCompiled ? undefined : about(path, () => fromOnnx(content, importOptions(path, options)));
  const { bytes, inputs } = graph ? fromGraph(graph, content, options) : { bytes: content, inputs: undefined };
  using model = await about(path, () => loadModel(bytes));
  const given = inputs ?? gather(typesOf(model.manifest.inputs), options);
  checkNames(
    'output',
    [...outputs.keys()],
    model.manifest.outputs.map(({ name }) => name),
  );
  for (const [name, file] of outputs) {
    const kind = file.endsWith('.npy') ? 'array' : file.endsWith('.pb') ? 'other' : 'report';
    about(file, () => checkTarget(file, { kind, force, inputs: read }));
    if ([...outputs].some(([other, its]) => other !== name && its === file))
      throw new UsageError(`${quote(file)} is to hold two outputs.`);
  }
  const start = performance.now();
  const found = await about(path, () => model.run(dataOf(given)));
  const milliseconds = performance.now() - start;
  const results = model.manifest.outputs.map(
    ({ name, dtype, shape }) => [name, { dtype, shape, data: found[name] } as Tensor] as const,
  );
  for (const [name, tensor] of results) {
    const file = outputs.get(name);
    if (file === undefined) continue;
    io.write({ path: file, ...about(file, () => writeTensor(file, name, tensor)), force, inputs: read });
  }
  const report = {
    schema: 'grim.run/1',
    model: path,
    ...{ device: model.device, simd: model.simd, threads: model.threads, milliseconds },
    outputs: results.map(([name, tensor]) => ({ name, ...jsonOf(tensor) })),
  };
  if (sendReport(report, options, read, io)) io.out(textOf(model, results, milliseconds, options, labels, io));
  return EXIT.done;
}

/** What the model is compiled for: the shapes that the inputs have. */
function fromGraph(
  graph: Graph,
  content: Uint8Array,
  options: RunCommandOptions,
): { readonly bytes: Uint8Array; readonly inputs: ReadonlyMap<string, Tensor> } {
  const { model: path } = options;
  const inputs = gather(graph.inputs, options);
  const shapes = new Map(options.shapes);
  for (const [name, { shape }] of graph.inputs) {
    const own = inputs.get(name)?.shape;
    if (own && !isStatic(shape)) shapes.set(name, own);
  }
  const { bytes } = about(path, () => compileModel(content, importOptions(path, { ...options, shapes })));
  return { bytes, inputs };
}

function typesOf(values: readonly (TensorType & { readonly name: string })[]): Types {
  return new Map(values.map(({ name, dtype, shape }) => [name, { dtype, shape }]));
}

/** Every input: read, or made up. */
function gather(types: Types, { inputs, random }: RunCommandOptions): ReadonlyMap<string, Tensor> {
  checkNames('input', [...inputs.keys()], [...types.keys()]);
  const result = new Map<string, Tensor>();
  const missing = new Map<string, TensorType>();
  for (const [name, type] of types) {
    const file = inputs.get(name);
    if (file === undefined) missing.set(name, type);
    else
      result.set(
        name,
        about(file, () => readTensor(file, readRegularFile(file), type)),
      );
  }
  const list = Array.from(missing, ([name, type]) => `${quote(name)}: ${formatType(type)}`).join('; ');
  if (missing.size > 0 && !random)
    throw new UsageError(`inputs are missing: ${list}. Give each with --input name=file, or add --random.`);
  const open = Array.from(missing).filter(([, { shape }]) => !isStatic(shape));
  if (open.length > 0) throw new UsageError(`the shapes of what is made up must be known (--dim, --shape): ${list}.`);
  for (const [name, tensor] of Object.entries(madeUpInputs(missing))) result.set(name, tensor);
  return result;
}

function checkNames(kind: string, given: readonly string[], names: readonly string[]): void {
  const unknown = given.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`${quote(unknown)} is no ${kind} of the model: ${names.map(quote).join(', ') || 'none'}.`);
}

function dataOf(tensors: ReadonlyMap<string, Tensor>): Record<string, Tensor['data']> {
  return Object.fromEntries(Array.from(tensors, ([name, { data }]) => [name, data]));
}

function textOf(
  model: Model,
  results: readonly (readonly [string, Tensor])[],
  milliseconds: number,
  options: RunCommandOptions,
  labels: readonly string[] | undefined,
  io: Io,
): string {
  const lines = [`ran on ${model.device} (${model.simd} SIMD) in ${milliseconds.toFixed(2)} ms`, ''];
  if (options.top === undefined) lines.push(...summary(results, io));
  else
    for (const [name, tensor] of results)
      lines.push(...largest(name, tensor, options.top, labels ?? labelsOf(model, name), io));
  return `${lines.join('\n')}\n`;
}

const FIRST = 4;

function summary(results: readonly (readonly [string, Tensor])[], io: Io): string[] {
  const columns = [
    { title: 'output', flexible: true },
    { title: 'type' },
    { title: 'min', align: 'right' },
    { title: 'max', align: 'right' },
    { title: 'first values', flexible: true },
  ] as const;
  const rows = results.map(([name, tensor]) => {
    const values = Float64Array.from(toReals(tensor));
    const least = values.reduce((a, b) => Math.min(a, b), Infinity);
    const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const ends = values.length === 0 ? ['–', '–'] : [number(least), number(most)];
    const more = values.length > FIRST ? ' …' : '';
    return [show(name), formatType(tensor), ...ends, `${Array.from(values.slice(0, FIRST), number).join(' ')}${more}`];
  });
  const [head = '', ...body] = table(columns, rows, io.columns);
  return [styled(io, 'dim', head), ...body];
}

const ROWS = 20;

/** The largest values along the last axis. */
function largest(name: string, tensor: Tensor, top: number, labels: readonly string[], io: Io): string[] {
  const values = Float64Array.from(toReals(tensor));
  const width = tensor.shape.at(-1) ?? 1;
  const count = width === 0 ? 0 : values.length / width;
  const columns = [
    { title: 'row', align: 'right' },
    { title: 'index', align: 'right' },
    { title: 'value', align: 'right' },
    { title: labels.length > 0 ? 'label' : '', flexible: true },
  ] as const;
  const rows: string[][] = [];
  for (let row = 0; row < Math.min(count, ROWS); row++) {
    const own = values.subarray(row * width, (row + 1) * width);
    const order = Array.from(own.keys()).sort((a, b) => (own[b] ?? 0) - (own[a] ?? 0) || a - b);
    order.slice(0, top).forEach((i, place) => {
      rows.push([place === 0 ? String(row) : '', String(i), number(own[i] ?? 0), show(labels[i] ?? '')]);
    });
  }
  const [head = '', ...body] = table(columns, rows, io.columns);
  const more = count > ROWS ? [`  and ${count - ROWS} rows more: --json or --output has them`] : [];
  return [styled(io, 'bold', `${show(name)}: ${formatType(tensor)}`), styled(io, 'dim', head), ...body, ...more];
}

function readLabels(path: string): readonly string[] {
  const text = about(path, () => new TextDecoder().decode(readRegularFile(path)));
  return text.split('\n').map((line) => line.trim());
}

function labelsOf(model: Model, name: string): readonly string[] {
  return model.manifest.outputs.find((output) => output.name === name)?.labels ?? [];
}

function number(value: number): string {
  return Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : value.toPrecision(4);
}
