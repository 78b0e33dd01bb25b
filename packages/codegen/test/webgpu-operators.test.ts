/** Every operator that is compiled for WebGPU, on whatever adapter there is, against the reference. */
import { NO_GPU } from '@grim/browser';
import { type DType, type Graph, graph, OPS, type OpName, type Tensor, verify } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it, type TestContext } from 'vitest';
import { compile } from '../src/compile.ts';
import { expectClose, random, randomInputs } from './check.ts';
import { constantsOf } from './execute.ts';
import { executeOnGpu, openGpu } from './gpu.ts';
import { type Row, sampleOf } from './operators.ts';

/** What a run decides the length of. */
const REFUSED: readonly OpName[] = ['NonMaxSuppression', 'NonZero', 'Unique'];
/** Software float64 is long: a software adapter compiles it in up to 20 seconds. */
const SLOW: readonly OpName[] = ['QLinearConv', 'QLinearMatMul'];

async function onGpu(
  ctx: TestContext,
  network: Graph,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  const device = await openGpu();
  if (!device) ctx.skip(NO_GPU);
  const model = compile(network, { targets: ['wasm', 'webgpu'] });
  return executeOnGpu(device as GPUDevice, model, inputs, constantsOf(model));
}

async function compare(
  ctx: TestContext,
  network: Graph,
  inputs: Readonly<Record<string, Tensor>>,
  tolerance = { absolute: 2e-5, relative: 2e-5 },
): Promise<void> {
  const wanted = evaluate(network, inputs);
  const found = await onGpu(ctx, network, inputs);
  for (const name of network.outputs.keys())
    expectClose(found[name] as Tensor, wanted[name] as Tensor, tolerance, `${network.name}, ${name}`);
}

/** Indices that are inside, no two alike where they may not meet, and scales that are positive. */
function usable(op: OpName, inputs: Record<string, Tensor>): Record<string, Tensor> {
  const indices = /^Gather|^Scatter|Unpool|Loss$|^RoiAlign/.test(op);
  return Object.fromEntries(
    Object.entries(inputs).map(([name, tensor]): [string, Tensor] => {
      const { dtype, shape, data } = tensor;
      const length = data.length;
      if (indices && (dtype === 'int64' || dtype === 'int32')) {
        const most = op === 'MaxUnpool' ? length : op === 'RoiAlign' ? 1 : 2;
        const list = Array.from({ length }, (_, i) => i % most);
        return [
          name,
          dtype === 'int64'
            ? { dtype, shape, data: BigInt64Array.from(list, BigInt) }
            : { dtype, shape, data: Int32Array.from(list) },
        ];
      }
      if (dtype !== 'float32') return [name, tensor];
      if (op.includes('antizeLinear')) return [name, { dtype, shape, data: (data as Float32Array).map(Math.abs) }];
      const box = op === 'MaxRoiPool' && shape.length === 2;
      return [name, box ? { dtype, shape, data: Float32Array.of(0, 0, 1, 3, 2) } : tensor];
    }),
  );
}

describe('each operator gives what the reference gives', () => {
  const table = Object.entries(OPS as unknown as Record<OpName, Row>) as [OpName, Row][];
  for (const [op, row] of table.filter(([name]) => !REFUSED.includes(name) && !SLOW.includes(name))) {
    const key = row.inputs[0]?.split(': ')[1] ?? '*';
    const types: readonly DType[] = row.types[key] ?? (key === '*' ? ['float32'] : [key as DType]);
    const dtype = types.includes('float32') ? 'float32' : (types[0] as DType);
    const sample = sampleOf(op, row, dtype);
    it(op, { timeout: 60_000 }, async (ctx) => {
      expect(verify(sample).filter(({ severity }) => severity === 'error')).toEqual([]);
      const inputs = usable(op, randomInputs(sample, 3, false));
      await compare(ctx, sample, inputs);
    });
  }
});

