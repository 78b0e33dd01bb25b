/** `Col2Im`: each element of the block is added, for all blocks at once, to the places of the image that it covers. */
import { bytesPerElement, type DType, fromReals, type NodeOf, type Tensor } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { binary, load, wrap } from '../map/expression.ts';
import { dense, rowMajor, sizeOf, slice, view } from '../map/placement.ts';
import { workType } from './composition.ts';
import { integersOf } from './rearrange.ts';

function lowerCol2Im(node: NodeOf<'Col2Im'>, c: LowerContext): void {
  const [input = '', , blockName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { dtype, shape } = c.type(output);
  const [batch = 1, channels = 1, ...image] = shape;
  const block = integersOf(c, blockName) ?? [];
  const rank = image.length;
  if (dtype === 'bool') c.unsupported('sums of bool', 'numbers');
  if (sizeOf(shape) === 0) {
    c.write(output);
    return;
  }
  const { dilations, pads, strides } = node.attributes;
  const of = (list: readonly number[] | undefined, i: number, missing: number) => list?.[i] ?? missing;
  const counts = image.map((length, i) => {
    const room = length + of(pads, i, 0) + of(pads, i + rank, 0) - of(dilations, i, 1) * ((block[i] ?? 1) - 1) - 1;
    return Math.floor(room / of(strides, i, 1)) + 1;
  });
  // [batch, channel, element of the block…, block…]
  const split = [batch, channels, ...block, ...counts];
  const columns = view(c.contiguous(input), { shape: split, strides: rowMajor(split) });
  // Narrow floats are summed in float32.
  const work: DType = workType(dtype);
  const to =
    work === dtype ? c.writeContiguous(output) : dense(c.scratch(bytesPerElement(work) * sizeOf(shape)), work, shape);
  c.fill(to, fromReals(work, [], [0]) as Tensor);
  const steps = rowMajor(block);
  for (let element = 0; element < sizeOf(block); element++) {
    const within = block.map((length, i) => Math.floor(element / (steps[i] ?? 1)) % length);
    // Blocks for which this element lies inside the image.
    const ranges = image.map((length, i) => {
      const [stride, start] = [of(strides, i, 1), (within[i] ?? 0) * of(dilations, i, 1) - of(pads, i, 0)];
      const first = Math.max(Math.ceil(-start / stride), 0);
      const last = Math.min(Math.floor((length - 1 - start) / stride), (counts[i] ?? 1) - 1);
      return { first, count: last - first + 1, at: start + first * stride };
    });
    if (ranges.some(({ count }) => count < 1)) continue;
    const lengths = [batch, channels, ...ranges.map(({ count }) => count)];
    const places = slice(to, [0, 0, ...ranges.map(({ at }) => at)], lengths, [
      1,
      1,
      ...image.map((_, i) => of(strides, i, 1)),
    ]);
    const from = slice(
      columns,
      [0, 0, ...within, ...ranges.map(({ first }) => first)],
      [batch, channels, ...block.map(() => 1), ...lengths.slice(2)],
    );
    const covered = view(from, {
      shape: lengths,
      strides: [...from.strides.slice(0, 2), ...from.strides.slice(2 + rank)],
    });
    c.store(wrap(work, binary('add', load(places), load(covered))), places);
  }
  if (work !== dtype) c.store(load(to), c.write(output));
}

export const col2imLowerings: Lowerings = { Col2Im: { lower: lowerCol2Im } };
