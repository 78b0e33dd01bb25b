/**
 * Start-up: import to first result in fresh processes, in turn with onnxruntime, and the most memory each took:
 * `node bench/startup/main.ts [--processes 20]`. Our runtime is the built one (`npm run build` first). Also: what memory
 * does over 10,000 runs. Results go to bench/results/.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compile, pack } from '@grim/codegen';
import { toOnnx } from '@grim/ir/onnx';
import { median } from '@grim/measure';
import { loadModel } from '@grim/runtime';
import { ARCHITECTURES, type Pruning } from '../models/architectures.ts';

const { values } = parseArgs({ options: { processes: { type: 'string', default: '20' }, out: { type: 'string' } } });
const processes = Number(values.processes);
const ENGINES = ['grim', 'ort-web', 'ort-node'] as const;
const TENTH: Pruning = { density: 0.1, blockRows: 32, blockCols: 128 };
const MODELS: readonly (readonly [name: string, architecture: string, shape: string, pruning?: Pruning])[] = [
  ['resnet20', 'resnet20-32', '1,3,32,32'],
  ['resnet18 at 0.1', 'resnet18', '1,3,224,224', TENTH],
];

type Start = Readonly<Record<'importMs' | 'openMs' | 'firstMs' | 'totalMs' | 'processCpuMs' | 'peakRssMb', number>>;

const folder = mkdtempSync(join(tmpdir(), 'grim-startup-'));
const found: object[] = [];
try {
  for (const [name, architecture, shape, pruning] of MODELS) {
    const graph = ARCHITECTURES[architecture]?.({ seed: 7, ...(pruning && { pruning }) });
    if (!graph) throw new Error(`no architecture ${architecture}`);
    const files = { grim: join(folder, 'model.grim'), onnx: join(folder, 'model.onnx') };
    writeFileSync(files.grim, pack(compile(graph)));
    writeFileSync(files.onnx, toOnnx(graph));
    const starts = new Map(ENGINES.map((engine) => [engine, [] as Start[]]));
    for (let round = 0; round < processes; round++)
      for (const engine of ENGINES) {
        const args = [
          join(import.meta.dirname, 'child.ts'),
          engine,
          engine === 'grim' ? files.grim : files.onnx,
          shape,
        ];
        starts.get(engine)?.push(JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Start);
      }
    console.log(`\n${name}: medians of ${processes} fresh processes`);
    const medians = Array.from(starts, ([engine, list]) => {
      const of = (key: keyof Start) => median(list.map((one) => one[key]));
      const row = {
        engine,
        totalMs: of('totalMs'),
        fastestMs: Math.min(...list.map(({ totalMs }) => totalMs)),
        importMs: of('importMs'),
        openMs: of('openMs'),
        firstMs: of('firstMs'),
        processCpuMs: of('processCpuMs'),
        peakRssMb: of('peakRssMb'),
      };
      const shown = Object.entries(row).map(
        ([key, value]) => `${key} ${typeof value === 'number' ? value.toFixed(1) : value}`,
      );
      console.log(`  ${shown.join('  ')}`);
      return { ...row, samples: list };
    });
    found.push({ name, pruning, engines: medians });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const graph = ARCHITECTURES['resnet20-32']?.({ seed: 7 });
if (graph) {
  const model = await loadModel(pack(compile(graph)));
  const input = new Float32Array(3 * 32 * 32);
  const memory: number[] = [];
  for (let run = 0; run <= 10_000; run++) {
    await model.run({ [[...graph.inputs.keys()][0] ?? '']: input });
    if (run % 1000 === 0) memory.push(process.memoryUsage().rss / 1e6);
  }
  console.log(`\n10,000 runs of resnet20: RSS after each 1,000: ${memory.map((mb) => mb.toFixed(0)).join(' ')} MB`);
  found.push({ name: '10,000 runs of resnet20', rssMb: memory });
}
const date = new Date().toISOString().slice(0, 10);
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, commit, date };
const out = values.out ?? join(import.meta.dirname, '..', 'results', `${date}-startup.json`);
writeFileSync(out, `${JSON.stringify({ machine, processes, found }, undefined, 1)}\n`);
