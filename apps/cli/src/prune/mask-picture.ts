/** A mask as a PNG in shades of gray: black is kept, a pixel of several weights is as dark as they are dense. */
import { crc32, deflateSync } from 'node:zlib';
import type { BcrPattern } from '@grim/ir';

export interface MaskPicture {
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
}

/** @param most  pixels of a row, of a column */
export function maskPicture({ grid, keptRows, keptCols }: BcrPattern, most: readonly [number, number]): MaskPicture {
  const { rows, cols, blockRows, blockCols } = grid;
  const [across, down] = [Math.ceil(cols / most[0]), Math.ceil(rows / most[1])];
  const [width, height] = [Math.ceil(cols / across), Math.ceil(rows / down)];
  const kept = new Uint32Array(width * height);
  const blocksAcross = Math.ceil(cols / blockCols);
  keptRows.forEach((own, block) => {
    const top = Math.floor(block / blocksAcross) * blockRows;
    const left = (block % blocksAcross) * blockCols;
    for (const row of own) {
      const line = Math.floor((top + row) / down) * width;
      for (const col of keptCols[block] ?? []) {
        const at = line + Math.floor((left + col) / across);
        kept[at] = (kept[at] as number) + 1;
      }
    }
  });
  const lines = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const weights = Math.min(across, cols - x * across) * Math.min(down, rows - y * down);
      lines[y * (width + 1) + 1 + x] = 255 - Math.round((255 * (kept[y * width + x] as number)) / weights);
    }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // Eight bits of gray, not interlaced.
  header[8] = 8;
  const png = Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(lines, { level: 9 })),
    chunk('IEND', new Uint8Array()),
  ]);
  return { width, height, png };
}

/** @see https://www.w3.org/TR/png-3/ 5.3 */
function chunk(type: string, content: Uint8Array): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const whole = Buffer.alloc(named.length + 8);
  whole.writeUInt32BE(content.length, 0);
  named.copy(whole, 4);
  whole.writeUInt32BE(crc32(named), named.length + 4);
  return whole;
}
