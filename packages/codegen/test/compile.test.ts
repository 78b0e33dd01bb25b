import { type Graph, type GraphBuilder, graph } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { explain } from '../src/explain.ts';
import { simplify } from '../src/passes/simplify.ts';
import { check, expectClose, random, randomInputs, randomTensor } from './check.ts';
import { execute } from './execute.ts';

/** A random walk over operators that this package compiles. Shapes fit by construction. */
function randomGraph(seed: number, nodes: number, integer = false): Graph {
  const next = random(seed);
  const below = (n: number) => Math.floor(next() * n);
  const dtype = integer ? 'int32' : 'float32';
  return graph(`random ${seed}`, (b) => {
    const start = [1 + below(2), 2 * (1 + below(3)), 3 + below(4), 3 + below(4)];
    const values = [{ name: b.input('x', dtype, start), shape: start }];
    let count = 0;
    const list = (...numbers: readonly number[]) =>
      b.weight(`i${count++}`, {
        dtype: 'int64',
        shape: [numbers.length],
        data: BigInt64Array.from(numbers.map(BigInt)),
      });
    const constant = (shape: readonly number[]) => b.weight(`w${count++}`, randomTensor(dtype, shape, next, false));
    const unaries = integer
      ? (['Abs', 'Neg', 'Relu', 'Sign'] as const)
      : (['Abs', 'Neg', 'Relu', 'Sigmoid', 'HardSwish', 'Floor'] as const);
    const binaries = ['Add', 'Sub', 'Mul', 'Max', 'Min'] as const;
    for (let i = 0; i < nodes; i++) {
      const x = values[below(values.length)] as (typeof values)[number];
      const rank = x.shape.length;
      const axis = below(rank);
      const length = x.shape[axis] ?? 1;
      const same = (name: string) => values.push({ name, shape: x.shape });
      switch (below(10)) {
        case 0:
        case 1:
          same(b.add(unaries[below(unaries.length)] ?? 'Abs', [x.name]));
          break;
        case 2:
        case 3:
          same(
            b.add(binaries[below(5)] ?? 'Add', [
              x.name,
              constant([[], [x.shape.at(-1) ?? 1], x.shape.with(axis, 1)][below(3)] ?? []),
            ]),
          );
          break;
        case 4: {
          const other = values.find(({ shape }) => shape.join() === x.shape.join()) ?? x;
          same(b.add(binaries[below(5)] ?? 'Add', [x.name, other.name]));
          break;
        }
        case 5: {
          const perm = x.shape.map((_, d) => d).sort(() => next() - 0.5);
          values.push({ name: b.add('Transpose', [x.name], { perm }), shape: perm.map((d) => x.shape[d] ?? 1) });
          break;
        }
        case 6: {
          const size = x.shape.reduce((all, dim) => all * dim, 1);
          values.push({ name: b.add('Reshape', [x.name, list(length, -1)]), shape: [length, size / length] });
          break;
        }
        case 7:
          if (x.shape.reduce((all, dim) => all * dim, 1) < 4000)
            values.push({ name: b.add('Concat', [x.name, x.name], { axis }), shape: x.shape.with(axis, 2 * length) });
          break;
        case 8: {
          const from = below(length);
          const name = b.add('Slice', [x.name, list(from), list(length), list(axis)]);
          values.push({ name, shape: x.shape.with(axis, length - from) });
          break;
        }
        default: {
          const pads = new Array<number>(2 * rank)
            .fill(0)
            .with(axis, below(3))
            .with(rank + axis, below(2));
          const shape = x.shape.with(axis, length + (pads[axis] ?? 0) + (pads[rank + axis] ?? 0));
          if (length > 2)
            values.push({
              name: b.add('Pad', [x.name, list(...pads)], {
                mode: (['constant', 'reflect', 'edge'] as const)[below(3)] ?? 'edge',
              }),
              shape,
            });
        }
      }
    }
    for (const i of [values.length - 1, below(values.length)]) b.output(`y${i}_${count++}`, values[i]?.name ?? '');
  });
}

