/** Verdicts on times with known truth. */
import { describe, expect, it } from 'vitest';
import { compare, median, medianAbsoluteDeviation } from './statistics.ts';

/** Uniform in [0, 1): mulberry32. */
function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Times of two programs in turn on a busy machine, `slowdown` the second's true time over the first's: jitter of 3 %, a load
 * that both meet and that lasts for a while, and now and then a sample that lost its core.
 */
function samples(seed: number, slowdown: number, rounds: number): readonly [number[], number[]] {
  const next = random(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const [ours, theirs]: [number[], number[]] = [[], []];
  let load = 0;
  const time = (truth: number) =>
    truth * Math.exp(Math.abs(load) + 0.03 * normal()) * (next() < 0.06 ? 1 + 2 * next() : 1);
  for (let round = 0; round < rounds; round++) {
    load = 0.9 * load + 0.08 * normal();
    ours.push(time(1));
    theirs.push(time(slowdown));
  }
  return [ours, theirs];
}

const verdicts = (slowdown: number, rounds: number) =>
  Array.from({ length: 100 }, (_, seed) => compare(...samples(seed + 1, slowdown, rounds)).verdict);

describe('verdicts', () => {
  it('of a program against itself are "same" or "unclear" in at least 95 of 100 comparisons', () => {
    for (const rounds of [20, 60])
      expect(verdicts(1, rounds).filter((v) => v === 'same' || v === 'unclear').length).toBeGreaterThanOrEqual(95);
  });

  it('find a difference of 5 % in at least 90 of 100 comparisons of 60 rounds, whichever side it is on', () => {
    expect(verdicts(1.05, 60).filter((v) => v === 'faster').length).toBeGreaterThanOrEqual(90);
    expect(verdicts(1 / 1.05, 60).filter((v) => v === 'slower').length).toBeGreaterThanOrEqual(90);
  });

  it('are never the wrong way round', () => {
    expect(verdicts(1.05, 20)).not.toContain('slower');
    expect(verdicts(2, 20)).toEqual(new Array(100).fill('faster'));
  });

  it('are withheld from a few rounds', () => {
    expect(compare([1, 1, 1], [2, 2, 2])).toMatchObject({ ratio: 2, verdict: 'unclear' });
  });
});

it('takes the middle, and the spread around it, of values in any order', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
  expect(medianAbsoluteDeviation([1, 1, 2, 2, 4, 6, 9])).toBe(1);
});

it('is not moved by a slow half hour that both programs meet', () => {
  const ours = Array.from({ length: 40 }, (_, i) => (i < 15 ? 9 : 1));
  const found = compare(
    ours,
    ours.map((time) => 1.5 * time),
  );
  expect(found).toEqual({ ratio: 1.5, low: 1.5, high: 1.5, verdict: 'faster' });
});
