/**
 * `grim reram explore`: every combination of pruning, array, cell, converter and storage, measured on the examples given;
 * the combinations that no other beats, beside dense arrays of ISAAC.
 */
import { show } from '@grim/ir';
import { type Feeds, prunableLayers, pruneOneShot } from '@grim/prune';
import {
  compareCosts,
  crossbarMask,
  type DesignResult,
  explore,
  HARDWARE,
  type HardwareDesign,
  mapNetwork,
  networkCost,
  PRESETS,
  paretoFront,
  quantiseNetwork,
  vectorCounts,
} from '@grim/reram';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { type Io, styled } from '../output.ts';
import { compiledCalibrator } from '../prune/calibrator.ts';
import { checkReport, sendReport } from '../report.ts';
import { type Column, table, wrap } from '../table.ts';
import type { ReramExploreOptions } from './args.ts';
import { withinBudget } from './budget.ts';
import { readExamples } from './model.ts';
import { checkPlot, frontPlot, writePlot } from './plots.ts';
import { openPool, type Task } from './pool.ts';
import { largest, ticker } from './score.ts';

export async function exploreCommand(options: ReramExploreOptions, io: Io): Promise<number> {
  const { model, space, plot, force } = options;
  checkReport(options, [model]);
  const target = plot === undefined ? undefined : { path: plot, force, inputs: [model] };
  checkPlot(target);
  const { graph, feeds, labels, madeUp, read } = readExamples(options);
  const calibration = feeds.slice(0, CALIBRATION);
  const progress = ticker(io);
  const found = HARDWARE.get(options.design) as HardwareDesign;
  const design = options.law === undefined ? found : { ...found, adcLaw: options.law };
  const base = { ...PRESETS.tinyadc };
  const [output = ''] = graph.outputs.keys();
  const pool = openPool(options.threads);
  try {
    const dense = quantiseNetwork(graph, calibration, base);
    const float = await pool.run({ kind: 'float', network: dense, output }, feeds);
    const wanted = labels ?? (float.values[0] ?? []).map(largest);
    const score = (values: readonly Float64Array[]) =>
      values.filter((row, i) => largest(row) === wanted[i]).length / values.length;
    let running = '';
    const results = await about(model, () =>
      explore(space, {
        ...{ crossbar: base, design, calibration },
        graphOf: async (nonZeros, rows, inputsKept) => {
          if (nonZeros === undefined && inputsKept === undefined) return graph;
          const density = Object.fromEntries(prunableLayers(graph).map(({ name }) => [name, 0.5]));
          const calibrator = compiledCalibrator(feeds.slice(0, PRUNING) as readonly Feeds[], (operators) =>
            io.err(`  ${show(operators)}: no kernels; the reference evaluator runs these parts, slowly.\n`),
          );
          const { graph: pruned } = await pruneOneShot(graph, calibrator, {
            density,
            block: { rows: 1, cols: rows },
            choose: ({ m, k }, data) =>
              crossbarMask(
                { rows: m, cols: k, data },
                {
                  ...{ crossbarRows: rows, maxNonZeros: nonZeros ?? rows, perSign: true },
                  // Filters all stay, so the columns of an array do not matter.
                  ...(inputsKept !== undefined && {
                    structured: { crossbarCols: rows, slices: 1, inputs: inputsKept },
                  }),
                },
              ),
            onProgress: ({ index, layers }) => progress('pruning', index, layers),
          });
          return pruned;
        },
        accuracyOf: async (network, crossbar, lossless, compact) => {
          const common = { network, output };
          const task: Task = lossless
            ? { kind: 'digital', ...common }
            : {
                ...{ kind: 'simulate', ...common, crossbar, compact, seed: 1 },
                ...{ everyConversion: false, statistics: false, seconds: 0 },
              };
          const { values } = await pool.run(task, feeds, {
            onProgress: (d, t) => progress(`accuracy${running}`, d, t),
          });
          return score(values[0] ?? []);
        },
        onResult: (_result, done, total) => {
          running = ` of point ${done + 1} of ${total}`;
        },
      }),
    );
    // ISAAC's own array with 8-bit weights, dense: what the points are held against.
    const isaac = quantiseNetwork(graph, calibration, PRESETS['isaac-8bit']);
    const [feed = {}] = feeds;
    const counts = vectorCounts(isaac, feed);
    const reference = networkCost(mapNetwork(isaac, PRESETS['isaac-8bit'], counts, 8).summary, design);
    const mixed = await mixedPoints();
    const all: readonly Explored[] = [...results, ...mixed];
    const front = new Set(paretoFront(all));
    const quantity = labels ? 'accuracy' : 'agreement with the float network';
    const rows = all.map((one) => ({
      ...one,
      onFront: front.has(one),
      against: compareCosts(reference, one.cost),
    }));
    const report = {
      schema: 'grim.reram.explore/1',
      ...{ model, examples: feeds.length, madeUpInputs: madeUp, quantity, design: design.name, adcLaw: design.adcLaw },
      float: score(float.values[0] ?? []),
      integers8bit: score((await pool.run({ kind: 'digital', network: isaac, output }, feeds)).values[0] ?? []),
      isaac8bit: { energyUj: reference.energyPj * 1e-6, areaMm2: reference.areaUm2 * 1e-6, arrays: reference.arrays },
      points: rows.map(({ cost, ...row }) => row),
      differences: DIFFERENCES,
    };
    if (target) {
      const points = rows.map((row) => ({
        ...{ label: shortName(row), storage: row.storage, energyUj: row.energyUj },
        ...{ accuracy: row.accuracy, onFront: row.onFront },
      }));
      await writePlot(`Energy and ${quantity}`, { ...target, inputs: read }, frontPlot(points, quantity), io);
    }
    if (!sendReport(report, options, read, io)) return EXIT.done;
    const columns = [
      { title: '' },
      { title: 'CP', align: 'right' },
      ...(rows.some(({ inputsKept }) => inputsKept !== undefined) ? [{ title: 'kept', align: 'right' } as const] : []),
      { title: 'array' },
      { title: 'bits', align: 'right' },
      { title: 'storage', flexible: true },
      { title: 'ADC', align: 'right' },
      { title: 'right', align: 'right' },
      { title: 'uJ', align: 'right' },
      { title: 'mm2', align: 'right' },
      { title: 'J ×', align: 'right' },
      { title: 'mm2 ×', align: 'right' },
    ] satisfies readonly Column[];
    const kept = columns.some(({ title }) => title === 'kept');
    const body = rows.map((row) => [
      row.onFront ? '*' : '',
      row.nonZeros === undefined ? '–' : String(row.nonZeros),
      ...(kept ? [row.inputsKept === undefined ? '–' : `${Math.round(100 * row.inputsKept)} %`] : []),
      `${row.rows}×${row.cols}`,
      `${row.weightBits ?? base.weightBits}/${row.cellBits}`,
      row.storage,
      `${row.mixedBits ? `${row.mixedBits[0]}–` : ''}${row.adcBits}${row.lossless ? '' : '!'}`,
      `${(100 * row.accuracy).toFixed(1)} %`,
      row.energyUj.toPrecision(3),
      row.areaMm2.toPrecision(3),
      row.against.energy.toFixed(2),
      row.against.area.toFixed(2),
    ]);
    const [head = '', ...lines] = table(columns, body, io.columns);
    const text = [
      styled(io, 'dim', head),
      ...lines,
      '',
      ...wrap(
        `${quantity}, ${feeds.length} ${feeds.length === 1 ? 'example' : 'examples'}: floats ${(100 * report.float).toFixed(1)} %, 8-bit integers ${(100 * report.integers8bit).toFixed(1)} %`,
        io.columns - 2,
      ).map((one) => `  ${one}`),
      ...[
        '* no other point is better in all of accuracy, energy and area; ! converters clip (all others are exact for every input); CP: most non-zeros of either sign in a column; bits: of a weight and of a cell',
        ...(kept ? ['kept: share of the inputs, rounded up to whole arrays, that structured pruning left'] : []),
        `×: dense 8-bit ISAAC arrays (${report.isaac8bit.energyUj.toPrecision(3)} uJ, ${report.isaac8bit.areaMm2.toPrecision(3)} mm2) over the point, above 1 is better`,
        ...(madeUp ? ['the one example is made up: give real ones with --input, and their classes with --labels'] : []),
        ...DIFFERENCES,
      ].flatMap((line) => wrap(line, io.columns - 2, '  ').map((one) => `  ${one}`)),
    ];
    io.out(`${text.join('\n')}\n`);
    return EXIT.done;

    /** Dense ISAAC arrays, each layer with converters of its own. */
    async function mixedPoints(): Promise<readonly Explored[]> {
      const bar = PRESETS['isaac-8bit'];
      const points: Explored[] = [];
      for (const budget of options.budgets) {
        const own = await about(model, () =>
          withinBudget(isaac, bar, calibration, { budget, price: 'energy', design }, io),
        );
        const parts = [...isaac.layers.values()].flat();
        const bits = parts.map((part) => own.bits.get(part) ?? own.largest);
        const task: Task = {
          ...{ kind: 'simulate', network: isaac, output, crossbar: bar, bits, seed: 1, everyConversion: false },
          ...{ statistics: false, seconds: 0 },
        };
        const { values } = await pool.run(task, feeds, {
          onProgress: (d, t) => progress(`accuracy of mixed converters in ${100 * budget} %`, d, t),
        });
        const cost = networkCost(mapNetwork(isaac, bar, counts, own.bitsOf).summary, design);
        points.push({
          ...{ nonZeros: undefined, rows: bar.rows, cols: bar.cols, cellBits: bar.cellBits, storage: 'offset', budget },
          ...{ adcBits: Math.max(...bits), mixedBits: [Math.min(...bits), Math.max(...bits)] },
          ...{ lossless: own.loss === 0, exactBits: own.largest, accuracy: score(values[0] ?? []) },
          ...{ energyUj: cost.energyPj * 1e-6, areaMm2: cost.areaUm2 * 1e-6, powerMw: cost.powerMw },
          ...{ inferencesPerS: cost.inferencesPerS, gopsPerW: cost.gopsPerW, gopsPerMm2: cost.gopsPerMm2 },
          ...{ arrays: cost.arrays, cost },
        });
      }
      return points;
    }
  } finally {
    await pool.close();
  }
}

