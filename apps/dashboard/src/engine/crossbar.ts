/**
 * The network on ReRAM crossbars: columns made sparse, the converters they then need, and what that is worth in power, area
 * and throughput; the designs that no other beats; one array with its proof and its wires.
 */
import { type Graph, GrimError, gemmView, inferTypes, macs, show, type Weight, weightIndex } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import {
  arrayCircuit,
  type Crossbar,
  certify,
  checkCertificate,
  circuitSolver,
  compareCosts,
  crossbarAt,
  type DesignPoint,
  explore as exploreDesigns,
  fitColumns,
  HARDWARE,
  type HardwareDesign,
  type LinearPart,
  type MappedNetwork,
  mapNetwork,
  type NetworkCost,
  networkCost,
  PRESETS,
  paretoFront,
  projectColumnProportional,
  type QuantisedNetwork,
  quantise,
  quantiseNetwork,
  type RealMatrix,
  simulateDigital,
} from '@grim/reram';
import { matrixOf } from './heat-map.ts';
import type { Context, Which } from './messages.ts';
import { sitesOf } from './open.ts';
import { largest } from './run.ts';
import type { Feed } from './samples.ts';
import { graphOf, networkOf, theSession } from './session.ts';

type StorageChoice = DesignPoint['storage'];

export interface CrossbarAsk {
  readonly which: Which;
  /** Most non-zeros of either sign in a column; 0: as many as there are. */
  readonly nonZeros: number;
  readonly rows: number;
  readonly cellBits: number;
  readonly storage: StorageChoice;
  /** 0: as many as the worst column needs. Fewer: integers are moved until these are exact. */
  readonly adcBits: number;
}

export interface CrossbarAnswer {
  readonly exactBits: number;
  readonly adcBits: number;
  /** Converters read every column of every array exactly, whatever the inputs are. */
  readonly lossless: boolean;
  readonly totals: Totals;
  /** Dense 8-bit arrays of ISAAC over this, above 1 is better. */
  readonly gain: {
    readonly energy: number;
    readonly area: number;
    readonly gopsPerW: number;
    readonly gopsPerMm2: number;
  };
  readonly parts: readonly { readonly name: string; readonly energyUj: number; readonly areaMm2: number }[];
  readonly layers: readonly {
    readonly name: string;
    readonly bits: number;
    readonly arrays: number;
    readonly energyUj: number;
  }[];
  /** Networks small enough only: share of samples with the answer of the float network. */
  readonly agreement: number | undefined;
  readonly examples: number;
  readonly digital: readonly string[];
}

interface Totals {
  readonly energyUj: number;
  readonly areaMm2: number;
  readonly powerMw: number;
  readonly inferencesPerS: number;
  readonly gopsPerW: number;
  readonly gopsPerMm2: number;
  readonly arrays: number;
  readonly adcs: number;
  readonly adcEnergyShare: number;
  readonly adcAreaShare: number;
}

const DESIGN = HARDWARE.get('tinyadc') as HardwareDesign;
/** The reference evaluator runs the integers: more than this takes minutes. */
const MOST_MACS = 5e7;
const SMALL_MACS = 1e6;

/** One that was made, as sliders come back to where they were. */
const made = new WeakMap<Graph, Map<string, QuantisedNetwork>>();

export async function crossbar(ask: CrossbarAsk, { stage }: Context): Promise<CrossbarAnswer> {
  const graph = graphOf(networkOf(theSession(), ask.which));
  const feeds = samplesFor(graph);
  await stage('Integers for the cells');
  const array = arrayOf(ask);
  const network = quantised(graph, feeds, ask, array);
  await stage('Mapping onto arrays');
  const mapped = mapNetwork(network, array, vectors(network), ask.adcBits === 0 ? 'certified' : ask.adcBits);
  const cost = networkCost(mapped.summary, DESIGN);
  await stage('Dense arrays of ISAAC, to compare with');
  const reference = referenceCost(graph);
  const exactBits = bitsOf(mapped);
  const adcBits = ask.adcBits === 0 ? exactBits : ask.adcBits;
  const lossless = exactBits <= adcBits;
  let agreement: number | undefined;
  if (feeds.length > 0 && lossless) {
    const answers = floatAnswers(graph, feeds);
    let same = 0;
    for (const [i, feed] of feeds.entries()) {
      await stage('What the integers answer', i / feeds.length);
      if (answerOf(simulateDigital(network, [feed])[0] ?? {}, graph) === answers[i]) same++;
    }
    agreement = same / feeds.length;
  }
  const ratios = compareCosts(reference, cost);
  return {
    ...{ exactBits, adcBits, lossless, agreement, examples: feeds.length, totals: totalsOf(cost) },
    gain: { energy: ratios.energy, area: ratios.area, gopsPerW: ratios.gopsPerW, gopsPerMm2: ratios.gopsPerMm2 },
    parts: cost.parts.map(({ name, energyPj, areaUm2 }) => ({
      ...{ name, energyUj: energyPj * 1e-6, areaMm2: areaUm2 * 1e-6 },
    })),
    layers: byNode(mapped, cost),
    digital: network.digital.map(({ node, reason }) => `${show(node)}: ${reason}`),
  };
}

