/** Schedules: whatever one says, the results stay exact; what cannot be done is refused by name. */
import { applyPattern } from '@grim/bcr';
import { type Graph, type GrimError, graph, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile, type Schedule, type Schedules } from '../src/index.ts';
import { knobsOf, type ScheduleForm } from '../src/schedule.ts';
import { execute } from './execute.ts';
import { integers, type Random, random, randomPattern } from './matrices.ts';

const VALUES = {
  columns: [8, 16, 24],
  tallest: [1, 2, 3, 4, 5, 6],
  cut: ['balanced', 'full'],
  merge: ['none', 'equal', 'near'],
  order: ['given', 'signature'],
  passes: [1, 2, 3, 7],
  unroll: [2, 4, 8],
  gather: [false, true],
  groups: [1, 2, 5],
  blockRows: [0, 8, 16, 32, 64],
  split: ['rows', 'columns'],
  pieces: [1, 2, 3],
} as const;

const pick = <T>(list: readonly T[], next: Random): T => list[Math.floor(next() * list.length)] as T;

/** Some of the knobs, or all. */
function randomSchedule(form: ScheduleForm, next: Random): Schedule {
  const share = next() < 0.5 ? 1 : 0.6;
  const chosen = [...knobsOf(form), 'split', 'pieces'] as const;
  const knobs = chosen.flatMap((knob) => (next() < share ? [[knob, pick<unknown>(VALUES[knob], next)]] : []));
  return { form, ...Object.fromEntries(knobs) };
}

function weight(rows: number, shape: readonly number[], pruned: boolean, next: Random) {
  const length = shape.reduce((all, dim) => all * dim, 1);
  const cols = length / rows;
  const height = 1 + Math.floor(next() * Math.min(rows, 12));
  const width = 1 + Math.floor(next() * cols);
  const pattern = pruned ? randomPattern(rows, cols, height, width, 0.1 + 0.6 * next(), next) : undefined;
  const data = integers(length, 4, next);
  const kept = pattern ? applyPattern({ rows, cols, data }, pattern).data : data;
  return { dtype: 'float32', shape, data: kept, ...(pattern && { pattern }) } as const;
}

function randomConv(next: Random, pruned: boolean): Graph {
  const [inputs, outputs] = [1 + Math.floor(next() * 9), 1 + Math.floor(next() * 40)];
  const [size, kernel] = [pick([5, 7, 14, 29], next), pick([1, 3], next)];
  const residual = next() < 0.5;
  return graph('conv', (b) => {
    const x = b.input('x', 'float32', [1, inputs, size, size]);
    const attributes = { kernel_shape: [kernel, kernel], pads: [0, 0, 0, 0].fill((kernel - 1) / 2) } as const;
    const w = b.weight('w', weight(outputs, [outputs, inputs, kernel, kernel], pruned, next));
    const bias = b.weight('b', { dtype: 'float32', shape: [outputs], data: integers(outputs, 4, next) });
    const y = b.add('Conv', [x, w, bias], attributes);
    const r = b.input('r', 'float32', [1, outputs, size, size]);
    b.output('y', b.add('Relu', [b.add('Add', [y, residual ? r : b.add('Mul', [r, r])])]));
  });
}

function randomGemm(next: Random, pruned: boolean): Graph {
  const [depth, outputs] = [1 + Math.floor(next() * 90), 1 + Math.floor(next() * 80)];
  return graph('gemm', (b) => {
    const x = b.input('x', 'float32', [1, depth]);
    b.output('y', b.add('Gemm', [x, b.weight('w', weight(outputs, [outputs, depth], pruned, next))], { transB: 1 }));
  });
}

function inputsOf(g: Graph, next: Random): Record<string, Tensor> {
  const made = Array.from(g.inputs, ([name, { shape }]) => {
    const sizes = shape as readonly number[];
    const length = sizes.reduce((all, dim) => all * dim, 1);
    return [name, { dtype: 'float32', shape: sizes, data: integers(length, 4, next) } satisfies Tensor] as const;
  });
  return Object.fromEntries(made);
}

function productOf(g: Graph): string {
  const key = compile(g).calls?.find(({ product }) => product !== undefined)?.product;
  if (key === undefined) throw new Error('no product');
  return key;
}

