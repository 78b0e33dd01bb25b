/**
 * Remapping around broken cells: which filter takes which bit lines, and which input which word line, so that stuck cells
 * fall on levels they already have, or on weights that count little. Digital logic undoes the order, which costs nothing
 * but a table.
 *
 * Filters are assigned to slots (the neighbouring bit lines that one weight's slices take, in both arrays of a pair), spare
 * slots included, then the inputs of each block to its word lines, in turns; each turn is an exact assignment, so the error
 * never grows. The error is that of the weights: Σ (w with its stuck cells − w)², in squares of the integer step.
 */
import { assign } from './assignment.ts';
import { checkInteger, fail } from './errors.ts';
import type { Mapping } from './mapping.ts';
import { randomStream, STREAMS } from './random.ts';

/** Faults of the physical cells of a layer: [polarity, slice, slot, word line]; −1 stuck at HRS, +1 at LRS, 0 healthy. */
export interface FaultMap {
  readonly polarities: number;
  readonly slices: number;
  /** At least as many as the mapping has filters; those beyond are spare. */
  readonly slots: number;
  readonly lines: number;
  readonly stuck: Int8Array;
}

/** Draws faults for every cell of a mapping and of its spare slots, by seed, layer and cell. */
export function drawFaults(
  mapping: Mapping,
  rates: { readonly stuckHrs: number; readonly stuckLrs: number },
  options: { readonly seed?: number; readonly layer?: number; readonly spareSlots?: number } = {},
): FaultMap {
  const { seed = 1, layer = 0, spareSlots = 0 } = options;
  checkInteger('GRIM_RERAM_BAD_TARGET', 'drawFaults: spareSlots', spareSlots, 0, 2 ** 20);
  const { polarities, slices } = mapping;
  const slots = mapping.filters.length + spareSlots;
  const lines = mapping.wordLines.length;
  const { stuckHrs, stuckLrs } = rates;
  if (!(stuckHrs >= 0 && stuckLrs >= 0 && stuckHrs + stuckLrs <= 1))
    fail('GRIM_RERAM_BAD_DEVICE', `drawFaults: stuckHrs ${stuckHrs} and stuckLrs ${stuckLrs} are no shares of one.`);
  const stream = randomStream(seed, STREAMS.stuck, layer);
  const stuck = Int8Array.from({ length: polarities * slices * slots * lines }, (_, i) => {
    const uniform = stream.uniform(i);
    return uniform < stuckHrs ? -1 : uniform < stuckHrs + stuckLrs ? 1 : 0;
  });
  return { polarities, slices, slots, lines, stuck };
}

export interface Remapping {
  /** Slot of each filter; word line of each input of the mapping. */
  readonly slotOf: Uint32Array;
  readonly lineOf: Uint32Array;
  /** Faults as the weights meet them, laid out as `Mapping.levels`: for `program(mapping, { stuck })`. */
  readonly stuck: Int8Array;
  /** Σ of squared weight errors with everything in its place, and as remapped. */
  readonly errorBefore: number;
  readonly error: number;
}

export interface RemapOptions {
  /** What may move. Default `both`. */
  readonly move?: 'filters' | 'inputs' | 'both' | 'none';
  /** Turns of filters and inputs. Default 2. */
  readonly turns?: number;
}

