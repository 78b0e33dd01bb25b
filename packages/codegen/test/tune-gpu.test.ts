/** The search for GPU schedules, on made-up times: what it finds, never makes slower, and does not measure twice. */
import { graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import type { GpuSchedule } from '../src/gpu-schedule.ts';
import { type GpuMeasure, type GpuMeasurement, tuneGpu } from '../src/tune/gpu.ts';

const network = graph('two', (b) => {
  const weight = (name: string, rows: number, cols: number) => {
    const data = Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i));
    return b.weight(name, { dtype: 'float32', shape: [rows, cols], data });
  };
  const x = b.add('Gemm', [b.input('x', 'float32', [64, 256]), weight('a', 128, 256)], { transB: 1 });
  b.output('y', b.add('Gemm', [x, weight('b', 32, 128)], { transB: 1 }));
});

/** Times by a formula of the schedule; of the default 1. */
function madeUp(cost: (schedule: GpuSchedule) => number, asked: number[] = []): GpuMeasure {
  return async (candidates, { rounds }) => {
    asked.push(candidates.length);
    return candidates.map((candidate) => {
      const compiled = candidate.compile();
      const keys = [...new Set(compiled.dispatches)].filter((key) => key !== undefined);
      const times = new Map(
        keys.map((key) => {
          const schedule = candidate.gpuSchedules[key];
          return [key, Array.from({ length: rounds }, () => (schedule ? cost(schedule) : 1))] as const;
        }),
      );
      const whole = [...times.values()].reduce((sum, [time = 0]) => sum + time, 0);
      return { products: times, run: Array.from({ length: rounds }, () => whole) };
    });
  };
}

const cost = ({ lanes = 0, width = 0, x }: GpuSchedule) =>
  1.5 - (lanes === 32 ? 0.3 : 0) - (width === 2 ? 0.3 : 0) - (x === 'registers' ? 0.3 : 0);

describe('tuneGpu', () => {
  it('finds the best of a landscape, product by product', async () => {
    const { gpuSchedules, products, ratio } = await tuneGpu(network, madeUp(cost), { trials: 64 });
    expect(products).toHaveLength(2);
    expect(Object.keys(gpuSchedules)).toEqual(products.map(({ key }) => key));
    for (const { before, after, ratio: own } of products) {
      expect(before.form).toBe('dense');
      expect(after).toMatchObject({ form: 'dense', lanes: 32, width: 2, x: 'registers' });
      expect(own).toBeCloseTo(0.6, 6);
    }
    expect(ratio).toBeCloseTo(0.6, 6);
  });

  it('keeps the default where nothing is faster, and where what looked faster is not in the end', async () => {
    const slower = await tuneGpu(
      network,
      madeUp(() => 1.1),
      { trials: 8 },
    );
    expect(slower).toMatchObject({ gpuSchedules: {}, ratio: 1, measured: 16 });
    let calls = 0;
    const lucky: GpuMeasure = (candidates, options) => madeUp(() => (calls++ < 40 ? 0.5 : 1.2))(candidates, options);
    const { gpuSchedules, ratio, products } = await tuneGpu(network, lucky, { trials: 4, rounds: 3 });
    expect([gpuSchedules, ratio]).toEqual([{}, 1]);
    expect(products.every(({ before, after }) => before === after)).toBe(true);
  });

  it('R3: goes on where an earlier search ended, and leaves aside what can be no measurement', async () => {
    const kept: GpuMeasurement[] = [];
    const options = { trials: 8, onMeasurement: (one: GpuMeasurement) => void kept.push(one) };
    const first = await tuneGpu(network, madeUp(cost), options);
    expect([first.measured, first.known, kept.length]).toEqual([16, 0, 16]);
    const odd = [
      { ...kept[0], schedule: { form: 'odd' } },
      { ...kept[1], ratio: Number.NaN },
    ] as GpuMeasurement[];
    const second = await tuneGpu(network, madeUp(cost), { trials: 8, known: [...odd, ...kept] });
    expect([second.measured, second.known]).toEqual([0, 16]);
    expect(second.gpuSchedules).toEqual(first.gpuSchedules);
  });

  it('changes one product at a time where only the whole is timed', async () => {
    const wholes: GpuMeasure = async (candidates, options) => {
      const changed = candidates.map(({ gpuSchedules }) => Object.keys(gpuSchedules).length);
      if (options.rounds === 5) expect(Math.max(...changed)).toBe(1);
      return madeUp(cost)(candidates, options);
    };
    const { measured } = await tuneGpu(network, wholes, { trials: 8, together: false });
    expect(measured).toBe(16);
  });

  it('stops with the reason of a signal', async () => {
    const stop = new AbortController();
    const run = tuneGpu(network, madeUp(cost), { signal: stop.signal, onProgress: () => stop.abort('enough') });
    await expect(run).rejects.toBe('enough');
  });
});
