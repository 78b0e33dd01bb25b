/** Convolutions of ResNet-18 and VGG-16, each as a graph of its own, weights and patterns made from a seed. */
import { applyPattern } from '@grim/bcr';
import { type BcrPattern, type Graph, type GraphBuilder, graph } from '@grim/ir';
import { randomMatrix, syntheticPattern } from '../kernels/workload.ts';

export interface Layer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  /** Of both sides of the output, and of the input: stride 1, kernels of 3×3, padded. */
  readonly size: number;
}

export const LAYERS: readonly Layer[] = [
  { name: 'ResNet-18 stage 1', inputs: 64, outputs: 64, size: 56 },
  { name: 'ResNet-18 stage 2', inputs: 128, outputs: 128, size: 28 },
  { name: 'ResNet-18 stage 3', inputs: 256, outputs: 256, size: 14 },
  { name: 'ResNet-18 stage 4', inputs: 512, outputs: 512, size: 7 },
  { name: 'VGG-16 conv2_2', inputs: 128, outputs: 128, size: 112 },
  { name: 'VGG-16 conv3_1', inputs: 128, outputs: 256, size: 56 },
  { name: 'VGG-16 conv3_2', inputs: 256, outputs: 256, size: 56 },
  { name: 'VGG-16 conv4_1', inputs: 256, outputs: 512, size: 28 },
  { name: 'VGG-16 conv4_2', inputs: 512, outputs: 512, size: 28 },
  { name: 'VGG-16 conv5_1', inputs: 512, outputs: 512, size: 14 },
];

/** Undefined: dense. */
export type PatternOf = (rows: number, cols: number) => BcrPattern | undefined;

export function blocks(blockRows: number, blockCols: number, compression: number): PatternOf {
  return (rows, cols) =>
    syntheticPattern(rows, cols, blockRows, Math.min(blockCols, cols), compression, rows + cols + blockRows);
}

/** The layers side by side: an input and an output each. */
export function layersGraph(layers: readonly Layer[], patternOf: PatternOf): Graph {
  return graph('layers', (b) => {
    for (const layer of layers) addLayer(b, layer, patternOf);
  });
}

function addLayer(b: GraphBuilder, { name, inputs, outputs, size }: Layer, patternOf: PatternOf): void {
  const cols = 9 * inputs;
  const matrix = randomMatrix(outputs, cols, outputs + cols);
  const pattern = patternOf(outputs, cols);
  const data = (pattern ? applyPattern(matrix, pattern) : matrix).data as Float32Array<ArrayBuffer>;
  const shape = [outputs, inputs, 3, 3];
  const w = b.weight(`${name}, weights`, { dtype: 'float32', shape, data, ...(pattern && { pattern }) });
  const x = b.input(`${name}, input`, 'float32', [1, inputs, size, size]);
  const y = b.add('Conv', [x, w], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
  b.output(name, b.add('Relu', [y]));
}