describe('64 bits', () => {
  const doubles = (seed: number, length: number): Float64Array => {
    const next = random(seed);
    const odd = [0, -0, 1, -1, Number.NaN, Infinity, -Infinity, 5e-324, -2.2e-308, 1.7e308, 2 ** 53 + 2, -0.1];
    return Float64Array.from({ length }, () =>
      next() < 0.3
        ? (odd[Math.floor(next() * odd.length)] as number)
        : (next() - 0.5) * 2 ** Math.floor((next() - 0.5) * (next() < 0.5 ? 20 : 2040)),
    );
  };

  for (const op of ['Add', 'Mul', 'Div', 'Less', 'Sqrt', 'Round'] as const)
    it(`float64 ${op} is IEEE 754 to the bit`, { timeout: 120_000 }, async (ctx) => {
      const one = op === 'Sqrt' || op === 'Round';
      const length = 500;
      const network = graph(op, (b) => {
        const [x, y] = [b.input('x', 'float64', [length]), b.input('y', 'float64', [length])];
        b.output('z', b.add(op, one ? [x] : [x, y]));
        b.output('same', b.add('Identity', [y]));
      });
      const inputs: Record<string, Tensor> = {
        x: { dtype: 'float64', shape: [length], data: doubles(1, length) },
        y: { dtype: 'float64', shape: [length], data: doubles(2, length) },
      };
      await compare(ctx, network, inputs, { absolute: 0, relative: 0 });
    });

  it('float64 becomes other types and comes from them, to the bit', { timeout: 120_000 }, async (ctx) => {
    const length = 300;
    const network = graph('casts', (b) => {
      const [x, i] = [b.input('x', 'float64', [length]), b.input('i', 'int64', [length])];
      const f = b.add('Cast', [x], { to: 'float32' });
      b.output('narrow', f);
      b.output('wide', b.add('Cast', [f], { to: 'float64' }));
      b.output('of int64', b.add('Cast', [i], { to: 'float64' }));
      b.output('float32 of int64', b.add('Cast', [i], { to: 'float32' }));
      b.output('int32', b.add('Cast', [i], { to: 'int32' }));
    });
    const next = random(5);
    const inputs: Record<string, Tensor> = {
      x: { dtype: 'float64', shape: [length], data: doubles(3, length) },
      i: {
        ...{ dtype: 'int64', shape: [length] },
        data: BigInt64Array.from({ length }, () =>
          BigInt.asIntN(64, BigInt(Math.floor((next() - 0.5) * 2 ** Math.floor(next() * 66)))),
        ),
      },
    };
    await compare(ctx, network, inputs, { absolute: 0, relative: 0 });
  });

  it('int64 and uint64: sums, products, quotients, shifts, comparisons', { timeout: 120_000 }, async (ctx) => {
    const length = 200;
    for (const dtype of ['int64', 'uint64'] as const) {
      const network = graph(dtype, (b) => {
        const [x, y] = [b.input('x', dtype, [length]), b.input('y', dtype, [length])];
        for (const op of ['Add', 'Sub', 'Mul', 'Div', 'Mod', 'Less', 'GreaterOrEqual', 'Max'] as const)
          b.output(op, b.add(op, [x, y]));
        if (dtype === 'uint64') b.output('shift', b.add('BitShift', [x, y], { direction: 'RIGHT' }));
      });
      const next = random(7);
      const values = () =>
        Array.from({ length }, () => {
          const wide = BigInt(Math.floor(next() * 2 ** 32)) * 2n ** 32n + BigInt(Math.floor(next() * 2 ** 32));
          return wide >> BigInt(Math.floor(next() * 62));
        });
      const made = (list: readonly bigint[]): Tensor =>
        dtype === 'int64'
          ? { dtype, shape: [length], data: BigInt64Array.from(list, (x, i) => (i % 2 ? -(x >> 1n) : x >> 1n) || 1n) }
          : { dtype, shape: [length], data: BigUint64Array.from(list, (x) => x || 1n) };
      await compare(ctx, network, { x: made(values()), y: made(values()) });
    }
  });
});

describe('branches', () => {
  it('run on the device: the host learns nothing of the condition', { timeout: 60_000 }, async (ctx) => {
    const inner = (op: 'Neg' | 'Abs') =>
      graph(op, (b) => {
        b.output(op, b.add('Softmax', [b.add(op, ['x'])], {}, { output: op }));
      });
    const network = graph('branch', (b) => {
      b.input('x', 'float32', [2, 300]);
      const c = b.input('c', 'bool', []);
      b.output('y', b.add('If', [c], { then_branch: inner('Neg'), else_branch: inner('Abs') }));
    });
    const { x } = randomInputs(network, 3, false) as { x: Tensor };
    for (const value of [0, 1])
      await compare(ctx, network, { x, c: { dtype: 'bool', shape: [], data: Uint8Array.of(value) } });
  });
});
