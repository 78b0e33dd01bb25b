/**
 * What training must reach on real data, by `grim train` itself, so that a run can be stopped and goes on when started again:
 *
 *   node --conditions=@grim/source train/acceptance.ts cifar10 | fsdd [--seed 2, or more options of grim train]
 *
 * cifar10: ResNet-20 from scratch, 3 epochs of 45,000 pictures, more than 70 % of the 1000 test pictures right.
 * fsdd: two GRUs of 64, one above the other, on cepstral coefficients of spoken digits, at least 93 % of the 180 test recordings right.
 * Result and checkpoint lie in bench/train/.results, named by the seed; remove them to begin again.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const here = import.meta.dirname;
const data = resolve(here, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
const results = join(here, '.results');

const TASKS = {
  cifar10: {
    least: 0.7,
    network: 'arch-resnet20.json',
    data: 'cifar10',
    options:
      '--epochs 3 --batch 64 --rate 0.1 --warmup 100 --crop 4 --flip --mean 0.4914,0.4822,0.4465 --std 0.247,0.2435,0.2616',
  },
  fsdd: {
    least: 0.93,
    network: 'arch-spoken-digits.json',
    data: 'fsdd',
    options: '--epochs 30 --batch 50 --optimizer adam --rate 0.004 --clip-norm 1 --shift 3 --noise 0.3 --std 4',
  },
} as const;

const [name = '', ...more] = process.argv.slice(2);
const seed = more[more.indexOf('--seed') + 1];
const own = more.includes('--seed') ? `${name}-${seed}` : `${name}-1`;
const task = TASKS[name as keyof typeof TASKS];
if (!task) throw new Error(`${name || 'no task'}: one of ${Object.keys(TASKS).join(', ')} is needed`);
if (!existsSync(join(data, task.data)))
  throw new Error(`no data at ${data}: point GRIM_DATA at the folder with cifar10/ and fsdd/`);
mkdirSync(results, { recursive: true });
const report = join(results, `${own}.json`);
const words: readonly string[] = [
  ...['--conditions=@grim/source', join(here, '../../apps/cli/src/main.ts'), 'train', join(here, task.network)],
  ...[
    '--data',
    join(data, task.data),
    '-o',
    join(results, `${own}.onnx`),
    '--json',
    report,
    ...defaultsOf(task.options),
    ...more,
  ],
];
/** Less those that are given anew. */
function defaultsOf(options: string): readonly string[] {
  const pairs = options.split(' --').map((pair, i) => (i === 0 ? pair : `--${pair}`).split(' '));
  return pairs.filter(([option = '']) => !more.includes(option)).flat();
}

const { status } = spawnSync(process.execPath, words, { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);
const { validation } = JSON.parse(readFileSync(report, 'utf8')) as {
  validation: { correct: number; examples: number; accuracy: number };
};
const reached = validation.accuracy >= task.least;
console.log(
  `${name}: ${validation.correct} of ${validation.examples}, at least ${task.least * 100} % is needed: ${reached ? 'reached' : 'NOT reached'}`,
);
if (!reached) process.exitCode = 1;