/** Depthwise convolutions are one matrix for each channel: added up by node. */
function byNode({ layers }: MappedNetwork, cost: NetworkCost): CrossbarAnswer['layers'] {
  const found = new Map<string, { name: string; bits: number; arrays: number; energyUj: number }>();
  layers.forEach(({ part, exactBits }, i) => {
    const own = cost.layers[i];
    const name = part.name.replace(/[[/]\d+\]?$/, '');
    const row = found.get(name) ?? { name: show(name), bits: 0, arrays: 0, energyUj: 0 };
    row.bits = Math.max(row.bits, exactBits);
    row.arrays += own?.arrays ?? 0;
    row.energyUj += (own?.energyPj ?? 0) * 1e-6;
    found.set(name, row);
  });
  return [...found.values()];
}

function totalsOf(cost: NetworkCost): Totals {
  const { powerMw, inferencesPerS, gopsPerW, gopsPerMm2, arrays, adcs, adcEnergyShare, adcAreaShare } = cost;
  return {
    ...{ energyUj: cost.energyPj * 1e-6, areaMm2: cost.areaUm2 * 1e-6, powerMw, inferencesPerS },
    ...{ gopsPerW, gopsPerMm2, arrays, adcs, adcEnergyShare, adcAreaShare },
  };
}

function samplesFor(graph: Graph): readonly Feed[] {
  const work = macs(graph).total;
  const { feeds } = theSession().samples;
  return feeds.slice(0, work > MOST_MACS ? 0 : work > SMALL_MACS ? 1 : 8);
}

function arrayOf({ rows, cellBits, storage, adcBits }: Omit<CrossbarAsk, 'which' | 'nonZeros'>): Crossbar {
  const point: DesignPoint = { nonZeros: undefined, rows, cols: 128, cellBits, adcBits: adcBits || 8, storage };
  return crossbarAt(point, PRESETS.tinyadc);
}

function quantised(graph: Graph, feeds: readonly Feed[], ask: CrossbarAsk, array: Crossbar): QuantisedNetwork {
  const { nonZeros, rows, storage, adcBits, cellBits } = ask;
  const known = made.get(graph) ?? new Map<string, QuantisedNetwork>();
  made.set(graph, known);
  const fits = adcBits > 0 && storage !== 'offset';
  const key = [nonZeros, nonZeros ? rows : 0, ...(fits ? [adcBits, cellBits, storage, rows] : [])].join();
  const found = known.get(key);
  if (found) return found;
  const sparse = (w: RealMatrix<Float64Array>) =>
    nonZeros > 0 ? projectColumnProportional(w, rows, nonZeros, { perSign: true }) : w;
  const network = quantiseNetwork(graph, feeds.slice(0, 4), {
    ...{ weightBits: array.weightBits, inputBits: array.inputBits },
    integersOf: (w) => (fits ? fitColumns(sparse(w), array, adcBits) : quantise(sparse(w), array.weightBits)),
  });
  // Weights of a large network, several times over, would fill the memory.
  if (known.size > 3) known.clear();
  known.set(key, network);
  return network;
}

/** Input vectors that each matrix meets in one run: columns of B in its GEMM view. */
function vectors(network: QuantisedNetwork): ReadonlyMap<LinearPart, number> {
  const types = inferTypes(network.graph);
  const counts = new Map<LinearPart, number>();
  for (const [node, parts] of network.layers) {
    const view = gemmView(node, 1, types) ?? gemmView(node, 0, types);
    for (const part of parts) counts.set(part, view?.n ?? 1);
  }
  return counts;
}

const references = new WeakMap<Graph, NetworkCost>();

function referenceCost(graph: Graph): NetworkCost {
  const known = references.get(graph);
  if (known) return known;
  const isaac = PRESETS['isaac-8bit'];
  const network = quantiseNetwork(graph, [], isaac);
  const cost = networkCost(mapNetwork(network, isaac, vectors(network), 8).summary, DESIGN);
  references.set(graph, cost);
  return cost;
}

