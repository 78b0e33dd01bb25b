/**
 * Transposed convolutions, as one convolution for each phase of the output.
 *
 * With stride s, output positions of phase p = o mod s are met by the taps t with (p + before − t · dilation) mod s = 0 and
 * no others: each phase is a convolution of stride 1 over the input, with those taps, so no product with an inserted zero
 * is computed. Its results are copied to every s-th place of the output.
 */
import { cover } from '@grim/bcr';
import type { BcrPattern, NodeOf, Weight } from '@grim/ir';
import type { LowerContext, Lowerings, TypeContext } from '../lower.ts';
import { load } from '../map/expression.ts';
import { broadcastTo, dense, sizeOf, slice, view } from '../map/placement.ts';
import type { Padding, Placement } from '../program.ts';
import { finished, flatLength, lowerComputed, lowerConstant, scratchLike, type Task } from './conv.ts';
import { dot, type Source, spatial } from './phases.ts';

type ConvTranspose = NodeOf<'ConvTranspose'>;

interface Phase {
  /** First output position of each spatial axis; the others follow in steps of the strides. */
  readonly first: readonly number[];
  readonly lengths: readonly number[];
  /** Numbers of the taps, row-major over the kernel. */
  readonly taps: readonly number[];
  /** By tap: from output position 0 of the phase to the input position it meets. */
  readonly shifts: readonly (readonly number[])[];
}

interface Plan {
  readonly strides: readonly number[];
  readonly phases: readonly Phase[];
  readonly padding: Padding;
}

/** All choices of one item per list. */
function product<T>(lists: readonly (readonly T[])[]): readonly (readonly T[])[] {
  return lists.reduce<readonly (readonly T[])[]>(
    (all, list) => all.flatMap((row) => list.map((item) => [...row, item])),
    [[]],
  );
}

const upTo = (length: number): readonly number[] => Array.from({ length }, (_, i) => i);

function planOf(node: ConvTranspose, c: TypeContext): Plan {
  const [x = '', w = ''] = node.inputs;
  const [y = ''] = node.outputs;
  const { attributes: a } = node;
  const input = spatial(c.type(x).shape);
  const output = spatial(c.type(y).shape);
  const kernel = spatial(c.type(w).shape);
  const strides = a.strides ?? input.map(() => 1);
  const dilations = a.dilations ?? input.map(() => 1);
  const follows = a.output_shape !== undefined || a.auto_pad.startsWith('SAME');
  const before = input.map((length, i) => {
    if (!follows) return a.pads?.[i] ?? 0;
    const extent = ((kernel[i] ?? 1) - 1) * (dilations[i] ?? 1) + 1;
    const full = (strides[i] ?? 1) * (length - 1) + (a.output_padding?.[i] ?? 0) + extent;
    const total = Math.max(full - (output[i] ?? 0), 0);
    return a.auto_pad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
  });
  const taps = product(kernel.map(upTo));
  const phases = product(strides.map((s, i) => upTo(Math.min(s, output[i] ?? 0)))).map((first): Phase => {
    const met: number[] = [];
    const shifts: number[][] = [];
    taps.forEach((tap, number) => {
      const shift = tap.map(
        (t, i) => ((first[i] ?? 0) + (before[i] ?? 0) - t * (dilations[i] ?? 1)) / (strides[i] ?? 1),
      );
      if (!shift.every(Number.isInteger)) return;
      met.push(number);
      shifts.push(shift);
    });
    const lengths = first.map((p, i) => Math.ceil(((output[i] ?? 0) - p) / (strides[i] ?? 1)));
    return { first, lengths, taps: met, shifts };
  });
  const most = (of: (phase: Phase, i: number) => number, i: number) =>
    Math.max(0, ...phases.filter(({ shifts }) => shifts.length > 0).map((phase) => of(phase, i)));
  const padding = {
    before: input.map((_, i) => most(({ shifts }, axis) => Math.max(...shifts.map((s) => -(s[axis] ?? 0))), i)),
    // A row of the phase must also fit between two rows of the input.
    after: input.map((length, i) =>
      most(
        ({ shifts, lengths }, axis) => (lengths[axis] ?? 0) - length + Math.max(0, ...shifts.map((s) => s[axis] ?? 0)),
        i,
      ),
    ),
  };
  return { strides, phases, padding };
}

function wants(node: ConvTranspose, c: TypeContext): readonly { readonly value: string; readonly padding: Padding }[] {
  const [x = ''] = node.inputs;
  if (c.type(x).dtype !== 'float32') return [];
  const { padding } = planOf(node, c);
  return [...padding.before, ...padding.after].some((n) => n > 0) ? [{ value: x, padding }] : [];
}

