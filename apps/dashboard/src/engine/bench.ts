/**
 * Rivals timed in turn: each round runs every contender once, the order turned round each time, so that all see the same
 * weather. What cannot run here says why, and what computes something else is never timed.
 */
import { GrimError } from '@grim/ir';
import { type Comparison, compare, median, medianAbsoluteDeviation } from '@grim/measure';
import { loadModel as loadThreaded } from '@grim/runtime/threads';
import { loadModel as loadGpu } from '@grim/runtime/webgpu';
import type { Context, Which } from './messages.ts';
import { loadOrt } from './ort.ts';
import { type LayerProfile, profileLayers } from './profile.ts';
import { repeatsFor } from './prune.ts';
import { dataOf, type Outputs } from './run.ts';
import type { Feed } from './samples.ts';
import { compileNetwork, type Network, networkOf, type Session, theSession } from './session.ts';

export interface ContenderAsk {
  readonly which: Which;
  readonly device: 'wasm' | 'webgpu' | 'ort';
  readonly threads: number;
}

export interface BenchAsk {
  /** The first one is what the others are compared with. */
  readonly contenders: readonly ContenderAsk[];
  /** Where `ort.wasm.bundle.min.mjs` of onnxruntime-web lies, on this origin. */
  readonly ortUrl: string;
  readonly rounds: number;
}

export interface BenchRow extends ContenderAsk {
  readonly name: string;
  /** Undefined: it ran. */
  readonly refused: string | undefined;
  /** What it runs on, and why not on more. */
  readonly notes: readonly string[];
  readonly bytes: number;
  readonly openMs: number;
  readonly firstMs: number;
  readonly medianMs: number;
  readonly spreadMs: number;
  readonly minMs: number;
  readonly samples: readonly number[];
  /** How many times as fast as the first contender. */
  readonly speed: Comparison | undefined;
}

export interface BenchAnswer {
  readonly rows: readonly BenchRow[];
  readonly profile: LayerProfile;
  readonly isolated: boolean;
  readonly seconds: number;
}

interface Contender {
  readonly ask: ContenderAsk;
  readonly notes: readonly string[];
  readonly bytes: number;
  readonly openMs: number;
  readonly firstMs: number;
  readonly outputs: Outputs;
  run(data: Outputs): Promise<Outputs>;
  dispose(): void;
}

const NAMES: Readonly<Record<ContenderAsk['device'], string>> = {
  wasm: 'WebAssembly',
  webgpu: 'WebGPU',
  ort: 'onnxruntime-web',
};

