/**
 * `pnpm ablation` — what each step of GRIM's code generation is worth, on layers of ResNet-18 and VGG-16: kernels that differ in
 * that step alone, timed in turn. Then speed over block size and density, and bytes of indices of the formats. Results go to
 * bench/results/<date>-ablation.json; `report.ts` draws docs/ablation.md from them.
 *
 * Options: --layers TEXT (names that contain it), --trials N of the tuned variant (12), --rounds N (21), --out FILE.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { blockGrid, coverOn, nonZeros, stats } from '@grim/bcr';
import { type Candidate, compile, type Schedule, type Timed, tune } from '@grim/codegen';
import { type BcrPattern, type Graph, patternMask } from '@grim/ir';
import { median } from '@grim/measure';
import { measureHere } from '../../apps/cli/src/tune/measure.ts';
import { facts, ROOT } from '../tuner/facts.ts';
import { blocks, LAYERS, type Layer, layersGraph, type PatternOf } from '../tuner/layers.ts';
import type { Ablation, Bytes, Curve, LayerResult } from './result.ts';

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '' },
    trials: { type: 'string', default: '12' },
    rounds: { type: 'string', default: '21' },
    out: { type: 'string' },
  },
});
const [trials, rounds] = [Number(values.trials), Number(values.rounds)];
const [ROWS, COLS, COMPRESSION] = [8, 128, 10];

/** The same weights as single rows, in a grid that says nothing of blocks. */
const asRows =
  (patternOf: PatternOf): PatternOf =>
  (rows, cols) => {
    const pattern = patternOf(rows, cols) as BcrPattern;
    const data = Float32Array.from(patternMask(pattern));
    return coverOn({ rows, cols, data }, blockGrid(rows, cols, 1, cols)).pattern;
  };

function candidate(g: Graph, schedule?: Schedule): Candidate {
  const options = { threads: 1 } as const;
  const [key = ''] = keysOf(g);
  const schedules = schedule ? { [key]: schedule } : {};
  return { schedules, compile: () => compile(g, { ...options, schedules }) };
}

function keysOf(g: Graph): readonly string[] {
  return (compile(g, { threads: 1 }).calls ?? []).flatMap(({ product }) => product ?? []);
}

/** Medians over rounds, in milliseconds, of the calls that multiply. */
function millisecondsOf({ products }: Timed): readonly number[] {
  const [times = []] = products.values();
  return times;
}

/** Of each variant, compiled and placed anew. */
const INSTANCES = 3;

/** Nothing of the cache, nothing of loops: what the steps before tuning leave at rest. */
const PLAIN = { passes: 1, unroll: 2, gather: false, groups: 1 } as const;

async function ablate(layer: Layer): Promise<LayerResult> {
  const patternOf = blocks(ROWS, COLS, COMPRESSION);
  const sparse = layersGraph([layer], patternOf);
  const single = layersGraph([layer], asRows(patternOf));
  const measure = measureHere();
  const tuned = await tune(sparse, measure, { trials, rounds: 5, threads: 1 });
  const [found] = Object.values(tuned.schedules);
  const units = { form: 'units', tallest: 6, cut: 'balanced', ...PLAIN } as const;
  const variants: readonly (readonly [string, Candidate])[] = [
    ['dense', candidate(sparse, { form: 'dense' })],
    ['rows', candidate(single, { form: 'rows', columns: 8, order: 'given', ...PLAIN })],
    ['rows, 24 columns', candidate(single, { form: 'rows', columns: 24, order: 'given', ...PLAIN })],
    ['+ reorder', candidate(single, { form: 'rows', columns: 8, order: 'signature', ...PLAIN })],
    ['+ input LRE', candidate(sparse, { ...units, columns: 8, merge: 'none' })],
    ['+ output LRE', candidate(sparse, { ...units, columns: 24, merge: 'equal' })],
    ['default', candidate(sparse)],
    ['+ tuning', candidate(sparse, found)],
  ];
  // Where memory comes to lie makes a few per cent: several instances of each.
  const instances: (readonly Timed[])[] = [];
  for (let i = 0; i < INSTANCES; i++)
    instances.push(
      await measureHere()(
        variants.map(([, one]) => one),
        { rounds: Math.ceil(rounds / INSTANCES), signal: undefined },
      ),
    );
  const flops = 2 * nonZeros(patternOf(layer.outputs, 9 * layer.inputs) as BcrPattern) * layer.size ** 2;
  const results = variants.map(([name], i) => {
    const times = instances.map((timed) => millisecondsOf(timed[i] as Timed));
    const ratios = instances.map((timed, instance) => {
      const base = millisecondsOf(timed[1] as Timed);
      return median((times[instance] ?? []).map((time, round) => (base[round] ?? Number.NaN) / time));
    });
    const ms = median(times.flat());
    return {
      name,
      ms,
      /** Of neighbouring samples, median of the instances' medians. */
      speedup: median(ratios),
      gflops: flops / ms / 1e6,
      samplesMs: times.flat(),
    };
  });
  return { layer, schedule: found, variants: results };
}

