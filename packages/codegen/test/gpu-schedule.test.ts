/** Schedules for a GPU: whatever one says, integer results stay exact; what no device can do is refused by name. */
import { applyPattern } from '@grim/bcr';
import { NO_GPU } from '@grim/browser';
import { type Graph, graph, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { productsOf } from '../src/compile.ts';
import { gpuDemand } from '../src/gpu-schedule.ts';
import { compile, type GpuSchedule, gpuCandidates } from '../src/index.ts';
import { constantsOf, execute } from './execute.ts';
import { executeOnGpu, openGpu, programOf } from './gpu.ts';
import { integers, type Random, random, randomPattern } from './matrices.ts';

const TARGETS = { targets: ['wasm', 'webgpu'] } as const;
const pick = <T>(list: readonly T[], next: Random): T => list[Math.floor(next() * list.length)] as T;

function weight(shape: readonly number[], block: readonly [rows: number, cols: number] | undefined, next: Random) {
  const [rows = 1] = shape;
  const data = integers(
    shape.reduce((all, dim) => all * dim, 1),
    4,
    next,
  );
  if (!block) return { dtype: 'float32', shape, data } as const;
  const cols = data.length / rows;
  const pattern = randomPattern(rows, cols, block[0], Math.min(cols, block[1]), 0.3, next);
  return { dtype: 'float32', shape, data: applyPattern({ rows, cols, data }, pattern).data, pattern } as const;
}

interface Case {
  readonly name: string;
  readonly network: Graph;
  readonly vector: boolean;
}

/** Rows and columns pruned, blocks that the matrix cuts off, a stride, a residual, two groups. */
function cases(next: Random): readonly Case[] {
  const conv = (block?: readonly [number, number], stride = 1, group = 1) =>
    graph('conv', (b) => {
      const x = b.input('x', 'float32', [1, 14, 15, 15]);
      const w = b.weight('w', weight([26, 14 / group, 3, 3], block, next));
      const bias = b.weight('b', { dtype: 'float32', shape: [26], data: integers(26, 4, next) });
      const y = b.add('Conv', [x, w, bias], { pads: [1, 1, 1, 1], strides: [stride, stride], group });
      const side = Math.ceil(15 / stride);
      const r = b.input('r', 'float32', [1, 26, side, side]);
      b.output('y', b.add('Relu', [b.add('Add', [y, b.add('Mul', [r, r])])]));
    });
  const gemm = (block?: readonly [number, number]) =>
    graph('gemm', (b) => {
      const w = b.weight('w', weight([75, 260], block, next));
      b.output('y', b.add('Relu', [b.add('Gemm', [b.input('x', 'float32', [1, 260]), w], { transB: 1 })]));
    });
  return [
    { name: 'dense', network: conv(), vector: false },
    { name: 'dense, stride 2', network: conv(undefined, 2), vector: false },
    { name: 'two groups', network: conv(undefined, 1, 2), vector: false },
    { name: '4×K', network: conv([4, 126]), vector: false },
    { name: '2×K, stride 2', network: conv([2, 126], 2), vector: false },
    { name: '1×K, two groups', network: conv([1, 63], 1, 2), vector: false },
    { name: '8×30, stride 2', network: conv([8, 30], 2), vector: false },
    { name: 'a vector, dense', network: gemm(), vector: true },
    { name: 'a vector, 32×64', network: gemm([32, 64]), vector: true },
  ];
}

function inputsOf(g: Graph, next: Random): Record<string, Tensor> {
  const made = Array.from(g.inputs, ([name, { shape }]) => {
    const sizes = shape as readonly number[];
    const data = integers(
      sizes.reduce((all, dim) => all * dim, 1),
      4,
      next,
    );
    return [name, { dtype: 'float32', shape: sizes, data } satisfies Tensor] as const;
  });
  return Object.fromEntries(made);
}

describe('GPU schedules', () => {
  it('C1: random ones change no bit of integer results', { timeout: 900_000 }, async (ctx) => {
    const device = await openGpu();
    if (!device) ctx.skip(NO_GPU);
    const next = random(20261124);
    const tried = new Set<string>();
    for (const { name, network, vector } of cases(next)) {
      const inputs = inputsOf(network, next);
      const wanted = execute(compile(network), inputs);
      const sites = productsOf(network, TARGETS, true);
      const [site] = sites;
      expect(site?.gpu).toBeDefined();
      const candidates = gpuCandidates(site as NonNullable<typeof site>, vector);
      const forms = new Set(candidates.map(({ form }) => form));
      for (const form of forms) {
        const own = candidates.filter((candidate) => candidate.form === form);
        // Sparse layers as dense ones are those of the first cases.
        if (form === 'dense' && forms.size > 1) continue;
        for (let i = 0; i < (name === 'dense' || form === 'lanes' ? 2 : 1); i++) {
          const schedule = pick(own, next);
          tried.add(form);
          const gpuSchedules = Object.fromEntries(sites.map(({ key }) => [key, schedule]));
          const model = compile(network, { ...TARGETS, gpuSchedules });
          const found = await executeOnGpu(device as GPUDevice, model, inputs, constantsOf(model));
          expect(found['y']?.data, `${name}: ${JSON.stringify(schedule)}`).toEqual(wanted['y']?.data);
        }
      }
    }
    expect([...tried].sort()).toEqual(['blocks', 'dense', 'lanes', 'strips', 'units']);
  });

  it('say the tile, the split of K and where X waits', () => {
    const [dense] = cases(random(3)) as [Case];
    const [site] = productsOf(dense.network, TARGETS, true);
    expect(site?.gpu).toEqual({ form: 'dense', lanes: 64, parts: 1, width: 1, splitK: 1, x: 'workgroup' });
    const namesOf = (schedule: GpuSchedule) => {
      const model = compile(dense.network, { ...TARGETS, gpuSchedules: { [site?.key ?? '']: schedule } });
      return programOf(model)
        .shaders.map((text) => text.split('\n')[0])
        .join();
    };
    expect(namesOf({ form: 'dense', lanes: 32, parts: 2, width: 2 })).toContain('_12x64_of_2__');
    expect(namesOf({ form: 'dense', x: 'registers' })).toContain('_6x64_x_registers__');
    expect(namesOf({ form: 'dense', splitK: 2 })).toMatch(/_6x64_split__.*f32_add_partials/);
  });

  it('candidates are within the limits of the device, and the default is among them', () => {
    const [dense] = cases(random(3)) as [Case];
    const [site] = productsOf(dense.network, TARGETS, true);
    const small = { maxComputeInvocationsPerWorkgroup: 64, maxComputeWorkgroupStorageSize: 2048 };
    const all = gpuCandidates(site as NonNullable<typeof site>, false);
    const few = gpuCandidates(site as NonNullable<typeof site>, false, small);
    expect(all).toContainEqual(site?.gpu);
    expect(few.length).toBeGreaterThan(5);
    expect(few.length).toBeLessThan(all.length);
    for (const one of few) {
      expect(gpuDemand(one).invocations).toBeLessThanOrEqual(64);
      expect(gpuDemand(one).memory).toBeLessThanOrEqual(2048);
    }
  });

  it('C9: a bad one is refused by key', () => {
    const [dense] = cases(random(3)) as [Case];
    const key = productsOf(dense.network, TARGETS, true)[0]?.key ?? '';
    const reason = (schedule: unknown) => {
      try {
        compile(dense.network, { ...TARGETS, gpuSchedules: { [key]: schedule as GpuSchedule } });
      } catch (error) {
        expect(error).toMatchObject({ code: 'GRIM_CODEGEN_BAD_SCHEDULE' });
        return (error as Error).message;
      }
      return 'taken';
    };
    expect(reason({ form: 'dense' })).toBe('taken');
    expect(reason(7)).toMatch(/it is no object/);
    expect(reason({ form: 'units' })).toMatch(/form units, dense can be had/);
    expect(reason({ form: 'dense', lanes: 65 })).toMatch(/lanes is 65, 16, 32, 64 can be had/);
    expect(reason({ form: 'dense', rows: 2 })).toMatch(/rows is given, form dense has lanes/);
    expect(reason({ form: 'dense', lanes: 64, parts: 8 })).toMatch(/512 invocations.*32 to 256/);
  });
});
