/** Co-design: mixed converters by exhaustive search, points of a space, the front, zero encodings and what they cost. */
import { type GrimError, graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import {
  allocateAdcBits,
  type Crossbar,
  certify,
  certifyNetwork,
  checkCertificate,
  checkNetworkCertificate,
  crossbarAt,
  crossbarMask,
  type DesignResult,
  designPoints,
  explore,
  fitColumns,
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
      const found = price(mixed.bitsOf);
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

  it('M6: of a recurrent layer choose for each matrix, and never a resolution that leaves nothing of the outputs', async () => {
    const [hidden, steps] = [40, 12];
    const stream = randomStream(4, 3);
    const recurrent = graph('gru', (b) => {
      const weight = (name: string, shape: [number, number, number], by: number) =>
        b.weight(name, {
          dtype: 'float32',
          shape,
          data: Float32Array.from({ length: shape[1] * shape[2] }, (_, i) => stream.normal(i) * by),
        });
      const x = b.input('x', 'float32', [steps, 1, 10]);
      const [, last] = b.addMany(
        'GRU',
        [x, weight('w', [1, 3 * hidden, 10], 1), weight('r', [1, 3 * hidden, hidden], 0.4)],
        2,
        {
          hidden_size: hidden,
          linear_before_reset: 0,
        },
      );
      b.output('y', last ?? x);
    });
    const feed = { x: Float32Array.from({ length: steps * 10 }, (_, i) => stream.normal(1e6 + i)) };
    // Biased storage: with a bit too few the top slice, half full of the bias, clips at every step.
    const bar: Crossbar = { ...PRESETS['isaac-8bit'], rows: 32 };
    const quantised = quantiseNetwork(recurrent, [feed]);
    const design = HARDWARE.get('isaac-ce') as HardwareDesign;
    const [exact] = simulateDigital(quantised, [feed]);
    const squares = (y: ArrayLike<unknown> = []) => Array.from(y, Number).reduce((sum, v) => sum + v * v, 0);
    const mix = (budget: number) => mixConverters(quantised, bar, [feed], { bits: [2, 4, 5, 6, 7], budget, design });
    const refused = await mix(0.3).catch((error: unknown) => error as GrimError);
    expect(refused).toMatchObject({ code: 'GRIM_RERAM_BAD_TARGET' });
    const cheapest = (refused as GrimError).details['cheapest'] as number;
    expect(cheapest).toBeGreaterThan(0.3);
    for (const budget of [cheapest * 1.0001, 1]) {
      const mixed = await mix(budget);
      expect(mixed.options.map(({ options }) => options.length).reduce((a, b) => a + b)).toBeLessThan(15);
      expect(mixed.options).toHaveLength(3);
      for (const { options } of mixed.options)
        for (const { loss } of options) expect(loss).toBeLessThanOrEqual(squares(exact?.['y']?.data));
      const { outputs } = await simulateQuantised(quantised, [feed], bar, { layerCrossbar: mixed.crossbarOf });
      const found = Array.from((outputs[0]?.[0]?.['y']?.data ?? []) as ArrayLike<number>);
      const wanted = Array.from((exact?.['y']?.data ?? []) as ArrayLike<number>);
      const apart = found.map((v, i) => v - (wanted[i] ?? 0));
      expect(mixed.error).toBeCloseTo(squares(apart) / squares(exact?.['y']?.data), 9);
      if (budget === 1) expect(mixed.error).toBeLessThan(0.05);
    }
  });

  it('refuse losses that are none, and layers without a choice', () => {
    expect(() => allocateAdcBits([[{ bits: 4, loss: Number.NaN, price: 1 }]], 5)).toThrow(/loss of NaN/);
    expect(() => allocateAdcBits([[]], 5)).toThrow(/no resolution/);
  });
});

