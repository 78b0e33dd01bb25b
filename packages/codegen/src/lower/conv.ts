/**
 * Convolutions, as products by implicit addressing: no im2col.
 *
 * The input stands with zeros around its planes and one shared run of zeros between rows, so for output position
 * n = y · pitch + x every (channel, tap) is one constant byte offset: row k of B. An output of the same pitch is written in
 * one call over all positions of a plane; the columns computed between its rows are garbage and become zeros again. With
 * strides the input is first taken apart into its phases, over which the convolution has stride 1.
 */
import { applyPattern, blockGrid, coverOn } from '@grim/bcr';
import type { NodeOf, Weight } from '@grim/ir';
import { addDepthwise } from '../kernels/depthwise.ts';
import type { FusedEpilogue, LowerContext, Lowerings, TypeContext } from '../lower.ts';
import { binary, type Expression, load, real } from '../map/expression.ts';
import { sizeOf, view } from '../map/placement.ts';
import type { Address, Padding, Placement } from '../program.ts';
import { depthwiseTwin } from '../wgsl/planes.ts';
import { kernelOfFamily } from './kernel-of-family.ts';
import { dot, phases, type Source, spatial } from './phases.ts';
import { type PlacedProduct, packProduct, placeProduct } from './product.ts';
import type { Product } from './product-form.ts';
import { piecesOf, ranges } from './share.ts';
import { type Window, windowOf } from './window.ts';

/** Multiply-adds of a depthwise convolution in a cycle. */
const DEPTHWISE_SPEED = 3;

/** What `pitch.ts` makes of it gives the output rows of the same distance. */
function wants(node: NodeOf<'Conv'>, c: TypeContext): readonly { readonly value: string; readonly padding: Padding }[] {
  const [x = ''] = node.inputs;
  if (c.type(x).dtype !== 'float32') return [];
  const { before, after } = windowOf(node, c);
  if (before.every((n) => n === 0) && after.every((n) => n === 0)) return [];
  return [{ value: x, padding: { before, after } }];
}

function lowerConv(node: NodeOf<'Conv'>, c: LowerContext): void {
  const [inputName = '', weightName = '', biasName = ''] = node.inputs;
  const [outputName = ''] = node.outputs;
  const weight = c.constant(weightName);
  const bias = biasName === '' ? undefined : c.constant(biasName);
  if (c.type(inputName).dtype !== 'float32')
    c.unsupported(`element type ${c.type(inputName).dtype}`, 'float32, float16, bfloat16');
  const known = weight !== undefined && (biasName === '' || bias !== undefined);
  const window = windowOf(node, c);
  const epilogue = c.epilogue(outputName);
  const out = c.write(epilogue.output);
  if (out.shape.includes(0)) return;
  const x = c.padded(inputName, { before: window.before, after: window.after });
  const source = phases(c, x, window, out);
  const outer = spatial(out.strides);
  // Axes of length 1 have no stride that matters.
  const sameWalk = outer.every((stride, i) => stride === source.strides[i] || (out.shape[2 + i] ?? 1) === 1);
  const target = sameWalk ? out : scratchLike(c, out, source.strides);
  const residual = epilogue.residual === undefined ? undefined : c.read(epilogue.residual);
  const fused = sameWalk && (!residual || sameStrides(residual, out));
  const inKernel: FusedEpilogue['activation'] = fused || !residual ? epilogue.activation : 'none';

  const n = columns(target, sameWalk, flatLength(out.shape, source.strides));
  const task: Task = { c, window, source, target, residual: fused ? residual : undefined, activation: inKernel, n };
  if (known) lowerConstant(task, weight, bias, out.shape[1] ?? 1);
  else lowerComputed(task, c.contiguous(weightName), biasName === '' ? undefined : c.contiguous(biasName));
  if (sameWalk) {
    c.zeroBorders(out);
    if (!fused && residual) c.store(finished(load(out), load(residual), epilogue.activation), out);
  } else {
    const sums = load(view(target, { shape: out.shape, strides: target.strides }));
    c.store(residual ? finished(sums, load(residual), epilogue.activation) : sums, out);
  }
}

