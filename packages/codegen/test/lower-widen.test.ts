/** Operators with kernels for float32 alone, of the narrow floats. */

import { blockGrid } from '@grim/bcr';
import { graph, patternMask, type Weight } from '@grim/ir';
import { expect, it } from 'vitest';
import { check, random, randomInputs, randomTensor } from './check.ts';

const CLOSE = { float16: { absolute: 4e-2, relative: 2e-3 }, bfloat16: { absolute: 0.5, relative: 2e-2 } } as const;

it('C4: convolutions, pools and recurrent layers of float16 and bfloat16 round once', () => {
  for (const dtype of ['float16', 'bfloat16'] as const) {
    const next = random(3);
    const g = graph(dtype, (b) => {
      const x = b.input('x', dtype, [2, 3, 7, 5]);
      const w = b.weight('w', randomTensor(dtype, [4, 3, 3, 3], next, false));
      const computed = b.input('computed', dtype, [3, 2, 3, 3]);
      b.output('conv', b.add('Conv', [x, w, b.input('bias', dtype, [4])], { pads: [1, 1, 1, 1] }));
      b.output('transposed', b.add('ConvTranspose', [x, computed], { strides: [2, 1] }));
      b.output('average', b.add('AveragePool', [x], { kernel_shape: [3, 2], pads: [1, 1, 1, 0] }));
      b.output('norm', b.add('LpPool', [x], { kernel_shape: [2, 2] }));
      const [steps, size] = [b.input('steps', dtype, [4, 2, 3]), 5];
      const outputs = b.addMany(
        'LSTM',
        [steps, b.input('W', dtype, [1, 4 * size, 3]), b.input('R', dtype, [1, 4 * size, size])],
        3,
        { hidden_size: size },
      );
      outputs.forEach((output, i) => {
        b.output(`state${i}`, output);
      });
    });
    check(g, { inputs: randomInputs(g, 5, false), ...CLOSE[dtype] });
  }
});

it('the pattern of a narrow weight is kept: what it prunes is not stored', () => {
  const keptRows = Array.from({ length: 8 }, () => Uint16Array.of(0, 1, 2, 3, 4, 5, 6, 7));
  const keptCols = Array.from({ length: 8 }, (_, i) => Uint16Array.of(i, i + 20, i + 40));
  const bytes = [true, false].map((sparse) => {
    const next = random(4);
    const g = graph('narrow', (b) => {
      const w = randomTensor('float16', [64, 64, 1, 1], next, false);
      const pattern = { grid: blockGrid(64, 64, 8, 64), keptRows, keptCols };
      const mask = patternMask(pattern);
      const kept = { ...w, data: (w.data as Uint16Array).map((bits, i) => (mask[i] ? bits : 0)), pattern };
      const weight = b.weight('w', sparse ? (kept as Weight) : w);
      b.output('y', b.add('Conv', [b.input('x', 'float16', [1, 64, 8, 8]), weight]));
    });
    const segments = check(g, { inputs: randomInputs(g, 6, false), ...CLOSE.float16 }).segments ?? [];
    return segments.reduce((sum, segment) => sum + (segment.kind === 'weights' ? segment.bytes : 0), 0);
  });
  expect(bytes[0]).toBeLessThan((bytes[1] ?? 0) / 4);
});
