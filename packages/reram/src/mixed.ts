/**
 * Which layers can do with smaller converters: what each resolution of each layer costs, and what it does to the outputs of the
 * network while all other layers lose nothing, measured on calibration data; then the choice of least error within a budget.
 *
 * A recurrent layer has one choice for each of its matrices: they meet different inputs, and what clips in the state comes back
 * at every step. A row block whose certificate asks for less than the choice takes that. A resolution that leaves the outputs
 * further off than zeros would be is not on offer: among such ones the least error means nothing.
 *
 * Errors of several layers are taken to add up, which they nearly do where they are small; what the choice does as a whole is
 * measured once more.
 */
import { type Allocation, allocateAdcBits, type BitsOption } from './allocate.ts';
import { type HardwareDesign, networkCost } from './cost.ts';
import { checkInteger, fail } from './errors.ts';
import type { Crossbar, Mapping } from './mapping.ts';
import type { Feed, LinearPart, QuantisedNetwork } from './network.ts';
import { simulateDigital, simulateQuantised } from './simulate.ts';
import { blockBits, mapNetwork, vectorCounts } from './summary.ts';

export interface MixedOptions {
  /** Resolutions that a layer may have. */
  readonly bits: readonly number[];
  /** What the whole network may take in the unit of `price`, as a share of what it takes with the largest resolution. */
  readonly budget: number;
  /** Energy of an inference or area. Default `energy`. */
  readonly price?: 'energy' | 'area';
  readonly design: HardwareDesign;
  /** After each measurement: how many resolutions of how many layers were looked at. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: { readonly aborted: boolean; readonly reason?: unknown };
}

export interface MixedConverters extends Omit<Allocation, 'bits'> {
  /** Of each part of the network: the largest that a block of it has. */
  readonly bits: ReadonlyMap<LinearPart, number>;
  /** Of each row block of a part: the `bits` of `mapNetwork`. */
  readonly bitsOf: (part: LinearPart, mapping: Mapping) => readonly number[];
  /** The crossbar of a part with its converter: for `layerCrossbar` of a simulation. */
  readonly crossbarOf: (part: LinearPart, crossbar: Crossbar) => Crossbar;
  /** Squared error of the outputs with the whole choice, measured, as a share of their squares: 1 is what zeros would have. */
  readonly error: number;
  /** What each layer could have had; `loss` is the squared error of the outputs, summed over the examples. */
  readonly options: readonly { readonly node: string; readonly options: readonly BitsOption[] }[];
}

/**
 * @param feeds  calibration examples; some ten are enough
 * @throws {GrimError} GRIM_RERAM_BAD_TARGET for a budget that the smallest usable converters exceed; what simulation throws
 */