/** A point, or dense ISAAC arrays with mixed converters. */
interface Explored extends DesignResult {
  /** Share of the energy of the largest converters, and the least and largest bits of a layer. */
  readonly budget?: number;
  readonly mixedBits?: readonly number[];
}

/** Examples that fix input scales, and those that pruning is reconstructed on. */
const CALIBRATION = 32;
const PRUNING = 64;

/** What keeps these figures from being held against TinyADC's own (3.5× power, 2.9× area; +29 % per mm2, +40 % per W). */
const DIFFERENCES = [
  'not those of a paper: other networks and data, 8-bit weights and inputs, no training after pruning, one inference at a time without copies of layers, ISAAC’s table for everything but the converters',
];

function shortName({ nonZeros, rows, adcBits, budget, inputsKept, weightBits = 8 }: Explored): string {
  if (budget !== undefined) return `mixed, ${100 * budget} %`;
  const pruned = nonZeros === undefined ? [] : [`CP ${nonZeros}`];
  const gone = inputsKept === undefined ? [] : [`${Math.round(100 * inputsKept)} % kept`];
  const kind = [...gone, ...pruned].join(', ') || 'dense';
  return `${kind}, ${rows} rows, ${weightBits === 8 ? '' : `${weightBits}-bit weights, `}${adcBits} b`;
}
