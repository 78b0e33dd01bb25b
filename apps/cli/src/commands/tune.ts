/**
 * `grim tune`: searches, on this device, how each layer is computed fastest, and writes the model compiled that way. Each
 * measurement is kept as soon as it is there, so a search that was interrupted goes on where it ended.
 */
import {
  type CompileOptions,
  type GpuMeasurement,
  type GpuSchedules,
  type GpuTuned,
  type Measurement,
  type Schedules,
  type Tuned,
  type TuneProgress,
  tune,
  tuneGpu,
} from '@grim/codegen';
import { type Graph, show } from '@grim/ir';
import { type Compiled, compileModel } from '../compile-model.ts';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile } from '../files.ts';
import { openGpu } from '../gpu.ts';
import { importOptions } from '../import-options.ts';
import { bytes, count, type Io, jsonText, percent, styled } from '../output.ts';
import { sha256 } from '../prune/examples.ts';
import { checkReport, sendReport } from '../report.ts';
import { fingerprint, lengthsOf } from '../results/run.ts';
import { recordOf, recordPath } from '../run-record.ts';
import { table, wrap } from '../table.ts';
import type { TuneCommandOptions } from '../tune/args.ts';
import { type Device, openCache, thisDevice } from '../tune/cache.ts';
import { measureHere } from '../tune/measure.ts';
import { measureOnGpu } from '../tune/measure-gpu.ts';

/** Models that are timed in turn are all in memory, each in several copies. */
const IN_TURN_BYTES = 512 * 2 ** 20;

export async function tuneCommand(options: TuneCommandOptions, io: Io): Promise<number> {
  const { model, output, weights, sparse, force, target } = options;
  const file = { path: output, kind: 'model', force, inputs: [model] } as const;
  checkReport(options, [model]);
  const record = { path: recordPath(output), kind: 'report', force, inputs: [model] } as const;
  about(output, () => checkTarget(output, file));
  about(record.path, () => checkTarget(record.path, record));
  const content = about(model, () => readRegularFile(model));
  const how = { weights, sparse };
  const given = importOptions(model, options);
  const { graph, patterns, model: untuned } = about(model, () => compileModel(content, given, how));
  const relaxed = WebAssembly.validate(new Uint8Array(untuned.wasm.relaxed));
  const family = relaxed ? 'relaxed' : 'plain';
  const started = performance.now();
  const batch = Math.max(1, Math.min(4, Math.floor(IN_TURN_BYTES / untuned.manifest.constantBytes)));
  const onProgress = (progress: TuneProgress) => io.err(progressLine(progress, performance.now() - started));
  const search = { batch, onProgress };
  const found = await about(model, () =>
    target === 'webgpu' ? onGpu(graph, family, options, search) : onCpu(graph, family, options, search),
  );
  const { tuned, device, cache } = found;
  const compiled = about(model, () => compileModel(content, given, { ...how, options: asTuned(options, tuned) }));
  io.write({ ...file, content: compiled.bytes });
  const report = reportOf(options, device, cache, tuned, compiled, patterns.length);
  const { schedules, ...summary } = report;
  const run = recordOf('tune', options.argv, {
    inputs: [{ path: model, sha256: sha256(content) }],
    output: { path: output, content: compiled.bytes },
    found: { schedules: schedules as Readonly<Record<string, unknown>> },
    seed: options.seed,
    report: summary,
  });
  io.write({ ...record, content: jsonText(run) });
  if (options.record)
    io.record?.({
      ...{ kind: 'tune', model, modelSha256: sha256(content), report },
      setting: { weights, sparse, ...lengthsOf(options) },
      values: [
        { what: "share of the default's time", value: tuned.ratio, better: 'less' },
        { what: 'bytes', value: compiled.bytes.length, better: 'less' },
      ],
    });
  if (sendReport(report, options, [model], io)) io.out(textOf(report, tuned, io));
  return EXIT.done;
}

/** What the search found, as the compiler takes it. */
function asTuned(
  { target, threads }: TuneCommandOptions,
  { schedules }: Pick<Found['tuned'], 'schedules'>,
): CompileOptions {
  return target === 'webgpu'
    ? { targets: ['wasm', 'webgpu'], gpuSchedules: schedules as GpuSchedules }
    : { ...(threads !== undefined && { threads }), schedules: schedules as Schedules };
}

/**
 * The model as a search made it, from the schedules that its record holds.
 * @throws {GrimError} GRIM_CODEGEN_BAD_SCHEDULE, and what compiling says
 */
export function compiledAsTuned(
  options: TuneCommandOptions,
  schedules: Readonly<Record<string, unknown>>,
): { readonly content: Uint8Array; readonly seconds: number } {
  const { model, weights, sparse } = options;
  const started = performance.now();
  const compiled = about(model, () => {
    const how = { weights, sparse, options: asTuned(options, { schedules: schedules as Schedules }) };
    return compileModel(readRegularFile(model), importOptions(model, options), how);
  });
  return { content: compiled.bytes, seconds: (performance.now() - started) / 1000 };
}

interface Search {
  readonly batch: number;
  readonly onProgress: (progress: TuneProgress) => void;
}

interface Found {
  readonly tuned: Omit<Tuned, 'schedules' | 'products'> & {
    readonly products: Tuned['products'] | GpuTuned['products'];
    readonly schedules: Schedules | GpuSchedules;
  };
  readonly device: Device;
  /** Where measurements are kept. */
  readonly cache: string;
}

