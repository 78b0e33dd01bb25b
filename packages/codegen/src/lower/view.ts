/** Operators that only say how the same elements are read: they cost nothing when the model runs. */
import { invariant, type Node } from '@grim/ir';
import type { AnyLowering, LowerContext, Lowerings } from '../lower.ts';
import { broadcastTo, dense, reshape, transpose } from '../map/placement.ts';

/** The output has the input's elements in the same order. */
const sameOrder: AnyLowering = {
  lower: (node: Node, c: LowerContext) => {
    const [input = ''] = node.inputs;
    const [output = ''] = node.outputs;
    const { shape } = c.type(output);
    const view = reshape(c.read(input), shape) ?? reshape(c.contiguous(input), shape);
    invariant(view, 'row-major elements take any shape');
    c.view(output, view);
  },
};

export const viewLowerings: Lowerings = {
  Dropout: {
    lower: (node, c) => {
      const [input = ''] = node.inputs;
      const [output = '', mask = ''] = node.outputs;
      if (output !== '') c.view(output, c.read(input));
      if (mask !== '') c.fill(c.write(mask), { dtype: 'bool', shape: [], data: Uint8Array.of(1) });
    },
  },
  Expand: {
    lower: (node, c) => {
      const [input = ''] = node.inputs;
      const [output = ''] = node.outputs;
      c.view(output, broadcastTo(c.read(input), c.type(output).shape));
    },
  },
  Flatten: sameOrder,
  Identity: sameOrder,
  Reshape: sameOrder,
  Shape: {
    lower: (node, c) => {
      const { shape } = c.type(node.inputs[0] ?? '');
      const [output = ''] = node.outputs;
      const { start, end } = node.attributes;
      const lengths = BigInt64Array.from(shape.slice(start, end).map(BigInt));
      c.view(output, dense(c.data(lengths), 'int64', [lengths.length]));
    },
  },
  Size: {
    lower: (node, c) => {
      const { shape } = c.type(node.inputs[0] ?? '');
      const size = shape.reduce((all, dim) => all * dim, 1);
      c.view(node.outputs[0] ?? '', dense(c.data(BigInt64Array.of(BigInt(size))), 'int64', []));
    },
  },
  Squeeze: sameOrder,
  Transpose: {
    lower: (node, c) => {
      const source = c.read(node.inputs[0] ?? '');
      const reversed = source.shape.map((_, axis) => source.shape.length - 1 - axis);
      c.view(node.outputs[0] ?? '', transpose(source, node.attributes.perm ?? reversed));
    },
  },
  Unsqueeze: sameOrder,
};
