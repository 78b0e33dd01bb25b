/**
 * How many of the 1000 test images a network gets right that `grim prune` wrote; they are used nowhere else.
 *
 *   node --conditions=@grim/source prune/accuracy.ts sparse.onnx [more.onnx …]
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { cifarBatch, standardised } from '@grim/conformance';
import { fromOnnx } from '@grim/ir/onnx';
import { correct } from './ort.ts';

const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
const sheet = cifarBatch(data, 50);
const test = { data: standardised(sheet, 0, sheet.count), shape: [3, 32, 32], labels: sheet.labels };
for (const path of process.argv.slice(2))
  console.log(`${path}: ${await correct(fromOnnx(readFileSync(path)), test)} of ${sheet.count}`);
