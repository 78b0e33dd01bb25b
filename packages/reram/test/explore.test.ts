/** Co-design: mixed converters by exhaustive search, points of a space, the front, zero encodings and what they cost. */
import { graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import {
  allocateAdcBits,
  certify,
  checkCertificate,
  crossbarAt,
  type DesignResult,
  designPoints,
  explore,
  HARDWARE,
  type HardwareDesign,
  mapMatrix,
  mapNetwork,
  mixConverters,
  multiply,
  networkCost,
  PRESETS,
  paretoFront,
  quantiseNetwork,
  randomStream,
  simulateDigital,
  simulateQuantised,
  vectorCounts,
} from '../src/index.ts';
import { crossbar, exactProduct, randomIntegers } from './arrays.ts';

describe('mixed converters', () => {
  it('lose as little as the best of all choices within the budget', () => {
    const stream = randomStream(7, 2);
    for (let trial = 0; trial < 25; trial++) {
      const layers = Array.from({ length: 4 }, (_, l) =>
        Array.from({ length: 3 }, (_o, b) => ({
          bits: 4 + b,
          loss: Math.floor(stream.uniform(trial * 99 + l * 9 + b) * 30),
          price: Math.floor(stream.uniform(trial * 99 + l * 9 + b + 50) * 30),
        })),
      );
      const budget = 45 + trial;
      let best = Infinity;
      for (let code = 0; code < 81; code++) {
        const chosen = layers.map((options, l) => options[Math.floor(code / 3 ** l) % 3]);
        const price = chosen.reduce((sum, one) => sum + (one?.price ?? 0), 0);
        if (price <= budget)
          best = Math.min(
            best,
            chosen.reduce((sum, one) => sum + (one?.loss ?? 0), 0),
          );
      }
      if (best === Infinity) expect(() => allocateAdcBits(layers, budget)).toThrow(/cheapest/);
      else {
        const found = allocateAdcBits(layers, budget);
        expect([found.loss, found.exact, found.bits.length]).toEqual([best, true, 4]);
        expect(found.price).toBeLessThanOrEqual(budget);
      }
    }
  });

  it('M6: of a network cost what the budget allows, lose nothing where it is large, and are what a simulation finds', async () => {
    const network = graph('mlp', (b) => {
      let x = b.input('x', 'float32', [4, 40]);
      for (const [i, out] of [32, 24, 10].entries()) {
        const cols = [40, 32, 24][i] ?? 1;
        const data = Float32Array.from(randomIntegers(cols, out, 5 + i, 100, 1).data, (v) => v / 100);
        x = b.add('MatMul', [x, b.weight(`w${i}`, { dtype: 'float32', shape: [cols, out], data })]);
        if (i < 2) x = b.add('Relu', [x]);
      }
      b.output('y', x);
    });
    const feed = { x: Float32Array.from(randomIntegers(4, 40, 9, 100, 1).data, (v) => Math.abs(v) / 50) };
    const bar = crossbar({ adc: { model: 'uniform', bits: 8, range: 'unit-step' } });
    const quantised = quantiseNetwork(network, [feed]);
    const design = HARDWARE.get('isaac-ce') as HardwareDesign;
    const counts = vectorCounts(quantised, feed);
    const price = (bits: Parameters<typeof mapNetwork>[3]) =>
      networkCost(mapNetwork(quantised, bar, counts, bits).summary, design).energyPj;
    const [exact] = simulateDigital(quantised, [feed]);
    const rich = await mixConverters(quantised, bar, [feed], { bits: [4, 5, 6, 8], budget: 1, design });
    expect(rich.loss).toBe(0);
    const same = await simulateQuantised(quantised, [feed], bar, { layerCrossbar: rich.crossbarOf });
    expect(same.outputs[0]).toEqual([exact]);
    let last = 0;
    const smallest = price(3) / price(8);
    for (const budget of [0.95, (1 + smallest) / 2, 1.02 * smallest]) {
      const mixed = await mixConverters(quantised, bar, [feed], { bits: [3, 4, 6, 8], budget, design });
      const found = price((part) => mixed.bits.get(part) ?? 8);
      expect(found).toBeCloseTo(mixed.price, 0);
      expect(found).toBeLessThanOrEqual(budget * price(8) * (1 + 1e-9));
      expect(mixed.loss).toBeGreaterThanOrEqual(last);
      last = mixed.loss;
      const { outputs } = await simulateQuantised(quantised, [feed], bar, { layerCrossbar: mixed.crossbarOf });
      expect(JSON.stringify(outputs[0]) === JSON.stringify([exact])).toBe(mixed.loss === 0);
    }
    expect(last).toBeGreaterThan(0);
    await expect(mixConverters(quantised, bar, [feed], { bits: [4, 8], budget: 0.1, design })).rejects.toMatchObject({
      code: 'GRIM_RERAM_BAD_TARGET',
    });
    await expect(mixConverters(quantised, bar, [], { bits: [4], budget: 1, design })).rejects.toThrow(/0 examples/);
  });

  it('refuse losses that are none, and layers without a choice', () => {
    expect(() => allocateAdcBits([[{ bits: 4, loss: Number.NaN, price: 1 }]], 5)).toThrow(/loss of NaN/);
    expect(() => allocateAdcBits([[]], 5)).toThrow(/no resolution/);
  });
});

describe('pairs of full cells for zero', () => {
  it('M6: compute the same product, certified, at the price of bits', () => {
    const w = randomIntegers(6, 64, 3, 127, 0.1);
    const x = Int32Array.from({ length: 128 }, (_, i) => (i * 37) % 256);
    for (const subtract of ['digital', 'analog'] as const) {
      const bits = (zeroPair: 'low' | 'high') => {
        const bar = crossbar({ zeroPair, subtract });
        const mapping = mapMatrix(w, bar);
        expect(Array.from(multiply(mapping, x))).toEqual(exactProduct(w, x));
        const certificate = certify(mapping);
        expect(checkCertificate(w, certificate)).toEqual([]);
        const { adcBits } = certificate;
        const exact = mapMatrix(w, { ...bar, adc: { model: 'uniform', bits: adcBits, range: 'unit-step' } });
        expect(Array.from(multiply(exact, x, { everyConversion: true }))).toEqual(exactProduct(w, x));
        return adcBits;
      };
      // Subtracted before the converter the pair is its difference, whatever its zero is.
      if (subtract === 'analog') expect(bits('high')).toBe(bits('low'));
      else expect(bits('high')).toBeGreaterThan(bits('low') + 2);
    }
    expect(() => mapMatrix(w, crossbar({ zeroPair: 'high', storage: 'offset' }))).toThrow(/zeroPair/);
  });
});

describe('exploring', () => {
  const tiny = graph('tiny', (b) => {
    const stream = randomStream(2, 3);
    const weight = (name: string, shape: [number, number]) =>
      b.weight(name, {
        dtype: 'float32',
        shape,
        data: Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => stream.normal(i)),
      });
    const h = b.add('Relu', [b.add('Gemm', [b.input('x', 'float32', [1, 64]), weight('w1', [64, 32])])]);
    b.output('y', b.add('Gemm', [h, weight('w2', [32, 8])]));
  });
  const feeds = [
    {
      x: { dtype: 'float32' as const, shape: [1, 64], data: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)) },
    },
  ];
  const run = () =>
    explore(
      { nonZeros: [undefined], rows: [64], cellBits: [2], adcBits: [4, 6, 8], storage: ['analog', 'offset'] },
      {
        crossbar: PRESETS.tinyadc,
        design: HARDWARE.get('isaac-ce') as HardwareDesign,
        calibration: feeds,
        graphOf: () => tiny,
        accuracyOf: (_network, { adc }, lossless) => (lossless ? 1 : 'bits' in adc ? adc.bits / 16 : 0),
      },
    );

  it('certifies storage with signs apart at any resolution, and biased storage only where it is large enough', async () => {
    const results = await run();
    expect(results).toHaveLength(6);
    for (const one of results.filter(({ storage }) => storage === 'analog')) expect(one.lossless).toBe(true);
    const offset = results.filter(({ storage }) => storage === 'offset');
    expect(offset.map(({ lossless }) => lossless)).toEqual([false, false, true]);
    // Fewer bits of the same arrays cost less, in energy and in area.
    const energy = offset.map(({ energyUj }) => energyUj);
    expect(energy).toEqual([...energy].sort((a, b) => a - b));
  });

  it('the front holds what nothing beats, and nothing else', async () => {
    const results = await run();
    const front = paretoFront(results);
    const beaten = (one: DesignResult) =>
      results.some((o) => o.accuracy > one.accuracy && o.energyUj < one.energyUj && o.areaMm2 < one.areaMm2);
    for (const one of results) if (beaten(one)) expect(front).not.toContain(one);
    expect(front.length).toBeGreaterThan(0);
    const best = Math.max(...results.map(({ accuracy }) => accuracy));
    expect(front.some(({ accuracy }) => accuracy === best)).toBe(true);
  });

  it('stops when it is told to, and refuses spaces without points', async () => {
    const signal = { aborted: true, reason: new Error('enough') };
    const options = {
      ...{ crossbar: PRESETS.tinyadc, design: HARDWARE.get('isaac-ce') as HardwareDesign, calibration: feeds },
      ...{ graphOf: () => tiny, accuracyOf: () => 1, signal },
    };
    const space = { nonZeros: [undefined], rows: [64], cellBits: [2], adcBits: [4], storage: ['analog'] } as const;
    await expect(explore(space, options)).rejects.toThrow('enough');
    expect(() => designPoints({ ...space, rows: [] })).toThrow(/no points/);
    expect(() => designPoints({ ...space, rows: [0] })).toThrow(/rows is 0/);
    const [point] = designPoints(space);
    expect(point && crossbarAt(point, PRESETS['isaac-8bit'])).toMatchObject({
      subtract: 'analog',
      storage: 'differential',
    });
  });
});
