/**
 * `pnpm soak:patterns --cases 1000 --first 1 --threads 2 --simd wide`: layers with random BCR patterns
 * (packages/codegen/test/patterns) on real threads or with wide instructions, within the bound of the plain float64 sum; on
 * threads the bits of one thread, too.
 */
import { parseArgs } from 'node:util';
import { buildWith, type WasmOptions } from '@grim/conformance';
import type { Graph, WasmFamily } from '@grim/ir';
import type { Model } from '@grim/runtime';
import { realCase } from '../../packages/codegen/test/patterns/cases.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000' },
    first: { type: 'string', default: '1' },
    threads: { type: 'string', default: '2' },
    simd: { type: 'string' },
  },
});
const [cases, first, threads] = [values.cases, values.first, values.threads].map(Number) as [number, number, number];
const options: WasmOptions = { threads, simd: values.simd as WasmFamily | undefined };
const failed: number[] = [];
let shared = 0;
/** On a machine that does much else a thread may take longer to start than the runtime waits. */
async function build(graph: Graph): Promise<Model> {
  for (let tries = 1; ; tries++)
    try {
      return await buildWith(graph, options);
    } catch (error) {
      if (tries === 5 || (error as { code?: string }).code !== 'GRIM_CONFORMANCE_NO_THREADS') throw error;
      console.log(String(error));
    }
}

for (let seed = first; seed < first + cases; seed++) {
  const { graph, inputs, value, bound } = realCase(seed);
  using model = await build(graph);
  if (model.threads > 1) shared++;
  const found = (await model.run(inputs))['y'] as Float32Array;
  let right = found.every((y, i) => Math.abs(y - (value[i] ?? 0)) <= (bound[i] ?? 0));
  if (threads > 1) {
    // Wide tiles at the edge of a piece are other ones than in the middle of the whole, and sum in another order.
    const cutFor = options.simd === 'wide' ? threads : 1;
    using alone = await buildWith(graph, { simd: options.simd, cutFor });
    const expected = (await alone.run(inputs))['y'] as Float32Array;
    right &&= found.every((y, i) => Object.is(y, expected[i]));
  }
  if (!right) failed.push(seed);
  if ((seed - first + 1) % 100 === 0) console.log(`${seed - first + 1} of ${cases}`);
}
console.log(JSON.stringify({ cases, ...options, shared, failed }));
process.exitCode = failed.length === 0 ? 0 : 1;
