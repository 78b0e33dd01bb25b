/**
 * `grim bench`: a model against onnxruntime and against its own dense form, in turn, in one process, on one thread each. What
 * they compute is compared before anything is timed; each ratio comes with its interval and a verdict.
 */
import { cpus } from 'node:os';
import { type CompiledModel, type FileManifest, type Graph, GrimError, macs, show } from '@grim/ir';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { RoofSampler, type Roofs } from '@grim/measure';
import { readArtifact } from '@grim/runtime/artifact';
import type { BenchOptions, Rival } from '../bench/args.ts';
import { processClock } from '../bench/clock.ts';
import {
  findPeer,
  type Inputs,
  type OpenContender,
  openGrim,
  openPeer,
  PEERS,
  requireEqual,
} from '../bench/contenders.ts';
import { type Profile, profile } from '../bench/profile.ts';
import { profileLines } from '../bench/profile-table.ts';
import { pruneByMagnitude } from '../bench/prune.ts';
import { inRounds, type Rounds } from '../bench/rounds.ts';
import { traceOf } from '../bench/trace.ts';
import { compileModel } from '../compile-model.ts';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile } from '../files.ts';
import { type AdapterInfo, openGpu } from '../gpu.ts';
import { importOptions } from '../import-options.ts';
import { madeUpInputs } from '../made-up-inputs.ts';
import { approximate, bytes, type Io, jsonText, styled } from '../output.ts';
import { sha256 } from '../prune/examples.ts';
import { checkReport, sendReport } from '../report.ts';
import { type Finished, lengthsOf, measured } from '../results/run.ts';
import { table, wrap } from '../table.ts';
import { version } from '../version.ts';

const TOLERANCE = 1e-3;
const ALL: readonly Rival[] = ['ort-web', 'ort-node', 'dense'];

/** What is timed. */
interface Subject {
  readonly file: Uint8Array;
  readonly calls: CompiledModel['calls'];
  readonly manifest: Pick<FileManifest, 'name' | 'inputs' | 'layers'>;
  /** Multiply-accumulates of the dense model; undefined where only the layers of a file are known. */
  readonly macs: number;
  /** What other engines get; undefined for a `.grim` file. */
  readonly onnx: Uint8Array | undefined;
  /** Without patterns; undefined where nothing is pruned. */
  readonly dense: (() => Uint8Array) | undefined;
}

export async function benchCommand(options: BenchOptions, io: Io): Promise<number> {
  const { model, trace, force } = options;
  checkReport(options, [model]);
  if (trace !== undefined) about(trace, () => checkTarget(trace, { kind: 'other', force, inputs: [model] }));
  if (options.device === 'webgpu' && (options.profile || trace !== undefined))
    throw new UsageError('--profile is of WebAssembly. Leave out --device webgpu, or --profile and --trace.');
  const gpu = options.device === 'webgpu' ? await openGpu() : undefined;
  const content = about(model, () => readRegularFile(model));
  const subject = about(model, () => subjectOf(content, options));
  const inputs = madeUpInputs(
    new Map(subject.manifest.inputs.map(({ name, dtype, shape }) => [name, { dtype, shape }])),
  );
  const { contenders, skipped } = await about(model, () => openAll(subject, inputs, options, gpu?.device));
  const [ours, ...others] = contenders as [OpenContender, ...OpenContender[]];
  const differences = about(model, () => others.map((other) => requireEqual(ours, other, TOLERANCE)));
  const sampler = new RoofSampler({ relaxed: true }, processClock);
  const sample = () => {
    for (let i = 0; i < 5; i++) sampler.sample();
  };
  sample();
  const rounds = await inRounds(contenders, { rounds: options.runs, onDevice: gpu !== undefined });
  sample();
  const profiled = options.profile ? await profile(subject.file, { calls: subject.calls }) : undefined;
  const timed = reportOf(subject, contenders, skipped, differences, rounds, sampler.roofs(), profiled, options);
  const report = { ...timed, device: gpu ? { ...gpu.info } : null };
  if (trace !== undefined && profiled) {
    const text = jsonText(traceOf(profiled, subject.manifest.name));
    io.write({ path: trace, content: text, kind: 'other', force, inputs: [model] });
  }
  if (options.record) io.record?.(finishedOf(report, sha256(content), options));
  if (sendReport(report, options, [model], io)) io.out(textOf(report, profiled, io));
  return EXIT.done;
}