describe('schedules', () => {
  it('C1, C9: 300 random ones of convolutions, pruned or not, change no bit of integer results', () => {
    const next = random(20261123);
    for (let round = 0; round < 300; round++) {
      const pruned = next() < 0.75;
      const g = randomConv(next, pruned);
      const inputs = inputsOf(g, next);
      const key = productOf(g);
      const form = pick(['dense', 'pairs', 'units', 'mixed', 'rows'] as const, next);
      const schedules = { [key]: randomSchedule(form, next) };
      const threads = pick([1, 4], next);
      const family = pick(['relaxed', 'plain'] as const, next);
      const wanted = execute(compile(g), inputs);
      const found = execute(compile(g, { schedules, threads }), inputs, { family, poison: 255 });
      expect(found['y']?.data, JSON.stringify(schedules)).toEqual(wanted['y']?.data);
    }
  });

  it('C1, C9: 100 random ones of one vector, pruned or not, change no bit of integer results', () => {
    const next = random(7);
    for (let round = 0; round < 100; round++) {
      const g = randomGemm(next, next() < 0.75);
      const inputs = inputsOf(g, next);
      const schedules = { [productOf(g)]: randomSchedule('lanes', next) };
      const found = execute(compile(g, { schedules }), inputs, { poison: 255 });
      expect(found['y']?.data, JSON.stringify(schedules)).toEqual(execute(compile(g), inputs)['y']?.data);
    }
  });

  it('decide the form, the tile and the step of the kernel', () => {
    const g = randomConv(random(3), true);
    const key = productOf(g);
    const kernelWith = (schedule: Schedule) => {
      const { calls } = compile(g, { schedules: { [key]: schedule } });
      return calls?.find(({ product }) => product === key)?.kernel;
    };
    expect(kernelWith({ form: 'dense' })).toMatch(/^f32_dense_gemm/);
    expect(kernelWith({ form: 'dense', unroll: 4, gather: true })).toMatch(/^f32_dense_gemm_u4_gather/);
    expect(kernelWith({ form: 'rows', columns: 16 })).toMatch(/^f32_units_spmm_16/);
    expect(kernelWith({ form: 'units', columns: 24, unroll: 8 })).toMatch(/^f32_units_spmm_24_u8/);
  });

  it('are shared by layers of equal shape and pattern, whatever their weights', () => {
    const next = random(11);
    const g = graph('twins', (b) => {
      let x = b.input('x', 'float32', [1, 8, 10, 10]);
      for (const name of ['a', 'b', 'c']) {
        const w = b.weight(name, weight(8, [8, 8, 3, 3], false, next));
        x = b.add('Relu', [b.add('Conv', [x, w], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })]);
      }
      b.output('y', b.add('MaxPool', [x], { kernel_shape: [2, 2] }));
    });
    const keys = compile(g).calls?.flatMap(({ product }) => (product === undefined ? [] : [product]));
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
  });

  it('that are of no product of the graph change no byte', () => {
    const g = randomConv(random(5), true);
    const { constants, wasm } = compile(g, { schedules: { elsewhere: { form: 'dense' } } });
    expect(constants).toEqual(compile(g).constants);
    expect(wasm.relaxed).toEqual(compile(g).wasm.relaxed);
  });

  it.each<readonly [string, unknown]>([
    ['no object', 'dense'],
    ['null', null],
    ['an unknown form', { form: 'blocks' }],
    ['the form of one vector', { form: 'lanes' }],
    ['a knob that the form has not', { form: 'dense', tallest: 4 }],
    ['a knob that nobody has', { form: 'units', height: 4 }],
    ['a tile too tall', { form: 'units', tallest: 7 }],
    ['a tile of no rows', { form: 'units', tallest: 0 }],
    ['a tile too wide', { form: 'units', columns: 32 }],
    ['half a pass', { form: 'units', passes: 1.5 }],
    ['a merge unheard of', { form: 'units', merge: 'all' }],
    ['pieces as text', { form: 'units', pieces: '2' }],
  ])('GRIM_CODEGEN_BAD_SCHEDULE: %s', (_, schedule) => {
    const g = randomConv(random(9), true);
    const schedules = { [productOf(g)]: schedule } as Schedules;
    expect(() => compile(g, { schedules })).toThrow(
      expect.objectContaining({ code: 'GRIM_CODEGEN_BAD_SCHEDULE' } satisfies Partial<GrimError>),
    );
  });
});
