/**
 * Pruning and fitting to small exact converters, held against dense ISAAC arrays, biased storage and structured pruning:
 * accuracy measured on examples that calibration never saw, every column certified and the certificates verified.
 *
 *   node --conditions=@grim/source reram/codesign.ts [--model resnet20_cifar10] [--nonzeros 10,16,24] [--adc 4,5]
 *     [--examples 1000] [--keep 0.8] [--steps 300] [--weights 8,5] [--threads 1] [--only words] [--cache folder] [--out file]
 *
 * `--nonzeros`: most non-zeros of either sign in a column of 128 lines; `--keep`: share of the inputs that structured pruning
 * leaves, rounded up to whole arrays; `--weights`: their bits, in cells of 2; `--steps`: of training under each mask, 0 for none; `--cache`: where pruned and trained
 * networks are kept. Rows are added to those that `--out` has; one of the same name
 * replaces it, and with `--resume` keeps its accuracy, so that a run goes on where another ended.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Graph } from '@grim/ir';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { prunableLayers, pruneOneShot } from '@grim/prune';
import {
  ADC_LAWS,
  type Crossbar,
  certifyNetwork,
  checkNetworkCertificate,
  compareCosts,
  crossbarMask,
  fitColumns,
  HARDWARE,
  type HardwareDesign,
  type MixedConverters,
  mapNetwork,
  mixConverters,
  type NetworkCost,
  networkCost,
  PRESETS,
  type QuantisedNetwork,
  quantiseNetwork,
  simulateQuantised,
  vectorCounts,
} from '@grim/reram';
import { correct, ortCalibrator } from '../prune/ort.ts';
import { accuracy, feedsOf, network } from './networks.ts';
import { rateOf, trainerOf, trainUnder } from './training.ts';

const { values: args } = parseArgs({
  options: {
    model: { type: 'string', default: 'dscnn_kws' },
    nonzeros: { type: 'string', default: '8,12,20' },
    adc: { type: 'string', default: '4,5' },
    examples: { type: 'string', default: '500' },
    keep: { type: 'string', default: '0.8' },
    steps: { type: 'string', default: '0' },
    weights: { type: 'string', default: '8' },
    threads: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    resume: { type: 'boolean', default: false },
    cache: { type: 'string' },
    out: { type: 'string' },
  },
});
const ROWS = 128;
const wanted = new RegExp(args.only);
const own = network(args.model);
const { graph: dense, input, shape, test } = own;
const examples = Math.min(Number(args.examples), test.labels.length);
const feeds = feedsOf(own, test.data, 0, examples);
const calibration = feedsOf(own, own.calibration, 0, 32);
const size = shape.reduce((all, length) => all * length, 1);
const batches = Array.from({ length: 8 }, (_, i) => {
  const each = Math.floor(own.calibration.length / size / 8);
  return {
    [input]: {
      dtype: 'float32' as const,
      shape: [each, ...shape],
      data: own.calibration.subarray(i * each * size, (i + 1) * each * size),
    },
  };
});
const isaac = HARDWARE.get('isaac-ce') as HardwareDesign;
const floatCorrect = await correct(dense, test);
console.log(`${args.model}: float ${floatCorrect} of ${test.labels.length}; integers on ${examples} examples`);

async function cached(name: string, make: () => Promise<Graph>): Promise<Graph> {
  const file = args.cache && join(resolve(args.cache), `${args.model}-${name}.onnx`);
  if (file && existsSync(file)) return fromOnnx(readFileSync(file));
  const graph = await make();
  if (file) {
    mkdirSync(resolve(args.cache ?? ''), { recursive: true });
    writeFileSync(file, toOnnx(graph));
  }
  return graph;
}

const prunable = prunableLayers(dense);
interface Pruning {
  readonly most?: number;
  /** Share of the inputs that stay, whole arrays of them. */
  readonly keep?: number;
}
/** Column-proportional, structured, or both: one-shot with reconstruction. */
const oneShot = ({ most = ROWS, keep }: Pruning): Promise<Graph> =>
  cached(
    [keep === undefined ? `${ROWS}` : `whole-${keep}`, ...(most < ROWS ? [most] : [])].join('-'),
    async () =>
      (
        await pruneOneShot(dense, ortCalibrator(batches), {
          density: Object.fromEntries(prunable.map(({ name }) => [name, 0.5])),
          block: { rows: 1, cols: ROWS },
          choose: ({ m, k }, data) =>
            crossbarMask(
              { rows: m, cols: k, data },
              {
                ...{ crossbarRows: ROWS, maxNonZeros: most, perSign: true },
                ...(keep !== undefined && { structured: { crossbarCols: ROWS, slices: 4, inputs: keep } }),
              },
            ),
        })
      ).graph,
  );