function bitsOf({ layers }: MappedNetwork): number {
  return layers.reduce((most, { exactBits }) => Math.max(most, exactBits), 0);
}

const answers = new WeakMap<readonly Feed[], readonly number[]>();

function floatAnswers(graph: Graph, feeds: readonly Feed[]): readonly number[] {
  const known = answers.get(feeds);
  if (known) return known;
  const found = feeds.map((feed) => answerOf(evaluate(graph, feed), graph));
  answers.set(feeds, found);
  return found;
}

function answerOf(
  outputs: Readonly<Record<string, { readonly data: ArrayLike<number | bigint> }>>,
  graph: Graph,
): number {
  const [first = ''] = graph.outputs.keys();
  return largest((outputs[first]?.data ?? new Float32Array()) as Float32Array, 1)[0] ?? -1;
}

export interface ExploreAsk {
  readonly which: Which;
  readonly rows: number;
}

interface ExploreRow {
  readonly nonZeros: number;
  readonly cellBits: number;
  readonly adcBits: number;
  readonly storage: StorageChoice;
  readonly agreement: number;
  readonly energyUj: number;
  readonly areaMm2: number;
  readonly gopsPerW: number;
  readonly gopsPerMm2: number;
  readonly onFront: boolean;
}

export interface ExploreAnswer {
  readonly rows: readonly ExploreRow[];
  readonly examples: number;
}

/** @throws {GrimError} GRIM_DASHBOARD_TOO_LARGE for networks whose integers take minutes to run */
export async function explore({ which, rows }: ExploreAsk, { stage, signal }: Context): Promise<ExploreAnswer> {
  const graph = graphOf(networkOf(theSession(), which));
  const feeds = samplesFor(graph);
  if (feeds.length === 0)
    throw new GrimError(
      'GRIM_DASHBOARD_TOO_LARGE',
      'The front needs the answers of every design, and this network has too many multiply-adds for that here. Use grim reram explore.',
    );
  const wanted = floatAnswers(graph, feeds);
  const found = await exploreDesigns(
    {
      ...{ nonZeros: [undefined, 16, 8, 4, 2], rows: [rows], cellBits: [1, 2], adcBits: [3, 4, 5, 6] },
      storage: ['differential', 'analog'],
    },
    {
      ...{ crossbar: PRESETS.tinyadc, design: DESIGN, calibration: feeds.slice(0, 4), signal },
      graphOf: (nonZeros, arrayRows) =>
        nonZeros === undefined ? graph : withSparseColumns(graph, arrayRows, nonZeros),
      async accuracyOf(network) {
        let same = 0;
        for (const [i, feed] of feeds.entries())
          if (answerOf(simulateDigital(network, [feed])[0] ?? {}, graph) === wanted[i]) same++;
        return same / feeds.length;
      },
      // The explorer awaits between points; this lets a cancellation in.
      onResult: (_result, done, total) => void stage(`Design ${done} of ${total}`, done / total).catch(() => {}),
    },
  );
  const front = new Set(paretoFront(found));
  return {
    examples: feeds.length,
    rows: found.map((one) => ({
      ...{ nonZeros: one.nonZeros ?? 0, cellBits: one.cellBits, adcBits: one.adcBits, storage: one.storage },
      ...{ agreement: one.accuracy, energyUj: one.energyUj, areaMm2: one.areaMm2 },
      ...{ gopsPerW: one.gopsPerW, gopsPerMm2: one.gopsPerMm2, onFront: front.has(one) },
    })),
  };
}

/** The largest weights of each column of each array stay, without any training. */
function withSparseColumns(graph: Graph, rows: number, nonZeros: number): Graph {
  const types = inferTypes(graph);
  const weights = new Map<string, Weight>(graph.weights);
  sitesOf(graph).forEach((site, index) => {
    const node = graph.nodes[site.node] as Graph['nodes'][number];
    const name = node.inputs[site.input] as string;
    const weight = graph.weights.get(name);
    const view = gemmView(node, site.input, types);
    if (weight?.dtype !== 'float32' || !view) return;
    const { m, k, values } = matrixOf(graph, index);
    const kept = projectColumnProportional({ rows: m, cols: k, data: values }, rows, nonZeros, { perSign: true });
    const data = new Float32Array(weight.data.length);
    for (let row = 0; row < m; row++)
      for (let col = 0; col < k; col++) data[weightIndex(view, row, col)] = kept.data[row * k + col] as number;
    weights.set(name, { dtype: 'float32', shape: weight.shape, data });
  });
  return { ...graph, weights };
}

