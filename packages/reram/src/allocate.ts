/**
 * Mixed converters under a budget: each layer (or block) takes one of a few resolutions, each with a loss and a price, so
 * that the loss is least and the prices add up to no more than the budget. Solved exactly by merging, layer after layer, the
 * combinations that no other one beats in both; where those grow too many, the closest neighbours are joined and the result
 * says so.
 */
import { fail } from './errors.ts';

export interface BitsOption {
  readonly bits: number;
  /** What this resolution loses: squared output error, examples that change class, 0 where it is certified. */
  readonly loss: number;
  /** Power, area, energy: whatever the budget is in. */
  readonly price: number;
}

export interface Allocation {
  /** Chosen bits, by layer. */
  readonly bits: readonly number[];
  readonly loss: number;
  readonly price: number;
  /** No other choice within the budget loses less. */
  readonly exact: boolean;
}

interface State {
  readonly loss: number;
  readonly price: number;
  readonly bits: number;
  readonly before: State | undefined;
}

/** Combinations that are carried from layer to layer. */
const MOST_STATES = 20_000;

/**
 * @param layers  the resolutions each layer may have
 * @throws {GrimError} GRIM_RERAM_BAD_TARGET when even the cheapest choice is beyond the budget, or a number is none
 */
export function allocateAdcBits(layers: readonly (readonly BitsOption[])[], budget: number): Allocation {
  const code = 'GRIM_RERAM_BAD_TARGET';
  let cheapest = 0;
  layers.forEach((options, i) => {
    if (options.length === 0) fail(code, `allocateAdcBits: layer ${i} has no resolution to choose.`);
    for (const { loss, price } of options)
      if (!(Number.isFinite(loss) && loss >= 0 && Number.isFinite(price) && price >= 0))
        fail(code, `allocateAdcBits: layer ${i} has a loss of ${loss} and a price of ${price}; 0 or more is needed.`);
    cheapest += options.reduce((least, { price }) => Math.min(least, price), Infinity);
  });
  if (!(cheapest <= budget))
    fail(code, `allocateAdcBits: the budget is ${budget}, the cheapest choice takes ${cheapest}.`, {
      budget,
      cheapest,
    });
  let exact = true;
  let states: readonly State[] = [{ loss: 0, price: 0, bits: 0, before: undefined }];
  layers.forEach((options, i) => {
    const rest = layers
      .slice(i + 1)
      .reduce((sum, later) => sum + later.reduce((least, { price }) => Math.min(least, price), Infinity), 0);
    const next = states.flatMap((state) =>
      options.map(({ bits, loss, price }) => ({
        bits,
        loss: state.loss + loss,
        price: state.price + price,
        before: state as State | undefined,
      })),
    );
    const front = undominated(next.filter(({ price }) => price + rest <= budget * (1 + 1e-12)));
    exact = exact && front.length <= MOST_STATES;
    const stride = Math.ceil(front.length / MOST_STATES);
    states = stride <= 1 ? front : front.filter((_, at) => at % stride === 0 || at === front.length - 1);
  });
  const best = states.reduce((a, b) => (b.loss < a.loss || (b.loss === a.loss && b.price < a.price) ? b : a));
  const bits: number[] = [];
  for (let at: State | undefined = best; at?.before; at = at.before) bits.unshift(at.bits);
  return { bits, loss: best.loss, price: best.price, exact };
}

/** Those that no other is at least as cheap and as good as; by rising price. */
function undominated(states: State[]): readonly State[] {
  states.sort((a, b) => a.price - b.price || a.loss - b.loss);
  const front: State[] = [];
  let least = Infinity;
  for (const state of states)
    if (state.loss < least) {
      least = state.loss;
      front.push(state);
    }
  return front;
}
