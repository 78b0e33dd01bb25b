/**
 * A bundle of parallel wires as resistor ladders, solved in O(cells) without subtracting: the tridiagonal half of a
 * crossbar.
 *
 * Wire `w` runs along the steps of the bundle from its terminal at step 0, held at 0 V behind the first link, to its
 * free end. Every node has a shunt to a known voltage; seen from the terminal, what lies outward of a node is one
 * conductance `y` and one current source `J` (Norton), found from the free end inward:
 *
 *     y[s] = g[s] + t[s+1] y[s+1]      J[s] = source[s] + t[s+1] J[s+1]      t[s] = 1 / (1 + r[s] y[s])
 *     v[s] = t[s] v[s-1] + q[s] J[s]   q[s] = r[s] t[s]                      v[-1] = 0
 *
 * All terms are non-negative, so a resistance of 0 and an open link are ordinary values and nothing cancels: this is
 * the Cholesky factorisation of the tridiagonal matrix, written in resistances instead of conductances.
 */

/** What stands for an open link: far beyond any cell, and still 1e270 away from overflow. */
export const OPEN_OHM = 1e30;

/** Which index runs along the wires: `'rows'` wires go through memory with stride 1, `'columns'` wires with stride `width`. */
export interface Ladder {
  /** Nodes of one wire. */
  readonly steps: number;
  /** Number of wires. */
  readonly wires: number;
  /** Distance in memory from a node to the next one away from the terminal; may be negative. */
  readonly stepStride: number;
  readonly wireStride: number;
  /** Memory index of the first wire's node at the terminal. */
  readonly origin: number;
  /** Resistance between a node and its neighbour toward the terminal, ohm; per node, laid out like the cells. */
  readonly linkOhm: Float64Array;
  /** Transmission `t` and local resistance `q` of each node. */
  readonly transmission: Float64Array;
  readonly localOhm: Float64Array;
}

export interface LadderLayout {
  readonly steps: number;
  readonly wires: number;
  readonly stepStride: number;
  readonly wireStride: number;
  readonly origin: number;
}

/** Factors the ladders of one direction; `shuntS` is the conductance from each node to the crossing wire. */
export function factorLadder(layout: LadderLayout, linkOhm: Float64Array, shuntS: Float64Array): Ladder {
  const { steps, wires, stepStride, wireStride, origin } = layout;
  const transmission = new Float64Array(shuntS.length);
  const localOhm = new Float64Array(shuntS.length);
  for (let w = 0; w < wires; w++) {
    let y = 0;
    for (let s = steps - 1, at = origin + w * wireStride + s * stepStride; s >= 0; s--, at -= stepStride) {
      y += shuntS[at] as number;
      const r = linkOhm[at] as number;
      const t = 1 / (1 + r * y);
      transmission[at] = t;
      localOhm[at] = r * t;
      y *= t;
    }
  }
  return { ...layout, linkOhm, transmission, localOhm };
}

/**
 * Voltages of all wires for the currents `source` injected at the nodes. `out` may be `source` itself.
 * The inner loop runs over the direction that lies densely in memory.
 */
export function solveLadder(ladder: Ladder, source: Float64Array, out: Float64Array): void {
  if (Math.abs(ladder.stepStride) === 1) solveAlongMemory(ladder, source, out);
  else solveAcrossMemory(ladder, source, out);
}

function solveAlongMemory(ladder: Ladder, source: Float64Array, out: Float64Array): void {
  const { steps, wires, stepStride, wireStride, origin, transmission, localOhm } = ladder;
  for (let w = 0; w < wires; w++) {
    const near = origin + w * wireStride;
    let current = 0;
    for (let s = steps - 1, at = near + s * stepStride; s >= 0; s--, at -= stepStride) {
      current += source[at] as number;
      out[at] = current;
      current *= transmission[at] as number;
    }
    let volt = 0;
    for (let s = 0, at = near; s < steps; s++, at += stepStride) {
      volt = (transmission[at] as number) * volt + (localOhm[at] as number) * (out[at] as number);
      out[at] = volt;
    }
  }
}

function solveAcrossMemory(ladder: Ladder, source: Float64Array, out: Float64Array): void {
  const { steps, wires, stepStride, wireStride, origin, transmission, localOhm } = ladder;
  for (let s = steps - 1; s >= 0; s--) {
    const start = origin + s * stepStride;
    if (s === steps - 1) {
      for (let w = 0, at = start; w < wires; w++, at += wireStride) out[at] = source[at] as number;
      continue;
    }
    for (let w = 0, at = start; w < wires; w++, at += wireStride) {
      const outward = at + stepStride;
      out[at] = (source[at] as number) + (transmission[outward] as number) * (out[outward] as number);
    }
  }
  for (let s = 0; s < steps; s++) {
    const start = origin + s * stepStride;
    for (let w = 0, at = start; w < wires; w++, at += wireStride) {
      const inward = s === 0 ? 0 : (out[at - stepStride] as number);
      out[at] = (transmission[at] as number) * inward + (localOhm[at] as number) * (out[at] as number);
    }
  }
}

/**
 * What each node receives too much, A: `injected` plus the currents of its links, by Ohm's law from the voltages.
 * Nodes tied by links of 0 ohm are one node; its sum is written at the member nearest the terminal, and a node tied to
 * the terminal itself has no law to fulfil. Overwrites `injected` with the result.
 */
export function subtractLinkCurrents(ladder: Ladder, volts: Float64Array, injected: Float64Array): void {
  const { steps, wires, stepStride, wireStride, origin, linkOhm } = ladder;
  for (let w = 0; w < wires; w++) {
    const near = origin + w * wireStride;
    for (let s = steps - 1, at = near + s * stepStride; s >= 0; s--, at -= stepStride) {
      const inward = s === 0 ? 0 : (volts[at - stepStride] as number);
      const r = linkOhm[at] as number;
      if (r > 0) {
        const towardTerminal = ((volts[at] as number) - inward) / r;
        injected[at] = (injected[at] as number) - towardTerminal;
        if (s > 0) injected[at - stepStride] = (injected[at - stepStride] as number) + towardTerminal;
      } else {
        if (s > 0) injected[at - stepStride] = (injected[at - stepStride] as number) + (injected[at] as number);
        injected[at] = 0;
      }
    }
  }
}