export function finished(
  sum: Expression,
  residual: Expression | undefined,
  activation: FusedEpilogue['activation'],
): Expression {
  const total = residual ? binary('add', sum, residual) : sum;
  if (activation === 'none') return total;
  if (activation === 'relu') return binary('max', total, real('f32', 0));
  return binary('min', binary('max', total, real('f32', activation.min)), real('f32', activation.max));
}

export interface Task {
  readonly c: LowerContext;
  readonly window: Window;
  readonly source: Source;
  readonly target: Placement;
  readonly residual: Placement | undefined;
  readonly activation: FusedEpilogue['activation'];
  /** Flat positions of one plane. */
  readonly n: number;
}

export function lowerConstant(task: Task, weight: Weight, bias: Weight | undefined, outputs: number): void {
  const { window, source, target, n, c } = task;
  const { group } = window;
  const whole = { rows: outputs, cols: weight.data.length / outputs, data: weight.data as Float32Array };
  const data = weight.pattern && group > 1 ? applyPattern(whole, weight.pattern).data : whole.data;
  const biases = bias?.data as Float32Array | undefined;
  const rows = outputs / group;
  const { cols } = whole;
  if (group > 1 && cols === window.taps.length) {
    lowerDepthwise(task, data, biases, outputs);
    return;
  }
  for (let g = 0; g < group; g++) {
    const matrix = { rows, cols, data: data.subarray(g * rows * cols, (g + 1) * rows * cols) };
    // Blocks of the whole matrix may lie across two groups: those of a group begin anew with its rows.
    const own = weight.pattern && blockGrid(rows, cols, weight.pattern.grid.blockRows, weight.pattern.grid.blockCols);
    const product = placeProduct(
      c,
      {
        matrix,
        pattern: own && group > 1 ? coverOn(matrix, own).pattern : weight.pattern,
        bias: biases?.subarray(g * rows, (g + 1) * rows),
        ...addressing(source, target, window, task.activation),
        residual: task.residual !== undefined,
      },
      n,
    );
    callGroup(task, product, rows, cols, g);
  }
}

export function lowerComputed(task: Task, weight: Placement, bias: Placement | undefined): void {
  const { window, source, target, c } = task;
  const [outputs = 0] = weight.shape;
  const rows = outputs / window.group;
  const cols = sizeOf(weight.shape) / Math.max(outputs, 1);
  for (let g = 0; g < window.group; g++) {
    const a = view(weight, { offset: weight.offset + 4 * g * rows * cols, shape: [rows, cols], strides: [cols, 1] });
    const part = bias && view(bias, { offset: bias.offset + 4 * g * rows, shape: [rows], strides: [1] });
    callGroup(task, packProduct(c, a, part, addressing(source, target, window, task.activation)), rows, cols, g);
  }
}

function addressing(
  source: Source,
  target: Placement,
  { taps }: Window,
  activation: FusedEpilogue['activation'],
): Pick<Product, 'xOffset' | 'plane' | 'yRow' | 'activation'> {
  const count = taps.length;
  return {
    activation,
    xOffset: (k) => 4 * (Math.floor(k / count) * source.channelStride + (source.tapOffsets[k % count] ?? 0)),
    plane: 4 * source.channelStride,
    yRow: 4 * (target.strides[1] ?? 0),
  };
}

function callGroup(task: Task, product: PlacedProduct, rows: number, cols: number, g: number): void {
  const { c, source, target, residual, n, window } = task;
  const channels = cols / window.taps.length;
  for (let batch = 0; batch < (target.shape[0] ?? 1); batch++) {
    const from = at(source, 4 * (batch * source.batchStride + g * channels * source.channelStride));
    product.call(c, n, from, element(target, batch, g * rows), residual && element(residual, batch, g * rows));
  }
}