/** The same, trained on under its mask where `--steps` says so. */
async function pruned(pruning: Pruning): Promise<Graph> {
  const graph = await oneShot(pruning);
  const steps = Number(args.steps);
  if (steps === 0) return graph;
  const { most = ROWS, keep = 1 } = pruning;
  return cached(`trained-${most}-${keep}-${steps}`, async () => {
    const on = trainerOf(own, graph, Number(args.threads));
    const weights = await on.weights(prunable.map(({ weight }) => weight));
    const masks = new Map(Array.from(weights, ([name, w]) => [name, w.map((v) => (v === 0 ? 0 : 1))]));
    const trained = await trainUnder(on, masks, { steps, rate: rateOf(own) });
    await on.dispose();
    return trained;
  });
}

interface Row {
  readonly what: string;
  readonly density: number;
  readonly adcBits: number;
  readonly exactBits: number;
  readonly certified: boolean;
  readonly columns: number;
  readonly accuracy: number;
  readonly examples: number;
  readonly cost: NetworkCost;
  readonly byLaw: Readonly<Record<string, number>>;
}
const rows: Row[] = [];
interface Report {
  readonly model?: string;
  readonly examples: number;
  readonly rows: readonly { readonly what: string; readonly accuracy: number; readonly examples?: number }[];
}
/** Accuracy, and of how many examples. */
const measured = new Map<string, { readonly found: number; readonly of: number }>();
const before = (args.out && existsSync(args.out) ? JSON.parse(readFileSync(args.out, 'utf8')) : []) as Report[];
const earlier = before.find(({ model }) => model === args.model);
if (args.resume)
  for (const { what, accuracy: found, examples: of } of earlier?.rows ?? [])
    measured.set(what, { found, of: of ?? earlier?.examples ?? examples });

interface MeasureOptions {
  /** Integers are fitted to converters of so many bits. */
  readonly fit?: number;
  /** The row whose integers these are: they are not run again. */
  readonly same?: string;
  readonly compact?: boolean;
  /** Each layer its own converter, all together within this share of the energy; `certified`: each block what it needs. */
  readonly mixed?: number | 'certified';
}

async function right(
  quantised: QuantisedNetwork,
  crossbar: Crossbar,
  { compact, own }: { readonly compact: boolean; readonly own: MixedConverters | undefined },
): Promise<number> {
  const options = { compact, ...(own && { layerCrossbar: own.crossbarOf }) };
  const { outputs } = await simulateQuantised(quantised, feeds, crossbar, options);
  return accuracy(outputs[0] ?? [], test.labels);
}

async function measure(
  what: string,
  from: Graph | (() => Promise<Graph>),
  crossbar: Crossbar,
  options: MeasureOptions = {},
): Promise<void> {
  if (rows.length > 0 && !wanted.test(what)) return;
  const { fit, same, compact = false, mixed } = options;
  const graph = typeof from === 'function' ? await from() : from;
  const { weightBits, inputBits, adc } = crossbar;
  const quantised = quantiseNetwork(graph, calibration, {
    ...{ weightBits, inputBits },
    ...(fit !== undefined && {
      integersOf: (w, _layer, gram) => fitColumns(w, crossbar, fit, { compact, gram: gram() }),
    }),
  });
  const [feed = {}] = feeds;
  const own =
    typeof mixed === 'number'
      ? await mixConverters(quantised, crossbar, calibration.slice(0, 8), {
          ...{ bits: [4, 5, 6, 7, 8], budget: mixed, design: isaac },
        })
      : undefined;
  const each = own?.bitsOf ?? (mixed === 'certified' ? 'certified' : undefined);
  const { summary, layers } = mapNetwork(quantised, crossbar, vectorCounts(quantised, feed), each, { compact });
  const bits = adc.model === 'ideal' ? 0 : adc.bits;
  const certificate = certifyNetwork(quantised, crossbar, bits, { compact });
  const problems = checkNetworkCertificate(JSON.parse(JSON.stringify(certificate)) as unknown);
  const known = measured.get(what) ?? (same === undefined ? undefined : measured.get(same));
  const result = known ?? { found: await right(quantised, crossbar, { compact, own }), of: examples };
  measured.set(what, result);
  const elements = layers.reduce((sum, { part }) => sum + part.matrix.data.length, 0);
  const nonZeros = layers.reduce((sum, { part }) => sum + part.matrix.data.filter((v) => v !== 0).length, 0);
  const row = {
    ...{ what, density: nonZeros / elements, adcBits: bits, columns: certificate.columns },
    ...{ accuracy: result.found, examples: result.of },
    exactBits: layers.reduce((most, layer) => Math.max(most, layer.exactBits), 0),
    certified: certificate.lossless && problems.length === 0 && typeof mixed !== 'number',
    cost: networkCost(summary, isaac),
    byLaw: Object.fromEntries(
      Array.from(ADC_LAWS.keys(), (adcLaw) => [adcLaw, networkCost(summary, { ...isaac, adcLaw }).energyPj * 1e-6]),
    ),
  };
  rows.push(row);
  save();
  const { cost } = row;
  console.log(
    `${what}: ${(100 * result.found).toFixed(1)} %, ${bits} bits (${row.exactBits} exact, ${row.certified ? 'certified' : 'clips'}), ${(cost.energyPj * 1e-6).toFixed(2)} uJ, ${(cost.areaUm2 * 1e-6).toFixed(3)} mm2, ${cost.arrays} arrays`,
  );
}