/** @throws {GrimError} GRIM_RERAM_BAD_DEVICE for a fault map of another size */
export function remap(mapping: Mapping, faults: FaultMap, options: RemapOptions = {}): Remapping {
  const { move = 'both', turns = 2 } = options;
  const { polarities, slices, rowBlocks } = mapping;
  const [m, k] = [mapping.filters.length, mapping.wordLines.length];
  const { slots, lines } = faults;
  if (faults.polarities !== polarities || faults.slices !== slices || lines !== k || slots < m)
    fail(
      'GRIM_RERAM_BAD_DEVICE',
      `remap: faults of ${faults.polarities}×${faults.slices}×${slots}×${lines} cells, the mapping has ${polarities}×${slices}×${m}×${k}.`,
    );
  const slotOf = Uint32Array.from({ length: m }, (_, f) => f);
  const lineOf = Uint32Array.from({ length: k }, (_, i) => i);
  const change = weightChange(mapping, faults);
  const total = (): number => {
    let sum = 0;
    for (let f = 0; f < m; f++)
      for (let i = 0; i < k; i++) sum += change(f, i, slotOf[f] as number, lineOf[i] as number);
    return sum;
  };
  const errorBefore = total();
  for (let turn = 0; turn < turns && move !== 'none'; turn++) {
    if (move !== 'inputs') {
      const cost = new Float64Array(m * slots);
      for (let f = 0; f < m; f++)
        for (let slot = 0; slot < slots; slot++) {
          let sum = 0;
          for (let i = 0; i < k; i++) sum += change(f, i, slot, lineOf[i] as number);
          cost[f * slots + slot] = sum;
        }
      slotOf.set(assign(cost, m, slots));
    }
    if (move !== 'filters')
      for (let block = 0; block + 1 < rowBlocks.length; block++) {
        const [first, end] = [rowBlocks[block] ?? 0, rowBlocks[block + 1] ?? 0];
        const n = end - first;
        const cost = new Float64Array(n * n);
        for (let i = 0; i < n; i++)
          for (let line = 0; line < n; line++) {
            let sum = 0;
            for (let f = 0; f < m; f++) sum += change(f, first + i, slotOf[f] as number, first + line);
            cost[i * n + line] = sum;
          }
        lineOf.set(
          assign(cost, n, n).map((line) => first + line),
          first,
        );
      }
  }
  const stuck = new Int8Array(polarities * slices * m * k);
  for (let plane = 0; plane < polarities * slices; plane++)
    for (let f = 0; f < m; f++)
      for (let i = 0; i < k; i++)
        stuck[(plane * m + f) * k + i] = faults.stuck[
          (plane * slots + (slotOf[f] as number)) * k + (lineOf[i] as number)
        ] as number;
  return { slotOf, lineOf, stuck, errorBefore, error: total() };
}

/** Squared change of the weight of filter f and input i when it stands at a slot and a line. */
function weightChange(
  { levels, polarities, slices, topLevel, sliceWeights, filters, wordLines, rowBlocks, flipped }: Mapping,
  { stuck, slots }: FaultMap,
): (f: number, i: number, slot: number, line: number) => number {
  const [m, k] = [filters.length, wordLines.length];
  // Places without a fault are most of them: a bit says so at once.
  const broken = new Uint8Array(slots * k);
  for (let plane = 0; plane < polarities * slices; plane++)
    for (let at = 0; at < slots * k; at++) if (stuck[plane * slots * k + at] !== 0) broken[at] = 1;
  const blockOf = new Uint32Array(k);
  for (let block = 0; block + 1 < rowBlocks.length; block++)
    blockOf.fill(block, rowBlocks[block], rowBlocks[block + 1]);
  return (f, i, slot, line) => {
    if (broken[slot * k + line] === 0) return 0;
    let sum = 0;
    for (let polarity = 0; polarity < polarities; polarity++)
      for (let slice = 0; slice < slices; slice++) {
        const plane = polarity * slices + slice;
        const fault = stuck[(plane * slots + slot) * k + line] as number;
        if (fault === 0) continue;
        const level = levels[(plane * m + f) * k + i] as number;
        const moved = (fault < 0 ? 0 : topLevel) - level;
        // A flipped column holds what is missing from its top level.
        const turned = flipped[((blockOf[line] as number) * slices + slice) * m + f] === 1;
        sum += ((polarity === 0) !== turned ? moved : -moved) * (sliceWeights[slice] ?? 1);
      }
    return sum * sum;
  };
}