function lowerConvTranspose(node: ConvTranspose, c: LowerContext): void {
  const [xName = '', wName = '', biasName = ''] = node.inputs;
  const { dtype } = c.type(xName);
  if (dtype !== 'float32') c.unsupported(`element type ${dtype}`, 'float32, float16, bfloat16');
  const { group } = node.attributes;
  const plan = planOf(node, c);
  const epilogue = c.epilogue(node.outputs[0] ?? '');
  const out = c.write(epilogue.output);
  if (sizeOf(out.shape) === 0) return;
  const residual = epilogue.residual === undefined ? undefined : c.read(epilogue.residual);
  const [batches = 1, outputs = 1] = out.shape;
  const x = c.padded(xName, plan.padding);
  const weight = c.constant(wName);
  const bias = biasName === '' ? undefined : c.constant(biasName);
  const known = weight !== undefined && (biasName === '' || bias !== undefined);
  const w = known ? undefined : c.contiguous(wName);
  // Constants are only placed where a kernel does not hold them already.
  const placedBias = () => (biasName === '' ? undefined : c.contiguous(biasName));
  for (const phase of plan.phases) {
    const shape = [batches, outputs, ...phase.lengths];
    if (shape.includes(0)) continue;
    const part = (of: Placement) => slice(of, [0, 0, ...phase.first], shape, [1, 1, ...plan.strides]);
    if (phase.taps.length === 0) {
      // No tap meets these positions: they hold the bias.
      const none = { ...c.data(new Float32Array(1)), dtype: 'float32', shape: [], strides: [] } as const;
      const flat = phase.lengths.map(() => 0);
      const biasAt = placedBias();
      const values = biasAt ? view(biasAt, { shape, strides: [0, 1, ...flat] }) : broadcastTo(none, shape);
      c.store(finished(load(values), residual && load(part(residual)), epilogue.activation), part(out));
      continue;
    }
    const source = sourceOf(x, phase);
    const target = scratchLike(c, { shape }, source.strides);
    const task: Task = {
      c,
      window: {
        group,
        kernel: [],
        strides: [],
        dilations: [],
        before: [],
        after: [],
        taps: phase.taps.map((tap) => [tap]),
      },
      source,
      target,
      residual: undefined,
      activation: residual ? 'none' : epilogue.activation,
      n: flatLength(shape, source.strides),
    };
    if (known) lowerConstant(task, weightOf(weight, group, phase), bias, outputs);
    else if (w) lowerComputed(task, computedWeight(c, w, group, phase), placedBias());
    const sums = load(view(target, { shape, strides: target.strides }));
    c.store(residual ? finished(sums, load(part(residual)), epilogue.activation) : sums, part(out));
  }
}

function sourceOf(x: Placement, phase: Phase): Source {
  const [batchStride = 0, channelStride = 0] = x.strides;
  const strides = spatial(x.strides);
  const { buffer, offset } = x;
  return { buffer, offset, batchStride, channelStride, strides, tapOffsets: phase.shifts.map((s) => dot(s, strides)) };
}

/** From [C, M / group, taps] to [M, C / group, taps of the phase]. */
function weightOf(weight: Weight, group: number, { taps }: Phase): Weight {
  const [channels = 0, perGroup = 0] = weight.shape;
  const count = sizeOf(spatial(weight.shape));
  const own = channels / group;
  const from = weight.data as Float32Array;
  const data = new Float32Array(channels * perGroup * taps.length);
  let at = 0;
  for (let m = 0; m < perGroup * group; m++)
    for (let i = 0; i < own; i++) {
      const row = (Math.floor(m / perGroup) * own + i) * perGroup + (m % perGroup);
      for (const tap of taps) data[at++] = from[row * count + tap] ?? 0;
    }
  const shape = [perGroup * group, own, taps.length];
  const pattern = weight.pattern && patternOf(shape, data);
  return { dtype: 'float32', shape, data, ...(pattern ? { pattern } : {}) };
}

/**
 * The zeros of a phase as a pattern of its own: a row is an output channel, where the weight's has one for each tap too. Of
 * the covers that keep little more than there is, the one with the tallest blocks.
 */
function patternOf([rows = 0, channels = 0, taps = 0]: readonly number[], data: Float32Array): BcrPattern | undefined {
  const cols = channels * taps;
  if (rows === 0 || cols === 0) return undefined;
  const covers = cover({ rows, cols, data });
  const least = Math.min(...covers.map(({ density }) => density));
  const close = covers.filter(({ density }) => density <= least * 1.25);
  return close.reduce((best, next) => (isTaller(next.pattern, best.pattern) ? next : best)).pattern;
}

function isTaller({ grid: a }: BcrPattern, { grid: b }: BcrPattern): boolean {
  return a.blockRows > b.blockRows || (a.blockRows === b.blockRows && a.blockCols > b.blockCols);
}

/** The same of a weight that is computed, by one copy for each tap and group. */
function computedWeight(c: LowerContext, w: Placement, group: number, { taps }: Phase): Placement {
  const [channels = 0, perGroup = 0] = w.shape;
  const count = sizeOf(spatial(w.shape));
  const own = channels / group;
  const to = dense(c.scratch(4 * channels * perGroup * taps.length), 'float32', [group, perGroup, own, taps.length]);
  const from = view(w, {
    shape: [group, perGroup, own, count],
    strides: [own * perGroup * count, count, perGroup * count, 1],
  });
  taps.forEach((tap, t) => {
    const shape = [group, perGroup, own, 1];
    c.copy(slice(from, [0, 0, 0, tap], shape), slice(to, [0, 0, 0, t], shape));
  });
  return dense(to, 'float32', [group * perGroup, own, taps.length]);
}

export const convTransposeLowerings: Lowerings = { ConvTranspose: { wants, lower: lowerConvTranspose } };