export async function mixConverters(
  network: QuantisedNetwork,
  crossbar: Crossbar,
  feeds: readonly Feed[],
  { bits, budget, price = 'energy', design, onProgress, signal }: MixedOptions,
): Promise<MixedConverters> {
  const sorted = [...new Set(bits)].sort((a, b) => b - a);
  for (const each of sorted) checkInteger('GRIM_RERAM_BAD_ADC', 'mixConverters: bits', each, 2, 16);
  const [feed] = feeds;
  const [largest] = sorted;
  if (!feed || largest === undefined || !(budget > 0))
    fail(
      'GRIM_RERAM_BAD_TARGET',
      `mixConverters: ${feeds.length} examples, ${sorted.length} resolutions and a budget of ${budget}; one of each, above 0, is needed.`,
    );
  const counts = vectorCounts(network, feed);
  const exact = simulateDigital(network, feeds);
  const squares = squaresOf(exact);
  const withBits = (bar: Crossbar, own: number): Crossbar => ({
    ...bar,
    adc: { model: 'uniform', bits: own, range: 'unit-step' },
  });
  const capped = (own: number) => (part: LinearPart, mapping: Mapping) =>
    blockBits(mapping, part.signed).map((needed) => Math.min(needed, own));
  const node = first(network);
  const takes = (parts: readonly LinearPart[], own: number | ReturnType<typeof capped>): number => {
    const layers = mapNetwork({ ...network, layers: new Map([[node, parts]]) }, crossbar, counts, own);
    const cost = networkCost(layers.summary, design);
    return price === 'energy' ? cost.energyPj : cost.areaUm2;
  };
  const { layers: mapped } = mapNetwork(network, crossbar, counts, largest);
  const exactBits = new Map(mapped.map((layer) => [layer.part, layer.exactBits]));
  const units = unitsOf(network);
  const options: (readonly BitsOption[])[] = [];
  for (const [i, { parts }] of units.entries()) {
    const own: BitsOption[] = [];
    for (const [j, each] of sorted.entries()) {
      if (signal?.aborted) throw signal.reason;
      const lossless = parts.every((part) => (exactBits.get(part) ?? 0) <= each);
      const loss = lossless ? 0 : await errorWith((part) => (parts.includes(part) ? each : undefined));
      onProgress?.(i * sorted.length + j + 1, units.length * sorted.length);
      // Fewer bits clip more.
      if (loss > squares) break;
      own.push({ bits: each, loss, price: takes(parts, capped(each)) });
    }
    options.push(own);
  }
  const full = units.reduce((sum, { parts }) => sum + takes(parts, largest), 0);
  const spoilt = options.findIndex((own) => own.length === 0);
  if (spoilt >= 0)
    fail(
      'GRIM_RERAM_BAD_TARGET',
      `mixConverters: ${largest} bits, the most there are, leave nothing of the outputs when ${units[spoilt]?.name} has them; give larger ones.`,
      { bits: largest },
    );
  const cheapest = options.reduce((sum, own) => sum + Math.min(...own.map((one) => one.price)), 0);
  if (cheapest > budget * full)
    fail(
      'GRIM_RERAM_BAD_TARGET',
      `mixConverters: the budget is ${share(budget)} of the ${price} with ${largest} bits everywhere; the smallest converters that leave something of the outputs take ${share(cheapest / full)}.`,
      { budget, cheapest: cheapest / full },
    );
  const { bits: chosen, ...rest } = allocateAdcBits(options, budget * full);
  const found = new Map<LinearPart, number>();
  units.forEach(({ parts }, i) => {
    for (const part of parts) found.set(part, chosen[i] as number);
  });
  const loss = rest.loss === 0 ? 0 : await errorWith((part) => found.get(part));
  return {
    ...rest,
    bits: found,
    error: loss === 0 ? 0 : loss / squares,
    bitsOf: (part, mapping) => capped(found.get(part) ?? largest)(part, mapping),
    crossbarOf: (part, bar) => withBits(bar, found.get(part) ?? largest),
    options: units.map(({ name }, i) => ({ node: name, options: options[i] ?? [] })),
  };

  /** Squared error of the outputs when these parts have converters that clip, and no other. */
  async function errorWith(bitsOf: (part: LinearPart) => number | undefined): Promise<number> {
    const { outputs } = await simulateQuantised(network, feeds, crossbar, {
      layerCrossbar: (part, bar) => {
        const own = bitsOf(part);
        return own === undefined ? { ...bar, adc: { model: 'ideal' } } : withBits(bar, own);
      },
    });
    return squaresOf(exact, outputs[0]);
  }
}

type Outputs = ReturnType<typeof simulateDigital>;

/** Of values, or of their differences from others. */
function squaresOf(all: Outputs, others?: Outputs): number {
  let sum = 0;
  all.forEach((one, i) => {
    for (const [name, { data }] of Object.entries(one)) {
      const values = others?.[i]?.[name]?.data;
      for (let at = 0; at < data.length; at++) sum += (Number(data[at]) - Number(values?.[at] ?? 0)) ** 2;
    }
  });
  return sum;
}

interface Unit {
  readonly name: string;
  readonly parts: readonly LinearPart[];
}

/** What has a choice of its own: a layer, all groups of it; of a recurrent layer each matrix. */
function unitsOf({ layers }: QuantisedNetwork): readonly Unit[] {
  return Array.from(layers).flatMap(([node, parts]) =>
    node.op === 'Conv' ? [{ name: node.name, parts }] : parts.map((part) => ({ name: part.name, parts: [part] })),
  );
}

const share = (of: number): string => `${(100 * of).toFixed(1)} %`;

/** Any node: costs go by parts. */
function first({ layers }: QuantisedNetwork) {
  const [node] = layers.keys();
  if (!node) fail('GRIM_RERAM_BAD_MATRIX', 'mixConverters: no layer of the network multiplies a constant matrix.');
  return node;
}
