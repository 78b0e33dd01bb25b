/**
 * Where the time of a standard network goes, layer by layer: `node bench/models/profile.ts --filter resnet18
 * [--density 0.1 --block 32x128] [--runs 20] [--top 20]`. For ONNX files: `grim bench MODEL --profile`.
 */
import { parseArgs } from 'node:util';
import { compile, pack } from '@grim/codegen';
import { profile } from '../../apps/cli/src/bench/profile.ts';
import { profileLines } from '../../apps/cli/src/bench/profile-table.ts';
import { ARCHITECTURES, blockOf } from './architectures.ts';

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: 'resnet18' },
    density: { type: 'string' },
    block: { type: 'string', default: '32x128' },
    runs: { type: 'string', default: '20' },
    top: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '7' },
  },
});
const density = values.density === undefined ? undefined : Number(values.density);
const pruned = density === undefined ? {} : { pruning: { density, ...blockOf(values.block) } };
for (const [name, build] of Object.entries(ARCHITECTURES)) {
  if (!new RegExp(values.filter).test(name)) continue;
  const graph = build({ seed: Number(values.seed), ...pruned });
  const model = compile(graph);
  const found = await profile(pack(model), { calls: model.calls, runs: Number(values.runs) });
  console.log([`\n${name}`, ...profileLines(found, process.stdout.columns || 100, Number(values.top))].join('\n'));
}
