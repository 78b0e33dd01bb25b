/**
 * Writes `docs/pruning.md` from the records of `prune/oneshot.ts` and `prune/search.ts`: what was measured, and nothing else.
 *
 *   node --conditions=@grim/source prune/page.ts
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ACCEPTANCE, type Cell, COMPARED, DENSITIES, keyOf, type Method, SHAPES } from './cells.ts';
import { curveSvg } from './draw-curve.ts';
import { type Record, readRecords } from './results.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const RESULTS = join(ROOT, 'bench/results');

/** The newest file of that name. */
function newest(end: string): string {
  const found = readdirSync(RESULTS)
    .filter((name) => name.endsWith(end))
    .sort()
    .at(-1);
  return join(RESULTS, found ?? end);
}

const oneShotFile = newest('-prune-oneshot.json');
const searchFile = newest('-prune-search.json');
const records = new Map(readRecords(oneShotFile).map((record) => [keyOf(record), record]));
const found = (cell: Cell): Record | undefined => records.get(keyOf(cell));

const NAMES: Readonly<{ [model: string]: string }> = {
  resnet20_cifar10: 'ResNet-20',
  resnet56_cifar10: 'ResNet-56',
  dscnn_kws: 'DS-CNN',
  kws_gru_l: 'keyword GRU',
  mobilenet_v2_imagenet: 'MobileNetV2',
};
/** Drawn beside the page. */
const CURVE = 'pruning-curve.svg';
const named = (model: string) => NAMES[model] ?? model;
const times = (block: string) => block.replace('x', '×');
const table = (titles: readonly string[], rows: readonly (readonly (string | number)[])[]) =>
  [
    `| ${titles.join(' | ')} |`,
    `| ${titles.map((_, i) => (i < 2 ? '---' : '---:')).join(' | ')} |`,
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n');

/** Wilson's interval of 95 %, of a share of `of` examples, in examples. */
function interval(correct: number, of: number): string {
  const [p, z] = [correct / of, 1.96];
  const middle = (p + z ** 2 / (2 * of)) / (1 + z ** 2 / of);
  const half = (z / (1 + z ** 2 / of)) * Math.sqrt((p * (1 - p)) / of + z ** 2 / (4 * of ** 2));
  return `${Math.round(of * (middle - half))}–${Math.round(of * (middle + half))}`;
}

function acceptance(): string {
  const rows = ACCEPTANCE.map((row) => {
    const record = found(row);
    const spread = row.budget ? ', of the MACs, density per layer' : '';
    const head = [
      `${named(row.model)}${record ? ` (${record.dense} of ${record.of})` : ''}`,
      `${row.density}${spread}, ${times(row.block)}, ${row.examples} examples`,
      row.must,
      row.aim,
    ];
    if (!record) return [...head, 'not measured', '', '', '', '', ''];
    return [
      ...head,
      record.correct >= row.must ? `**${record.correct}**` : record.correct,
      interval(record.correct, record.of),
      record.weightDensity.toFixed(3),
      record.macDensity.toFixed(3),
      `${record.seconds} (load ${record.load[1]})`,
      record.peakMegabytes,
    ];
  });
  return table(
    ['network (dense)', 'density, block', 'must', 'aim', 'right', '95 %', 'of weights', 'of MACs', 'seconds', 'MB'],
    rows,
  );
}

function shapes(): string {
  const rows = DENSITIES.map((density) => [
    String(density),
    ...SHAPES.map((block) => {
      const record = found({ ...SHAPE_BASE, density, block });
      return record ? record.correct : '';
    }),
  ]);
  return table(['density', ...SHAPES.map((block) => (block === 'KxK' ? 'whole matrix' : times(block)))], rows);
}

const SHAPE_BASE = { model: 'resnet20_cifar10', method: 'oneshot', examples: 512, aware: 'never' } as const;

function ablation(): string {
  const methods: readonly Method[] = ['oneshot', 'columns', 'wanda+refit', 'magnitude+refit', 'wanda', 'magnitude'];
  const rows = COMPARED.map((cell) => {
    const of = methods.map((method) => found({ ...cell, method }));
    const best = Math.max(...of.map((record) => record?.correct ?? 0));
    return [
      `${named(cell.model)}${of[0] ? ` (${of[0].dense} of ${of[0].of})` : ''}`,
      `${cell.density}, ${times(cell.block)}`,
      ...of.map((record) => (record ? (record.correct === best ? `**${best}**` : record.correct) : '')),
    ];
  });
  return table(['network (dense)', 'density, block', 'this', 'columns only', ...methods.slice(2)], rows);
}

interface SearchRecord {
  readonly kind: 'search' | 'curve';
  readonly model: string;
  readonly block: unknown;
  readonly density: unknown;
  readonly target: number;
  readonly examples: number;
  readonly fast: boolean;
  readonly dense: number;
  readonly correct: number;
  readonly of: number;
  readonly speedup: number;
  readonly said: number;
  readonly seconds: number;
  readonly bytes: { readonly before: number; readonly after: number };
  readonly candidates: readonly {
    readonly kind: string;
    readonly block?: string;
    readonly speedup: number;
    readonly loss: number;
    readonly drop: number;
  }[];
}

/** Blocks down, densities across: right answers, and how fast. */
function curveTable(all: readonly SearchRecord[], model: string): string {
  const points = all.filter((one) => one.model === model);
  const densities = [...new Set(points.map(({ density }) => Number(density)))].sort((a, b) => b - a);
  return table(
    [named(model), '', ...densities.map(String)],
    [...new Set(points.map(({ block }) => String(block)))].map((block) => [
      times(block),
      { '1xK': 'unstructured, CSR where that is faster', KxK: 'structured' }[block] ?? '',
      ...densities.map((density) => {
        const one = points.find((point) => point.block === block && point.density === density);
        return one ? `${one.correct}, ${one.speedup.toFixed(2)}×` : '';
      }),
    ]),
  );
}

/** The network with a curve; nothing where none was measured. */
async function drawCurve(): Promise<void> {
  const all = (existsSync(searchFile) ? JSON.parse(readFileSync(searchFile, 'utf8')) : []) as readonly SearchRecord[];
  const [first] = all.filter(({ kind }) => kind === 'curve');
  if (!first) return;
  const points = all
    .filter(({ kind, model }) => kind === 'curve' && model === first.model)
    .map((one) => ({ ...one, block: String(one.block), density: Number(one.density) }));
  const { dense = 0, of = 0 } = [...records.values()].find(({ model }) => model === first.model) ?? {};
  const title = `${named(first.model)}, one density for all convolutions: what speed costs`;
  writeFileSync(join(ROOT, 'docs', CURVE), `${await curveSvg(title, points, { dense, of })}\n`);
}

function searches(): string {
  const all = (existsSync(searchFile) ? JSON.parse(readFileSync(searchFile, 'utf8')) : []) as readonly SearchRecord[];
  const runs = all.filter(({ kind }) => kind === 'search');
  const curve = all.filter(({ kind }) => kind === 'curve');
  if (all.length === 0) return 'Not measured.';
  const parts = [
    table(
      ['network (dense)', 'asked for', 'as fast, said', 'as fast, pruned', 'right', 'bytes', 'seconds'],
      runs.map((run) => [
        `${named(run.model)} (${run.dense} of ${run.of})`,
        `${run.target}×, ${run.examples} examples${run.fast ? ', `--fast`' : ''}`,
        `${run.said.toFixed(2)}×`,
        `${run.speedup.toFixed(2)}×`,
        run.correct,
        `${run.bytes.before} → ${run.bytes.after}`,
        run.seconds,
      ]),
    ),
    ...runs.map((run) =>
      [
        `Candidates of ${named(run.model)} at ${run.target}×, by what changed on examples held out:`,
        '',
        table(
          ['candidate', '', 'as fast', 'difference', 'other answers, %'],
          run.candidates.map(({ kind, block, speedup, loss, drop }) => [
            kind === 'uniform' ? 'one density for all' : kind,
            block === undefined ? '' : times(block),
            `${speedup.toFixed(2)}×`,
            loss.toPrecision(3),
            drop.toFixed(1),
          ]),
        ),
      ].join('\n'),
    ),
  ];
  if (curve.length > 0)
    parts.push(
      [
        `![Right answers against speed, by block shape](${CURVE})`,
        '',
        'Right answers and speed of blocks at one density for all, without the activation-aware step:',
        '',
        ...[...new Set(curve.map(({ model }) => model))].map((model) => curveTable(curve, model)),
      ].join('\n'),
    );
  return parts.join('\n\n');
}

interface Trained {
  readonly run: string;
  readonly seed: number;
  readonly method?: string;
  readonly density: number;
  readonly block: string;
  readonly epochs: number;
  readonly oneShot: number;
  readonly correct: number;
  readonly of: number;
  /** Correct answers, or points that may be lost (with `dropPoints`). */
  readonly must?: number;
  readonly dropPoints?: number;
  readonly maskViolations: number;
  readonly grim: number;
}

function withTraining(): string {
  const records = ['-train-pruned.json', '-train-digits.json']
    .map(newest)
    .filter((file) => existsSync(file))
    .flatMap((file) => JSON.parse(readFileSync(file, 'utf8')) as readonly Trained[]);
  const rows = [...new Set(records.map(({ run }) => run))].map((run) => {
    const seeds = records.filter((record) => record.run === run).toSorted((a, b) => a.seed - b.seed);
    const [{ density, block, epochs, oneShot, of, must, dropPoints, method }] = seeds as [Trained];
    const counts = seeds.map(({ correct }) => correct).toSorted((a, b) => a - b);
    const middle = counts[counts.length >> 1] ?? 0;
    const needed = must === undefined ? '' : dropPoints === undefined ? must : `${must} points lost`;
    return [
      run,
      `${density}, ${times(block)}, ${method ?? 'mask'}`,
      epochs,
      oneShot,
      needed,
      seeds.map(({ correct }) => correct).join(', '),
      `${middle} of ${of}`,
      interval(middle, of),
      Math.max(...seeds.map(({ correct, grim }) => Math.abs(correct - grim))),
      seeds.reduce((sum, { maskViolations }) => sum + maskViolations, 0),
    ];
  });
  return table(
    ['run', 'pruned', 'epochs', 'one-shot', 'must', 'right', 'median', '95 %', '`.grim` differs by', 'weights outside'],
    rows,
  );
}

interface EndToEnd {
  readonly model: string;
  readonly by: string;
  readonly of: number;
  readonly right: Readonly<{ [engine: string]: number }>;
  readonly ms: Readonly<{ [engine: string]: number }>;
  readonly bytes: { readonly onnx: number; readonly dense: number; readonly pruned: number };
}

function endToEnd(): string {
  const file = newest('-prune-end-to-end.json');
  if (!existsSync(file)) return 'Not measured.';
  const kilobytes = (bytes: number) => `${Math.round(bytes / 1000)} kB`;
  const rows = (JSON.parse(readFileSync(file, 'utf8')) as readonly EndToEnd[]).flatMap(
    ({ model, by, of, right, ms, bytes }) => {
      const row = (engine: string, what: string, size: number) => [
        named(model),
        what,
        `${right[engine]} of ${of}`,
        (ms[engine] ?? Number.NaN).toPrecision(3),
        `${((ms['ort-web'] ?? Number.NaN) / (ms[engine] ?? Number.NaN)).toFixed(2)}×`,
        kilobytes(size),
      ];
      return [
        row('ort-web', 'dense, onnxruntime-web', bytes.onnx),
        row('ort-web, pruned', 'pruned, onnxruntime-web', bytes.onnx),
        row('dense', 'dense, GRIM', bytes.dense),
        row('pruned', `pruned (${by}), GRIM`, bytes.pruned),
      ];
    },
  );
  return table(['network', 'what runs', 'right', 'ms', 'over onnxruntime-web', 'bytes'], rows);
}

const README = join(ROOT, 'README.md');
const [open, close] = ['<!-- end to end -->', '<!-- /end to end -->'];
const readme = readFileSync(README, 'utf8');
if (readme.includes(open))
  writeFileSync(
    README,
    `${readme.slice(0, readme.indexOf(open))}${open}\n${endToEnd()}\n${readme.slice(readme.indexOf(close))}`,
  );

const relative = (file: string) => file.slice(ROOT.length + 1);
writeFileSync(
  join(ROOT, 'docs/pruning.md'),
  `# Pruning in one shot: what it keeps

Written by \`bench/prune/page.ts\` from \`${relative(oneShotFile)}\`${existsSync(searchFile) ? ` and \`${relative(searchFile)}\`` : ''}. Test examples are used for the
count alone, never to calibrate or to choose. One seed; two results that are closer than some 15 of 1000 are not different.
All convolutions but the first are pruned, the state weights of the GRU, the convolutions of MobileNetV2 of more than 32 rows
and columns. Seconds are of two cores that others used at the same time, with onnxruntime-node as the source of activations;
the load of the machine stands beside them.

## What must be kept

\`\`\`sh
cd bench && npm run prune -- --table acceptance --out results/….json
\`\`\`

${acceptance()}

## The price of the shape

ResNet-20, right answers of 1000, 512 calibration images, without the activation-aware step (\`--table shape\`).

${shapes()}

## Against simpler ways

At equal density and in equal blocks (\`--table ablation\`). *wanda* and *magnitude* keep the values of the weights, as published;
*+ refit* is the whole recipe, layer after layer and with the exact refit, but for its mask.

${ablation()}

## Accuracy at equal latency

\`grim prune --target-speedup\`, one thread, time on a core, dense and sparse in turn
(\`npm run prune:search -- --model … --speedup 3\`; \`--curve\` for blocks × densities).

${searches()}

## With training

The one-shot mask, or ADMM and the reweighted lasso with as many steps in all, then masked training, with distillation from the dense
network (\`npm run train:pruned\`, \`npm run train:digits\`; settings were compared on 9,000 JPEG pictures of which none is among
the 1,000 counted here: \`npm run train:validate\`). Every weight outside its mask is zero afterwards, and the compiled \`.grim\` file
gives the same answers up to the difference that stands beside it.

${withTraining()}

## End to end

\`grim prune --target-speedup\`, then compiled and run in turn with the dense network and onnxruntime-web: one thread, one example at a
time (\`npm run prune:end-to-end -- --model … --pruned …\`). Right answers are those of the compiled files.

${endToEnd()}
`,
);
await drawCurve();
