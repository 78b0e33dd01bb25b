/**
 * Strided windows: the input taken apart into its phases, so that a window moves by one over each.
 *
 * With stride s, tap t of an axis always meets elements of phase t mod s. Each phase that a tap uses is copied into planes
 * of its own, once for all taps and output channels; stride 1 needs no copy.
 */
import { addHalve } from '../kernels/halve.ts';
import type { LowerContext } from '../lower.ts';
import { dense, slice } from '../map/placement.ts';
import type { Address, Kernel, Placement } from '../program.ts';
import { halveTwin } from '../wgsl/planes.ts';
import type { Window } from './window.ts';

/** Input planes over which the window moves by one. Strides in elements. */
export interface Source extends Address {
  readonly batchStride: number;
  readonly channelStride: number;
  /** Of the spatial axes. */
  readonly strides: readonly number[];
  /** For each tap of the window, elements from output position 0 to the input element it meets. */
  readonly tapOffsets: readonly number[];
}

export function phases(
  c: LowerContext,
  x: Placement,
  window: Window,
  out: Pick<Placement, 'shape' | 'strides'>,
): Source {
  const { taps, strides, before } = window;
  const own = spatial(x.strides);
  const [batchStride = 0, channelStride = 0] = x.strides;
  if (strides.every((s) => s === 1))
    return {
      buffer: x.buffer,
      offset: x.offset,
      batchStride,
      channelStride,
      strides: own,
      tapOffsets: taps.map((tap) =>
        dot(
          tap.map((t, i) => t - (before[i] ?? 0)),
          own,
        ),
      ),
    };
  // Tap t of an axis with stride s meets phase t mod s, shifted by ⌊t / s⌋.
  const shifts = taps.map((tap) => tap.map((t, i) => Math.floor(t / (strides[i] ?? 1))));
  const lengths = spatial(out.shape).map((length, i) => length + Math.max(...shifts.map((shift) => shift[i] ?? 0)));
  const wanted = spatial(out.strides);
  const planes = lengths.map(() => 1);
  for (let i = lengths.length - 2; i >= 0; i--) {
    const inner = planes[i + 1] ?? 1;
    const least = inner * (lengths[i + 1] ?? 1);
    const same = wanted[i] ?? 0;
    planes[i] = (wanted[i + 1] ?? 1) === inner && same >= least ? same : least;
  }
  const plane = (planes[0] ?? 1) * (lengths[0] ?? 1);
  const keys = taps.map((tap) => tap.map((t, i) => t % (strides[i] ?? 1)));
  const used = [...new Map(keys.map((phase) => [phase.join(), phase])).values()];
  const [batches = 1, channels = 1] = x.shape;
  const set = plane * channels;
  const buffer = c.scratch(4 * set * used.length * batches);
  const reachOf = (phase: readonly number[]) =>
    lengths.map((_, i) => {
      const most = Math.max(...shifts.filter((_, t) => keys[t]?.join() === phase.join()).map((shift) => shift[i] ?? 0));
      return (out.shape[2 + i] ?? 1) + most;
    });
  const paired = new Set<readonly number[]>();
  used.forEach((phase, index) => {
    if (paired.has(phase)) return;
    const next = x.shape.length === 4 && strides[1] === 2 ? used[index + 1] : undefined;
    const odd = next && next[0] === phase[0] && next[1] === (phase[1] ?? 0) + 1 ? next : undefined;
    if (odd) paired.add(odd);
    const reach = [phase, ...(odd ? [odd] : [])].map(reachOf).reduce((a, b) => a.map((n, i) => Math.max(n, b[i] ?? 0)));
    const from = slice(
      x,
      [0, 0, ...phase.map((p, i) => p - (before[i] ?? 0))],
      [batches, channels, ...reach],
      [1, 1, ...strides],
    );
    const to: Placement = {
      ...dense(buffer, 'float32', [batches, channels, ...reach]),
      offset: 4 * index * set,
      strides: [set * used.length, plane, ...planes],
    };
    if (odd) takeApart(c, from, to, 4 * set);
    else c.copy(from, to);
  });
  return {
    ...buffer,
    batchStride: set * used.length,
    channelStride: plane,
    strides: planes,
    tapOffsets: taps.map((_, t) => {
      const index = used.findIndex((phase) => phase.join() === keys[t]?.join());
      return index * set + dot(shifts[t] ?? [], planes);
    }),
  };
}

/** Even and odd elements of rows at once; the odd ones go `apart` bytes further. */
function takeApart(c: LowerContext, from: Placement, to: Placement, apart: number): void {
  const [batches = 1, channels = 1, rows = 1, n = 1] = to.shape;
  const [xBatch = 0, xChannel = 0, xRow = 0] = from.strides;
  const [yBatch = 0, yChannel = 0, yRow = 0] = to.strides;
  const kernel: Kernel = {
    name: 'f32_halve',
    emit: (module, _family, exported) => addHalve(module, exported),
    twin: halveTwin,
  };
  for (let batch = 0; batch < batches; batch++) {
    const target = to.offset + 4 * batch * yBatch;
    c.call(
      kernel,
      { buffer: from.buffer, offset: from.offset + 4 * batch * xBatch },
      { buffer: to.buffer, offset: target },
      { buffer: to.buffer, offset: target + apart },
      n,
      rows,
      channels,
      4 * xRow,
      4 * yRow,
      4 * (xChannel - rows * xRow),
      4 * (yChannel - rows * yRow),
    );
  }
}

export const spatial = (list: readonly number[]): readonly number[] => list.slice(2);

export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
}
