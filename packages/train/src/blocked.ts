/**
 * Convolutions of a step graph in the engine's blocked layout: channels in groups of as many as a vector holds, where its
 * fastest kernels are. For constant weights the engine does this by itself; here weights are inputs, so that the reordering
 * of activations and weights is written out.
 *
 * The operators are the engine's own (com.microsoft.nchwc), and the size of a group depends on the processor. So a small
 * convolution is run first, with each size that is known; one that gives wrong numbers, or none, is not used.
 */
import { type Graph, graph, inferTypes, isStatic, type NodeOf } from '@grim/ir';
import type { ExportOptions, ForeignNode } from '@grim/ir/onnx';
import { randomStream } from './random.ts';

const DOMAIN = 'com.microsoft.nchwc';
/** Floats in a vector: AVX2, AVX-512 and Neon, SSE. */
const SIZES = [8, 16, 4];

/** How {@link blockedConvs} is written, for `toOnnx`. */
export type Blocked = Pick<ExportOptions, 'replace' | 'domains'>;

/** Runs a graph written with these options on these inputs: its only output. */
export type Probe = (
  graph: Graph,
  options: Blocked,
  feeds: Readonly<Record<string, { readonly data: Float32Array; readonly shape: readonly number[] }>>,
) => Promise<Float32Array>;

/** Convolutions whose weights are no constants, both numbers of channels multiples of `size`, without groups. */
export function blockedConvs(given: Graph, size: number): Blocked {
  const types = inferTypes(given);
  const shapeOf = (name: string | undefined) => {
    const { dtype, shape } = types.get(name ?? '') ?? given.inputs.get(name ?? '') ?? {};
    return dtype === 'float32' && shape && isStatic(shape) ? shape : undefined;
  };
  return {
    domains: { [DOMAIN]: 1 },
    replace(node) {
      if (node.op !== 'Conv' || given.weights.has(node.inputs[1] ?? '')) return undefined;
      const { group, auto_pad } = node.attributes;
      if (group !== 1 || auto_pad !== 'NOTSET') return undefined;
      const shape = shapeOf(node.inputs[1]);
      if (shape?.length !== 4 || !shapeOf(node.inputs[0])) return undefined;
      const [outputs = 0, inputs = 0] = shape;
      return outputs % size === 0 && inputs % size === 0 ? inBlocks(node, shape, size) : undefined;
    },
  };
}

function inBlocks(node: NodeOf<'Conv'>, shape: readonly number[], size: number): readonly ForeignNode[] {
  const [outputs = 0, inputs = 0, height = 0, width = 0] = shape;
  const [x = '', w = '', ...bias] = node.inputs;
  const [y = ''] = node.outputs;
  const own = (part: string): string => `${y}/blocked/${part}`;
  const { kernel_shape, pads, strides, dilations } = node.attributes;
  const lengths = (part: string, list: readonly number[]): ForeignNode => ({
    ...{ domain: '', op: 'Constant', inputs: [], outputs: [own(part)] },
    attributes: { value_ints: list },
  });
  const step = (
    op: string,
    from: readonly string[],
    to: string,
    attributes: ForeignNode['attributes'] = {},
    domain = '',
  ): ForeignNode => ({ domain, op, inputs: from, outputs: [to], attributes });
  return [
    // OIHW → O/b I/b H W b(I) b(O)
    lengths('split', [outputs / size, size, inputs / size, size, height, width]),
    step('Reshape', [w, own('split')], own('w6')),
    step('Transpose', [own('w6')], own('w'), { perm: [0, 2, 4, 5, 3, 1] }),
    lengths('shape', shape),
    step('Reshape', [own('w'), own('shape')], own('weights')),
    step('ReorderInput', [x], own('x'), {}, DOMAIN),
    step(
      'Conv',
      [own('x'), own('weights'), ...bias],
      own('y'),
      {
        ...{ group: 1, kernel_shape: kernel_shape ?? [height, width] },
        ...(pads && { pads }),
        ...(strides && { strides }),
        ...(dilations && { dilations }),
      },
      DOMAIN,
    ),
    step('ReorderOutput', [own('y')], y, { channels: outputs }, DOMAIN),
  ];
}

let found: Promise<number | undefined> | undefined;

/** The size of a group on this processor; undefined: none is known to be right. */
export function blockSize(probe: Probe): Promise<number | undefined> {
  found ??= search(probe);
  return found;
}

async function search(probe: Probe): Promise<number | undefined> {
  const [channels, side] = [32, 6];
  const random = randomStream(1);
  const numbers = (shape: readonly number[]) => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((all, n) => all * n, 1) }, () => random() - 0.5),
  });
  const feeds = { x: numbers([2, channels, side, side]), w: numbers([channels, channels, 3, 3]) };
  const net = graph('probe', (b) => {
    const [x, w] = [b.input('x', 'float32', feeds.x.shape), b.input('w', 'float32', feeds.w.shape)];
    b.output('y', b.add('Conv', [x, w], { pads: [1, 1, 1, 1] }));
  });
  const wanted = await probe(net, {}, feeds);
  for (const size of SIZES) {
    const got = await probe(net, blockedConvs(net, size), feeds).catch(() => undefined);
    // Sums of 288 products of at most a quarter.
    if (got?.length === wanted.length && got.every((value, i) => Math.abs(value - (wanted[i] as number)) < 1e-4))
      return size;
  }
  return undefined;
}