function subjectOf(content: Uint8Array, options: BenchOptions): Subject {
  const { model, against, pruning } = options;
  if (new TextDecoder('latin1').decode(content.subarray(0, 4)) === 'GRIM') {
    if (pruning) throw new UsageError('a compiled model cannot be pruned: give the .onnx file.');
    if (against?.length) throw new UsageError(`${against.join(', ')}: the .onnx file is needed to compare with.`);
    const { manifest } = readArtifact(content);
    const total = manifest.layers.reduce((sum, layer) => sum + layer.macs, 0);
    return { file: content, calls: undefined, manifest, macs: total, onnx: undefined, dense: undefined };
  }
  const given = importOptions(model, options);
  const graph = fromOnnx(content, given);
  // Other engines get the file as it is, unless something was put into it: then the graph that we compile.
  const changed = pruning ? toOnnx(pruneByMagnitude(graph, pruning)) : undefined;
  const how = options.device === 'webgpu' ? { options: { targets: ['wasm', 'webgpu'] as const } } : {};
  const compiled = changed ? compileModel(changed, {}, how) : compileModel(content, given, how);
  const fixed = options.constants.size > 0 || hasExternalData(content, graph);
  return {
    file: compiled.bytes,
    calls: compiled.model.calls,
    manifest: compiled.model.manifest,
    macs: macs(compiled.graph).total,
    onnx: changed ?? (fixed ? toOnnx(graph) : content),
    dense:
      compiled.patterns.length === 0
        ? undefined
        : () => compileModel(changed ?? content, changed ? {} : given, { ...how, sparse: false }).bytes,
  };
}

/** The weights that the graph has do not fit into the file. */
function hasExternalData(content: Uint8Array, { weights }: Graph): boolean {
  let total = 0;
  for (const { data } of weights.values()) total += data.byteLength;
  return total > 2 * content.length;
}

interface Skipped {
  readonly name: Rival;
  readonly reason: string;
}

async function openAll(
  { file, onnx, dense }: Subject,
  inputs: Inputs,
  { against }: BenchOptions,
  gpu: GPUDevice | undefined,
): Promise<{ readonly contenders: readonly OpenContender[]; readonly skipped: readonly Skipped[] }> {
  const contenders = [await openGrim('grim', file, inputs, gpu)];
  const skipped: Skipped[] = [];
  const skip = (name: Rival, reason: string) => skipped.push({ name, reason });
  for (const rival of onnx ? (against ?? ALL) : [])
    if (rival === 'dense') {
      if (dense) contenders.push(await openGrim('dense', dense(), inputs, gpu));
      else skip('dense', 'no weight is pruned, so it is the same');
    } else {
      const engine = await findPeer(rival);
      if (!engine) skip(rival, `not installed here: npm install ${PEERS[rival]}`);
      else
        try {
          contenders.push(await openPeer(rival, engine, onnx as Uint8Array, inputs));
        } catch (error) {
          if (!(error instanceof GrimError)) throw error;
          skip(rival, error.message);
        }
    }
  return { contenders, skipped };
}

type Report = ReturnType<typeof reportOf> & { readonly device: AdapterInfo | null };

function reportOf(
  { file, manifest, macs: total }: Subject,
  contenders: readonly OpenContender[],
  skipped: readonly Skipped[],
  differences: readonly number[],
  { clock, timings, comparisons }: Rounds,
  roofs: Roofs,
  profiled: Profile | undefined,
  { model, pruning }: BenchOptions,
) {
  const pruned = manifest.layers.reduce((sum, layer) => sum + layer.macs * (1 - layer.density), 0);
  const { node, v8 } = process.versions;
  return {
    schema: 'grim.bench/1',
    model,
    name: manifest.name,
    machine: { grim: version(), cpu: cpus()[0]?.model.trim() ?? '', cores: cpus().length, node, v8, ...roofs },
    threads: 1,
    pruning: pruning ? { ...pruning, cols: Number.isFinite(pruning.cols) ? pruning.cols : 'K' } : null,
    macs: total,
    nonZeroMacs: total - pruned,
    bytes: file.length,
    clock,
    contenders: timings.map((timing, i) => {
      const { version: its = null, bytes: read = 0, openMs = 0, firstMs = 0 } = contenders[i] ?? {};
      return { ...timing, version: its, bytes: read, openMs, firstMs };
    }),
    comparisons: comparisons.map((one, i) => ({ ...one, largestDifference: differences[i] ?? 0 })),
    skipped,
    profile: profiled ? { ...profiled, rows: profiled.rows.map(({ calls, ...row }) => ({ ...row, calls })) } : null,
  } as const;
}