const CURVE_BLOCKS = [
  [1, 1],
  [1, Number.POSITIVE_INFINITY],
  [2, Number.POSITIVE_INFINITY],
  [4, 16],
  [4, Number.POSITIVE_INFINITY],
  [8, 32],
  [8, 128],
  [16, 64],
  [32, 128],
  [64, 256],
] as const;
const CURVE_COMPRESSIONS = [4, 8, 16] as const;

/** Blocks of 1×1 are an arbitrary mask: here single rows with columns of their own. */
function patternFor(rows: number, cols: number, compression: number): PatternOf {
  return rows === 1 && cols === 1 ? blocks(1, Number.POSITIVE_INFINITY, compression) : blocks(rows, cols, compression);
}

async function curve(layer: Layer): Promise<readonly Curve[]> {
  const found: Curve[] = [];
  const chosen = CURVE_BLOCKS.filter(([rows, cols]) => !(rows === 1 && cols > 1));
  for (const compression of CURVE_COMPRESSIONS) {
    const graphs = chosen.map(([rows, cols]) => layersGraph([layer], patternFor(rows, cols, compression)));
    // Their outputs differ: each is compared with its own dense form, once, then all are timed in turn.
    const dense = candidate(layersGraph([layer], () => undefined));
    const timed = await measureHere({ alike: false })([dense, ...graphs.map((g) => candidate(g))], {
      rounds,
      signal: undefined,
    });
    const base = millisecondsOf(timed[0] as Timed);
    for (const [i, [rows, cols]] of chosen.entries()) {
      const pattern = patternFor(rows, cols, compression)(layer.outputs, 9 * layer.inputs) as BcrPattern;
      const times = millisecondsOf(timed[i + 1] as Timed);
      found.push({
        layer: layer.name,
        block: `${rows}x${Number.isFinite(cols) ? cols : 'K'}`,
        compression,
        overDense: median(times.map((time, round) => (base[round] ?? Number.NaN) / time)),
        gflops: (2 * nonZeros(pattern) * layer.size ** 2) / median(times) / 1e6,
      });
    }
  }
  return found;
}

/** Masks whose blocks lose rows and columns, as `syntheticPattern` makes them. */
function bytesOf([rows, cols]: readonly [rows: number, cols: number]): readonly Bytes[] {
  return CURVE_BLOCKS.filter(([height, width]) => height > 1 || width > 1).flatMap(([height, width]) =>
    CURVE_COMPRESSIONS.map((compression) => {
      const pattern = blocks(height, width, compression)(rows, cols) as BcrPattern;
      const { indexBytes, weightBytes, signatures } = stats(pattern);
      const block = `${height}x${Number.isFinite(width) ? width : 'K'}`;
      return { matrix: `${rows}x${cols}`, block, compression, weightBytes, signatures, indexBytes };
    }),
  );
}

const started = facts();
const layers: LayerResult[] = [];
for (const layer of LAYERS.filter(({ name }) => name.includes(values.layers))) {
  const result = await ablate(layer);
  layers.push(result);
  console.log(layer.name, result.variants.map(({ name, speedup }) => `${name} ${speedup.toFixed(2)}`).join(', '));
}
const middle = LAYERS.find(({ name }) => name === 'ResNet-18 stage 3') as Layer;
const curves = await curve(middle);
const bytes = [bytesOf([256, 2304]), bytesOf([512, 4608])].flat();
const ablation: Ablation = {
  ...started,
  loadAverageAfter: facts().loadAverage,
  block: `${ROWS}x${COLS}`,
  compression: COMPRESSION,
  trials,
  rounds,
  layers,
  curves,
  bytes,
};
const out = values.out ?? join(ROOT, 'bench/results', `${started.date.slice(0, 10)}-ablation.json`);
writeFileSync(out, `${JSON.stringify(ablation)}\n`);
