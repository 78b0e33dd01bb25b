/**
 * Timing that survives a noisy machine: every round runs each candidate once, in turn, so that all see the same weather.
 * Compare candidates of one run only. Medians are over rounds; `spread` is the distance between the quartiles.
 * Samples are short, so that another program that takes the core spoils few of them.
 */

export interface Candidate {
  readonly name: string;
  /** Useful floating-point operations of one run: 2 for each multiply-add on a non-zero. */
  readonly flops: number;
  readonly run: () => void;
  readonly facts?: Readonly<Record<string, number | string>>;
}

export interface Timing {
  readonly name: string;
  readonly flops: number;
  readonly medianUs: number;
  readonly minUs: number;
  readonly spreadUs: number;
  readonly runsPerSample: number;
  readonly samplesUs: readonly number[];
  readonly facts: Readonly<Record<string, number | string>>;
}

export interface MeasureOptions {
  readonly samples: number;
  /** A sample repeats a candidate until it takes about this long. */
  readonly sampleMs: number;
}

export function interleave(candidates: readonly Candidate[], { samples, sampleMs }: MeasureOptions): Timing[] {
  const prepared = candidates.map((candidate) => {
    // WebAssembly has no on-stack replacement: the optimised code is there only after whole calls and a pause.
    warmUp(candidate.run, 60);
    return { candidate, repeat: 1, times: [] as number[] };
  });
  for (const p of prepared) p.repeat = Math.max(1, Math.round(sampleMs / warmUp(p.candidate.run, 10)));
  for (let sample = 0; sample < samples; sample++)
    for (const { candidate, repeat, times } of prepared) {
      const start = performance.now();
      for (let i = 0; i < repeat; i++) candidate.run();
      times.push(((performance.now() - start) / repeat) * 1000);
    }
  return prepared.map(({ candidate: { name, flops, facts = {} }, repeat, times }) => {
    const sorted = times.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return {
      name,
      flops,
      medianUs: at(0.5),
      minUs: at(0),
      spreadUs: at(0.75) - at(0.25),
      runsPerSample: repeat,
      samplesUs: times.map((us) => Math.round(us * 100) / 100),
      facts,
    };
  });
}

/** Runs for about `ms` milliseconds, at least three times; the fastest run in milliseconds. */
function warmUp(run: () => void, ms: number): number {
  const end = performance.now() + ms;
  let best = Number.POSITIVE_INFINITY;
  for (let runs = 0; runs < 3 || performance.now() < end; runs++) {
    const start = performance.now();
    run();
    best = Math.min(best, performance.now() - start);
  }
  return Math.max(best, 1e-4);
}