async function onCpu(
  graph: Graph,
  family: Device['simd'],
  { trials, seed, fresh, threads: asked, cache: folder }: TuneCommandOptions,
  search: Search,
): Promise<Found> {
  const threads = asked ?? 1;
  const device = thisDevice(family, threads);
  const cache = openCache(folder, device);
  const tuned = await tune(graph, measureHere({ threads }), {
    ...search,
    ...(asked !== undefined && { threads }),
    ...{ threaded: threads > 1, trials, seed, known: fresh ? [] : cache.known },
    onMeasurement: (measurement: Measurement) => cache.add(measurement),
  });
  return { tuned, device, cache: cache.path };
}

async function onGpu(
  graph: Graph,
  family: Device['simd'],
  { trials, seed, fresh, cache: folder }: TuneCommandOptions,
  search: Search,
): Promise<Found> {
  const { device: gpu, info } = await openGpu();
  const device = thisDevice(family, 1, info.name);
  const cache = openCache<GpuMeasurement>(folder, device);
  const { gpuSchedules, ...tuned } = await tuneGpu(graph, measureOnGpu(gpu), {
    ...search,
    ...{ trials, seed, known: fresh ? [] : cache.known, together: gpu.features.has('timestamp-query') },
    onMeasurement: (measurement) => cache.add(measurement),
  });
  gpu.destroy();
  return { tuned: { ...tuned, schedules: gpuSchedules }, device, cache: cache.path };
}

function progressLine({ trial, trials, products, best }: TuneProgress, ms: number): string {
  const time = ms < 60_000 ? `${(ms / 1000).toFixed(0)} s` : `${(ms / 60_000).toFixed(0)} min`;
  const layers = `${products} ${products === 1 ? 'kind' : 'kinds'} of layer`;
  return `grim: trial ${trial} of ${trials} for ${layers}, ${time}: best so far ${best.toFixed(3)} of the default's time\n`;
}

type Report = ReturnType<typeof reportOf>;

function reportOf(
  { model, output, target, trials, seed, threads = 1 }: TuneCommandOptions,
  device: Device,
  cache: string,
  { schedules, products, ratio, measured, known }: Found['tuned'],
  { bytes: file, model: { manifest } }: Compiled,
  patterns: number,
) {
  return {
    schema: 'grim.tune/1',
    model,
    output,
    bytes: file.length,
    name: manifest.name,
    target,
    device: { ...device, fingerprint: fingerprint(device) },
    cache,
    trials,
    seed,
    threads,
    /** Of schedules: timed now, and taken from the cache. */
    measured,
    known,
    patterns,
    /** Time of the tuned model over that of the default. */
    ratio,
    products,
    schedules,
  } as const;
}

function textOf(
  { name, model, bytes: size, output, ratio, measured, known, cache, device, threads }: Report,
  { products }: Found['tuned'],
  io: Io,
) {
  const changed = products.filter(({ before, after }) => before !== after);
  const cells = changed
    .toSorted((a, b) => a.ratio - b.ratio)
    .map(({ nodes, rows, depth, columns, density, before, after, ratio: part }) => [
      show(nodes[0] ?? '') + (nodes.length > 1 ? ` and ${nodes.length - 1} more` : ''),
      `${rows}×${depth}×${columns}`,
      percent(density, 1),
      part.toFixed(3),
      difference(before, after),
    ]);
  const columns = [
    { title: 'layer', flexible: true },
    { title: 'M×K×N', flexible: true },
    { title: 'kept', align: 'right' },
    { title: 'time', align: 'right' },
    { title: 'instead of the default', flexible: true },
  ] as const;
  const verdict =
    changed.length === 0
      ? 'nothing that was tried is faster than the default, which stays'
      : `${ratio.toFixed(3)} of the default's time, with other kernels for ${changed.length} of ${products.length} kinds of layer`;
  const sharing = threads === 1 ? 'one thread' : `${threads} threads`;
  const where =
    device.adapter === undefined
      ? `${show(device.cpu)}, ${device.engine}, ${device.simd} SIMD, ${sharing}`
      : `${show(device.adapter)}, in ${device.engine}`;
  const [head = '', ...body] = changed.length > 0 ? table(columns, cells, io.columns) : [''];
  const lines = [
    ...wrap(`${show(name) || show(model)}: ${verdict}`, io.columns, '  ').map((line) => styled(io, 'bold', line)),
    ...(changed.length > 0 ? ['', styled(io, 'dim', head), ...body, ''] : []),
    ...wrap(`  ${bytes(size)} in ${show(output)}`, io.columns, '  '),
    ...wrap(`  ${count(measured)} schedules measured, ${count(known)} known, on ${where}`, io.columns, '  '),
    ...wrap(`  kept in ${show(cache)}`, io.columns, '  '),
    ...wrap(`  How it was made: ${show(recordPath(output))}`, io.columns, '  '),
  ];
  return `${lines.join('\n')}\n`;
}

/** What differs, as `columns 16, passes 4`. */
function difference(before: object, after: object): string {
  const known = new Map(Object.entries(before));
  const said = Object.entries(after).filter(([knob, value]) => known.get(knob) !== value);
  const other = said.map(([knob, value]) => (knob === 'form' ? String(value) : `${knob} ${value}`));
  return other.join(', ');
}
