/** A recurrent model fed frame by frame gives what the whole sequence gives. */
import { compile, pack } from '@grim/codegen';
import { type Graph, graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../src/index.ts';
import { openStream } from '../src/stream.ts';
import { counter } from './models.ts';

const [FEATURES, HIDDEN, STEPS] = [5, 8, 7];
const data = (shape: readonly number[], factor: number) => ({
  dtype: 'float32' as const,
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * factor)),
});

const gru = (steps: number): Graph =>
  graph('gru', (b) => {
    const x = b.input('x', 'float32', [steps, 1, FEATURES]);
    const before = b.input('before', 'float32', [1, 1, HIDDEN]);
    const [w, r] = [
      b.weight('w', data([1, 3 * HIDDEN, FEATURES], 1.7)),
      b.weight('r', data([1, 3 * HIDDEN, HIDDEN], 2.3)),
    ];
    const [all = '', last = ''] = b.addMany('GRU', [x, w, r, '', '', before], 2, {
      hidden_size: HIDDEN,
      linear_before_reset: 1,
    });
    b.output('all', all);
    b.output('after', last);
  });
const sequence = data([STEPS, 1, FEATURES], 0.9).data;
const frames = Array.from({ length: STEPS }, (_, i) => sequence.slice(i * FEATURES, (i + 1) * FEATURES));
const states = [{ input: 'before', output: 'after' }];

describe('a stream', () => {
  it('gives the outputs of the whole sequence, in the same arrays each time', async () => {
    using whole = await loadModel(pack(compile(gru(STEPS))));
    const expected = (await whole.run({ x: sequence, before: new Float32Array(HIDDEN) }))['all'] as Float32Array;
    using model = await loadModel(pack(compile(gru(1), { states })));
    const stream = openStream(model);
    const seen = new Set<unknown>();
    for (let round = 0; round < 2; round++) {
      for (const [i, x] of frames.entries()) {
        const outputs = await stream.push({ x });
        seen.add(outputs).add(outputs['all']);
        const wanted = expected.subarray(i * HIDDEN, (i + 1) * HIDDEN);
        (outputs['all'] as Float32Array).forEach((value, j) => {
          expect(value).toBeCloseTo(wanted[j] ?? Number.NaN, 5);
        });
      }
      stream.reset();
    }
    expect(seen.size).toBe(2);
  });
  it('takes frames as they come, and begins with zeros', async () => {
    using model = await loadModel(pack(counter()));
    await model.run({ x: Float32Array.of(9, 9, 9, 9) });
    async function* source() {
      for (let i = 1; i <= 3; i++) yield { x: new Float32Array(4).fill(i) };
    }
    const sums: number[] = [];
    for await (const { sum } of openStream(model).through(source())) sums.push((sum as Float32Array)[0] ?? -1);
    expect(sums).toEqual([1, 3, 6]);
    for await (const { sum } of openStream(model).through([{ x: new Float32Array(4) }]))
      expect(sum).toEqual(new Float32Array(4));
  });
  it('leaves the states as they were when a frame fails', async () => {
    using model = await loadModel(pack(counter()));
    const stream = openStream(model);
    await stream.push({ x: Float32Array.of(1, 1, 1, 1) });
    await expect(stream.push({ x: new Float32Array(3) })).rejects.toMatchObject({ code: 'GRIM_RUNTIME_BAD_INPUT' });
    expect((await stream.push({ x: Float32Array.of(1, 1, 1, 1) }))['sum']).toEqual(Float32Array.of(2, 2, 2, 2));
  });
  it('needs states that are there, of one type, each named once', () => {
    for (const wrong of [
      [{ input: 'x', output: 'after' }],
      [{ input: 'nowhere', output: 'after' }],
      [{ input: 'before', output: 'nowhere' }],
      [...states, ...states],
    ])
      expect(() => compile(gru(1), { states: wrong })).toThrow(
        expect.objectContaining({ code: 'GRIM_CODEGEN_BAD_STATE' }),
      );
  });
});