describe('structured and column-proportional pruning of one network', () => {
  it('M6: whole arrays are gone, the blocks of what is left are certified, and the outputs are those of the integers', async () => {
    const [rows, cols] = [12, 60];
    const stream = randomStream(8, 3);
    const dense = Float32Array.from({ length: rows * cols }, (_, i) => stream.normal(i));
    const mask = crossbarMask(
      { rows, cols, data: dense },
      {
        ...{ crossbarRows: 16, maxNonZeros: 4, perSign: true },
        structured: { crossbarCols: 64, slices: 4, inputs: 0.5 },
      },
    );
    const network = graph('structured', (b) => {
      const shape = [rows, cols];
      const w = b.weight('w', { dtype: 'float32', shape, data: dense.map((v, i) => v * (mask[i] ?? 0)) });
      b.output('y', b.add('Gemm', [b.input('x', 'float32', [2, cols]), w], { transB: 1 }));
    });
    const feed = { x: Float32Array.from({ length: 2 * cols }, (_, i) => Math.abs(stream.normal(1e6 + i))) };
    const bar: Crossbar = { ...PRESETS.tinyadc, rows: 16, cols: 64, subtract: 'analog', interleaved: true };
    const own: Crossbar = { ...bar, adc: { model: 'uniform', bits: 5, range: 'unit-step' } };
    const quantised = quantiseNetwork(network, [feed], {
      integersOf: (w) => fitColumns(w, own, 5, { compact: true }),
    });
    const counts = vectorCounts(quantised, feed);
    const arrays = (compact: boolean) =>
      mapNetwork(quantised, own, counts, 5, { compact }).layers.reduce((sum, one) => sum + one.footprint.arrays, 0);
    // Inputs: 60 in 4 blocks; half of them fill 2. A filter takes 8 bit lines, so that two arrays hold 12 of them.
    expect([arrays(false), arrays(true)]).toEqual([8, 4]);
    const certificate = certifyNetwork(quantised, own, 5, { compact: true });
    expect(certificate.lossless).toBe(true);
    expect(checkNetworkCertificate(JSON.parse(JSON.stringify(certificate)))).toEqual([]);
    const options = { compact: true, everyConversion: true } as const;
    const { outputs } = await simulateQuantised(quantised, [feed], own, options);
    expect(outputs[0]).toEqual(simulateDigital(quantised, [feed]));
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

  it('M6: structured pruning and narrower weights are points too, each in arrays without the lines that are gone', async () => {
    const asked: string[] = [];
    const results = await explore(
      {
        ...{ nonZeros: [undefined, 4], inputsKept: [undefined, 0.5], weightBits: [8, 5] },
        ...{ rows: [16], cellBits: [2], adcBits: [5], storage: ['analog'] },
      },
      {
        ...{ crossbar: PRESETS.tinyadc, design: HARDWARE.get('isaac-ce') as HardwareDesign, calibration: feeds },
        graphOf: (nonZeros, rows, inputsKept) => {
          asked.push(`${nonZeros}/${rows}/${inputsKept}`);
          const weights = new Map(
            Array.from(tiny.weights, ([name, weight]) => {
              // Gemm as it stands: [inputs, outputs].
              const [inputs = 1, outputs = 1] = weight.shape;
              const data = Float32Array.from(weight.data as Float32Array);
              if (inputsKept !== undefined) data.fill(0, Math.ceil(inputs * inputsKept) * outputs);
              return [name, { ...weight, data } as typeof weight];
            }),
          );
          return { ...tiny, weights };
        },
        accuracyOf: (_network, { weightBits }, lossless, compact) =>
          Number(lossless) * weightBits + Number(compact) / 2,
      },
    );
    expect(asked).toEqual(['undefined/16/undefined', '4/16/undefined', 'undefined/16/0.5', '4/16/0.5']);
    expect(results.map(({ weightBits, inputsKept, accuracy }) => [weightBits, inputsKept, accuracy])).toEqual([
      ...[8, 5, 8, 5].map((bits) => [bits, undefined, bits]),
      ...[8, 5, 8, 5].map((bits) => [bits, 0.5, bits + 0.5]),
    ]);
    const [wide, narrow] = results;
    expect(narrow?.energyUj).toBeLessThan(wide?.energyUj ?? 0);
    expect(results[4]?.arrays).toBe((wide?.arrays ?? 0) / 2);
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
