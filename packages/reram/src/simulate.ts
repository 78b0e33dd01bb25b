/**
 * Whole networks on crossbars: every linear layer is mapped, programmed and multiplied array by array; the reference
 * evaluator does the rest. Results depend on the seed, never on how the work is cut: random numbers are drawn by layer,
 * cell and position of the input vector in the whole job.
 */
import type { Graph, Tensor } from '@grim/ir';
import { adcBitsOf } from './adc.ts';
import { type MultiplyOptions, multiply } from './array.ts';
import { certify } from './certificate.ts';
import { checkInteger, fail } from './errors.ts';
import { type Crossbar, type Footprint, footprint, linesInUse, type Mapping, mapMatrix } from './mapping.ts';
import {
  evaluateQuantised,
  type Feed,
  integerProduct,
  type LinearPart,
  type QuantisedNetwork,
  quantiseNetwork,
} from './network.ts';
import { type Programmed, type ProgramOptions, program } from './noise.ts';
import { drawFaults, type RemapOptions, remap } from './remap.ts';

export interface SimulateOptions {
  /** Of everything that is drawn; trial t uses seed + t. Default 1. */
  readonly seed?: number;
  /** Independent arrays to program, each run on all feeds. Default 1. */
  readonly trials?: number;
  /** Age of the arrays. Default 0. */
  readonly seconds?: number;
  /** Runs that fix the input scales. Default: the feeds themselves. */
  readonly calibration?: readonly Feed[];
  /** Position of the first feed in the whole job: a worker that has feeds 100 to 199 says 100. Default 0. */
  readonly firstFeed?: number;
  /** The crossbar of one layer, where it is another: mixed converters, spared layers. */
  readonly layerCrossbar?: (part: LinearPart, crossbar: Crossbar) => Crossbar;
  /**
   * Converters of unit step with the bits that each layer's certificate asks for, instead of the crossbar's own.
   * Nothing is lost then, but what the device itself gets wrong.
   */
  readonly certified?: boolean;
  /** Inputs and outputs whose weights are all zero get no lines, as in `mapNetwork`. Default false. */
  readonly compact?: boolean;
  /** Moves filters and inputs around the device's stuck cells before programming, in each trial; see {@link remap}. */
  readonly remap?: {
    readonly move?: NonNullable<RemapOptions['move']>;
    /** Spare slots of bit lines for filters, each with cells and faults of its own. Default 0. */
    readonly spareSlots?: number;
  };
  /** Makes every conversion even where it is proved to return its input; see {@link MultiplyOptions}. Default false. */
  readonly everyConversion?: MultiplyOptions['everyConversion'];
  /** Counts conversions that returned another value than they were given. Costs time. Default false. */
  readonly statistics?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  /** Cancels between feeds, with its own reason. */
  readonly signal?: { readonly aborted: boolean; readonly reason?: unknown };
}

export interface LayerReport {
  readonly name: string;
  readonly outputs: number;
  readonly inputs: number;
  readonly signed: boolean;
  /** 0: no conversion. */
  readonly adcBits: number;
  readonly footprint: Footprint;
  /** Over all trials and feeds. */
  readonly vectors: number;
  readonly conversions: number;
  /** With `statistics`: conversions whose result was another than their input by more than 10⁻⁹ of a cell level. */
  readonly inexact: number | undefined;
  /** In the first trial. */
  readonly stuckCells: number;
  readonly negativeCells: number;
  /** With `remap`, in the first trial: squared errors of the weights, integer steps, in their places and as moved. */
  readonly remapping?: { readonly errorBefore: number; readonly error: number };
}

export interface SimulationResult {
  /** [trial][feed] */
  readonly outputs: readonly (readonly Readonly<Record<string, Tensor>>[])[];
  readonly layers: readonly LayerReport[];
  /** Layers that multiply and are no crossbar's. */
  readonly digital: QuantisedNetwork['digital'];
}

/**
 * Runs a network on crossbars.
 *
 * @param inputs  one run of the graph, or a list of them
 * @throws {GrimError} what {@link mapMatrix}, `evaluate` and {@link certify} throw; the signal's reason when cancelled
 */
