// A network from nothing to a browser and to crossbars: prune, compile, run, and compute it on ReRAM arrays.
// Everything is seeded: the same figures each time.
import { compile, explain, pack } from '@grim/codegen';
import { bind, graph } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { pruneOneShot } from '@grim/prune';
import { referenceCalibrator } from '@grim/prune/reference';
import { PRESETS, randomStream, simulate } from '@grim/reram';
import { loadModel } from '@grim/runtime';

let draws = 0;
const random = (...shape: number[]) => {
  const { uniform } = randomStream(7, draws++);
  const data = Float32Array.from({ length: shape.reduce((all, n) => all * n, 1) }, (_, i) => uniform(i) - 0.5);
  return { dtype: 'float32', shape, data } as const;
};

// Your own model: fromOnnx(await readFile('model.onnx')) of @grim/ir/onnx.
const dense = graph('mlp', (b) => {
  const x = b.input('x', 'float32', ['N', 64]);
  const h = b.add('Relu', [b.add('Gemm', [x, b.weight('w1', random(64, 128))], {}, { name: 'fc1' })]);
  b.output('y', b.add('Gemm', [h, b.weight('w2', random(128, 10))], {}, { name: 'fc2' }));
});
const batches = Array.from({ length: 4 }, () => ({ x: random(64, 64) })); // calibration inputs, no labels

// Blocks of 8 × 32: each loses whole rows and columns of its own until a quarter is left.
const pruned = await pruneOneShot(dense, referenceCalibrator(batches), {
  density: { fc1: 0.25 },
  block: { rows: 8, cols: 32 },
});
console.table(pruned.layers.map(({ name, density, error }) => ({ name, density, error })));

// What browsers run, beside its dense form.
const one = { dims: { N: 1 } };
const sparse = bind(pruned.graph, one);
console.log(explain(sparse));
const [small, large] = [sparse, bind(dense, one)].map((g) => pack(compile(g)));
console.log(`${small?.length} bytes against ${large?.length} dense`);
using model = await loadModel(small as Uint8Array);
const x = random(1, 64).data;
const { y } = await model.run({ x });
const reference = evaluate(sparse, { x })['y']?.data ?? [];
console.log(`largest difference from the reference: ${largestDifference(y ?? [], reference)}`);

// What crossbars of TinyADC compute, with fewer and fewer bits in their converters.
for (const bits of [8, 6, 4]) {
  const crossbar = { ...PRESETS.tinyadc, adc: { model: 'uniform', bits, range: 'unit-step' } } as const;
  const { outputs } = await simulate(sparse, { x }, crossbar, { seed: 7 });
  console.log(`${bits} bits: off by ${largestDifference(outputs[0]?.[0]?.['y']?.data ?? [], reference)}`);
}

function largestDifference(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>): number {
  return Array.from(a).reduce<number>((most, value, i) => Math.max(most, Math.abs(Number(value) - Number(b[i]))), 0);
}
