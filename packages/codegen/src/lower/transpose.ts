/** Copies that turn a matrix: rows of the one are columns of the other. */
import { bytesPerElement } from '@grim/ir';
import { addTranspose } from '../kernels/transpose.ts';
import { planLoops } from '../map/loops.ts';
import { broadcastStrides } from '../map/placement.ts';
import type { Kernel, Placement } from '../program.ts';
import { type Caller, piecesOf, ranges, together } from './share.ts';

/** An element is read and written in about this many cycles. */
const ELEMENT_CYCLES = 1.5;

const KERNEL: Kernel = {
  name: 'b32_transpose',
  emit: (module, _family, exported) => addTranspose(module, exported),
};

/** @returns false when the copy is of another kind: nothing has been called then */
export function callTranspose(c: Caller, from: Placement, to: Placement): boolean {
  if (c.gpu || from.dtype !== to.dtype || bytesPerElement(to.dtype) !== 4 || to.shape.includes(0)) return false;
  if (from.buffer === to.buffer) return false;
  const strides = (of: Placement) => broadcastStrides(of, to.shape).map((stride) => 4 * stride);
  const loops = planLoops(to.shape, [
    { bytes: 4, strides: strides(to) },
    { bytes: 4, strides: strides(from) },
  ]);
  const [target, source] = loops.operands.map((operand) => operand.strides);
  if (loops.lengths.length !== 2 || !target || !source) return false;
  // Along the inner axis one of them is dense, along the outer the other.
  const inner = target[1] === 4 && source[0] === 4 ? 1 : target[0] === 4 && source[1] === 4 ? 0 : undefined;
  if (inner === undefined) return false;
  const [columns = 0, rows = 0] = [loops.lengths[inner], loops.lengths[1 - inner]];
  const [xRow = 0, yRow = 0] = [source[inner], target[1 - inner]];
  if (xRow <= 0 || yRow <= 0) return false;
  const pieces = piecesOf(c, ELEMENT_CYCLES * rows * columns);
  // The longer side is cut: pieces read whole lines of the source, or write whole lines of the target, as far as may be.
  const down = ranges(rows, 4, columns > rows ? 1 : pieces);
  const across = ranges(columns, 16, columns > rows ? pieces : 1);
  together(c, pieces, () => {
    for (const { first: top, count: height } of down)
      for (const { first: left, count: width } of across)
        c.call(
          KERNEL,
          { buffer: from.buffer, offset: from.offset + 4 * top + xRow * left },
          { buffer: to.buffer, offset: to.offset + yRow * top + 4 * left },
          height,
          width,
          xRow,
          yRow,
        );
  });
  return true;
}