export async function simulate(
  graph: Graph,
  inputs: Feed | readonly Feed[],
  crossbar: Crossbar,
  options: SimulateOptions = {},
): Promise<SimulationResult> {
  const feeds = isList(inputs) ? inputs : [inputs];
  const { calibration = feeds } = options;
  if (calibration.length === 0)
    fail('GRIM_RERAM_BAD_INPUT', 'simulate: there is nothing to run. Give inputs, or calibration data.');
  const network = quantiseNetwork(graph, calibration, crossbar);
  return simulateQuantised(network, feeds, crossbar, options);
}

/** {@link simulate} of a network that has been quantised already; its bits must be the crossbar's. */
export async function simulateQuantised(
  network: QuantisedNetwork,
  feeds: readonly Feed[],
  crossbar: Crossbar,
  options: SimulateOptions = {},
): Promise<SimulationResult> {
  const { seed = 1, trials = 1, seconds = 0, firstFeed = 0, statistics = false } = options;
  const { everyConversion = false, onProgress, signal } = options;
  checkInteger('GRIM_RERAM_BAD_TARGET', 'simulate: trials', trials, 1, 1e6);
  checkInteger('GRIM_RERAM_BAD_TARGET', 'simulate: firstFeed', firstFeed, 0, 2 ** 32);
  const layers = new Map<LinearPart, Layer>();
  for (const parts of network.layers.values())
    for (const part of parts) layers.set(part, prepare(network, part, crossbar, options));

  const outputs: (readonly Readonly<Record<string, Tensor>>[])[] = [];
  for (let trial = 0; trial < trials; trial++) {
    for (const [part, layer] of layers)
      programLayer(layer, { seed: seed + trial, layer: part.index, seconds }, options.remap);
    const results: Readonly<Record<string, Tensor>>[] = [];
    for (const [position, feed] of feeds.entries()) {
      if (signal?.aborted) throw signal.reason;
      const done = new Map<LinearPart, number>();
      results.push(
        evaluateQuantised(network, feed, (part, x) => {
          const layer = layers.get(part);
          if (!layer) return integerProduct(part, x);
          const vectors = part.matrix.cols === 0 ? 0 : x.length / part.matrix.cols;
          const before = done.get(part) ?? 0;
          done.set(part, before + vectors);
          layer.vectors += vectors;
          return multiply(layer.programmed, x, {
            signed: part.signed,
            everyConversion,
            // A layer may be run several times for one feed (steps of a GRU); feeds are 2^20 vectors apart.
            firstVector: (firstFeed + position) * 2 ** 20 + before,
            ...(statistics ? { observe: layer.observe } : {}),
          });
        }),
      );
      onProgress?.(trial * feeds.length + position + 1, trials * feeds.length);
      await pause();
    }
    outputs.push(results);
  }
  return {
    outputs,
    layers: Array.from(layers, ([part, layer]) => report(part, layer, statistics)),
    digital: network.digital,
  };
}

/** The same network with plain integer arithmetic in place of arrays: what perfect crossbars must reproduce. */
export function simulateDigital(network: QuantisedNetwork, feeds: readonly Feed[]): readonly Record<string, Tensor>[] {
  return feeds.map((feed) => evaluateQuantised(network, feed, integerProduct));
}

interface Layer {
  programmed: Programmed;
  /** With the device's stuck cells still in it. */
  readonly mapping: Mapping;
  remapping?: { readonly errorBefore: number; readonly error: number };
  vectors: number;
  inexact: number;
  readonly observe: (conversion: { readonly value: number; readonly converted: number }) => void;
}

function prepare(network: QuantisedNetwork, part: LinearPart, crossbar: Crossbar, options: SimulateOptions): Layer {
  const own = options.layerCrossbar?.(part, crossbar) ?? crossbar;
  const { weightBits, inputBits } = network;
  if (own.weightBits < weightBits || own.inputBits !== inputBits)
    fail(
      'GRIM_RERAM_BAD_CROSSBAR',
      `layer ${part.name}: the crossbar takes weights of ${own.weightBits} and inputs of ${own.inputBits} bits, the network was quantised to ${weightBits} and ${inputBits}.`,
    );
  let mapping = mapMatrix(part.matrix, own, options.compact ? linesInUse(part.matrix) : {});
  if (options.certified) {
    const { adcBits } = certify(mapping, { signed: part.signed });
    // Two bits at least: a converter with a sign has no smaller form.
    const adc = { model: 'uniform', bits: Math.max(2, adcBits), range: 'unit-step' } as const;
    mapping = { ...mapping, crossbar: { ...own, adc } };
  }
  const layer: Layer = {
    programmed: program(mapping),
    mapping,
    vectors: 0,
    inexact: 0,
    observe: ({ value, converted }) => {
      if (Math.abs(value - converted) > 1e-9) layer.inexact++;
    },
  };
  return layer;
}