function lowerDepthwise(task: Task, data: Float32Array, bias: Float32Array | undefined, outputs: number): void {
  const { c, source, target, residual, activation, n, window } = task;
  const taps = window.taps.length;
  const multiplier = outputs / window.group;
  c.note(`${outputs}×${taps}×${n}: depthwise, as each of the ${window.group} groups has one input channel`);
  c.note('its windows stay dense whatever is pruned; with several input channels in a group it would be a product');
  const offsets = c.data(Int32Array.from(source.tapOffsets, (offset) => 4 * offset));
  const epilogue = { activation, residual: residual !== undefined };
  const kernel = kernelOfFamily(
    'f32_depthwise',
    activation,
    epilogue.residual,
    (module, family, exported) => addDepthwise(module, { ...family, epilogue, exported }),
    depthwiseTwin(epilogue),
  );
  const pieces = piecesOf(c, (window.group * n * taps) / DEPTHWISE_SPEED);
  for (let j = 0; j < multiplier; j++) {
    // Per channel: its bias, then its taps.
    const packed = new Float32Array(window.group * (taps + 1));
    for (let g = 0; g < window.group; g++) {
      const output = g * multiplier + j;
      packed[g * (taps + 1)] = bias?.[output] ?? 0;
      packed.set(data.subarray(output * taps, (output + 1) * taps), g * (taps + 1) + 1);
    }
    const weights = c.data(packed, 'weights');
    c.parallel(() => {
      for (let batch = 0; batch < (target.shape[0] ?? 1); batch++)
        for (const { first, count } of ranges(window.group, 1, pieces))
          c.call(
            kernel,
            n,
            at(source, 4 * (batch * source.batchStride + first * source.channelStride)),
            element(target, batch, first * multiplier + j),
            4 * source.channelStride,
            4 * multiplier * (target.strides[1] ?? 0),
            residual ? element(residual, batch, first * multiplier + j) : 0,
            count,
            at(weights, 4 * first * (taps + 1)),
            offsets,
            taps,
          );
    });
  }
}

/** Room for the output with other distances between its rows. */
export function scratchLike(c: LowerContext, out: Pick<Placement, 'shape'>, strides: readonly number[]): Placement {
  const [batches = 1, channels = 1] = out.shape;
  const plane = 8 * Math.ceil(flatLength(out.shape, strides) / 8);
  const at = c.scratch(4 * plane * channels * batches);
  return { ...at, dtype: 'float32', shape: out.shape, strides: [plane * channels, plane, ...strides] };
}

/**
 * Positions to compute: all of a plane, rounded up to whole tiles of 8 where what is written behind the last row falls on
 * zeros that are made anew afterwards (or on room of its own), so that no narrower tile walks the weights again.
 */
function columns(target: Placement, isOutput: boolean, n: number): number {
  const whole = 8 * Math.ceil(n / 8);
  if (!isOutput) return whole;
  const { padding, strides } = target;
  if (!padding) return whole <= (strides[1] ?? 0) ? whole : n;
  if (padding.before.length < 2) return n;
  // Behind the last row: the gap, the zero rows below, and those above the next plane; behind the last plane, slack.
  const rows = (padding.before[0] ?? 0) + (padding.after[0] ?? 0);
  return whole - n <= rows * (strides[2] ?? 0) ? whole : n;
}

/** Elements from the first position of a plane to just behind its last. */
export function flatLength(shape: readonly number[], strides: readonly number[]): number {
  return (
    1 +
    dot(
      spatial(shape).map((length) => length - 1),
      strides,
    )
  );
}

function at(of: Address, bytes: number): Address {
  return { buffer: of.buffer, offset: of.offset + bytes };
}

function element(of: Placement, batch: number, channel: number): Address {
  return at(of, 4 * (batch * (of.strides[0] ?? 0) + channel * (of.strides[1] ?? 0)));
}

function sameStrides(a: Placement, b: Placement): boolean {
  return a.shape.every((length, axis) => length === 1 || a.strides[axis] === b.strides[axis]);
}

export const convLowerings: Lowerings = { Conv: { wants, lower: lowerConv } };