/** @param cameDense  false: the network as it was opened has blocks already */
function contenderName({ which, device, threads }: ContenderAsk, cameDense: boolean): string {
  const how = `${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  if (device === 'ort') return `${NAMES.ort}, ${how}`;
  return `${which !== 'dense' ? 'BCR' : cameDense ? 'dense' : 'as opened'}, ${NAMES[device]}${device === 'wasm' ? `, ${how}` : ''}`;
}

/** @throws {GrimError} GRIM_DASHBOARD_NO_CONTENDER when none can run; the signal's reason when cancelled */
export async function bench({ contenders, ortUrl, rounds }: BenchAsk, context: Context): Promise<BenchAnswer> {
  const session = theSession();
  const weights = [...(session.dense.graph?.weights.values() ?? [])];
  const cameDense = !weights.some(({ pattern }) => pattern !== undefined);
  const nameOf = (ask: ContenderAsk) => contenderName(ask, cameDense);
  const start = performance.now();
  const feed = session.samples.feeds[0] as Feed;
  const data = dataOf(feed);
  const ready: Contender[] = [];
  const refused = new Map<ContenderAsk, string>();
  try {
    for (const [i, ask] of contenders.entries()) {
      await context.stage(`Opening: ${nameOf(ask)}`, i / contenders.length);
      try {
        const opened = await openContender(session, ask, ortUrl, feed);
        ready.push(opened);
        const first = ready.find((other) => other.ask.which === ask.which || ask.device === 'ort');
        requireEqual(opened, first ?? opened, nameOf);
      } catch (error) {
        if (ready.at(-1)?.ask === ask) ready.pop()?.dispose();
        refused.set(ask, error instanceof Error ? error.message : String(error));
      }
    }
    if (ready.length === 0)
      throw new GrimError('GRIM_DASHBOARD_NO_CONTENDER', [...refused.values()][0] ?? 'Choose something to measure.');
    const times = await inRounds(ready, data, rounds, nameOf, context);
    const profile = await profileLayers(session.dense, session.pruned, context);
    const [, firstTimes = []] = [...times][0] ?? [];
    return {
      profile,
      isolated: globalThis.crossOriginIsolated,
      seconds: (performance.now() - start) / 1000,
      rows: contenders.map((ask): BenchRow => {
        const one = ready.find((contender) => contender.ask === ask);
        const samples = (one && times.get(one)) ?? [];
        return {
          ...{ ...ask, name: nameOf(ask), refused: refused.get(ask), notes: one?.notes ?? [], samples },
          ...{ bytes: one?.bytes ?? 0, openMs: one?.openMs ?? 0, firstMs: one?.firstMs ?? 0 },
          ...{ medianMs: median(samples), spreadMs: medianAbsoluteDeviation(samples), minMs: Math.min(...samples) },
          speed: one && one !== ready[0] ? compare(samples, firstTimes) : undefined,
        };
      }),
    };
  } finally {
    for (const one of ready) one.dispose();
  }
}

async function inRounds(
  ready: readonly Contender[],
  data: Outputs,
  rounds: number,
  nameOf: (ask: ContenderAsk) => string,
  { stage }: Context,
): Promise<ReadonlyMap<Contender, readonly number[]>> {
  const prepared = [];
  for (const one of ready) {
    await stage(`Warming up: ${nameOf(one.ask)}`);
    prepared.push({ one, repeats: await repeatsFor(one as never, data), times: [] as number[] });
  }
  for (let round = 0; round < rounds; round++) {
    await stage(`Round ${round + 1} of ${rounds}`, round / rounds);
    for (const { one, repeats, times } of round % 2 ? prepared : prepared.toReversed()) {
      const start = performance.now();
      for (let i = 0; i < repeats; i++) await one.run(data);
      times.push((performance.now() - start) / repeats);
    }
  }
  return new Map(prepared.map(({ one, times }) => [one, times]));
}

async function openContender(session: Session, ask: ContenderAsk, ortUrl: string, feed: Feed): Promise<Contender> {
  const data = dataOf(feed);
  const start = performance.now();
  const opened = await (ask.device === 'ort' ? openOrt(session, ask, ortUrl, feed) : openOwn(session, ask));
  const middle = performance.now();
  const outputs = await opened.run(data);
  return { ...opened, ask, outputs, openMs: middle - start, firstMs: performance.now() - middle };
}

type Opened = Pick<Contender, 'notes' | 'bytes' | 'run' | 'dispose'>;

async function openOwn(session: Session, { which, device, threads }: ContenderAsk): Promise<Opened> {
  const network = networkOf(session, which);
  if (device === 'wasm') {
    const { file } = network.compiled;
    const model = await loadThreaded(file, { threads });
    return {
      notes: [`${model.simd} SIMD, ${model.threads} of ${threads} threads`, ...model.reasons],
      bytes: file.length,
      run: (data) => model.run(data as never),
      dispose: () => model.dispose(),
    };
  }
  const file = withShaders(network);
  const model = await loadGpu(file, { device: 'webgpu' });
  return {
    notes: [...model.reasons],
    bytes: file.length,
    run: (data) => model.run(data as never),
    dispose: () => model.dispose(),
  };
}

const shaders = new WeakMap<Network, Uint8Array<ArrayBuffer>>();

/** Compiled again, as a file without shaders is smaller and most do not ask for them. */
function withShaders(network: Network): Uint8Array<ArrayBuffer> {
  if (!('gpu' in navigator) || !navigator.gpu)
    throw new GrimError('GRIM_DASHBOARD_NO_GPU', 'This browser gives workers no WebGPU.');
  if (!network.graph) return network.compiled.file;
  const known = shaders.get(network) ?? compileNetwork(network.graph, { targets: ['wasm', 'webgpu'] }).file;
  shaders.set(network, known);
  return known;
}

async function openOrt(session: Session, { threads }: ContenderAsk, url: string, feed: Feed): Promise<Opened> {
  if (!session.onnx)
    throw new GrimError('GRIM_DASHBOARD_NO_GRAPH', 'onnxruntime-web runs ONNX files; this one was opened compiled.');
  return loadOrt(url, session.onnx, threads, feed);
}

/** Kernels differ in the order of their sums; anything more is a mistake. */
const TOLERANCE = 5e-3;

/** @throws {GrimError} GRIM_DASHBOARD_DIFFERENT */
function requireEqual(a: Contender, b: Contender, nameOf: (ask: ContenderAsk) => string): void {
  if (a.ask.which !== b.ask.which) return;
  for (const [output, wanted] of Object.entries(b.outputs)) {
    const found = a.outputs[output];
    let [scale, difference] = [1e-6, found?.length === wanted.length ? 0 : Number.POSITIVE_INFINITY];
    for (let i = 0; i < wanted.length && found; i++) {
      scale = Math.max(scale, Math.abs(Number(wanted[i])));
      difference = Math.max(difference, Math.abs(Number(found[i]) - Number(wanted[i])));
    }
    if (!(difference <= TOLERANCE * scale))
      throw new GrimError(
        'GRIM_DASHBOARD_DIFFERENT',
        `It computes other values than ${nameOf(b.ask)}: they differ by ${difference.toExponential(1)} of ${scale.toExponential(1)}. It was not timed.`,
      );
  }
}