function finishedOf(report: Report, modelSha256: string, options: BenchOptions): Finished {
  const { clock, contenders, comparisons, pruning, model, bytes: size } = report;
  return {
    ...{ kind: 'bench', model, modelSha256, report },
    setting: { pruning, ...lengthsOf(options) },
    values: [
      ...contenders.map((one) => measured(`ms of ${one.name}`, clock === 'wall' ? one.wallMs : one.coreMs, 'less')),
      ...comparisons.map(({ rival, ratio, low, high }) => ({
        ...{ what: `speed over ${rival}`, value: ratio, low, high },
        better: 'more' as const,
      })),
      { what: 'bytes', value: size, better: 'less' },
    ],
  };
}

function textOf(report: Report, profiled: Profile | undefined, io: Io): string {
  const { machine, contenders, comparisons, skipped, nonZeroMacs, clock } = report;
  const width = io.columns;
  const work = `${approximate(report.macs)}MAC a run${nonZeroMacs < report.macs ? `, ${approximate(nonZeroMacs)}MAC on non-zeros` : ''}`;
  const columns = [
    { title: 'what', flexible: true },
    { title: 'ms', align: 'right' },
    { title: '±', align: 'right' },
    { title: 'GFLOP/s', align: 'right' },
    { title: 'of peak', align: 'right' },
    { title: 'open ms', align: 'right' },
    { title: 'first ms', align: 'right' },
    { title: 'model', align: 'right' },
  ] as const;
  const rows = contenders.map(({ name, version: its, medianMs, spreadMs, openMs, firstMs, bytes: size }) => {
    const own = name === 'grim' ? nonZeroMacs : report.macs;
    const rate = (2 * own) / medianMs / 1e6;
    // The peak is that of WebAssembly.
    const share = name === 'ort-node' || report.device ? '' : `${((100 * rate) / machine.gflops).toFixed(0)} %`;
    const title = its ? `${name} ${its}` : name;
    const times = [medianMs, spreadMs].map(milliseconds);
    return [title, ...times, rate.toFixed(1), share, ...[openMs, firstMs].map(milliseconds), bytes(size)];
  });
  const [head = '', ...body] = table(columns, rows, width);
  const verdicts = comparisons.flatMap(({ rival, ratio, low, high, verdict }) => {
    const style = verdict === 'faster' ? 'green' : verdict === 'slower' ? 'red' : 'yellow';
    const sentence = `${ratio.toFixed(2)}× the speed of ${rival} (${low.toFixed(2)} to ${high.toFixed(2)})`;
    const advice = verdict === 'unclear' ? ['  The noise hides it: end other programs, or give more --runs.'] : [];
    return [`${styled(io, style, verdict.padEnd(7))} ${sentence}`, ...advice];
  });
  const rounds = contenders[0]?.wallMs.length ?? 0;
  const busy =
    clock === 'core' ? 'Other programs took the cores: times are those that this process had on a core.' : '';
  const lines = [
    styled(io, 'bold', `${show(report.name) || show(report.model)}: ${work}`),
    ...(report.device
      ? wrap(`grim on ${show(report.device.name)}${report.device.software ? ', which computes on the CPU' : ''}`, width)
      : []),
    ...wrap(`${machine.cpu}, one thread, peak of WebAssembly ${machine.gflops.toFixed(1)} GFLOP/s`, width),
    styled(io, 'dim', head),
    ...body,
    ...wrap(`  Medians of ${rounds} rounds, in turn. ${busy}`.trimEnd(), width, '  '),
    ...verdicts,
    ...skipped.flatMap(({ name, reason }) => wrap(`skipped ${show(name)}: ${show(reason)}`, width, '  ')),
    ...(profiled ? ['', ...profileLines(profiled, width)] : []),
  ];
  return `${lines.join('\n')}\n`;
}

function milliseconds(value: number): string {
  return value < 0.1 ? value.toFixed(4) : value < 10 ? value.toFixed(3) : value.toFixed(1);
}
