/**
 * `pnpm soak:rounds --rounds 1000000 --threads 2`: short groups of calls, one after the other, on real
 * threads: every fork and join is a chance to lose a wake-up or to read too early. All outputs must have the bits of one thread.
 */
import { parseArgs } from 'node:util';
import { buildWith } from '@grim/conformance';
import { type Graph, graph } from '@grim/ir';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '1000000' }, threads: { type: 'string', default: '2' } },
});
const [rounds, threads] = [Number(values.rounds), Number(values.threads)];
const LAYERS = 100;
const SIZE = 64;

/** Products that need all of what the one before has made. */
const network: Graph = graph('rounds', (b) => {
  let x = b.input('x', 'float32', [1, SIZE]);
  for (let i = 0; i < LAYERS; i++) {
    const data = Float32Array.from({ length: SIZE * SIZE }, (_, at) => Math.sin((at + 1) * (i + 1)) / 6);
    x = b.add('Gemm', [x, b.weight(`w${i}`, { dtype: 'float32', shape: [SIZE, SIZE], data })], { transB: 1 });
  }
  b.output('y', x);
});
using alone = await buildWith(network, {});
using shared = await buildWith(network, { threads });
let different = 0;
const start = performance.now();
const runs = Math.ceil(rounds / LAYERS);
for (let run = 0; run < runs; run++) {
  const x = Float32Array.from({ length: SIZE }, (_, i) => Math.sin(i + run));
  const [a, b] = [await alone.run({ x }), await shared.run({ x })].map(({ y }) => y as Float32Array);
  if (!a?.every((value, i) => Object.is(value, b?.[i]))) different++;
  // Now and then they fall asleep between two runs.
  if (run % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
const seconds = (performance.now() - start) / 1000;
console.log(
  JSON.stringify({ groups: runs * LAYERS, threads: shared.threads, reasons: shared.reasons, different, seconds }),
);
process.exitCode = different === 0 && shared.threads === threads ? 0 : 1;
