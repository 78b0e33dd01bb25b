/** The fuzzers, as far as every test run can afford them; `pnpm fuzz` runs any number of cases. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BYTE_MUTATORS } from './byte-mutators.ts';
import { outcomeOf, runCampaign } from './campaign.ts';
import { byteCase, corpus, KITCHEN_SINK, modelCase } from './corpus.ts';
import { MODEL_MUTATORS } from './model-mutators.ts';
import { Random } from './random.ts';
import { TARGETS } from './targets.ts';

const files = corpus(process.env['GRIM_DATA']);

describe.each(Object.entries(TARGETS))('target %s', (_, target) => {
  it('P18: 50,000 files with damaged bytes each end in a result or a GrimError', () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    const { outcomes, findings } = runCampaign({
      seed: 20_260_101,
      cases: 50_000,
      target,
      make: (random) => byteCase(files, random),
    });
    expect(findings.map(({ index, how, what }) => `case ${index}, ${how.join(', then ')}: ${what}`)).toEqual([]);
    expect([...outcomes.values()].reduce((sum, count) => sum + count, 0)).toBe(50_000);
    // Damage that only ever meets the first check tests nothing.
    expect(outcomes.size).toBeGreaterThanOrEqual(10);
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  });

  it('P18: 10,000 models with damaged meaning each end in a result or a GrimError', () => {
    const { outcomes, findings } = runCampaign({
      seed: 20_260_102,
      cases: 10_000,
      target,
      make: (random) => modelCase(files, random),
    });
    expect(findings.map(({ index, how, what }) => `case ${index}, ${how.join(', then ')}: ${what}`)).toEqual([]);
    expect([...outcomes.values()].reduce((sum, count) => sum + count, 0)).toBe(10_000);
  });

  it('P18: what the fuzzers found in the past stays mended', () => {
    const folder = join(import.meta.dirname, 'findings');
    const found = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.bin')) : [];
    for (const name of found)
      expect(outcomeOf(target, new Uint8Array(readFileSync(join(folder, name)))).what, name).toBeUndefined();
  });
});

describe('the fuzzer itself', () => {
  it('gives equal cases for equal seeds', () => {
    for (const make of [byteCase, modelCase])
      for (let index = 0; index < 50; index++)
        expect(make(files, new Random(5, index))).toEqual(make(files, new Random(5, index)));
  });

  it('reports what is no GrimError, with a small input that still shows it', () => {
    const { findings, outcomes } = runCampaign({
      seed: 1,
      cases: 200,
      target: (bytes) => {
        if (bytes.includes(0xee)) throw new TypeError('planted');
      },
      make: (random) => byteCase(files, random),
    });
    expect(outcomes.get('finding')).toBeGreaterThan(0);
    for (const { bytes, what } of findings) {
      expect(what).toContain('TypeError');
      expect(bytes).toEqual(Uint8Array.of(0xee));
    }
  });

  it('has mutators that all change something, and together reach the decoder past its first checks', () => {
    const [sink] = files;
    for (const mutator of BYTE_MUTATORS) {
      const changed = Array.from({ length: 50 }, (_, index) =>
        mutator.mutate(sink as Uint8Array, new Random(3, index), files),
      );
      expect(
        changed.some((bytes) => Buffer.compare(bytes, sink as Uint8Array) !== 0),
        mutator.name,
      ).toBe(true);
    }
    for (const mutator of MODEL_MUTATORS) {
      const changed = Array.from({ length: 50 }, (_, index) => {
        const model = structuredClone(KITCHEN_SINK);
        mutator.mutate(model as Parameters<typeof mutator.mutate>[0], new Random(3, index));
        return JSON.stringify(model, (_key, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item));
      });
      expect(new Set(changed).size, mutator.name).toBeGreaterThan(1);
    }
  });
});
