/** `grim reram cost`: energy, area and time of a network on crossbars, part by part, each with its source. */
import { show } from '@grim/ir';
import {
  compareCosts,
  duplicateLayers,
  HARDWARE,
  type HardwareDesign,
  isaacSelfTest,
  mapNetwork,
  type NetworkCost,
  networkCost,
  PRESETS,
  quantiseNetwork,
  vectorCounts,
} from '@grim/reram';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { count, type Io, percent, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { table, wrap } from '../table.ts';
import type { ReramCostOptions } from './args.ts';
import { budgetReport, budgetText, withinBudget } from './budget.ts';
import { heading, mapModel, notes, plain } from './map.ts';

export async function costCommand(options: ReramCostOptions, io: Io): Promise<number> {
  checkReport(options, [options.model]);
  const { budget, price } = options;
  if (budget !== undefined && (options.mixed || options.adcBits !== undefined))
    throw new UsageError('--budget chooses the bits: leave out --mixed and --adc-bits.');
  const found = HARDWARE.get(options.design) as HardwareDesign;
  const design: HardwareDesign = options.law === undefined ? found : { ...found, adcLaw: options.law };
  const whole = mapModel(options, io, options.mixed);
  const { examples, crossbar, network } = whole;
  const mixed =
    budget === undefined
      ? undefined
      : await about(options.model, () =>
          withinBudget(network, crossbar, examples.feeds, { budget, price, design }, io),
        );
  const counts = vectorCounts(network, examples.feeds[0] ?? {});
  const { summary, layers } = mixed ? mapNetwork(network, crossbar, counts, mixed.bitsOf) : whole;
  const cost = networkCost(duplicateLayers(summary, options.spare), design);
  // The same network on the array of ISAAC with as many bits: biased weights, flipped columns, 8-bit converters.
  const isaac = { ...PRESETS['isaac-8bit'], weightBits: crossbar.weightBits, inputBits: crossbar.inputBits };
  const dense = quantiseNetwork(network.graph, examples.feeds.slice(0, 1), isaac);
  const [feed = {}] = examples.feeds;
  const base = mapNetwork(dense, isaac, vectorCounts(dense, feed), 8).summary;
  const against = networkCost(duplicateLayers(base, options.spare), design);
  const ratios = compareCosts(against, cost);
  const selfTest = isaacSelfTest();
  const lossless = layers.every(({ exactBits, cost: { groups } }) => groups.every((g) => g.adcBits >= exactBits));
  const { layers: perLayer, ...totals } = cost;
  const report = {
    schema: 'grim.reram.cost/1',
    ...{ model: options.model, preset: options.preset, madeUpInputs: examples.madeUp, crossbar: plain(crossbar) },
    design: { name: design.name, adcLaw: design.adcLaw, source: design.source },
    lossless: options.mixed || (mixed ? mixed.loss === 0 : lossless),
    ...(mixed && { budget: { share: budget, price, ...budgetReport(mixed) } }),
    totals,
    layers: perLayer.map(({ parts, ...layer }) => layer),
    isaac8bit: { energyPj: against.energyPj, areaUm2: against.areaUm2, ratios },
    selfTest,
  };
  if (!sendReport(report, options, examples.read, io)) return EXIT.done;
  const text = [
    ...heading(options.preset, crossbar, io, mixed !== undefined),
    ...(mixed ? [...budgetText(mixed, options, io), ''] : []),
    ...totalsText(cost, io),
    '',
    ...partsText(cost, io),
    '',
    ...wrap(
      `beside dense 8-bit ISAAC arrays of this network: energy ${times(ratios.energy)}, area ${times(ratios.area)}, GOPS/W ${times(ratios.gopsPerW)}, GOPS/mm2 ${times(ratios.gopsPerMm2)} (above 1 is better)`,
      io.columns,
      '  ',
    ),
    ...(report.lossless || mixed
      ? []
      : wrap('these converters clip some columns: see grim reram certify', io.columns, '  ')),
    '',
    ...selfTestText(io),
    ...notes(examples, network, io),
  ];
  io.out(`${text.join('\n')}\n`);
  return EXIT.done;
}

function totalsText(cost: NetworkCost, io: Io): readonly string[] {
  const rows = [
    ['energy', `${(cost.energyPj * 1e-6).toPrecision(4)} uJ an inference`],
    ['area', `${(cost.areaUm2 * 1e-6).toPrecision(4)} mm2, ${count(cost.arrays)} arrays, ${count(cost.adcs)} ADCs`],
    [
      'latency',
      `${(cost.latencyNs * 1e-3).toPrecision(4)} us; pipelined one every ${(cost.intervalNs * 1e-3).toPrecision(4)} us`,
    ],
    ['power', `${cost.powerMw.toPrecision(4)} mW at that rate`],
    [
      'throughput',
      `${cost.gops.toPrecision(4)} GOPS, ${cost.gopsPerW.toPrecision(4)} GOPS/W, ${cost.gopsPerMm2.toPrecision(4)} GOPS/mm2`,
    ],
  ];
  return table([{ title: 'total' }, { title: '', flexible: true }], rows, io.columns).slice(1);
}

function partsText(cost: NetworkCost, io: Io): readonly string[] {
  const columns = [
    { title: 'part' },
    { title: 'energy', align: 'right' },
    { title: 'area', align: 'right' },
    { title: 'source', flexible: true },
  ] as const;
  const rows = [...cost.parts]
    .sort((a, b) => b.energyPj - a.energyPj)
    .map(({ name, energyPj, areaUm2, source }) => [
      show(name),
      percent(energyPj, cost.energyPj),
      percent(areaUm2, cost.areaUm2),
      source,
    ]);
  const [head = '', ...lines] = table(columns, rows, io.columns);
  return [styled(io, 'dim', head), ...lines];
}

/** ISAAC's totals from its parts, beside what it published. */
function selfTestText(io: Io): readonly string[] {
  const columns = [
    { title: "self-test: ISAAC's chip", flexible: true },
    { title: 'computed', align: 'right' },
    { title: 'published', align: 'right' },
    { title: 'off by', align: 'right' },
  ] as const;
  const rows = isaacSelfTest().map(({ quantity, computed, published, difference, reached }) => [
    quantity,
    computed.toPrecision(5),
    String(published),
    reached ? 'rounding' : `${(100 * difference).toFixed(2)} %`,
  ]);
  const [head = '', ...lines] = table(columns, rows, io.columns);
  return [styled(io, 'dim', head), ...lines];
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}×`;
}
