/**
 * How far `grim whatif` is off, and how long it takes: `node bench/prune/whatif.ts [--filter resnet18] [--seconds 20]`.
 * Each network is pruned (by magnitude: the pattern is that of real weights, and nothing is read of the answers), then
 * `whatif --check` predicts its speed from random masks and times the pruned network in turn with the dense one. The same
 * programs run that users run. The sweep is `whatif` as it is without options. Records go to bench/results/.
 *
 * ResNet-18 has made-up weights, so its mask has no structure that training would give.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeNpy } from '@grim/files';
import { toOnnx } from '@grim/ir/onnx';
import { ARCHITECTURES } from '../models/architectures.ts';
import { DATA } from './subjects.ts';

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    density: { type: 'string', default: '0.25' },
    seconds: { type: 'string', default: '20' },
    out: { type: 'string' },
  },
});
const MAIN = resolve(import.meta.dirname, '../../apps/cli/src/main.ts');
const BLOCKS = ['2xK', '16x64'];
const folder = mkdtempSync(join(tmpdir(), 'grim-whatif-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

interface Subject {
  readonly name: string;
  readonly model: string;
  /** What `prune` needs besides. */
  readonly data: readonly string[];
  readonly bind: readonly string[];
}

const CIFAR = join(DATA, 'cifar10/train/cifar10_batch_0.png');
const IMAGENET = ['--mean', '0.485,0.456,0.406', '--std', '0.229,0.224,0.225'];

/** Noise where there are no examples: nothing but the correction of means depends on it. */
function noise(shape: readonly number[]): string {
  const length = shape.reduce((all, one) => all * one, 1);
  const path = join(folder, 'noise.npy');
  writeFileSync(
    path,
    writeNpy({ dtype: 'float32', shape, data: Float32Array.from({ length }, (_, i) => Math.sin(i)) }),
  );
  return path;
}

function made(name: string): string {
  const path = join(folder, `${name}.onnx`);
  const graph = ARCHITECTURES[name]?.({ seed: 7 });
  if (!graph) throw new Error(`${name}: there is no such architecture`);
  writeFileSync(path, toOnnx(graph));
  return path;
}

const subjects: readonly (() => Subject)[] = [
  () => ({
    name: 'resnet20',
    model: join(DATA, 'models/resnet20_cifar10/model.onnx'),
    data: ['--data', CIFAR, '--sheet', ...IMAGENET],
    bind: [],
  }),
  () => ({
    name: 'mobilenet_v2',
    model: join(DATA, 'models/mobilenet_v2_imagenet/model.onnx'),
    data: ['--data', noise([4, 3, 224, 224])],
    bind: [],
  }),
  () => ({ name: 'resnet18', model: made('resnet18'), data: ['--data', noise([4, 3, 224, 224])], bind: [] }),
];
const NAMES = ['resnet20', 'mobilenet_v2', 'resnet18'];

function grim(...argv: readonly string[]): { readonly report: Record<string, unknown>; readonly seconds: number } {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--conditions=@grim/source', MAIN, ...argv, '--json'],
    { encoding: 'utf8', maxBuffer: 2 ** 28 },
  );
  if (status !== 0) throw new Error(`grim ${argv.join(' ')}: ${stderr}`);
  return { report: JSON.parse(stdout), seconds: (performance.now() - started) / 1000 };
}

const results: object[] = [];
const out =
  values.out ?? resolve(import.meta.dirname, `../results/${new Date().toISOString().slice(0, 10)}-whatif.json`);
for (const [at, open] of subjects.entries()) {
  if (!NAMES[at]?.includes(values.filter)) continue;
  const { name, model, data, bind } = open();
  const checks = BLOCKS.map((block) => {
    const pruned = join(folder, `${name}-${block}.onnx`);
    const how = ['--method', 'magnitude', '--density', values.density, '--block', block, '--examples', '4'];
    grim('prune', model, ...data, ...how, ...bind, '--no-record', '-o', pruned);
    const same = ['--blocks', block, '--density', values.density, '--seconds', values.seconds, '--check', pruned];
    const { report } = grim('whatif', model, ...same, ...bind);
    const { predictedSpeedup, speedup, off } = report['check'] as Record<string, number>;
    console.log(
      `${name} ${block} at ${values.density}: predicted ${predictedSpeedup?.toFixed(2)}, pruned ${speedup?.toFixed(2)}, ${((off ?? 0) * 100).toFixed(1)} % off`,
    );
    return { block, density: Number(values.density), predictedSpeedup, measuredSpeedup: speedup, off };
  });
  const sweep = grim('whatif', model, ...bind);
  const cells = (sweep.report['cells'] as readonly unknown[]).length;
  console.log(
    `${name}: the sweep of ${cells} cells took ${sweep.seconds.toFixed(0)} s, load ${loadavg()[0]?.toFixed(1)}`,
  );
  results.push({ model: name, checks, sweep: { cells, seconds: sweep.seconds }, load: loadavg()[0] });
  const record = {
    note: 'off: predicted over measured, less one. Seconds: wall time of the whole command, without options. Pruned by magnitude; resnet18 has made-up weights.',
    ...{ cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, date: new Date().toISOString() },
    results,
  };
  writeFileSync(`${out}.tmp`, `${JSON.stringify(record, undefined, 1)}\n`);
  renameSync(`${out}.tmp`, out);
}
