/** What the manifest says of layers: a weight that a node multiplies as a matrix, its kernel, and which calls compute it. */
import { density } from '@grim/bcr';
import { gemmView, type LayerInfo, type Node, type TypeLookup, type Weight } from '@grim/ir';
import { type Call, callsOf, type Step } from '../program.ts';

/** The layers of a node from the steps that it was lowered to; none where nothing is multiplied or no step is left. */
export function layersOf(
  node: Node,
  constant: (name: string) => Weight | undefined,
  types: TypeLookup,
  steps: readonly Step[],
): readonly LayerInfo[] {
  const kernel = productsOf(callsOf(steps));
  return node.inputs.flatMap((name, input): readonly LayerInfo[] => {
    const weight = name === '' ? undefined : constant(name);
    const view = weight && gemmView(node, input, types);
    if (!view || kernel === '') return [];
    const { m, k, n = 0 } = view;
    const { pattern } = weight;
    const share = pattern ? density(pattern) : 1;
    const grid = pattern && { grid: pattern.grid };
    return [{ node: node.name, op: node.op, m, k, n, ...grid, density: share, kernel, macs: m * k * n }];
  });
}

/** The kernels that walk weights; where none does (they were packed as tables), the one with the most constants. */
function productsOf(calls: readonly Call[]): string {
  const walking = calls.filter(({ args }) => args.some((arg) => typeof arg !== 'number' && arg.buffer.weights));
  const bytes = ({ args }: Call): number =>
    args.reduce((sum: number, arg) => sum + (typeof arg === 'number' ? 0 : (arg.buffer.constant?.length ?? 0)), 0);
  const heaviest = calls.toSorted((a, b) => bytes(b) - bytes(a)).slice(0, 1);
  const names = (walking.length > 0 ? walking : heaviest).map(({ kernel }) => kernel.name);
  return [...new Set(names)].join(' + ');
}

/** With the calls that compute each: those of its own node, where they follow one another. */
export function withCalls(layers: readonly LayerInfo[], steps: readonly Step[]): readonly LayerInfo[] {
  const ranges = new Map<string, { first: number; end: number; count: number }>();
  for (const [i, { nodes }] of callsOf(steps).entries()) {
    const [node] = nodes;
    const range = node === undefined ? undefined : ranges.get(node);
    if (range) {
      range.end = i + 1;
      range.count++;
    } else if (node !== undefined) ranges.set(node, { first: i, end: i + 1, count: 1 });
  }
  return layers.map((layer) => {
    const { first, end, count } = ranges.get(layer.node) ?? { first: 0, end: 0, count: -1 };
    return end - first === count ? { ...layer, calls: [first, end] } : layer;
  });
}
