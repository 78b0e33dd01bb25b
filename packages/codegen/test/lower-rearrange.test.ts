import { DTYPES, type Graph, type GraphBuilder, graph } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { check, randomInputs } from './check.ts';

const integers = (b: GraphBuilder, name: string, values: readonly number[], dtype: 'int64' | 'int32' = 'int64') =>
  b.weight(name, {
    dtype,
    shape: [values.length],
    data: dtype === 'int64' ? BigInt64Array.from(values.map(BigInt)) : Int32Array.from(values),
  } as never);

/** A graph of x alone. */
function of(name: string, shape: readonly number[], build: (b: GraphBuilder, x: string) => string): Graph {
  return graph(name, (b) => {
    b.output('y', build(b, b.input('x', 'float32', shape)));
  });
}

describe('views', () => {
  it('Reshape, Flatten, Squeeze and Unsqueeze cost nothing', () => {
    const g = of('views', [2, 3, 4], (b, x) => {
      const flat = b.add('Reshape', [x, integers(b, 's', [6, -1])]);
      const more = b.add('Unsqueeze', [flat, integers(b, 'a', [0, 3])]);
      return b.add('Flatten', [b.add('Squeeze', [more, integers(b, 'c', [0])])], { axis: 1 });
    });
    expect(check(g).manifest.kernels).toHaveLength(0);
  });
  it('Reshape of a transposed value is a view where strides can say it, and a copy where not', () => {
    check(of('split', [4, 6], (b, x) => b.add('Reshape', [b.add('Transpose', [x]), integers(b, 's', [2, 3, 2, 2])])));
    check(of('merge', [4, 6], (b, x) => b.add('Reshape', [b.add('Transpose', [x]), integers(b, 's', [24])])));
    check(
      of('part', [2, 3, 4], (b, x) =>
        b.add('Reshape', [b.add('Transpose', [x], { perm: [2, 0, 1] }), integers(b, 's', [4, 6])]),
      ),
    );
  });
  it('Transpose moves elements of every size', () => {
    for (const dtype of DTYPES)
      check(
        graph(`transpose ${dtype}`, (b) => {
          b.output('y', b.add('Transpose', [b.input('x', dtype, [3, 5, 2])], { perm: [1, 2, 0] }));
        }),
      );
  });
  it('Transpose of matrices whose rows are chunks, more or less of them, and lie in few sets of a cache', () => {
    // 256 floats are 1024 bytes: from rows that far apart 16 are taken at a time, from others 64.
    for (const shape of [
      [7, 130],
      [64, 9],
      [65, 256],
      [15, 256],
      [33, 512],
      [128, 6],
    ])
      check(of(`transpose ${shape}`, shape, (b, x) => b.add('Transpose', [x])));
  });
  it('a copy keeps every bit of a NaN', () => {
    const g = of('nan', [5], (b, x) => b.add('Concat', [x, x], { axis: 0 }));
    const data = new Float32Array(Uint32Array.of(0x7f800001, 0xffc12345, 0x7fffffff, 0, 0x80000000).buffer);
    const model = check(g, { inputs: { x: { dtype: 'float32', shape: [5], data } } });
    expect(model.manifest.steps.length).toBeGreaterThan(0);
  });
  it('Shape and Size are constants', () => {
    check(of('shape', [2, 3, 4], (b, x) => b.add('Shape', [x], { start: -2 })));
    check(of('size', [2, 3, 4], (b, x) => b.add('Size', [x])));
  });
  it('Expand is a view that other operators read', () => {
    check(of('expand', [3, 1], (b, x) => b.add('Abs', [b.add('Expand', [x, integers(b, 's', [2, 3, 4])])])));
    check(of('expanded', [3, 1], (b, x) => b.add('Expand', [x, integers(b, 's', [2, 3, 4])])));
  });
  it('an output may be an input, a weight, or the same value twice', () => {
    const g = graph('odd', (b) => {
      const x = b.input('x', 'float32', [3]);
      const w = b.weight('w', { dtype: 'int8', shape: [2], data: Int8Array.of(-1, 7) });
      const y = b.add('Neg', [x]);
      b.output('a', x);
      b.output('b', w);
      b.output('c', y);
      b.output('d', y);
    });
    check(g);
  });
});

