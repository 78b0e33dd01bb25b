/**
 * `grim whatif`: how fast a network would be, in which blocks and at which densities, before it is pruned. Masks are random,
 * kernels are real; no file that could run is written, as its answers would be nonsense.
 */
import { cpus } from 'node:os';
import { attachPatterns } from '@grim/bcr';
import { show } from '@grim/ir';
import { type BlockShape, prunableLayers } from '@grim/prune';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { bytes, type Io, percent, styled } from '../output.ts';
import type { WhatifOptions } from '../prune/args.ts';
import { type Stopwatch, stopwatch, type Timed } from '../prune/latency.ts';
import { withLengths } from '../prune/lengths.ts';
import { readGraph } from '../prune/read-graph.ts';
import { checkReport, sendReport } from '../report.ts';
import { blockText } from '../shares.ts';
import { table, wrap } from '../table.ts';

export async function whatifCommand(options: WhatifOptions, io: Io): Promise<number> {
  const { model } = options;
  checkReport(options, [model]);
  const content = about(model, () => readRegularFile(model));
  const graph = about(model, () => withLengths(readGraph(content, importOptions(model, options))));
  const pruned = prunableLayers(graph).filter(({ exempt }) => !exempt);
  if (pruned.length === 0) throw new UsageError('the network has no layer that would be pruned.');
  const cells = options.blocks.flatMap((block) => options.densities.map((density) => ({ block, density })));
  const watch = await about(model, () =>
    stopwatch(graph, { seconds: options.seconds / (cells.length + 1), seed: options.seed }),
  );
  const names = new Set(pruned.map(({ name }) => name));
  const found: (Cell & Timed)[] = [];
  for (const cell of cells) {
    const timed = await about(model, () => watch.time((name) => (names.has(name) ? cell : undefined)));
    found.push({ ...cell, ...timed });
    io.err(`  ${blockText(cell.block)} at ${cell.density}: ${timed.speedup.toFixed(2)} times as fast\n`);
  }
  const check = options.check === undefined ? undefined : await checked(options.check, options, watch, found);
  const report = {
    schema: 'grim.whatif/1',
    model,
    cpu: cpus()[0]?.model ?? '',
    threads: 1,
    note: 'random masks: no accuracy, and no file that runs',
    denseMs: watch.dense.ms,
    denseBytes: watch.dense.bytes,
    ...(check && { check }),
    cells: found.map(({ block, density, ms, speedup, bytes: size, layers }) => ({
      ...{ block: blockText(block), density, ms, speedup, bytes: size },
      layers: layers.filter(({ name }) => names.has(name)),
    })),
    layers: pruned.map(({ name, m, k }) => ({
      ...{ name, m, k },
      breakEven: Object.fromEntries(
        options.blocks.map((block) => [
          blockText(block),
          breakEven(
            name,
            found.filter((cell) => cell.block === block),
          ),
        ]),
      ),
    })),
  };
  if (sendReport(report, options, [model], io)) io.out(textOf(report, options, io));
  return EXIT.done;
}

/** How long the network takes that was really pruned, beside what was said of it. */
async function checked(path: string, options: WhatifOptions, watch: Stopwatch, found: readonly (Cell & Timed)[]) {
  const [cell, ...more] = found;
  if (!cell || more.length > 0)
    throw new UsageError('--check needs one block and one density: those of the pruned network.');
  const content = about(path, () => readRegularFile(path));
  const graph = about(path, () => withLengths(readGraph(content, importOptions(path, options))));
  const { ms, speedup } = await about(path, () => watch.timeGraph(attachPatterns(graph).graph));
  return { file: path, ms, speedup, predictedSpeedup: cell.speedup, off: cell.speedup / speedup - 1 };
}

interface Cell {
  readonly block: BlockShape;
  readonly density: number;
}

/**
 * The density at which the sparse layer takes as long as the dense one, between the measured ones on a line over the
 * logarithm; null where it is slower throughout, 1 where it is faster throughout.
 */
export function breakEven(name: string, cells: readonly (Cell & Pick<Timed, 'layers'>)[]): number | null {
  const points = cells
    .map(({ density, layers }) => {
      const layer = layers.find((one) => one.name === name);
      return { density, ratio: layer && layer.denseMs > 0 ? layer.ms / layer.denseMs : Number.NaN };
    })
    .filter(({ ratio }) => Number.isFinite(ratio))
    .sort((a, b) => a.density - b.density);
  const first = points.findIndex(({ ratio }) => ratio >= 1);
  if (points.length === 0 || first === 0) return null;
  if (first < 0) return 1;
  const [below, above] = [points[first - 1], points[first]] as [(typeof points)[0], (typeof points)[0]];
  const share = (1 - below.ratio) / (above.ratio - below.ratio);
  return Math.exp(Math.log(below.density) * (1 - share) + Math.log(above.density) * share);
}

interface Report {
  readonly check?: { readonly file: string; readonly speedup: number; readonly off: number };
  readonly denseMs: number;
  readonly denseBytes: number;
  readonly cells: readonly {
    readonly block: string;
    readonly density: number;
    readonly ms: number;
    readonly speedup: number;
    readonly bytes: number;
  }[];
  readonly layers: readonly {
    readonly name: string;
    readonly m: number;
    readonly k: number;
    readonly breakEven: Readonly<Record<string, number | null>>;
  }[];
}

function textOf(
  { denseMs, denseBytes, cells, layers, check }: Report,
  { model, blocks, densities }: WhatifOptions,
  io: Io,
): string {
  const right = (title: string) => ({ title, align: 'right' as const });
  const texts = blocks.map(blockText);
  const at = (block: string, density: number) => cells.find((cell) => cell.block === block && cell.density === density);
  const speeds = densities.map((density) => [
    String(density),
    ...texts.map((block) => `${at(block, density)?.speedup.toFixed(2) ?? ''}×`),
    bytes(at(texts[0] ?? '', density)?.bytes ?? 0),
  ]);
  const even = layers.map(({ name, m, k, breakEven: own }) => [
    show(name),
    `${m}×${k}`,
    ...texts.map((block) => {
      const density = own[block];
      return density === null ? 'never' : density === 1 ? 'always' : (density ?? Number.NaN).toFixed(2);
    }),
  ]);
  return [
    styled(io, 'bold', `${show(model)}: ${denseMs.toFixed(2)} ms and ${bytes(denseBytes)} dense, on one thread`),
    'Times as fast, by density and block',
    ...table([{ title: 'density', flexible: true }, ...texts.map(right), right('bytes')], speeds, io.columns),
    '',
    'Density below which a layer is faster sparse',
    ...table([{ title: 'layer', flexible: true }, right('matrix'), ...texts.map(right)], even, io.columns),
    '',
    ...(check
      ? wrap(
          `  ${show(check.file)}, really pruned: ${check.speedup.toFixed(2)} times as fast; the prediction was ${percent(Math.abs(check.off), 1)} ${check.off > 0 ? 'above' : 'below'}.`,
          io.columns,
          '  ',
        )
      : []),
    ...wrap('  Random masks on real kernels: nothing is known of accuracy, and no file was written.', io.columns, '  '),
    '',
  ].join('\n');
}
