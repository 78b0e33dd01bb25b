import { GrimError } from '@grim/ir';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  applyPattern,
  blockGrid,
  decode,
  densePattern,
  encode,
  type Format,
  fromBytes,
  multiply,
  patternOf,
  reorderRows,
  signatures,
  stats,
  toBytes,
} from '../src/index.ts';
import { matrixWithPattern, randomMatrix } from './arbitrary.ts';

const FORMATS: readonly Format[] = ['csr', 'bcrc', 'block-local'];

/** 4×6 in 2×3 blocks; live columns row 0 {0,2,4}, row 1 {0,2,4}, row 2 {3,5}, row 3 {1,2,3,5}; block (1,0) lost row 2. */
const worked = {
  pattern: {
    grid: blockGrid(4, 6, 2, 3),
    keptRows: [[0, 1], [0, 1], [1], [0, 1]].map((r) => Uint16Array.from(r)),
    keptCols: [[0, 2], [1], [1, 2], [0, 2]].map((c) => Uint16Array.from(c)),
  },
  matrix: {
    rows: 4,
    cols: 6,
    data: Float32Array.from([1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 0, 0, 0, 7, 0, 8, 0, 9, 10, 11, 0, 12]),
  },
};

describe('the worked example of BCRC', () => {
  const packed = encode(worked.matrix, worked.pattern, 'bcrc');
  it('has the six arrays that were worked out by hand', () => {
    expect(Array.from(packed.reorder)).toEqual([3, 0, 1, 2]);
    expect(Array.from(packed.rowOffset)).toEqual([0, 4, 7, 10, 12]);
    expect(Array.from(packed.occurrence)).toEqual([0, 1, 3, 4]);
    expect(Array.from(packed.columnStride)).toEqual([0, 4, 7, 9]);
    expect(Array.from(packed.compactColumn)).toEqual([1, 2, 3, 5, 0, 2, 4, 3, 5]);
    expect(Array.from(packed.weights)).toEqual([9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
  it('has three signatures, the rows of one being neighbours after reordering', () => {
    expect(signatures(worked.pattern).map((s) => s.rows)).toEqual([[0, 1], [2], [3]]);
    expect(Array.from(reorderRows(worked.pattern))).toEqual([3, 0, 1, 2]);
  });
  it('is counted as it is stored', () => {
    const s = stats(worked.pattern);
    expect(s).toMatchObject({ nonZeros: 12, density: 0.5, blocks: 4, signatures: 3, weightBytes: 48 });
    // csr: 5 offsets of 4 bytes, 12 columns of 1. bcrc: 4 rows, 2·4 offsets of 4 bytes, 9 columns.
    // block-local: 2 strips of 4 bytes; 4 records of 1 + 1 + 2 bytes; 2 + 1 + 2 + 2 columns.
    expect(s.indexBytes).toEqual({ csr: 32, bcrc: 45, 'block-local': 31 });
    expect(s.imbalance).toBe(1);
  });
});

for (const format of FORMATS)
  describe(format, () => {
    it('decodes to the weights under the mask, for any matrix and pattern', () => {
      fc.assert(
        fc.property(matrixWithPattern, ([w, pattern]) => {
          expect(decode(encode(w, pattern, format))).toEqual(applyPattern(w, pattern));
        }),
        { seed: 1, numRuns: 300 },
      );
    });
    it('survives the way through bytes, and the bytes come out the same again', () => {
      fc.assert(
        fc.property(matrixWithPattern, ([w, pattern]) => {
          const packed = encode(w, pattern, format);
          const bytes = toBytes(packed);
          expect(fromBytes(bytes)).toEqual(packed);
          expect(toBytes(fromBytes(bytes))).toEqual(bytes);
        }),
        { seed: 2, numRuns: 300 },
      );
    });
    it('multiplies like the dense matrix', () => {
      fc.assert(
        fc.property(matrixWithPattern, fc.integer({ min: 1, max: 5 }), ([w, pattern], n) => {
          const x = randomMatrix(w.cols, n, 7);
          const masked = applyPattern(w, pattern);
          const y = multiply(encode(w, pattern, format), x);
          for (let row = 0; row < w.rows; row++)
            for (let j = 0; j < n; j++) {
              let sum = 0;
              for (let k = 0; k < w.cols; k++) sum += (masked.data[row * w.cols + k] ?? 0) * (x.data[k * n + j] ?? 0);
              expect(y.data[row * n + j]).toBeCloseTo(sum, 5);
            }
        }),
        { seed: 3, numRuns: 100 },
      );
    });
    it('does not read what is pruned: NaN there changes nothing', () => {
      fc.assert(
        fc.property(matrixWithPattern, ([w, pattern]) => {
          const kept = applyPattern({ ...w, data: new Float32Array(w.data.length).fill(1) }, pattern);
          const poisoned = { ...w, data: w.data.map((value, i) => (kept.data[i] === 1 ? value : Number.NaN)) };
          expect(toBytes(encode(poisoned, pattern, format))).toEqual(toBytes(encode(w, pattern, format)));
        }),
        { seed: 4, numRuns: 100 },
      );
    });
    it('C6: every truncation and every flipped bit of its bytes is found', () => {
      const bytes = toBytes(encode(worked.matrix, worked.pattern, format));
      expect(() => fromBytes(bytes)).not.toThrow();
      for (let length = 0; length < bytes.length; length++) expectRefused(bytes.slice(0, length));
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const flipped = bytes.slice();
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expectRefused(flipped);
      }
    });
    it('C6: bytes whose checksum was made to fit are refused or walk safely', () => {
      const bytes = toBytes(encode(worked.matrix, worked.pattern, format));
      let refused = 0;
      for (let at = 8; at < bytes.length; at++)
        for (const value of [0, 1, 2, 127, 255]) {
          if (at >= 28 && at < 32) continue;
          const changed = bytes.slice();
          changed[at] = value;
          try {
            const packed = fromBytes(withChecksum(changed));
            // Only weights may have changed: the walk must stay inside and give the sizes that the header says.
            expect(decode(packed).data.length).toBe(packed.rows * packed.cols);
            expect(toBytes(packed)).toEqual(changed);
          } catch (error) {
            if (!(error instanceof GrimError)) throw error;
            refused++;
          }
        }
      expect(refused).toBeGreaterThan(50);
    });
  });

function expectRefused(bytes: Uint8Array): void {
  try {
    fromBytes(bytes);
  } catch (error) {
    if (!(error instanceof GrimError)) throw error;
    expect(['GRIM_BCR_BAD_MAGIC', 'GRIM_BCR_BAD_VERSION', 'GRIM_BCR_CORRUPT']).toContain(error.code);
    return;
  }
  throw new Error('damaged bytes were taken');
}

/** CRC-32, bit by bit: not the table-driven one under test. */
function withChecksum(bytes: Uint8Array): Uint8Array {
  bytes.fill(0, 28, 32);
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  new DataView(bytes.buffer).setUint32(28, (crc ^ 0xffffffff) >>> 0, true);
  return bytes;
}

describe('the pattern of a stored matrix', () => {
  it('is the pattern it was encoded with, blocks that keep nothing aside', () => {
    const found = patternOf(encode(worked.matrix, worked.pattern, 'block-local'));
    expect(found).toEqual(worked.pattern);
  });
  it('of a version to come is refused with that version', () => {
    const bytes = toBytes(encode(worked.matrix, densePattern(worked.pattern.grid), 'csr'));
    bytes[4] = 9;
    expect(() => fromBytes(bytes)).toThrow(/version 9.*Update/);
  });
});

describe('index bytes when rows are pruned in every block', () => {
  it('fall with block-local storage and not with BCRC, as every row then has a signature of its own', () => {
    // 1024×1024 in 8×32 blocks, half of the rows and a quarter of the columns of each: density 1/8.
    const grid = blockGrid(1024, 1024, 8, 32);
    const random = randomMatrix(1, 4096 * 40, 5).data;
    let at = 0;
    const choose = (length: number, count: number) =>
      Uint16Array.from(
        Array.from({ length }, (_, i) => [random[at++] ?? 0, i] as const)
          .sort((a, b) => a[0] - b[0])
          .slice(0, count)
          .map(([, i]) => i),
      ).sort();
    const blocks = Array.from({ length: 128 * 32 });
    const pattern = { grid, keptRows: blocks.map(() => choose(8, 4)), keptCols: blocks.map(() => choose(32, 8)) };
    const s = stats(pattern);
    expect(s.density).toBe(0.125);
    expect(s.signatures).toBe(1024);
    expect(s.indexBytes.bcrc / s.indexBytes.csr).toBeGreaterThan(1);
    expect(s.indexBytes['block-local'] / s.indexBytes.csr).toBeLessThan(0.2);
  });
});
