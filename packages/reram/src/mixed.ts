/**
 * Which layers can do with smaller converters: what each resolution of each layer costs, and what it does to the outputs of the
 * network while all other layers lose nothing, measured on calibration data; then the choice of least error within a budget.
 *
 * Errors of several layers are taken to add up, which they nearly do where they are small. What the choice really does is
 * for the caller to measure, with `layerCrossbar` of a simulation.
 */
import { type Allocation, allocateAdcBits, type BitsOption } from './allocate.ts';
import { type HardwareDesign, networkCost } from './cost.ts';
import { checkInteger, fail } from './errors.ts';
import type { Crossbar } from './mapping.ts';
import type { Feed, LinearPart, QuantisedNetwork } from './network.ts';
import { simulateDigital, simulateQuantised } from './simulate.ts';
import { mapNetwork, vectorCounts } from './summary.ts';

export interface MixedOptions {
  /** Resolutions that a layer may have. */
  readonly bits: readonly number[];
  /** What the whole network may take in the unit of `price`, as a share of what it takes with the largest resolution. */
  readonly budget: number;
  /** Energy of an inference or area. Default `energy`. */
  readonly price?: 'energy' | 'area';
  readonly design: HardwareDesign;
  readonly signal?: { readonly aborted: boolean; readonly reason?: unknown };
}

export interface MixedConverters extends Omit<Allocation, 'bits'> {
  /** Of each part of the network: for `mapNetwork`, `bits: (part) => bits.get(part)`. */
  readonly bits: ReadonlyMap<LinearPart, number>;
  /** The crossbar of a part with its converter: for `layerCrossbar` of a simulation. */
  readonly crossbarOf: (part: LinearPart, crossbar: Crossbar) => Crossbar;
  /** What each layer could have had; `loss` is the squared error of the outputs, summed over the examples. */
  readonly options: readonly { readonly node: string; readonly options: readonly BitsOption[] }[];
}

/**
 * @param feeds  calibration examples; some ten are enough
 * @throws {GrimError} GRIM_RERAM_BAD_TARGET for a budget that the smallest converters exceed; what simulation throws
 */
export async function mixConverters(
  network: QuantisedNetwork,
  crossbar: Crossbar,
  feeds: readonly Feed[],
  { bits, budget, price = 'energy', design, signal }: MixedOptions,
): Promise<MixedConverters> {
  const sorted = [...new Set(bits)].sort((a, b) => a - b);
  for (const each of sorted) checkInteger('GRIM_RERAM_BAD_ADC', 'mixConverters: bits', each, 2, 32);
  const [feed] = feeds;
  const largest = sorted.at(-1);
  if (!feed || largest === undefined || !(budget > 0))
    fail(
      'GRIM_RERAM_BAD_TARGET',
      `mixConverters: ${feeds.length} examples, ${sorted.length} resolutions and a budget of ${budget}; one of each, above 0, is needed.`,
    );
  const counts = vectorCounts(network, feed);
  const exact = simulateDigital(network, feeds);
  const withBits = (bar: Crossbar, own: number): Crossbar => ({
    ...bar,
    adc: { model: 'uniform', bits: own, range: 'unit-step' },
  });
  const mapped = mapNetwork(network, crossbar, counts, largest);
  const takes = (parts: readonly LinearPart[], own: number): number => {
    const layers = mapNetwork({ ...network, layers: new Map([[first(network), parts]]) }, crossbar, counts, own);
    const cost = networkCost(layers.summary, design);
    return price === 'energy' ? cost.energyPj : cost.areaUm2;
  };
  const exactBits = new Map(mapped.layers.map((layer) => [layer.part, layer.exactBits]));
  const options: { node: string; parts: readonly LinearPart[]; options: readonly BitsOption[] }[] = [];
  for (const [node, parts] of network.layers) {
    const own: BitsOption[] = [];
    for (const each of sorted) {
      if (signal?.aborted) throw signal.reason;
      const lossless = parts.every((part) => (exactBits.get(part) ?? 0) <= each);
      const loss = lossless ? 0 : await errorOf(new Set(parts), each);
      own.push({ bits: each, loss, price: takes(parts, each) });
    }
    options.push({ node: node.name, parts, options: own });
  }
  const full = options.reduce((sum, { options: own }) => sum + (own.at(-1)?.price ?? 0), 0);
  const { bits: chosen, ...rest } = allocateAdcBits(
    options.map((layer) => layer.options),
    budget * full,
  );
  const found = new Map<LinearPart, number>();
  options.forEach(({ parts }, i) => {
    for (const part of parts) found.set(part, chosen[i] as number);
  });
  return {
    ...rest,
    bits: found,
    crossbarOf: (part, bar) => withBits(bar, found.get(part) ?? largest),
    options: options.map(({ node, options: own }) => ({ node, options: own })),
  };

  /** Squared error of the outputs when these parts alone have converters that clip. */
  async function errorOf(parts: ReadonlySet<LinearPart>, own: number): Promise<number> {
    const { outputs } = await simulateQuantised(network, feeds, crossbar, {
      layerCrossbar: (part, bar) => (parts.has(part) ? withBits(bar, own) : { ...bar, adc: { model: 'ideal' } }),
    });
    let sum = 0;
    exact.forEach((wanted, i) => {
      for (const [name, { data }] of Object.entries(wanted)) {
        const values = outputs[0]?.[i]?.[name]?.data ?? [];
        for (let at = 0; at < data.length; at++) sum += (Number(data[at]) - Number(values[at])) ** 2;
      }
    });
    return sum;
  }
}

/** Any node: costs go by parts. */
function first(network: QuantisedNetwork) {
  const [node] = network.layers.keys();
  if (!node) fail('GRIM_RERAM_BAD_MATRIX', 'mixConverters: no layer of the network multiplies a constant matrix.');
  return node;
}
