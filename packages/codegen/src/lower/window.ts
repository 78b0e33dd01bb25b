/** The window of a convolution or pool: taps, strides and pads with `auto_pad` resolved. */
import type { Node, NodeOf } from '@grim/ir';
import type { TypeContext } from '../lower.ts';

export interface Window {
  readonly group: number;
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly before: readonly number[];
  /** As much as the windows reach, which may be more than the node's pads (`ceil_mode`) or less. */
  readonly after: readonly number[];
  /** Offsets of all taps from the window's first, row-major over the kernel, dilation included. */
  readonly taps: readonly (readonly number[])[];
}

type Convolution = NodeOf<'Conv'> | NodeOf<'ConvInteger'> | NodeOf<'QLinearConv'>;
type Windowed = Convolution | NodeOf<'MaxPool'> | NodeOf<'AveragePool'> | NodeOf<'LpPool'>;

export function windowOf(node: Windowed, c: TypeContext): Window {
  const [x = ''] = node.inputs;
  const w = node.inputs[node.op === 'QLinearConv' ? 3 : 1] ?? '';
  const [y = ''] = (node as Node).outputs;
  const input = c.type(x).shape.slice(2);
  const output = c.type(y).shape.slice(2);
  const { attributes } = node;
  const ones = input.map(() => 1);
  const kernel = attributes.kernel_shape ?? ('group' in attributes ? c.type(w).shape.slice(2) : ones);
  const strides = attributes.strides ?? ones;
  const dilations = attributes.dilations ?? ones;
  const pads = attributes.pads ?? input.flatMap(() => [0, 0]);
  const before: number[] = [];
  const after: number[] = [];
  input.forEach((length, i) => {
    const reach = ((output[i] ?? 1) - 1) * (strides[i] ?? 1) + ((kernel[i] ?? 1) - 1) * (dilations[i] ?? 1) + 1;
    const total = Math.max(0, reach - length);
    let first = pads[i] ?? 0;
    if (attributes.auto_pad === 'SAME_UPPER') first = Math.floor(total / 2);
    else if (attributes.auto_pad === 'SAME_LOWER') first = Math.ceil(total / 2);
    else if (attributes.auto_pad === 'VALID') first = 0;
    before.push(first);
    after.push(Math.max(0, reach - first - length));
  });
  let taps: number[][] = [[]];
  kernel.forEach((length, i) => {
    taps = taps.flatMap((tap) => Array.from({ length }, (_, t) => [...tap, t * (dilations[i] ?? 1)]));
  });
  return { group: 'group' in attributes ? attributes.group : 1, kernel, strides, dilations, before, after, taps };
}
