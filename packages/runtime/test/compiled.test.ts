import { compile, pack } from '@grim/codegen';
import { type Graph, graph } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { expect, it } from 'vitest';
import { loadModel } from '../src/index.ts';

it.each<[string, Graph]>([
  ['Relu', graph('relu', (b) => b.output('y', b.add('Relu', [b.input('x', 'float32', [1, 37])])))],
  [
    'Add of a weight, then Relu',
    graph('sum', (b) => {
      const w = b.weight('w', {
        dtype: 'float32',
        shape: [37],
        data: Float32Array.from({ length: 37 }, (_, i) => i / 8 - 2),
      });
      b.output('y', b.add('Relu', [b.add('Add', [b.input('x', 'float32', [1, 37]), w])]));
    }),
  ],
])('what was compiled, packed and loaded computes what the reference does: %s', async (_, network) => {
  const data = Float32Array.from({ length: 37 }, (_, i) => Math.sin(i * 3) * 2);
  const { y: expected } = evaluate(network, { x: { dtype: 'float32', shape: [1, 37], data } });
  for (const simd of ['relaxed', 'plain'] as const) {
    using model = await loadModel(pack(compile(network)), { simd });
    expect((await model.run({ x: data }))['y']).toEqual(expected?.data);
  }
});

it('R12: a state that decays is right through the subnormal numbers down to zero', async () => {
  const decay = Float32Array.from({ length: 37 }, (_, i) => 0.3 + i / 80);
  const network = graph('decay', (b) => {
    const w = b.weight('w', { dtype: 'float32', shape: [37], data: decay });
    b.output('y', b.add('Mul', [b.input('x', 'float32', [37]), w]));
  });
  for (const simd of ['relaxed', 'plain'] as const) {
    using model = await loadModel(pack(compile(network)), { simd });
    let state: Float32Array = new Float32Array(37).fill(1);
    let subnormal = 0;
    for (let step = 0; step < 600; step++) {
      const expected = state.map((value, i) => Math.fround(value * (decay[i] as number)));
      state = (await model.run({ x: state }))['y'] as Float32Array;
      expect(state).toEqual(expected);
      subnormal += state.filter((value) => value > 0 && value < 2 ** -126).length;
    }
    expect(subnormal).toBeGreaterThan(300);
    expect(state[0]).toBe(0);
  }
});
