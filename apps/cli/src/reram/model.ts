/**
 * What the model commands of `grim reram` begin with: the graph, its examples one by one, the classes they should get, and
 * the crossbar that presets and options make.
 */
import { type Graph, GrimError, isStatic, quote, show, type Tensor } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import {
  type Crossbar,
  type Device,
  type Feed,
  fitColumns,
  PRESETS,
  type QuantisedNetwork,
  quantiseNetwork,
} from '@grim/reram';
import { about, UsageError } from '../errors.ts';
import { readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { madeUpInputs } from '../made-up-inputs.ts';
import type { Io } from '../output.ts';
import { readTensor } from '../tensor-files.ts';
import type { CrossbarOptions, ExampleOptions, ModelOptions } from './args.ts';
import { elapsed } from './score.ts';

export interface Examples {
  readonly graph: Graph;
  /** One example each: the first axis has length 1. */
  readonly feeds: readonly Feed[];
  /** Class of each example, where they are known. */
  readonly labels: readonly number[] | undefined;
  /** The inputs are made up: scales and accuracy mean nothing. */
  readonly madeUp: boolean;
  /** Files that were read. */
  readonly read: readonly string[];
}

/** Reads the model and its examples. Lengths that stay open in front of an input count examples and become 1. */
export function readExamples(options: ModelOptions & ExampleOptions): Examples {
  const { model: path, inputs, labels: labelFile, limit } = options;
  const content = about(path, () => readRegularFile(path));
  const open = about(path, () => fromOnnx(content, importOptions(path, options)));
  const batch = new Set(
    Array.from(open.inputs.values(), ({ shape }) => shape?.[0]).filter((dim) => typeof dim === 'string'),
  );
  const dims = new Map([...options.dims, ...Array.from(batch, (name) => [name, 1] as const)]);
  const graph = about(path, () => fromOnnx(content, importOptions(path, { ...options, dims })));
  const read = [path, ...inputs.values(), ...(labelFile === undefined ? [] : [labelFile])];
  for (const name of inputs.keys())
    if (!graph.inputs.has(name))
      throw new UsageError(
        `${quote(name)} is no input of the model: ${[...graph.inputs.keys()].map(quote).join(', ')}.`,
      );
  if (inputs.size === 0) {
    for (const [name, { shape }] of graph.inputs)
      if (!isStatic(shape))
        throw new UsageError(`lengths of ${quote(name)} are open: give them with --dim or --shape.`);
    return { graph, feeds: [madeUpInputs(graph.inputs)], labels: undefined, madeUp: true, read };
  }
  const columns = new Map(
    Array.from(graph.inputs, ([name, type]) => {
      const file = inputs.get(name);
      if (file === undefined)
        throw new UsageError(`input ${quote(name)} is missing: give it with --input ${show(name)}=file.`);
      const rank = type.shape?.length ?? 0;
      const any = { dtype: type.dtype, shape: type.shape?.map((dim, i) => (i === 0 ? 'N' : dim)) ?? null };
      return [name, about(file, () => split(readTensor(file, readRegularFile(file), any), rank))] as const;
    }),
  );
  const counts = new Set(Array.from(columns.values(), (list) => list.length));
  if (counts.size !== 1 || counts.has(0))
    throw new UsageError(
      `the inputs hold ${[...counts].join(' and ')} examples; one number of them, above 0, is needed.`,
    );
  const [all = 0] = counts;
  const count = Math.min(limit ?? all, all);
  const feeds = Array.from({ length: count }, (_, i) =>
    Object.fromEntries(Array.from(columns, ([name, list]) => [name, list[i] as Tensor])),
  );
  const labels = labelFile === undefined ? undefined : readLabels(labelFile);
  if (labels && labels.length < count)
    throw new UsageError(`${quote(labelFile ?? '')} holds ${labels.length} classes for ${count} examples.`);
  return { graph, feeds, labels: labels?.slice(0, count), madeUp: false, read };
}

/** Along the first axis. */
function split(tensor: Tensor, rank: number): readonly Tensor[] {
  if (rank === 0) return [tensor];
  const [count = 0, ...rest] = tensor.shape;
  const size = rest.reduce((all, length) => all * length, 1);
  return Array.from(
    { length: count },
    (_, i) => ({ ...tensor, shape: [1, ...rest], data: tensor.data.slice(i * size, (i + 1) * size) }) as Tensor,
  );
}

/** Whole numbers, one per line; what stands before the last comma of a line is not read. */
function readLabels(file: string): readonly number[] {
  return about(file, () => {
    const text = new TextDecoder().decode(readRegularFile(file));
    return text
      .trim()
      .split('\n')
      .map((line, i) => {
        const word = line.split(',').at(-1)?.trim() ?? '';
        if (!/^\d{1,9}$/.test(word))
          throw new GrimError('GRIM_CLI_BAD_TENSOR', `line ${i + 1} is ${quote(line)}; a whole number is needed.`);
        return Number(word);
      });
  });
}

/** A preset with what the options change. */
export function crossbarOf(options: CrossbarOptions): Crossbar {
  const { preset, rows, cols, cellBits, weightBits, inputBits, storage, subtract, zeroPair, fit } = options;
  const { adcBits = fit } = options;
  const base = PRESETS[preset];
  const changed = Object.fromEntries(
    Object.entries({ rows, cols, cellBits, weightBits, inputBits, storage, subtract, zeroPair }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  // Encodings of biased storage go with it.
  const { flip, inputSum, ...plain } = base;
  const whole = storage !== undefined && storage !== 'offset' ? plain : base;
  return {
    ...whole,
    ...changed,
    ...(subtract === 'analog' && { interleaved: true }),
    ...(adcBits !== undefined && { adc: { model: 'uniform', bits: adcBits, range: 'unit-step' } }),
    device: deviceOf(base.device, options.device),
  };
}

function deviceOf(base: Device, settings: ReadonlyMap<string, number>): Device {
  const of = (name: string) => settings.get(name);
  const [programming, lognormal, read, drift] = ['programming', 'lognormal', 'readNoise', 'drift'].map(of);
  const plain = ['onOffRatio', 'stuckHrs', 'stuckLrs'].flatMap((name) => {
    const value = of(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...base,
    ...Object.fromEntries(plain),
    ...(programming !== undefined && { programming: { kind: 'proportional', sigma: programming } }),
    ...(lognormal !== undefined && { programming: { kind: 'lognormal', sigma: lognormal } }),
    ...(read !== undefined && { readNoise: { kind: 'proportional', sigma: read } }),
    ...(drift !== undefined && { drift: { exponent: drift } }),
  };
}

/** Integers of every layer; with `fit`, moved until converters of that many bits are exact. */
export function quantised(
  { graph, feeds }: Examples,
  crossbar: Crossbar,
  fit: number | undefined,
  io: Io,
): QuantisedNetwork {
  const progress = elapsed(io);
  const { weightBits, inputBits } = crossbar;
  return quantiseNetwork(graph, feeds.slice(0, CALIBRATION), {
    ...{ weightBits, inputBits },
    ...(fit !== undefined && {
      integersOf: (weights, layer, gram) => {
        progress(`fitting ${show(layer)}, ${weights.rows}×${weights.cols}`);
        return fitColumns(weights, crossbar, fit, { gram: gram() });
      },
    }),
  });
}

/** Examples that fix the input scales. */
const CALIBRATION = 32;