describe('compile', () => {
  it('C1: random graphs give what the reference gives', () => {
    for (let seed = 1; seed <= 60; seed++)
      check(randomGraph(seed, 1 + (seed % 40)), { relative: 1e-5, absolute: 1e-5 });
  });
  it('C1: random integer graphs are exact', () => {
    for (let seed = 1; seed <= 40; seed++) check(randomGraph(seed, 1 + (seed % 40), true));
  });
  it('C8: sharing memory changes no bit', () => {
    for (let seed = 100; seed < 140; seed++) {
      const g = randomGraph(seed, 30);
      const inputs = randomInputs(g, seed);
      const shared = execute(compile(g), inputs, { poison: 0x7f });
      const apart = execute(compile(g, { memory: { reuse: false } }), inputs);
      for (const name of g.outputs.keys()) {
        const bits = (data: ArrayBufferView) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
        expect(bits(shared[name]?.data as Float32Array)).toEqual(bits(apart[name]?.data as Float32Array));
      }
    }
  });
  it('C9: without the passes, and without sharing memory, integer graphs give the same bits', () => {
    for (let seed = 300; seed < 360; seed++) {
      const g = randomGraph(seed, 1 + (seed % 40), true);
      const inputs = randomInputs(g, seed);
      const wanted = execute(compile(g), inputs, { poison: 0xaa });
      for (const options of [{ simplify: false }, { simplify: false, memory: { reuse: false } }])
        expect(execute(compile(g, options), inputs, { poison: 0xff })).toEqual(wanted);
    }
  });
  it('C4: nothing is written outside the buffers', () => {
    for (let seed = 200; seed < 220; seed++) {
      const g = randomGraph(seed, 30);
      const inputs = randomInputs(g, seed);
      const model = compile(g, { memory: { guard: 4096 } });
      const found = execute(model, inputs, { poison: 0x55 });
      const wanted = evaluate(g, inputs);
      for (const name of g.outputs.keys())
        expectClose(found[name] as never, wanted[name] as never, { relative: 1e-5, absolute: 1e-5 }, g.name);
    }
  });
  it('C10: the same graph gives the same bytes', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const [a, b] = [compile(randomGraph(seed, 25)), compile(randomGraph(seed, 25))];
      expect(a.wasm).toEqual(b.wasm);
      expect(a.constants).toEqual(b.constants);
      expect(JSON.stringify(a.manifest)).toBe(JSON.stringify(b.manifest));
    }
  });
  it('C10: what was compiled before, and the order in which weights were named, change no byte', () => {
    const first = compile(randomGraph(1, 25));
    for (let seed = 2; seed < 22; seed++) {
      compile(randomGraph(seed, 1 + (seed % 30)));
      const again = compile(randomGraph(1, 25));
      expect(again.wasm).toEqual(first.wasm);
      expect(again.constants).toEqual(first.constants);
      expect(JSON.stringify(again.manifest)).toBe(JSON.stringify(first.manifest));
    }
    const g = randomGraph(1, 25);
    const shuffled = { ...g, weights: new Map(Array.from(g.weights).reverse()) };
    expect(compile(shuffled).wasm).toEqual(first.wasm);
    expect(compile(shuffled).constants).toEqual(first.constants);
  });
  it('C11: no name of a model gets into a module', () => {
    const g = graph('evil', (b) => {
      b.output('kernel"); evil', b.add('Relu', [b.input('secret-name', 'float32', [3])], {}, { name: 'evil-node' }));
    });
    for (const bytes of Object.values(compile(g).wasm)) {
      const text = Array.from(bytes as Uint8Array, (byte) => String.fromCharCode(byte)).join('');
      expect(text).not.toMatch(/secret|evil/);
    }
  });
  it('values without elements need no call', () => {
    const g = graph('empty', (b) => {
      const x = b.input('x', 'float32', [0, 3]);
      b.output('y', b.add('Concat', [b.add('Relu', [x]), x], { axis: 0 }));
    });
    expect(check(g).manifest.steps).toEqual([]);
  });
});

describe('large graphs', () => {
  it('C3: ten thousand nodes give valid modules of a few functions', () => {
    const g = graph('long', (b) => {
      let x = b.input('x', 'float32', [8]);
      for (let i = 0; i < 10_000; i++) x = b.add(i % 7 ? 'Neg' : 'Relu', [x]);
      b.output('y', x);
    });
    const { manifest, wasm } = check(g);
    expect(manifest.kernels.length).toBeLessThan(30);
    expect(wasm.relaxed.length).toBeLessThan(10_000);
  });
});

describe('explain', () => {
  it('names each step with its nodes and its kernel', () => {
    const g = graph('small', (b) => {
      const x = b.input('x', 'float32', [4, 5]);
      b.output('y', b.add('Relu', [b.add('Softmax', [x], {}, { name: 'soft' })], {}, { name: 'rectify' }));
    });
    const lines = explain(g).split('\n');
    expect(lines[0]).toBe('small: 2 nodes, 5 steps, 5 kernels');
    expect(lines[2]).toMatch(/^0\. soft: float32_fold_max_/);
    expect(lines.at(-1)).toMatch(/^4\. rectify: float32_map_/);
  });
});

