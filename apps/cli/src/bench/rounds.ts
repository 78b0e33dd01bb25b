/**
 * Rivals timed in turn: each round runs every contender once, the order turned round each time, so that all see the same
 * weather. First runs and warm-up are kept apart from what counts.
 */

import { type Comparison, compare, median, medianAbsoluteDeviation } from '@grim/measure';
import { processClock } from './clock.ts';

export interface Contender {
  readonly name: string;
  run(): Promise<unknown>;
}

export interface RoundOptions {
  /** One of them computes elsewhere: times are those on the wall. */
  readonly onDevice?: boolean | undefined;
  /** Exactly so many rounds. By default at least 20, then until every interval is narrow or the time is over. */
  readonly rounds?: number | undefined;
  /** The most that the rounds take together, once there are 20. Default 30 seconds. */
  readonly budgetMs?: number;
  /** Is told after each round how many there are. */
  readonly onRound?: ((round: number) => void) | undefined;
}

interface Timing {
  readonly name: string;
  /** Runs of a sample: short runs are repeated until a sample takes a few milliseconds. */
  readonly runsPerSample: number;
  readonly warmUpRuns: number;
  readonly medianMs: number;
  /** Median absolute deviation. */
  readonly spreadMs: number;
  readonly minMs: number;
  /** By the clock on the wall, and on a core: milliseconds of one run. */
  readonly wallMs: readonly number[];
  readonly coreMs: readonly number[];
}

export interface Rounds {
  /**
   * What medians and ratios are of: the time on the wall, or, where something else took the cores away meanwhile, the time
   * that this process had on them. The second is fair to contenders of one thread only.
   */
  readonly clock: 'wall' | 'core';
  readonly timings: readonly Timing[];
  /** Of the first contender with each other one. */
  readonly comparisons: readonly (Comparison & { readonly rival: string })[];
}

const SAMPLE_MS = 4;
const WARM_UP_MS = 500;
const LEAST_WARM_UP = 5;
const LEAST_ROUNDS = 20;
const MOST_ROUNDS = 300;
/** Of an interval, as a share of the ratio. */
const NARROW = 0.03;
/** More wall time than this, per time on a core, means that others took the cores. */
const BUSY = 1.03;

export async function inRounds(contenders: readonly Contender[], options: RoundOptions = {}): Promise<Rounds> {
  const { rounds, budgetMs = 30_000, onRound } = options;
  const prepared = [];
  for (const contender of contenders) prepared.push({ contender, ...(await warmUp(contender)), wall: [0], core: [0] });
  for (const p of prepared) [p.wall, p.core] = [[], []];
  const start = performance.now();
  for (let round = 1; ; round++) {
    for (const { contender, runsPerSample, wall, core } of round % 2 ? prepared : prepared.toReversed()) {
      const [wallStart, coreStart] = [performance.now(), processClock()];
      for (let run = 0; run < runsPerSample; run++) await contender.run();
      wall.push((performance.now() - wallStart) / runsPerSample);
      core.push((processClock() - coreStart) / runsPerSample);
    }
    onRound?.(round);
    if (rounds !== undefined ? round >= rounds : round >= LEAST_ROUNDS && round % 10 === 0) {
      const found = summary(prepared, options.onDevice === true);
      const narrow = found.comparisons.every(({ low, high, ratio }) => high - low < NARROW * ratio);
      if (rounds !== undefined || narrow || round >= MOST_ROUNDS || performance.now() - start > budgetMs) return found;
    }
  }
}

/** Until optimised code is there, which comes after whole runs and some time in which the engine compiles. */
async function warmUp({ run }: Contender): Promise<{ readonly runsPerSample: number; readonly warmUpRuns: number }> {
  let fastest = Number.POSITIVE_INFINITY;
  let warmUpRuns = 0;
  for (
    const end = performance.now() + WARM_UP_MS;
    warmUpRuns < LEAST_WARM_UP || performance.now() < end;
    warmUpRuns++
  ) {
    const start = performance.now();
    await run();
    fastest = Math.min(fastest, performance.now() - start);
    if (warmUpRuns < LEAST_WARM_UP) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { runsPerSample: Math.max(1, Math.round(SAMPLE_MS / fastest)), warmUpRuns };
}

interface Prepared {
  readonly contender: Contender;
  readonly runsPerSample: number;
  readonly warmUpRuns: number;
  readonly wall: readonly number[];
  readonly core: readonly number[];
}

function summary(prepared: readonly Prepared[], onDevice: boolean): Rounds {
  // Time on a core says nothing of what a GPU does.
  const busy = !onDevice && prepared.some(({ wall, core }) => median(wall.map((ms, i) => ms / (core[i] ?? ms))) > BUSY);
  const clock = busy ? 'core' : 'wall';
  const [ours = [], ...others] = prepared.map((one) => one[clock]);
  return {
    clock,
    timings: prepared.map(({ contender: { name }, runsPerSample, warmUpRuns, wall, core }) => {
      const times = clock === 'core' ? core : wall;
      return {
        name,
        runsPerSample,
        warmUpRuns,
        medianMs: median(times),
        spreadMs: medianAbsoluteDeviation(times),
        minMs: Math.min(...times),
        wallMs: wall,
        coreMs: core,
      };
    }),
    comparisons: others.map((theirs, i) => ({
      rival: prepared[i + 1]?.contender.name ?? '',
      ...compare(ours, theirs),
    })),
  };
}