export interface ArrayAsk extends CrossbarAsk {
  /** Of the network's matrices. */
  readonly part: number;
  readonly wireOhm: number;
  readonly cellOhm: number;
}

export interface ArrayAnswer {
  readonly names: readonly string[];
  readonly name: string;
  readonly outputs: number;
  readonly inputs: number;
  /** The first array: share of the voltage that each cell loses, [columns, word lines]. */
  readonly wordLines: number;
  readonly columns: number;
  readonly loss: Float32Array<ArrayBuffer>;
  readonly meanLoss: number;
  readonly largestLoss: number;
  readonly certificate: {
    readonly adcBits: number;
    readonly lossless: boolean;
    readonly columns: number;
    /** What a second checker, which shares no code with the first, found wrong. */
    readonly problems: number;
    /** Columns by the bits that they need. */
    readonly byBits: readonly { readonly bits: number; readonly columns: number }[];
    /** Those with the largest sums. */
    readonly worst: readonly {
      readonly output: number;
      readonly block: number;
      readonly slice: number;
      readonly sign: '+' | '−';
      readonly low: number;
      readonly high: number;
      readonly bits: number;
      readonly clipped: number;
    }[];
  };
}

const READ_V = 0.2;
const SHOWN = 12;
const MOST_PARTS = 300;

export async function array(ask: ArrayAsk, { stage }: Context): Promise<ArrayAnswer> {
  const graph = graphOf(networkOf(theSession(), ask.which));
  await stage('Integers for the cells');
  const target = arrayOf(ask);
  const network = quantised(graph, samplesFor(graph), ask, target);
  const parts = [...network.layers.values()].flat();
  const part = parts[Math.min(ask.part, parts.length - 1)];
  if (!part) throw new GrimError('GRIM_DASHBOARD_NO_LAYER', 'No layer of this network multiplies a constant matrix.');
  await stage('Proving every column');
  const alone = mapNetwork(only(network, part), target, new Map([[part, 1]]), 'certified');
  const { mapping } = alone.layers[0] as MappedNetwork['layers'][number];
  const options = ask.adcBits > 0 ? { adcBits: ask.adcBits } : {};
  const certificate = certify(mapping, { name: part.name, signed: part.signed, ...options });
  const problems = checkCertificate(part.matrix, certificate).length;
  await stage('Solving the circuit of an array');
  const circuit = arrayCircuit(mapping, ask);
  const { currentsA, idealCurrentsA, cellVoltageV } = circuitSolver(circuit).solve(
    new Float64Array(circuit.inputs).fill(READ_V),
  );
  const losses = Array.from(currentsA, (amps, o) => 1 - amps / (idealCurrentsA[o] as number)).filter(Number.isFinite);
  const counts = new Map<number, number>();
  for (const { bits } of certificate.columns) counts.set(bits, (counts.get(bits) ?? 0) + 1);
  return {
    names: parts.slice(0, MOST_PARTS).map(({ name }) => show(name)),
    ...{ name: show(part.name), outputs: part.matrix.rows, inputs: part.matrix.cols },
    ...{ wordLines: circuit.inputs, columns: circuit.outputs },
    loss: Float32Array.from(cellVoltageV, (volts) => 1 - volts / READ_V),
    meanLoss: losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length),
    largestLoss: Math.max(0, ...losses),
    certificate: {
      ...{
        adcBits: certificate.adcBits,
        lossless: certificate.lossless,
        columns: certificate.columns.length,
        problems,
      },
      byBits: Array.from(counts, ([bits, columns]) => ({ bits, columns })).sort((a, b) => a.bits - b.bits),
      worst: certificate.columns
        .toSorted((a, b) => Math.max(b.high, -b.low) - Math.max(a.high, -a.low))
        .slice(0, SHOWN)
        .map(({ output, rowBlock, slice, polarity, low, high, bits, clippedByOneBitLess }) => ({
          ...{ output, block: rowBlock, slice, sign: polarity === 0 ? ('+' as const) : ('−' as const) },
          ...{ low, high, bits, clipped: clippedByOneBitLess },
        })),
    },
  };
}

/** The network of one matrix. */
function only(network: QuantisedNetwork, part: LinearPart): QuantisedNetwork {
  const [entry] = [...network.layers].filter(([, parts]) => parts.includes(part));
  return { ...network, layers: entry ? new Map([[entry[0], [part]]]) : new Map() };
}