describe('errors', () => {
  const refused = (g: Graph) => {
    try {
      compile(g);
    } catch (error) {
      return error as { code: string; message: string; details: Record<string, unknown> };
    }
    return expect.fail('was compiled');
  };
  it('every node without kernels is listed at once', () => {
    const g = graph('unsupported', (b) => {
      const x = b.input('x', 'float64', [3]);
      const y = b.add('Exp', [x], {}, { name: 'first' });
      b.output('z', b.add('Tanh', [b.add('Neg', [y])], {}, { name: 'second' }));
    });
    const { code, message, details } = refused(g);
    expect(code).toBe('GRIM_CODEGEN_UNSUPPORTED_OP');
    expect(message).toContain('"first" (Exp): float64; supported: float32');
    expect(details['nodes']).toHaveLength(2);
  });
  it('a shape that only a run can tell is refused with the node', () => {
    const g = graph('data dependent', (b) => b.output('y', b.add('NonZero', [b.input('x', 'float32', [3])])));
    expect(refused(g)).toMatchObject({ code: 'GRIM_CODEGEN_UNSUPPORTED_OP' });
  });
  it('an open length is refused with its name', () => {
    const g = graph('open', (b) => b.output('y', b.add('Abs', [b.input('x', 'float32', ['N', 3])])));
    expect(refused(g)).toMatchObject({ code: 'GRIM_IR_UNBOUND_DIM', details: { dims: ['N'] } });
  });
  it('a graph that verify() refuses is refused', () => {
    const g = graph('wrong', (b) =>
      b.output('y', b.add('Add', [b.input('x', 'float32', [3]), b.input('z', 'float32', [4])])),
    );
    expect(refused(g)).toMatchObject({ code: 'GRIM_IR_SHAPE_MISMATCH' });
  });
});

describe('unused values', () => {
  it('nodes and weights that nobody needs are left out', () => {
    const g = graph('unused', (b) => {
      const x = b.input('x', 'float32', [3]);
      const w = b.weight('w', { dtype: 'float32', shape: [3], data: Float32Array.of(1, 2, 3) });
      b.add('Add', [b.add('Mul', [x, w]), w]);
      b.output('y', b.add('Neg', [x]));
    });
    expect(simplify(g).nodes.map(({ op }) => op)).toEqual(['Neg']);
    expect(check(g).manifest.constantBytes).toBe(0);
  });
});

describe('batch normalization', () => {
  const vector = (b: GraphBuilder, name: string, values: readonly number[]) =>
    b.weight(name, { dtype: 'float32', shape: [values.length], data: Float32Array.from(values) });
  const behind = (product: (b: GraphBuilder) => string, channels: number): Graph =>
    graph('bn', (b) => {
      const y = product(b);
      const parameters = ['s', 'b', 'm', 'v'].map((name, i) =>
        vector(
          b,
          name,
          Array.from({ length: channels }, (_, c) => 0.3 + 0.1 * c + i),
        ),
      );
      b.output('y', b.add('BatchNormalization', [y, ...parameters], { epsilon: 0.01 }));
    });
  const weight = (b: GraphBuilder, shape: readonly number[]) =>
    b.weight('w', randomTensor('float32', shape, random(3), false));
  const graphs: readonly (readonly [string, Graph])[] = [
    ['Conv', behind((b) => b.add('Conv', [b.input('x', 'float32', [1, 2, 5, 5]), weight(b, [4, 2, 3, 3])]), 4)],
    [
      'Conv with bias',
      behind(
        (b) =>
          b.add(
            'Conv',
            [b.input('x', 'float32', [1, 4, 5, 5]), weight(b, [6, 2, 3, 3]), vector(b, 'bias', [1, 2, 3, 4, 5, 6])],
            { group: 2 },
          ),
        6,
      ),
    ],
    [
      'ConvTranspose',
      behind(
        (b) => b.add('ConvTranspose', [b.input('x', 'float32', [1, 4, 5, 5]), weight(b, [4, 3, 2, 2])], { group: 2 }),
        6,
      ),
    ],
    ['Gemm', behind((b) => b.add('Gemm', [b.input('x', 'float32', [3, 5]), weight(b, [5, 4])]), 4)],
    [
      'Gemm, transposed',
      behind((b) => b.add('Gemm', [b.input('x', 'float32', [3, 5]), weight(b, [4, 5])], { transB: 1 }), 4),
    ],
  ];
  for (const [name, g] of graphs)
    it(`C9: is folded into ${name}`, () => {
      const folded = simplify(g);
      expect(folded.nodes).toHaveLength(1);
      expect(folded.nodes[0]?.op).not.toBe('BatchNormalization');
      const inputs = randomInputs(g, 1, false);
      expectClose(
        evaluate(folded, inputs)['y'] as never,
        evaluate(g, inputs)['y'] as never,
        { relative: 1e-5, absolute: 1e-5 },
        name,
      );
    });
  it('C9: stays where another reads what is normalized', () => {
    const g = graph('shared', (b) => {
      const y = b.add('Conv', [b.input('x', 'float32', [1, 2, 5, 5]), weight(b, [4, 2, 3, 3])]);
      const parameters = ['s', 'b', 'm', 'v'].map((name) => vector(b, name, [1, 2, 3, 4]));
      b.output('y', b.add('BatchNormalization', [y, ...parameters]));
      b.output('z', y);
    });
    expect(simplify(g)).toBe(g);
  });
});
