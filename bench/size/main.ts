/**
 * Bytes that go over the wire: the kernels of a model, and whole `.grim` files,
 * as they are and in brotli: `node bench/size/main.ts`. Results go to bench/results/.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { compile, pack } from '@grim/codegen';
import { toOnnx } from '@grim/ir/onnx';
import { ARCHITECTURES, type Pruning } from '../models/architectures.ts';
import { prunedAlike, sharesOf } from './alike.ts';

const brotli = (bytes: Uint8Array): number => {
  const quality = bytes.length > 4e6 ? 9 : 11;
  return brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: quality } }).length;
};
const FOUR_ROWS: Pruning = { density: 0.1, blockRows: 4, blockCols: Number.POSITIVE_INFINITY };
const inBlocksOf = (blockRows: number): Pruning => ({ ...FOUR_ROWS, blockRows, classifiers: true });
const rows: object[] = [];
const add = (what: string, bytes: Uint8Array, shares: object = {}) => {
  const small = brotli(bytes);
  rows.push({ what, bytes: bytes.length, brotli: small, ...shares });
  console.log(`${what.padEnd(76)} ${String(bytes.length).padStart(10)} B  ${String(small).padStart(10)} B brotli`);
};
for (const [name, architecture, pruning] of [
  ['resnet20', 'resnet20-32', undefined],
  ['resnet18 dense', 'resnet18', undefined],
  ['resnet18, 4xK at 0.1', 'resnet18', FOUR_ROWS],
  ['resnet18, 8xK at 0.1, classifier too', 'resnet18', inBlocksOf(8)],
  ['resnet18, 4xK at 0.1, classifier too', 'resnet18', inBlocksOf(4)],
  ['resnet18, 2xK at 0.1, classifier too', 'resnet18', inBlocksOf(2)],
  ['resnet18, 2xK of whole rows at 0.1, classifier too', 'resnet18', { ...inBlocksOf(2), keepRows: 1 }],
  ['resnet18, 2xK of rows that are alike at 0.1, classifier too', 'resnet18', 'alike'],
] as const) {
  const made = ARCHITECTURES[architecture]?.({ seed: 7, ...(pruning && pruning !== 'alike' && { pruning }) });
  const graph = pruning === 'alike' && made ? prunedAlike(made, { blockRows: 2, density: 0.1, spread: 0.2 }) : made;
  if (!graph) throw new Error(`no architecture ${architecture}`);
  const model = compile(graph);
  add(`${name}: kernels, relaxed`, model.wasm.relaxed);
  add(`${name}: kernels, plain`, model.wasm.plain);
  for (const weights of ['f32', 'f16'] as const)
    add(`${name}: .grim, ${weights}`, pack(model, { weights }), sharesOf(graph));
  add(`${name}: .onnx`, toOnnx(graph));
}
const date = new Date().toISOString().slice(0, 10);
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const out = join(import.meta.dirname, '..', 'results', `${date}-size.json`);
writeFileSync(out, `${JSON.stringify({ commit, date, rows }, undefined, 1)}\n`);
