/**
 * Draws demo/digit-sheet.png: pictures of digits to prune the demo's models by, one in each row of pixels (`grim prune --sheet`). Not
 * those that the models were trained or tested on.
 *
 *     cd apps/cli && node --conditions=@grim/source demo/sheet.ts
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawDigit, randomSource, SIDE } from '@grim/demo-data';
import { encode } from 'fast-png';

const COUNT = 128;

const random = randomSource(21);
const data = new Uint8Array(COUNT * SIDE * SIDE);
for (let k = 0; k < COUNT; k++)
  data.set(
    drawDigit(k % 10, random).map((value) => Math.round(255 * Math.max(0, Math.min(1, value)))),
    k * SIDE * SIDE,
  );
writeFileSync(
  join(import.meta.dirname, 'digit-sheet.png'),
  encode({ width: SIDE * SIDE, height: COUNT, data, channels: 1, depth: 8 }),
);
