/**
 * Where sparse layers cross dense ones: for layers of the standard networks, blocks and densities from 0.05 to 1, the form
 * that the compiler chooses against the same layer compiled dense: `node bench/kernels/crossover.ts [--filter 56x56]
 * [--densities 0.5,0.7] [--blocks 2xK,32x128] [--samples 30] [--out FILE]`.
 *
 * Both are whole models of one layer, run in turn. Where the compiler takes the dense form, the
 * two are the same code, and nothing is timed. Times are those that the process had on a core, and what counts is the
 * ratio of lower quartiles, as other programs only ever add to them; pairs that look slower are measured again, four times
 * as long. Where weights fill the caches, the pages that a memory happens to get make the same code up to 10 % slower or
 * faster: a pair that still looks slower is loaded again and again, and the least of each side counts. `--null` does that with
 * the dense layer on both sides, and so says what this measurement can tell apart. Results go to bench/results/.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { applyPattern } from '@grim/bcr';
import { compile, pack } from '@grim/codegen';
import { type BcrPattern, type Graph, graph } from '@grim/ir';
import { loadModel } from '@grim/runtime';
import { processClock } from '../../apps/cli/src/bench/clock.ts';
import { blockOf } from '../models/architectures.ts';
import { randomMatrix, syntheticPattern } from './workload.ts';

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    densities: { type: 'string', default: '0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95,1' },
    blocks: { type: 'string', default: '1xK,2xK,4xK,6xK,2x128,4x16,16x64,32x128' },
    samples: { type: 'string', default: '30' },
    loads: { type: 'string', default: '9' },
    null: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});

interface Layer {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  /** 0: fully connected. */
  readonly size: number;
}

const conv = (inputs: number, outputs: number, kernel: number, size: number): Layer => ({
  name: size === 0 ? `fc ${inputs}-${outputs}` : `${kernel}x${kernel} ${inputs}-${outputs} ${size}x${size}`,
  ...{ inputs, outputs, kernel, size },
});
const LAYERS: readonly Layer[] = [
  // ResNet-18; the 3×3 layers are those of the design's comparison.
  ...[conv(64, 64, 3, 56), conv(128, 128, 3, 28), conv(256, 256, 3, 14), conv(512, 512, 3, 7)],
  ...[conv(64, 128, 1, 28), conv(128, 256, 1, 14), conv(256, 512, 1, 7)],
  // ResNet-20
  ...[conv(16, 16, 3, 32), conv(32, 32, 3, 16), conv(64, 64, 3, 8)],
  // MobileNetV2
  ...[conv(16, 96, 1, 112), conv(24, 144, 1, 56), conv(144, 24, 1, 56), conv(32, 192, 1, 28), conv(192, 32, 1, 28)],
  ...[conv(64, 384, 1, 14), conv(384, 64, 1, 14), conv(576, 96, 1, 14), conv(160, 960, 1, 7), conv(960, 320, 1, 7)],
  // VGG-16
  ...[conv(128, 128, 3, 112), conv(256, 256, 3, 56), conv(512, 512, 3, 28), conv(512, 512, 3, 14)],
  // Fully connected
  ...[conv(1024, 3072, 1, 0), conv(512, 1000, 1, 0), conv(4096, 4096, 1, 0)],
];

const root = join(import.meta.dirname, '..');
const date = new Date().toISOString().slice(0, 10);
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, commit, date };
const out = values.out ?? join(root, 'results', `${date}-crossover.json`);

const samples = Number(values.samples);
const loads = Number(values.loads);
/** A sample is at least as long, as the clock counts microseconds. */
const SAMPLE_MS = 0.5;
/** Runs before and in the first look at how long one takes. */
const WARM_UP = 10;
/** Ratios from here on are not looked at again. */
const FASTER = 1.02;
const found: object[] = [];
let worst = { ratio: Number.POSITIVE_INFINITY, where: '' };
for (const layer of LAYERS) {
  if (!layer.name.includes(values.filter)) continue;
  const dense = compiledOf(layer, undefined);
  if (values.null) {
    const result = await compare(dense, dense);
    found.push({ layer: layer.name, block: 'none', density: 1, kernel: dense.kernel, ...result });
    console.log(`${layer.name.padEnd(24)} the dense layer against itself: ${result.ratio.toFixed(3)}×`);
  }
  for (const block of values.blocks.split(',')) {
    let line = `${layer.name.padEnd(24)} ${block.padEnd(7)}`;
    for (const density of values.densities.split(',').map(Number)) {
      const rows = layer.outputs;
      const cols = layer.inputs * layer.kernel ** 2;
      const { blockRows, blockCols } = blockOf(block);
      const pattern = syntheticPattern(
        rows,
        cols,
        Math.min(blockRows, rows),
        Math.min(blockCols, cols),
        1 / density,
        7,
      );
      const sparse = compiledOf(layer, pattern);
      const { kernel } = sparse;
      // Vectors have one kernel for both, and what tells them apart is which columns it goes through.
      const same = kernel === dense.kernel && sparse.tables.equals(dense.tables);
      const result = same ? { ratio: 1 } : await compare(sparse, dense);
      const { ratio } = result;
      found.push({ layer: layer.name, block, density, kernel, ...(same ? {} : result) });
      if (ratio < worst.ratio) worst = { ratio, where: `${layer.name} ${block} at ${density}: ${kernel}` };
      line += `  ${density}: ${same ? 'dense' : `${ratio.toFixed(2)}×`}`;
    }
    console.log(line);
    write();
  }
}
console.log(`\nleast: ${worst.ratio.toFixed(3)}× (${worst.where})`);

