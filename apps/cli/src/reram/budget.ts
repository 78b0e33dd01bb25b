/** Mixed converters of a network within a budget, and what is said of them. */
import { show } from '@grim/ir';
import {
  type Crossbar,
  type Feed,
  type HardwareDesign,
  type MixedConverters,
  mapNetwork,
  mixConverters,
  type QuantisedNetwork,
  vectorCounts,
} from '@grim/reram';
import { type Io, styled } from '../output.ts';
import { table, wrap } from '../table.ts';
import type { BudgetOptions } from './args.ts';
import { ticker } from './score.ts';

/** Examples that errors are measured on. */
const EXAMPLES = 8;

export interface Budgeted extends MixedConverters {
  /** Bits that are exact for every column. */
  readonly largest: number;
  readonly examples: number;
}

/** From 3 bits to what is exact for every column. @param examples  the first of them are run */
export async function withinBudget(
  network: QuantisedNetwork,
  crossbar: Crossbar,
  examples: readonly Feed[],
  {
    budget,
    price,
    design,
  }: { readonly budget: number; readonly price: BudgetOptions['price']; readonly design: HardwareDesign },
  io: Io,
): Promise<Budgeted> {
  const feeds = examples.slice(0, EXAMPLES);
  const { layers } = mapNetwork(network, crossbar, vectorCounts(network, feeds[0] ?? {}), 'certified');
  const largest = layers.reduce((most, { exactBits }) => Math.max(most, exactBits), 2);
  const bits = Array.from({ length: Math.max(1, largest - 2) }, (_, i) => largest - i);
  const progress = ticker(io);
  const found = await mixConverters(network, crossbar, feeds, {
    ...{ bits, budget, price, design },
    onProgress: (done, total) => progress('converters of each layer', done, total),
  });
  return { ...found, largest, examples: feeds.length };
}

/** As JSON has it. */
export function budgetReport({ options, bits, error, exact, largest, examples }: Budgeted): object {
  return {
    ...{ largest, error, exact, examples },
    layers: Array.from(bits, ([part, own]) => ({ name: part.name, bits: own })),
    options,
  };
}

/** What each layer could have had, and what it gets. */
export function budgetText(found: Budgeted, { budget, price }: BudgetOptions, io: Io): readonly string[] {
  const { options, bits, largest, error, examples } = found;
  const chosen = new Map(Array.from(bits, ([part, own]) => [part.name, own]));
  const of = (node: string) => chosen.get(node) ?? chosen.get(`${node}/0`) ?? largest;
  const whole = options.reduce((sum, layer) => sum + Math.max(...layer.options.map((one) => one.price)), 0);
  const columns = [
    { title: 'layer', flexible: true },
    { title: 'bits', align: 'right' },
    { title: `share of ${price}`, align: 'right' },
    { title: 'squared error alone', align: 'right' },
    { title: 'usable', align: 'right' },
  ] as const;
  const rows = options.map(({ node, options: own }) => {
    const one = own.find((option) => option.bits === of(node));
    const usable = own.map((option) => option.bits);
    return [
      show(node),
      String(of(node)),
      `${((100 * (one?.price ?? 0)) / whole).toFixed(1)} %`,
      one === undefined || one.loss === 0 ? 'none' : one.loss.toPrecision(2),
      `${Math.min(...usable)} to ${Math.max(...usable)}`,
    ];
  });
  const [head = '', ...lines] = table(columns, rows, io.columns);
  const runs = `${examples} ${examples === 1 ? 'example' : 'examples'}`;
  const off = `${(100 * Math.sqrt(error)).toPrecision(2)} %`;
  const verdict =
    error === 0
      ? `on ${runs} nothing is lost`
      : `measured on ${runs}, all together put the outputs off by ${off} (root of the mean square; zeros would by 100 %)`;
  return [
    styled(io, 'dim', head),
    ...lines,
    ...wrap(
      `converters in ${(100 * (budget ?? 1)).toPrecision(3)} % of the ${price} of ${largest} bits everywhere; ${verdict}. What is not on offer leaves nothing of the outputs. No certificate: inputs not seen here may clip`,
      io.columns,
      '  ',
    ),
  ];
}
