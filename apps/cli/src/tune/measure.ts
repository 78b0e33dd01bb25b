/**
 * Times candidates on this device: in every round each runs once as a whole and once call by call, the order
 * turned round each time, so that all see the same weather. Before anything is timed, what a candidate computes is compared
 * with what the default computes.
 */
import { Worker } from 'node:worker_threads';
import { type Candidate, type Measure, pack, type Timed } from '@grim/codegen';
import { type CompiledModel, GrimError } from '@grim/ir';
import { median } from '@grim/measure';
import { openProfiler, type Profiler } from '@grim/runtime/profile';
import { processClock, wallClock } from '../bench/clock.ts';

interface Open {
  readonly profiler: Profiler;
  /** For each call: the key of its product. */
  readonly products: readonly (string | undefined)[];
}

const WARM_UP_MS = 120;
const LEAST_RUNS = 4;
/** Calls that take longer are timed by the time on a core: others may take the core from them. */
const SHORT_MS = 0.1;

export interface MeasureOptions {
  /** False for candidates of different models, whose results are not compared. Default true. */
  readonly alike?: boolean;
  /** That share the calls. Then all times are by the clock on the wall: on more cores than one, waiting counts. Default 1. */
  readonly threads?: number;
}

export function measureHere({ alike = true, threads = 1 }: MeasureOptions = {}): Measure {
  // The default is measured again and again.
  let first: { readonly candidate: Candidate; readonly open: Open } | undefined;
  return async (candidates, { rounds, signal }) => {
    const opened: Open[] = [];
    for (const candidate of candidates) {
      signal?.throwIfAborted();
      const known = first?.candidate === candidate ? first.open : undefined;
      const open = known ?? (await openCandidate(candidate, threads));
      first ??= { candidate, open };
      if (alike) requireSame(first.open.profiler, open.profiler);
      warmUp(open.profiler);
      opened.push(open);
    }
    const samples = opened.map((open) => ({
      open,
      run: [] as number[],
      wall: [] as Float64Array[],
      core: [] as Float64Array[],
    }));
    for (let round = 0; round < rounds; round++) {
      signal?.throwIfAborted();
      for (const { open, run, wall, core } of round % 2 === 0 ? samples : samples.toReversed()) {
        run.push(open.profiler.run(threads > 1 ? wallClock : processClock));
        wall.push(open.profiler.runByCall(wallClock));
        core.push(threads > 1 ? (wall.at(-1) as Float64Array) : open.profiler.runByCall(processClock));
      }
    }
    for (const open of opened) if (open !== first?.open) open.profiler.dispose();
    return samples.map(({ open, run, wall, core }): Timed => ({ run, products: byProduct(open, wall, core) }));
  };
}

async function openCandidate(candidate: Candidate, threads: number): Promise<Open> {
  const model: CompiledModel = candidate.compile();
  const worker = () => new Worker(new URL(import.meta.resolve('@grim/runtime/threads-worker')));
  const profiler = await openProfiler(pack(model), { threads, worker });
  return { profiler, products: (model.calls ?? []).map(({ product }) => product) };
}

function warmUp(profiler: Profiler): void {
  const end = performance.now() + WARM_UP_MS;
  for (let run = 0; run < LEAST_RUNS || performance.now() < end; run++) profiler.run();
}

function byProduct(
  { products }: Open,
  wall: readonly Float64Array[],
  core: readonly Float64Array[],
): ReadonlyMap<string, readonly number[]> {
  const sums = new Map<string, number[]>();
  for (const [call, key] of products.entries()) {
    if (key === undefined) continue;
    const short = median(wall.map((times) => times[call] ?? 0)) < SHORT_MS;
    const sum = sums.get(key) ?? wall.map(() => 0);
    for (const [round, times] of (short ? wall : core).entries()) sum[round] = (sum[round] ?? 0) + (times[call] ?? 0);
    sums.set(key, sum);
  }
  return sums;
}

/** Both files say what the model computes from the same made-up inputs; the profiler has checked that of its own. */
function requireSame({ manifest: { selfTest: wanted } }: Profiler, { manifest: { selfTest: found } }: Profiler): void {
  const { absoluteTolerance, relativeTolerance } = wanted;
  for (const [i, { values }] of found.expected.entries())
    for (const [j, value] of values.entries()) {
      const expected = wanted.expected[i]?.values[j] ?? Number.NaN;
      if (Math.abs(value - expected) <= absoluteTolerance + relativeTolerance * Math.abs(expected)) continue;
      throw new GrimError(
        'GRIM_CLI_TUNE',
        `a candidate computes ${value} where the default computes ${expected}. This is a bug of GRIM: please report it.`,
      );
    }
}