interface Compiled {
  readonly layer: Layer;
  readonly kernel: string;
  /** Its constants but for the weights. */
  readonly tables: Buffer;
  readonly file: Uint8Array;
}

/** Milliseconds of one run, of so many at once. */
type Timed = (runs: number) => Promise<number>;

function build({ inputs, outputs, kernel, size }: Layer, pattern: BcrPattern | undefined): Graph {
  const matrix = randomMatrix(outputs, inputs * kernel ** 2, inputs + outputs);
  const data = pattern ? applyPattern(matrix, pattern).data : matrix.data;
  const more = pattern ? { pattern } : {};
  return graph('layer', (b) => {
    const bias = b.weight('b', { dtype: 'float32', shape: [outputs], data: randomMatrix(1, outputs, 3).data });
    if (size === 0) {
      const w = b.weight('w', { dtype: 'float32', shape: [outputs, inputs], data, ...more });
      b.output('y', b.add('Gemm', [b.input('x', 'float32', [1, inputs]), w, bias], { transB: 1 }));
      return;
    }
    const w = b.weight('w', { dtype: 'float32', shape: [outputs, inputs, kernel, kernel], data, ...more });
    const pad = (kernel - 1) >> 1;
    const x = b.input('x', 'float32', [1, inputs, size, size]);
    const attributes = { kernel_shape: [kernel, kernel], pads: [pad, pad, pad, pad] };
    b.output('y', b.add('Relu', [b.add('Conv', [x, w, bias], attributes)]));
  });
}

function compiledOf(layer: Layer, pattern: BcrPattern | undefined): Compiled {
  const compiled = compile(build(layer, pattern));
  const kernel = compiled.manifest.layers[0]?.kernel ?? '';
  return { layer, kernel, tables: tablesOf(compiled), file: pack(compiled) };
}

async function load({ layer: { inputs, outputs, size }, file }: Compiled): Promise<Timed> {
  const model = await loadModel(file);
  const input = { x: randomMatrix(inputs, size === 0 ? 1 : size * size, 5).data };
  const y = new Float32Array(outputs * (size === 0 ? 1 : size * size));
  return async (runs) => {
    const start = processClock();
    for (let i = 0; i < runs; i++) await model.run(input, { outputs: { y } });
    return (processClock() - start) / runs;
  };
}

function tablesOf({ constants, segments = [] }: ReturnType<typeof compile>): Buffer {
  let at = 0;
  const all = segments.map(({ kind, bytes }) => {
    at += bytes;
    return { kind, part: constants.subarray(at - bytes, at) };
  });
  return Buffer.concat(all.filter(({ kind }) => kind === 'tables').map(({ part }) => part));
}

function quartile(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 2] ?? 0;
}

/** Dense time over sparse time, and how often both were loaded. */
async function compare(sparse: Compiled, dense: Compiled): Promise<{ ratio: number; loaded: number }> {
  const least = { mine: Number.POSITIVE_INFINITY, other: Number.POSITIVE_INFINITY };
  for (let loaded = 1; ; loaded++) {
    const [mine, other] = [await load(sparse), await load(dense)];
    await mine(WARM_UP);
    await other(WARM_UP);
    // As many of both at once: the second of two runs finds its weights in a cache that the other side would have filled.
    const runs = Math.ceil(SAMPLE_MS / Math.min(await mine(WARM_UP), await other(WARM_UP)));
    let ratio = 0;
    for (const rounds of loaded === 1 ? [samples, 4 * samples] : [samples]) {
      const times = { mine: [] as number[], other: [] as number[] };
      for (let i = 0; i < rounds; i++) {
        times.mine.push(await mine(runs));
        times.other.push(await other(runs));
      }
      least.mine = Math.min(least.mine, quartile(times.mine));
      least.other = Math.min(least.other, quartile(times.other));
      ratio = least.other / least.mine;
      if (ratio > 1.05) break;
    }
    if (loaded >= loads || (ratio >= FASTER && !values.null)) return { ratio, loaded };
  }
}

/** After each row, so that a run that is stopped leaves what it found. */
function write(): void {
  if (out !== '-') writeFileSync(out, `${JSON.stringify({ machine, samples, loads, worst, found }, undefined, 1)}\n`);
}