describe('pieces', () => {
  it('Concat takes inputs of any length along any axis, computed in place', () => {
    for (const axis of [0, 1, -1])
      for (const dtype of ['float32', 'int64', 'uint8', 'float16'] as const)
        check(
          graph(`concat ${axis} ${dtype}`, (b) => {
            const shape = [2, 3, 5];
            const parts = [1, 0, 4].map((length, i) => b.input(`x${i}`, dtype, shape.with(axis, length)));
            b.output('y', b.add('Concat', parts, { axis }));
          }),
        );
    const fused = of('fused', [4, 3], (b, x) => b.add('Concat', [b.add('Abs', [x]), b.add('Neg', [x])], { axis: 1 }));
    expect(check(fused).manifest.kernels).toHaveLength(2);
  });
  it('Split gives parts of any length, those left out too', () => {
    const g = graph('split', (b) => {
      const x = b.input('x', 'float32', [2, 7]);
      const parts = b.addMany('Split', [x, integers(b, 's', [2, 0, 4, 1])], ['p', 'q', '', 'r'], { axis: 1 });
      for (const part of parts) if (part !== '') b.output(part);
    });
    check(g);
    check(
      graph('equal', (b) => {
        const x = b.input('x', 'float32', [7, 2]);
        for (const part of b.addMany('Split', [x], 3, { num_outputs: 3 })) b.output(part);
      }),
    );
  });
  it('Slice goes forward, backward, past the ends and nowhere', () => {
    const cases: readonly (readonly [number, number, number])[] = [
      [1, 4, 1],
      [-3, 100, 2],
      [100, -100, -3],
      [6, 2, 1],
      [-1, -(2 ** 31), -1],
    ];
    for (const [start, end, step] of cases)
      check(
        of(`slice ${start}:${end}:${step}`, [3, 7], (b, x) => {
          const list = (name: string, value: number) => integers(b, name, [value]);
          const y = b.add('Slice', [x, list('s', start), list('e', end), list('a', -1), list('p', step)]);
          return b.add('Neg', [y]);
        }),
      );
  });
  it('Pad fills, reflects, repeats the edge, wraps, and cuts', () => {
    for (const mode of ['constant', 'reflect', 'edge', 'wrap'] as const)
      for (const pads of [
        [0, 1, 2, 0, 3, 1],
        [0, -1, 2, 0, 1, -2],
        [1, 0, 0, 0, 0, 5],
      ])
        for (const dtype of ['float32', 'int64', 'bool'] as const)
          check(
            graph(`pad ${mode} ${pads}`, (b) => {
              const x = b.input('x', dtype, [2, 4, 3]);
              b.output('y', b.add('Pad', [x, integers(b, 'p', pads)], { mode }));
            }),
          );
    check(
      graph('pad value', (b) => {
        const x = b.input('x', 'float32', [2, 3]);
        const value = b.input('v', 'float32', []);
        b.output('y', b.add('Pad', [x, integers(b, 'p', [1, 2]), value, integers(b, 'a', [-1])]));
      }),
    );
  });
  it('Tile repeats every axis', () => {
    for (const repeats of [
      [1, 1],
      [2, 3],
      [3, 1],
      [0, 2],
    ])
      check(of(`tile ${repeats}`, [2, 5], (b, x) => b.add('Tile', [x, integers(b, 'r', repeats)])));
  });
  it('DepthToSpace and SpaceToDepth undo each other', () => {
    for (const mode of ['DCR', 'CRD'] as const)
      check(of(`d2s ${mode}`, [2, 12, 2, 3], (b, x) => b.add('DepthToSpace', [x], { blocksize: 2, mode })));
    check(of('s2d', [2, 3, 4, 6], (b, x) => b.add('SpaceToDepth', [x], { blocksize: 2 })));
  });
  it('CenterCropPad crops one axis and pads another', () => {
    check(of('ccp', [5, 4, 3], (b, x) => b.add('CenterCropPad', [x, integers(b, 's', [2, 7, 3])])));
  });
  it('ReverseSequence turns the beginning of each sequence round', () => {
    check(of('reverse', [4, 3, 2], (b, x) => b.add('ReverseSequence', [x, integers(b, 'l', [1, 4, 3])])));
  });
});

