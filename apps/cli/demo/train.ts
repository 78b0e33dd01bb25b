/**
 * Makes two models of the repository by `grim train`, on data drawn here: a CNN that reads calculator digits and a GRU that
 * tells four sounds apart. Data and reports lie in .results; the weights that are committed came from
 *
 *     cd apps/cli && npm run demo:train
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawDigit, randomSource, SIDE, sayWord, WORDS, wavOf } from '@grim/demo-data';
import { writeNpy } from '@grim/files';
import { zipSync } from 'fflate';

const results = join(import.meta.dirname, '../.results/demo');
rmSync(results, { recursive: true, force: true });

/** Digits as bytes; a seed of its own for each part. */
function digits(count: number, seed: number): Uint8Array {
  const random = randomSource(seed);
  const size = SIDE * SIDE;
  const data = new Uint8Array(count * size);
  const labels = Int32Array.from({ length: count }, (_, k) => k % 10);
  for (let k = 0; k < count; k++)
    data.set(
      drawDigit(k % 10, random).map((value) => Math.round(255 * Math.max(0, Math.min(1, value)))),
      k * size,
    );
  return zipSync({
    'x.npy': writeNpy({ dtype: 'uint8', shape: [count, 1, SIDE, SIDE], data }),
    'y.npy': writeNpy({ dtype: 'int32', shape: [count], data: labels }),
  });
}

function words(part: string, perClass: number, seed: number): void {
  const random = randomSource(seed);
  for (const word of WORDS) {
    mkdirSync(join(results, 'words', part, word), { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const path = join(results, 'words', part, word, `${String(i).padStart(4, '0')}.wav`);
      writeFileSync(path, wavOf(sayWord(word, random)));
    }
  }
}

function train(name: string, data: string, options: string): void {
  const folder = join(import.meta.dirname, name);
  const own = [
    'train',
    join(folder, 'arch.json'),
    '--data',
    join(results, data),
    '-o',
    join(folder, 'model.onnx'),
    '--threads',
    '1',
  ];
  const main = ['--conditions=@grim/source', join(import.meta.dirname, '../src/main.ts')];
  const { status } = spawnSync(process.execPath, [...main, ...own, ...options.split(' ')], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

mkdirSync(join(results, 'digits'), { recursive: true });
writeFileSync(join(results, 'digits/train.npz'), digits(4000, 11));
writeFileSync(join(results, 'digits/test.npz'), digits(500, 12));
words('train', 250, 13);
words('test', 50, 14);
train('small-cnn', 'digits', '--epochs 8 --batch 50 --rate 0.1 --seed 1');
train(
  'tiny-gru',
  'words',
  '--epochs 30 --batch 40 --optimizer adam --rate 0.01 --clip-norm 1 --shift 2 --std 4 --seed 1',
);