function programLayer(layer: Layer, draw: ProgramOptions, how: SimulateOptions['remap']): void {
  const { mapping } = layer;
  const { stuckHrs = 0, stuckLrs = 0, ...device } = mapping.crossbar.device;
  if (!how || stuckHrs + stuckLrs === 0) {
    layer.programmed = program(mapping, draw);
    return;
  }
  const { spareSlots = 0, move = 'both' } = how;
  const faults = drawFaults(mapping, { stuckHrs, stuckLrs }, { ...draw, spareSlots });
  const { stuck, errorBefore, error } = remap(mapping, faults, { move });
  layer.remapping ??= { errorBefore, error };
  const healthy = { ...mapping, crossbar: { ...mapping.crossbar, device } };
  layer.programmed = program(healthy, { ...draw, stuck });
}

function report(
  part: LinearPart,
  { programmed, vectors, inexact, remapping }: Layer,
  statistics: boolean,
): LayerReport {
  const { mapping, stuckCells, negative } = programmed;
  const size = footprint(mapping, part.signed);
  return {
    name: part.name,
    outputs: mapping.outputs,
    inputs: mapping.inputs,
    signed: part.signed,
    adcBits: adcBitsOf(mapping.crossbar.adc),
    footprint: size,
    vectors,
    conversions: vectors * size.conversionsPerVector,
    inexact: statistics ? inexact : undefined,
    stuckCells,
    negativeCells: negative,
    ...(remapping && { remapping }),
  };
}

export interface Attribution {
  /** With everything the crossbar has. */
  readonly score: number;
  /** With perfect cells and no conversion. */
  readonly ideal: number;
  /** With one of them turned off at a time: a score far above `score` names the culprit. */
  readonly without: readonly { readonly name: string; readonly score: number }[];
}

/**
 * Which non-ideality costs how much: runs the network as it is, without any, and with each turned off in turn.
 * @param score  of the outputs of one trial: accuracy, say; averaged over trials
 */
export async function attribute(
  graph: Graph,
  feeds: readonly Feed[],
  crossbar: Crossbar,
  score: (outputs: readonly Readonly<Record<string, Tensor>>[]) => number,
  options: SimulateOptions = {},
): Promise<Attribution> {
  const network = quantiseNetwork(graph, options.calibration ?? feeds, crossbar);
  const run = async (bar: Crossbar) => {
    const { outputs } = await simulateQuantised(network, feeds, bar, options);
    return outputs.reduce((sum, trial) => sum + score(trial), 0) / outputs.length;
  };
  const without: { name: string; score: number }[] = [];
  for (const { name, crossbar: bar } of nonIdealities(crossbar)) without.push({ name, score: await run(bar) });
  const perfect = { ...crossbar, adc: { model: 'ideal' }, device: { onOffRatio: Infinity } } as const;
  return { score: await run(crossbar), ideal: await run(perfect), without };
}

/** What a crossbar has that a perfect one has not, each with the crossbar that lacks it. */
export function nonIdealities(crossbar: Crossbar): readonly { readonly name: string; readonly crossbar: Crossbar }[] {
  const { device } = crossbar;
  const found: { name: string; crossbar: Crossbar }[] = [];
  if (crossbar.adc.model !== 'ideal') found.push({ name: 'adc', crossbar: { ...crossbar, adc: { model: 'ideal' } } });
  if (device.onOffRatio !== Infinity)
    found.push({ name: 'onOffRatio', crossbar: { ...crossbar, device: { ...device, onOffRatio: Infinity } } });
  for (const name of ['programming', 'readNoise', 'drift', 'retention', 'stuckHrs', 'stuckLrs'] as const) {
    if (!device[name]) continue;
    const { [name]: _, ...rest } = device;
    found.push({ name, crossbar: { ...crossbar, device: rest } });
  }
  return found;
}

function isList(inputs: Feed | readonly Feed[]): inputs is readonly Feed[] {
  return Array.isArray(inputs);
}

/** Lets timers, input and messages through: a page that simulates stays alive. */
function pause(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0);
  });
}