const base = PRESETS['isaac-8bit'];
/** Bits of the weights, and what rows of fewer than 8 are called. */
const widths = args.weights.split(',').map((text) => ({
  weightBits: Number(text),
  note: text === '8' ? '' : `, ${text}-bit weights`,
}));
const uniform = (bits: number) => ({ model: 'uniform', bits, range: 'unit-step' }) as const;
const analog = (bits: number): Crossbar => ({
  ...PRESETS.tinyadc,
  ...{ subtract: 'analog', interleaved: true, adc: uniform(bits + 1) },
});
const digital = (bits: number): Crossbar => ({ ...PRESETS.tinyadc, adc: uniform(bits) });
const chosen = args.adc.split(',').map(Number);

await measure('dense, ISAAC 8 bits', dense, base);
await measure('dense, pairs of columns, two conversions', dense, digital(9), { same: 'dense, ISAAC 8 bits' });
const list = args.nonzeros.split(',').map(Number);
const how = Number(args.steps) > 0 ? ' trained' : '';
const keep = Number(args.keep);
const whole = `whole arrays gone (${keep} of the inputs kept)`;
for (const { weightBits, note } of widths) {
  if (note !== '') await measure(`dense, ISAAC 8 bits${note}`, dense, { ...base, weightBits });
  const fitted = async (name: string, graph: Graph | (() => Promise<Graph>), compact: boolean): Promise<void> => {
    for (const bits of chosen) {
      const row = `${name}${note}, fitted to ${bits} bits a sign`;
      await measure(row, graph, { ...analog(bits), weightBits }, { fit: bits + 1, compact });
      await measure(
        `${row}, two conversions`,
        graph,
        { ...digital(bits), weightBits },
        { fit: bits, compact, same: row },
      );
    }
  };
  await fitted('dense', dense, false);
  for (const most of list) {
    await fitted(`CP ${most}${how}`, () => pruned({ most }), false);
    await measure(`CP ${most}${how}${note}, biased storage`, () => pruned({ most }), { ...base, weightBits });
  }
  await measure(
    `${whole}${how}${note}, ISAAC 8 bits`,
    () => pruned({ keep }),
    { ...base, weightBits },
    { compact: true },
  );
  await fitted(`${whole}${how}`, () => pruned({ keep }), true);
  for (const most of list) await fitted(`${whole} and CP ${most}${how}`, () => pruned({ keep, most }), true);
}
await measure('dense, ISAAC, mixed converters at 85 % of the energy', dense, base, { mixed: 0.85 });

/** After each row: an interrupted run keeps what it has. */
function save(): void {
  const [first] = rows;
  const report = {
    note: 'Accuracy of integers on crossbars; float: the network it came from on all test examples. Energy and area of one inference by the isaac-ce table; ratios against the first row, above 1 is better. CP n: at most n non-zeros of either sign in a column of 128 lines, one-shot with reconstruction; trained: 150 to 300 steps under that mask on training data.',
    ...{ model: args.model, examples, floatCorrect, floatOf: test.labels.length },
    rows: rows.map(({ cost, ...row }) => ({
      ...row,
      ...{ energyUj: cost.energyPj * 1e-6, areaMm2: cost.areaUm2 * 1e-6, powerMw: cost.powerMw, arrays: cost.arrays },
      ...{ adcs: cost.adcs, adcEnergyShare: cost.adcEnergyShare, gopsPerW: cost.gopsPerW, gopsPerMm2: cost.gopsPerMm2 },
      againstIsaac: first && compareCosts(first.cost, cost),
    })),
    ...{ cpu: cpus()[0]?.model, node: process.version, date: new Date().toISOString().slice(0, 10) },
  };
  if (args.out) {
    const file = resolve(args.out);
    const all = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report[]) : [];
    const names = new Set(rows.map(({ what }) => what));
    const kept = (all.find(({ model }) => model === args.model)?.rows ?? []).filter(({ what }) => !names.has(what));
    const whole = { ...report, rows: [...report.rows, ...kept] };
    writeFileSync(file, `${JSON.stringify([...all.filter(({ model }) => model !== args.model), whole], null, 1)}\n`);
  }
}