describe('Gather', () => {
  const lists = [[0, 1, 2], [2, 0], [-1, -1, -1, 1], [3, 2, 1, 0], Array.from({ length: 40 }, (_, i) => (i * 7) % 4)];
  it('reads at constant places', () => {
    for (const axis of [0, 1, -1])
      for (const list of lists)
        check(
          of(`gather ${axis} ${list}`, [4, 4, 4], (b, x) => b.add('Gather', [x, integers(b, 'i', list)], { axis })),
        );
    check(
      of('scalar', [4, 4], (b, x) => {
        const index = b.weight('i', { dtype: 'int64', shape: [], data: BigInt64Array.of(-2n) });
        return b.add('Gather', [x, index], { axis: 1 });
      }),
    );
  });
  it('reads at places that are computed, from either end', () => {
    for (const type of ['int32', 'int64'] as const)
      for (const dtype of ['float32', 'uint8', 'int64', 'float16'] as const) {
        const g = graph(`gather ${type} ${dtype}`, (b) => {
          const x = b.input('x', dtype, [3, 5, 7]);
          b.output('y', b.add('Gather', [x, b.input('i', type, [2, 2])], { axis: 1 }));
        });
        const values = [0, 4, -5, -1];
        const data = type === 'int64' ? BigInt64Array.from(values.map(BigInt)) : Int32Array.from(values);
        check(g, { inputs: { ...randomInputs(g), i: { dtype: type, shape: [2, 2], data } as never } });
      }
  });
});

describe('GatherElements', () => {
  it('reads one element for each index, from either end', () => {
    for (const axis of [0, 1, -1])
      for (const dtype of ['float32', 'uint8', 'int64', 'float16'] as const) {
        const g = graph(`elements ${axis} ${dtype}`, (b) => {
          const x = b.input('x', dtype, [3, 4, 5]);
          b.output('y', b.add('GatherElements', [x, b.input('i', 'int64', [2, 3, 4])], { axis }));
        });
        const data = BigInt64Array.from({ length: 24 }, (_, i) => BigInt(((i * 5) % 6) - 3));
        check(g, { inputs: { ...randomInputs(g), i: { dtype: 'int64', shape: [2, 3, 4], data } } });
      }
  });
});

describe('If', () => {
  it('runs one branch or the other, which see the values around them', () => {
    const g = graph('if', (b) => {
      const x = b.input('x', 'float32', [6]);
      const condition = b.input('c', 'bool', []);
      const hidden = b.add('Abs', [x], {}, { output: 'hidden' });
      const then = graph('then', (t) => {
        t.output('a', t.add('Add', [hidden, 'x'], {}, { output: 'a' }));
      });
      const otherwise = graph('else', (t) => {
        const w = t.weight('three', { dtype: 'float32', shape: [1], data: Float32Array.of(3) });
        t.output('b', t.add('Mul', ['x', w], {}, { output: 'b' }));
      });
      const y = b.add('If', [condition], { then_branch: then, else_branch: otherwise });
      b.output('y', b.add('Neg', [y]));
    });
    for (const value of [0, 1]) {
      const c = { dtype: 'bool', shape: [], data: Uint8Array.of(value) } as const;
      check(g, { inputs: { ...randomInputs(g), c } });
    }
  });
});
