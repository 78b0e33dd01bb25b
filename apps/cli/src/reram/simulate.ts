/**
 * `grim reram simulate`: the network on crossbars beside the same integers in exact arithmetic and the floats it came from,
 * in worker threads; on demand, which non-ideality costs how much.
 */
import { type Crossbar, HARDWARE, type HardwareDesign, type LayerReport, nonIdealities } from '@grim/reram';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { approximate, type Io, percent, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { table, wrap } from '../table.ts';
import type { ReramSimulateOptions } from './args.ts';
import { budgetReport, budgetText, withinBudget } from './budget.ts';
import { byNode, mostOf, sumOf } from './groups.ts';
import { heading, notes, plain } from './map.ts';
import { crossbarOf, quantised, readExamples } from './model.ts';
import { openPool, type Task } from './pool.ts';
import { type Score, scorer, ticker } from './score.ts';

export async function simulateCommand(options: ReramSimulateOptions, io: Io): Promise<number> {
  const { model, seed, trials, everyConversion } = options;
  checkReport(options, [model]);
  const examples = readExamples(options);
  const { graph, feeds, labels } = examples;
  const crossbar = about(model, () => crossbarOf(options));
  const network = about(model, () => quantised(examples, crossbar, options.fit, io));
  const [output = ''] = graph.outputs.keys();
  const { budget, price, spareSlots } = options;
  if (budget !== undefined && (options.adcBits !== undefined || crossbar.adc.model === 'ideal'))
    throw new UsageError(
      '--budget chooses the bits of converters: leave out --adc-bits and presets without converters.',
    );
  const design = HARDWARE.get('isaac-ce') as HardwareDesign;
  const mixed =
    budget === undefined
      ? undefined
      : await about(model, () => withinBudget(network, crossbar, feeds, { budget, price, design }, io));
  const parts = [...network.layers.values()].flat();
  const pool = openPool(options.threads);
  const start = performance.now();
  try {
    const progress = ticker(io);
    const run = (task: Task, what: string) =>
      about(model, () =>
        pool.run(task, feeds, {
          ...(task.kind === 'simulate' && { trials }),
          onProgress: (done, total) => progress(what, done, total),
        }),
      );
    const common = { network, output } as const;
    const task: Task = {
      ...{ kind: 'simulate', ...common, crossbar, seed, everyConversion, seconds: 0 },
      ...(mixed && { bits: parts.map((part) => mixed.bits.get(part) ?? mixed.largest) }),
      statistics: crossbar.adc.model !== 'ideal' && feeds.length * trials <= STATISTICS,
    };
    const float = await run({ kind: 'float', ...common }, 'floats');
    const exact = await run({ kind: 'digital', ...common }, 'integers');
    const found = await run(task, 'crossbars');
    const scoreOf = scorer(exact, labels);
    const moved = options.remap
      ? await run({ ...task, remap: { spareSlots }, statistics: false }, 'crossbars, remapped')
      : undefined;
    const without: { name: string; score: number }[] = [];
    const alone: { name: string; score: number }[] = [];
    const changed = async (bar: Crossbar, what: string) => {
      // Without conversion there are no bits to choose.
      const { bits, ...rest } = task;
      const converted = bits && bar.adc.model !== 'ideal' ? { bits } : {};
      return scoreOf(await run({ ...rest, ...converted, crossbar: bar, statistics: false }, what)).mean;
    };
    if (options.attribute) {
      const all = nonIdealities(crossbar);
      for (const { name, crossbar: bar } of all) without.push({ name, score: await changed(bar, `without ${name}`) });
      for (const { name } of all.length > 1 ? all : [])
        alone.push({ name, score: await changed(withAlone(name, crossbar), `with ${name} alone`) });
    }
    const scores = { float: scoreOf(float), integers: scoreOf(exact), crossbars: scoreOf(found) };
    const identical = found.values.every((trial) =>
      trial.every((values, i) => values.every((value, j) => Object.is(value, exact.values[0]?.[i]?.[j]))),
    );
    const report = {
      schema: 'grim.reram.simulate/1',
      ...{ model, preset: options.preset, madeUpInputs: examples.madeUp, crossbar: plain(crossbar) },
      ...{ seed, trials, examples: feeds.length, seconds: (performance.now() - start) / 1000 },
      score: labels ? 'accuracy' : 'agreement with the integers',
      ...(mixed && { budget: { share: budget, price, ...budgetReport(mixed) } }),
      ...(moved && { remapped: { spareSlots, score: scoreOf(moved), weightError: weightError(moved.layers) } }),
      ...{ scores, identical, ...(options.attribute && { without, alone }) },
      layers: found.layers,
      digital: network.digital,
    };
    if (!sendReport(report, options, examples.read, io)) return EXIT.done;
    const columns = [
      { title: 'layer', flexible: true },
      { title: 'arrays', align: 'right' },
      { title: 'ADC', align: 'right' },
      { title: 'conversions', align: 'right' },
      { title: 'inexact', align: 'right' },
      { title: 'stuck cells', align: 'right' },
    ] as const;
    const rows = byNode(found.layers).map(({ title, rows: own }) => {
      const [least, most] = [Math.min(...own.map((layer) => layer.adcBits)), mostOf(own, (layer) => layer.adcBits)];
      const conversions = sumOf(own, (layer) => layer.conversions);
      return [
        title,
        String(sumOf(own, (layer) => layer.footprint.arrays)),
        most === 0 ? 'none' : least === most ? String(most) : `${least}–${most}`,
        approximate(conversions),
        own.some((layer) => layer.inexact === undefined)
          ? '–'
          : percent(
              sumOf(own, (layer) => layer.inexact ?? 0),
              conversions,
            ),
        approximate(sumOf(own, (layer) => layer.stuckCells)),
      ];
    });
    const [head = '', ...lines] = table(columns, rows, io.columns);
    const line = (what: string, { mean, least, most }: Score) =>
      `  ${what.padEnd(29)} ${(100 * mean).toFixed(2)} %${least === most ? '' : `  (${(100 * least).toFixed(2)} to ${(100 * most).toFixed(2)} %)`}`;
    const text = [
      ...heading(options.preset, crossbar, io, mixed !== undefined),
      ...(mixed ? [...budgetText(mixed, options, io), ''] : []),
      styled(io, 'dim', head),
      ...lines,
      '',
      `  ${report.score}, ${feeds.length} ${feeds.length === 1 ? 'example' : 'examples'}${trials > 1 ? `, ${trials} trials` : ''}`,
      line('floats', scores.float),
      line(`${crossbar.weightBits}-bit integers`, scores.integers),
      line('crossbars', scores.crossbars),
      ...(moved ? [line('crossbars, remapped', scoreOf(moved)), ...remapText(moved.layers, spareSlots, io)] : []),
      ...without.map(({ name, score }) =>
        line(`crossbars without ${name}`, { mean: score, least: score, most: score }),
      ),
      ...alone.map(({ name, score }) => line(`with ${name} alone`, { mean: score, least: score, most: score })),
      ...wrap(
        identical
          ? 'every output is that of the integers, bit for bit'
          : 'some outputs differ from those of the integers',
        io.columns,
        '  ',
      ).map((one) => `  ${one}`),
      ...notes(examples, network, io),
    ];
    io.out(`${text.join('\n')}\n`);
    return EXIT.done;
  } finally {
    await pool.close();
  }
}

/** Every other non-ideality turned off: what one costs where nothing hides it. */
function withAlone(name: string, crossbar: Crossbar): Crossbar {
  const other = nonIdealities(crossbar).find((one) => one.name !== name);
  return other ? withAlone(name, other.crossbar) : crossbar;
}

/** Squared errors of all weights, in the first trial. */
function weightError(layers: readonly LayerReport[]): { readonly before: number; readonly after: number } {
  const sum = (of: (one: NonNullable<LayerReport['remapping']>) => number) =>
    layers.reduce((total, { remapping }) => total + (remapping ? of(remapping) : 0), 0);
  return { before: sum((one) => one.errorBefore), after: sum((one) => one.error) };
}

function remapText(layers: readonly LayerReport[], spareSlots: number, io: Io): readonly string[] {
  const { before, after } = weightError(layers);
  const spare = spareSlots === 0 ? '' : ` and ${spareSlots} spare places a layer`;
  return wrap(
    `filters and inputs moved by assignment${spare}: broken cells put the weights off by ${percent(after, before)} of the squares they did in their places`,
    io.columns - 4,
  ).map((one) => `    ${one}`);
}

/** Conversions are looked at one by one up to so many runs. */
const STATISTICS = 4;
