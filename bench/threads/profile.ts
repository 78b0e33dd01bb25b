/**
 * What keeps threads from sharing all: `node threads/profile.ts --filter resnet18 [--density 0.125 --block 32x128] [--threads 2]
 * [--rounds 20] [--top 20]`. Each layer in turn on one thread and on several, call by call, groups as a whole; the least time of all
 * rounds, as other work of the machine only adds. `lost` is what the layer takes beyond its fair share: the sum of that column is why
 * the whole is no faster.
 */
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { compile, pack } from '@grim/codegen';
import { openProfiler } from '@grim/runtime/profile';
import { ARCHITECTURES, blockOf } from '../models/architectures.ts';

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '^resnet18$' },
    density: { type: 'string' },
    block: { type: 'string', default: '32x128' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '20' },
    top: { type: 'string', default: '20' },
    seed: { type: 'string', default: '7' },
  },
});
const [threads, rounds, top] = [values.threads, values.rounds, values.top].map(Number) as [number, number, number];
const density = values.density === undefined ? undefined : Number(values.density);
const pruned = density === undefined ? {} : { pruning: { density, ...blockOf(values.block) } };
const worker = () => new Worker(new URL(import.meta.resolve('@grim/runtime/threads-worker')));

for (const [name, build] of Object.entries(ARCHITECTURES).filter(([key]) => new RegExp(values.filter).test(key))) {
  const model = compile(build({ seed: Number(values.seed), ...pruned }));
  const bytes = pack(model);
  const profilers = [await openProfiler(bytes), await openProfiler(bytes, { threads, worker })] as const;
  const least = profilers.map(({ calls }) => new Float64Array(calls).fill(Infinity));
  const whole = [Infinity, Infinity];
  for (let round = 0; round < rounds + 5; round++)
    for (const [i, profiler] of profilers.entries()) {
      const run = profiler.run();
      const times = profiler.runByCall();
      // The engine still optimises.
      if (round < 5) continue;
      whole[i] = Math.min(whole[i] as number, run);
      for (const [call, ms] of times.entries())
        (least[i] as Float64Array)[call] = Math.min(least[i]?.[call] ?? Infinity, ms);
    }
  const layers = new Map<string, { kernel: string; heaviest: number; one: number; many: number }>();
  for (const [call, { nodes, kernel }] of (model.calls ?? []).entries()) {
    const layer = layers.get(nodes[0] ?? 'output') ?? { kernel, heaviest: 0, one: 0, many: 0 };
    const ms = least[0]?.[call] ?? 0;
    if (ms > layer.heaviest) Object.assign(layer, { kernel, heaviest: ms });
    layer.one += ms;
    layer.many += least[1]?.[call] ?? 0;
    layers.set(nodes[0] ?? 'output', layer);
  }
  const rows = Array.from(layers, ([node, layer]) => ({ node, ...layer, lost: layer.many - layer.one / threads }));
  const sum = (of: 'one' | 'many' | 'lost') => rows.reduce((total, row) => total + row[of], 0);
  const [one = 0, many = 0] = whole;
  console.log(
    `\n${name}: one thread ${one.toFixed(2)} ms, ${threads} threads ${many.toFixed(2)} ms, ${(one / many).toFixed(2)}×; ` +
      `by layer ${sum('one').toFixed(2)}, ${sum('many').toFixed(2)} ms, lost ${sum('lost').toFixed(2)} ms`,
  );
  for (const row of rows.toSorted((a, b) => b.lost - a.lost).slice(0, top))
    console.log(
      `  ${row.lost.toFixed(3).padStart(7)} lost  ${row.one.toFixed(3).padStart(8)} → ${row.many.toFixed(3).padStart(8)} ms  ${(row.one / row.many).toFixed(2)}×  ${row.node}: ${row.kernel.slice(0, 70)}`,
    );
  for (const profiler of profilers) profiler.dispose();
}
