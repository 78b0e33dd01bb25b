/**
 * Gates of a recurrent layer: the inputs and states each step sees, the sums its gates make of them, and what an error in
 * a gate's sum is worth.
 */
import type { Tensor } from '@grim/ir';
import type { Cell } from './cells.ts';
import { multiply, transposed, view } from './linalg/gemm.ts';
import type { Parameters } from './parameters.ts';
import type { Pulse } from './pulse.ts';
import type { Stream } from './stream.ts';

interface Places {
  readonly steps: number;
  readonly batch: number;
  /** Step before `t` in the direction of the walk, or −1. */
  before(t: number): number;
  /** Where x of (t, b) begins, and the output of (t, b). */
  x(t: number, b: number): number;
  y(t: number, b: number): number;
}

export function placesOf({ node, hidden, inputs, directions }: Cell, x: Tensor, direction: number): Places {
  const batchFirst = node.attributes.layout !== 0;
  const [first = 1, second = 1] = x.shape;
  const [steps, batch] = batchFirst ? [second, first] : [first, second];
  const backwards = node.attributes.direction === 'reverse' || direction === 1;
  return {
    steps,
    batch,
    before: (t) => (backwards ? (t + 1 < steps ? t + 1 : -1) : t - 1),
    x: (t, b) => (batchFirst ? b * steps + t : t * batch + b) * inputs,
    y: (t, b) =>
      (batchFirst ? (b * steps + t) * directions + direction : (t * directions + direction) * batch + b) * hidden,
  };
}

export function initialOf(from: Stream, { node }: Cell, batch: number): Tensor | undefined {
  const name = node.inputs[5] ?? '';
  return name === '' ? undefined : from.get(name)?.[batch];
}

/** [x, state before], [samples, inputs + hidden]. */
export function gatherStates(
  { inputs, hidden, node, directions }: Cell,
  x: Tensor,
  y: Tensor,
  initial: Tensor | undefined,
  places: Places,
  chosen: Uint32Array,
): { readonly z: Float32Array } {
  const k = inputs + hidden;
  const z = new Float32Array(chosen.length * k);
  const [from, states] = [x.data as Float32Array, y.data as Float32Array];
  chosen.forEach((sample, s) => {
    const t = Math.floor(sample / places.batch);
    const b = sample - t * places.batch;
    const at = places.x(t, b);
    z.set(from.subarray(at, at + inputs), s * k);
    const before = places.before(t);
    if (before >= 0) {
      const state = places.y(before, b);
      z.set(states.subarray(state, state + hidden), s * k + inputs);
    } else if (initial) {
      const direction = (places.y(0, 0) / hidden) % directions;
      const state = (node.attributes.layout !== 0 ? b * directions + direction : direction * places.batch + b) * hidden;
      z.set((initial.data as Float32Array).subarray(state, state + hidden), s * k + inputs);
    }
  });
  return { z };
}

interface GateSums {
  /** What each gate's activation is applied to, [samples, gates · hidden]. */
  readonly sums: Float32Array;
  /** GRU: the reset gate, [samples, hidden]; else empty. */
  readonly reset: Float32Array;
  /** GRU with linear_before_reset: R_h h + Rb_h, [samples, hidden]; else empty. */
  readonly stateSums: Float32Array;
}

export async function gateSums(
  cell: Cell,
  { v, wb, rb }: Parameters,
  direction: number,
  { z }: { readonly z: Float32Array },
  n: number,
  beat: Pulse,
): Promise<GateSums> {
  const { gates, hidden, inputs, node } = cell;
  const k = inputs + hidden;
  const rows = gates * hidden;
  const first = direction * rows;
  const out = new Float64Array(n * rows);
  const gru = node.op === 'GRU';
  const plainRows = gru ? 2 * hidden : rows;
  const product = (
    m: number,
    row: number,
    from: Float32Array | Float64Array,
    col: number,
    depth: number,
    to: Float64Array,
    width: number,
    at: number,
  ) =>
    multiply(
      {
        ...{ m: n, n: m, k: depth },
        a: view(from, k, 0, col),
        b: transposed(view(v, k, first + row, col)),
        c: { ...view(to, width, 0, at), data: to },
      },
      beat,
    );
  await product(plainRows, 0, z, 0, k, out, rows, 0);
  for (let s = 0; s < n; s++)
    for (let i = 0; i < plainRows; i++)
      out[s * rows + i] = (out[s * rows + i] as number) + (wb[first + i] as number) + (rb[first + i] as number);
  if (!gru) return { sums: Float32Array.from(out), reset: new Float32Array(), stateSums: new Float32Array() };

  const reset = new Float32Array(n * hidden);
  for (let s = 0; s < n; s++)
    for (let i = 0; i < hidden; i++) reset[s * hidden + i] = sigmoid(out[s * rows + hidden + i] as number);
  const row = 2 * hidden;
  await product(hidden, row, z, 0, inputs, out, rows, row);
  const stateSums = new Float64Array(n * hidden);
  const before = node.op === 'GRU' && node.attributes.linear_before_reset !== 0;
  if (before) await product(hidden, row, z, inputs, hidden, stateSums, hidden, 0);
  else {
    const gated = z.slice();
    for (let s = 0; s < n; s++)
      for (let i = 0; i < hidden; i++)
        gated[s * k + inputs + i] = (z[s * k + inputs + i] as number) * (reset[s * hidden + i] as number);
    await product(hidden, row, gated, inputs, hidden, stateSums, hidden, 0);
  }
  for (let s = 0; s < n; s++)
    for (let i = 0; i < hidden; i++) {
      const at = s * hidden + i;
      const state = (stateSums[at] as number) + (rb[first + row + i] as number);
      stateSums[at] = state;
      const to = s * rows + row + i;
      out[to] =
        (out[to] as number) + (wb[first + row + i] as number) + (before ? (reset[at] as number) * state : state);
    }
  return { sums: Float32Array.from(out), reset, stateSums: Float32Array.from(stateSums) };
}

/**
 * Adds to `into` the squares of how much the new state moves with each gate's sum: what an error there is worth. For
 * LSTM and RNN, the slope of the gate's own activation stands for it.
 */
export function importance(
  cell: Cell,
  { sums: all, reset }: GateSums,
  z: Float32Array,
  n: number,
  into: Float64Array,
): void {
  const { node, gates, hidden, inputs } = cell;
  const rows = gates * hidden;
  const k = inputs + hidden;
  for (let s = 0; s < n; s++)
    for (let i = 0; i < hidden; i++) {
      const state = z[s * k + inputs + i] as number;
      const at = (gate: number) => all[s * rows + gate * hidden + i] as number;
      const add = (gate: number, slope: number) => {
        into[gate * hidden + i] = (into[gate * hidden + i] as number) + slope * slope;
      };
      if (node.op === 'GRU') {
        const update = sigmoid(at(0));
        const r = reset[s * hidden + i] as number;
        const candidate = Math.tanh(at(2));
        add(0, update * (1 - update) * (state - candidate));
        // The reset gate acts through the candidate of every unit: about half as strongly, as was found in exploration.
        add(1, 0.5 * r * (1 - r) * state);
        add(2, (1 - update) * (1 - candidate * candidate));
      } else
        for (let gate = 0; gate < gates; gate++) {
          const tanh = node.op === 'RNN' || gate === 3;
          const value = tanh ? Math.tanh(at(gate)) : sigmoid(at(gate));
          add(gate, tanh ? 1 - value * value : value * (1 - value));
        }
    }
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
