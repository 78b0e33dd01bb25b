/** `grim reram map`: where a network's weights come to stand, and what exact converters each layer needs. */
import { show } from '@grim/ir';
import {
  adcBits,
  type Crossbar,
  type MappedLayer,
  type MappedNetwork,
  mapNetwork,
  type QuantisedNetwork,
  vectorCounts,
} from '@grim/reram';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { approximate, count, type Io, percent, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { table, wrap } from '../table.ts';
import type { CrossbarOptions, ExampleOptions, ModelOptions, ReramMapCommandOptions } from './args.ts';
import { byNode, mostOf, sumOf } from './groups.ts';
import { crossbarOf, type Examples, quantised, readExamples } from './model.ts';
import { checkPlot } from './plots.ts';
import { solveWires, wiresText } from './wires.ts';

export interface Mapped extends MappedNetwork {
  readonly examples: Examples;
  readonly crossbar: Crossbar;
  readonly network: QuantisedNetwork;
}

/** Reads, quantises and maps. @param certified  converters as certificates ask, instead of the crossbar's own */
export function mapModel(options: ModelOptions & ExampleOptions & CrossbarOptions, io: Io, certified = false): Mapped {
  const examples = readExamples(options);
  return about(options.model, () => {
    const crossbar = crossbarOf(options);
    const network = quantised(examples, crossbar, options.fit, io);
    const [feed = {}] = examples.feeds;
    const counts = vectorCounts(network, feed);
    const bits = certified || crossbar.adc.model === 'ideal' ? 'certified' : (options.adcBits ?? options.fit);
    return { examples, crossbar, network, ...mapNetwork(network, crossbar, counts, bits) };
  });
}

export async function mapCommand(options: ReramMapCommandOptions, io: Io): Promise<number> {
  const { plot, force } = options;
  checkReport(options, [options.model]);
  const target = plot === undefined ? undefined : { path: plot, force, inputs: [options.model] };
  checkPlot(target);
  const { examples, crossbar, network, layers } = mapModel(options, io);
  const total = (of: (layer: MappedLayer) => number) => layers.reduce((sum, layer) => sum + of(layer), 0);
  const rows = layers.map(({ part, mapping, footprint, exactBits, cost }) => ({
    name: part.name,
    outputs: mapping.outputs,
    inputs: mapping.inputs,
    signed: part.signed,
    arrays: footprint.arrays,
    columns: footprint.columns,
    utilisation: footprint.utilisation,
    positions: cost.positions,
    conversions: cost.positions * footprint.conversionsPerVector,
    bits: {
      isaac: adcBits(mapping, 'isaac', part.signed),
      exact: adcBits(mapping, 'exact', part.signed),
      dataAware: exactBits,
    },
  }));
  const report = {
    schema: 'grim.reram.map/1',
    ...{ model: options.model, preset: options.preset, madeUpInputs: examples.madeUp, crossbar: plain(crossbar) },
    arrays: total(({ footprint }) => footprint.arrays),
    layers: rows,
    digital: network.digital,
    ...(options.wires && {
      wires: await solveWires(layers, options, target && { ...target, inputs: examples.read }, io),
    }),
  };
  if (!sendReport(report, options, examples.read, io)) return EXIT.done;
  const columns = [
    { title: 'layer', flexible: true },
    { title: 'matrix', align: 'right' },
    { title: 'arrays', align: 'right' },
    { title: 'used', align: 'right' },
    { title: 'converts', align: 'right' },
    { title: 'isaac', align: 'right' },
    { title: 'exact', align: 'right' },
    { title: 'data', align: 'right' },
  ] as const;
  const body = byNode(rows).map(({ title, rows: own }) => [
    title,
    `${own[0]?.outputs}×${own[0]?.inputs}`,
    count(sumOf(own, (row) => row.arrays)),
    percent(
      sumOf(own, (row) => row.utilisation * row.arrays),
      sumOf(own, (row) => row.arrays),
    ),
    approximate(sumOf(own, (row) => row.conversions)),
    String(mostOf(own, (row) => row.bits.isaac)),
    String(mostOf(own, (row) => row.bits.exact)),
    String(mostOf(own, (row) => row.bits.dataAware)),
  ]);
  const [head = '', ...lines] = table(columns, body, io.columns);
  const text = [
    ...heading(options.preset, crossbar, io),
    styled(io, 'dim', head),
    ...lines,
    ...wrap(
      `${count(report.arrays)} arrays; ADC bits by ISAAC's rule, by the number of non-zero cells, and by the levels that are stored (the last two lose nothing)`,
      io.columns,
    ),
    ...(report.wires ? wrap(wiresText(report.wires), io.columns, '  ') : []),
    ...notes(examples, network, io),
  ];
  io.out(`${text.join('\n')}\n`);
  return EXIT.done;
}

/** Two lines on the crossbar. */
export function heading(preset: string, crossbar: Crossbar, io: Io, mixed = false): readonly string[] {
  const { rows, cols, cellBits, weightBits, inputBits, dacBits, adc } = crossbar;
  const analog = crossbar.subtract === 'analog' ? ' (analog)' : '';
  const full = crossbar.zeroPair === 'high' ? ', zeros as pairs of full cells' : '';
  const storage = `${crossbar.storage}${analog} storage${full}`;
  const own = adc.model === 'ideal' ? 'no conversion' : `${adc.bits}-bit ADC`;
  const converter = mixed ? 'an ADC of its own for each layer' : own;
  const line = `${preset}: ${rows}×${cols} cells of ${cellBits} bits, ${storage}, ${weightBits}-bit weights, ${inputBits}-bit inputs, ${dacBits}-bit DAC, ${converter}`;
  return wrap(styled(io, 'bold', line), io.columns, '  ');
}

/** What a reader must know of the figures. */
export function notes({ madeUp, feeds }: Examples, { digital }: QuantisedNetwork, io: Io): readonly string[] {
  const scale = madeUp
    ? 'input scales are from made-up inputs: give real ones with --input'
    : `input scales are from ${Math.min(feeds.length, 32)} of ${feeds.length} examples`;
  const left = digital.map(({ node, op, reason }) => `${show(op)} ${show(node)} stays digital: ${reason}`);
  return [scale, ...left].flatMap((line) => wrap(styled(io, 'dim', line), io.columns, '  '));
}

/** As JSON has it: infinity is null. */
export function plain(crossbar: Crossbar): object {
  return JSON.parse(JSON.stringify(crossbar)) as object;
}
