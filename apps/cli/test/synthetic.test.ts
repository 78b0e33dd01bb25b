/** Masks of no meaning: as dense as asked for, well formed where they repeat, the same each time. */
import { checkPattern, density } from '@grim/bcr';
import { type BcrPattern, graph, patternMask, type Weight } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { withSyntheticMasks } from '../src/prune/synthetic.ts';

const COLS = 96;

/** Three layers of `rows` rows. */
function net(rows: number) {
  return graph('net', (b) => {
    let x = b.input('x', 'float32', [1, COLS]);
    for (let layer = 0; layer < 3; layer++) {
      const inputs = layer === 0 ? COLS : rows;
      const data = new Float32Array(rows * inputs).fill(1);
      const w = b.weight(`w${layer}`, { dtype: 'float32', shape: [rows, inputs], data });
      x = b.add('Relu', [b.add('Gemm', [x, w], { transB: 1 }, { name: `layer${layer}` })]);
    }
    b.output('y', x);
  });
}

describe('synthetic masks', () => {
  for (const [block, rows] of [
    [{ rows: 2, cols: 65536 }, 300],
    [{ rows: 4, cols: 65536 }, 131],
    [{ rows: 16, cols: 64 }, 300],
    [{ rows: 48, cols: 32 }, 500],
    [{ rows: 64, cols: 256 }, 200],
    [{ rows: 16, cols: 64 }, 40],
  ] as const)
    for (const wanted of [0.1, 0.5])
      it(`${block.rows}x${block.cols} of ${rows} rows at ${wanted}`, () => {
        const masked = withSyntheticMasks(net(rows), () => ({ block, density: wanted }), 1);
        for (const [name, weight] of masked.weights as ReadonlyMap<string, Weight>) {
          const pattern = weight.pattern as BcrPattern;
          const [m = 0, k = 0] = weight.shape;
          expect([name, pattern.grid.rows, pattern.grid.cols]).toEqual([name, m, k]);
          checkPattern(pattern, { rows: m, cols: k });
          const mask = patternMask(pattern);
          const outside = (weight.data as Float32Array).filter((value, i) => value !== 0 && !mask[i]);
          expect([name, outside.length]).toEqual([name, 0]);
          expect(Math.abs(density(pattern) - wanted)).toBeLessThan(0.15 * wanted);
        }
        const again = withSyntheticMasks(net(rows), () => ({ block, density: wanted }), 1);
        expect(again.weights).toEqual(masked.weights);
      });
});
