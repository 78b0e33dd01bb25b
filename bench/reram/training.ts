/** Training of the crossbar benchmarks: data of calibration alone, Adam, weights that are zero stay zero. */
import { cifarBatch } from '@grim/conformance';
import type { Graph } from '@grim/ir';
import { createTrainer, type Examples, type NodeTrainer } from '@grim/train';
import { DATA, type Network } from './networks.ts';

/** Rate that a cosine falls from. */
export const rateOf = ({ name }: Network): number => (name.startsWith('resnet') ? 0.0005 : 0.001);

export function trainerOf(own: Network, graph: Graph, threads: number): NodeTrainer {
  return createTrainer(graph, { ...examplesOf(own), batch: 50, optimizer: { kind: 'adam' }, seed: 1, threads });
}

/** Keywords: the 500 records; pictures: eight sheets, none of them the test's. */
function examplesOf({
  name,
  shape,
  calibration,
  labels,
}: Network): Pick<Parameters<typeof createTrainer>[1], 'examples' | 'augment' | 'prepare'> {
  if (!name.startsWith('resnet'))
    return {
      examples: { count: labels.length, shape, data: calibration, labels: Uint8Array.from(labels) },
      augment: { noise: 0.3 },
    };
  const sheets = Array.from({ length: 8 }, (_, i) => cifarBatch(DATA, i));
  const data = new Uint8Array(sheets.reduce((sum, { pixels }) => sum + pixels.length, 0));
  let at = 0;
  for (const { pixels } of sheets) {
    data.set(pixels, at);
    at += pixels.length;
  }
  const all = sheets.flatMap((sheet) => sheet.labels);
  const examples: Examples = { count: all.length, shape, data, labels: Uint8Array.from(all) };
  // As `standardised` has the test's; the small network takes pixels as they are.
  const prepare = name.startsWith('resnet8')
    ? { scale: 1 }
    : { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  return { examples, augment: { crop: 4, flip: true }, prepare };
}

/** So many steps under masks, the rate falling to zero. */
export async function trainUnder(
  on: NodeTrainer,
  masks: ReadonlyMap<string, ArrayLike<number>>,
  { steps, rate }: { readonly steps: number; readonly rate: number },
): Promise<Graph> {
  const weights = await on.weights([...masks.keys()]);
  await on.setWeights(
    new Map(Array.from(weights, ([name, w]) => [name, w.map((v, i) => v * (masks.get(name)?.[i] ?? 1))])),
  );
  await on.resetOptimizer();
  await on.train({
    steps,
    rate: (step) => (rate * (1 + Math.cos((Math.PI * step) / steps))) / 2,
    masks: new Map(Array.from(masks, ([name, mask]) => [name, Uint8Array.from(mask)])),
  });
  return on.graph();
}
