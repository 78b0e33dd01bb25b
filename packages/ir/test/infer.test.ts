import { describe, expect, it, vi } from 'vitest';
import { attributeProblem } from '../src/attributes.ts';
import { fold } from '../src/fold.ts';
import { type Graph, type GraphBuilder, graph } from '../src/graph.ts';
import { compatible, inferTypes } from '../src/infer.ts';
import { withLimits } from '../src/limits.ts';
import { dtype, flag, float, floats, int, ints, optional, string, strings, subgraph, tensor, text } from '../src/op.ts';
import { opSpec } from '../src/ops.ts';
import { evaluate } from '../src/reference/index.ts';
import { refusal, t } from './run.ts';

const shapeOf = (g: Graph, output = 'y') => inferTypes(g).get(g.outputs.get(output) ?? '')?.shape;

/** If in If in If: `depth` bodies inside each other, the innermost giving x + x. */
function nest(depth: number): Graph {
  const leaf = graph('leaf', (b) => b.output('y', 'x'));
  let body = graph('innermost', (b) => b.output('y', b.add('Add', ['x', 'x'], {}, { output: 'v0' })));
  for (let level = 1; level <= depth; level++) {
    const inner = body;
    const build = (b: GraphBuilder) => {
      const attributes = { then_branch: inner, else_branch: leaf };
      b.output('y', b.add('If', ['cond'], attributes, { output: `v${level}` }));
    };
    body = graph(`level ${level}`, (b) => {
      if (level === depth) {
        b.input('cond', 'bool', []);
        b.input('x', 'float32', [1]);
      }
      build(b);
    });
  }
  return body;
}

describe('inferTypes', () => {
  it('types inputs, weights and values', () => {
    const g = graph('add', (b) => {
      const x = b.input('x', 'float32', ['N', 3]);
      const w = b.weight('w', t('float32', [3], [1, 2, 3]));
      b.output('y', b.add('Add', [x, w], {}, { output: 'sum' }));
    });
    expect([...inferTypes(g)]).toEqual([
      ['w', { dtype: 'float32', shape: [3] }],
      ['x', { dtype: 'float32', shape: ['N', 3] }],
      ['sum', { dtype: 'float32', shape: ['N', 3] }],
    ]);
  });

  it('gives the same names to open lengths every time, and none that the graph has already', () => {
    const g = graph('open', (b) => {
      b.input('x', 'float32', ['?0', 1]);
      b.input('z', 'float32', ['?7', 1]);
      b.output('y', b.add('Add', ['x', 'z']));
    });
    expect(shapeOf(g)).toEqual(['?8', 1]);
    expect(shapeOf(g)).toEqual(['?8', 1]);
  });

  const one = (build: (b: GraphBuilder) => void) =>
    graph('one', (b) => {
      b.input('x', 'float32', [2]);
      b.input('i', 'int64', [2]);
      build(b);
    });
  it.each([
    ['an input too few', one((b) => b.add('Add', ['x'])), 'GRIM_IR_ARITY', /input 1 \(B\) is missing/],
    ['an input left out', one((b) => b.add('Add', ['', 'x'])), 'GRIM_IR_ARITY', /input 0 \(A\) is missing/],
    ['an input too many', one((b) => b.add('Add', ['x', 'x', 'x'])), 'GRIM_IR_ARITY', /at most 2/],
    ['an output too many', one((b) => b.addMany('Add', ['x', 'x'], 2)), 'GRIM_IR_ARITY', /2 outputs/],
    ['two types under one key', one((b) => b.add('Add', ['x', 'i'])), 'GRIM_IR_DTYPE_MISMATCH', /Cast one/],
    ['a type that is not taken', one((b) => b.add('If', ['x'])), 'GRIM_IR_BAD_ATTRIBUTE', /then_branch/],
    [
      'shapes that do not broadcast',
      one((b) => b.add('Add', ['x', b.weight('w', t('float32', [3], [1, 2, 3]))])),
      'GRIM_IR_SHAPE_MISMATCH',
      /2 meets 3/,
    ],
    [
      'G14: an attribute that does not exist',
      one((b) => b.add('Add', ['x', 'x'], { __proto__x: 1 } as object)),
      'GRIM_IR_BAD_ATTRIBUTE',
      /is not one/,
    ],
  ])('refuses %s', (_, g, code, message) => {
    const found = refusal(() => inferTypes(g));
    expect(found.code).toBe(code);
    expect(found.message).toMatch(message);
  });

  it('G6: names the operator that is not in the table', () => {
    const g = one((b) => b.add('Add', ['x', 'x']));
    const [node] = g.nodes;
    for (const op of ['Frobnicate', '__proto__', 'constructor', 'toString'])
      expect(refusal(() => inferTypes({ ...g, nodes: [{ ...node, op } as never] }))).toMatchObject({
        code: 'GRIM_IR_UNSUPPORTED_OP',
      });
  });

  it('G8: takes rank 8 and refuses rank 9 of a result', () => {
    const ranked = (rank: number) =>
      graph('rank', (b) => {
        b.input('x', 'float32', new Array<number>(rank).fill(1));
        b.output('y', b.add('Add', ['x', 'x']));
      });
    expect(shapeOf(ranked(8))).toHaveLength(8);
    expect(refusal(() => inferTypes(ranked(9))).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('G7: refuses a result of which the product overflows though no factor does', () => {
    const g = graph('big', (b) => {
      b.input('x', 'float32', [2 ** 20, 1]);
      b.input('z', 'float32', [1, 2 ** 20]);
      b.output('y', b.add('Add', ['x', 'z']));
    });
    expect(refusal(() => inferTypes(g)).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('G4: takes bodies 16 deep and refuses the 17th, and 1,000', () => {
    expect(shapeOf(nest(16))).toEqual([1]);
    for (const depth of [17, 1000]) {
      const { code, message } = refusal(() => inferTypes(nest(depth)));
      expect(code).toBe('GRIM_IR_LIMIT');
      expect(message).toMatch(/nested more than 16 deep/);
    }
    expect(refusal(() => inferTypes(nest(1), withLimits({ subgraphDepth: 0 }))).code).toBe('GRIM_IR_LIMIT');
  });

  it('G4: evaluates bodies 16 deep and refuses the 17th, and 1,000', () => {
    const inputs = { cond: t('bool', [], [1]), x: t('float32', [1], [3]) };
    expect(evaluate(nest(16), inputs)['y']).toEqual(t('float32', [1], [6]));
    for (const depth of [17, 1000]) expect(refusal(() => evaluate(nest(depth), inputs)).code).toBe('GRIM_IR_LIMIT');
  });
});

describe('compatible', () => {
  it.each([
    [[2, 3], [2, 3], true],
    [[2, 3], [2, 4], false],
    [[2, 'N'], [2, 4], true],
    [[2], [2, 3], false],
    [null, [2, 3], true],
  ] as const)('%j and %j: %s', (a, b, expected) => {
    expect(compatible({ dtype: 'float32', shape: a }, { dtype: 'float32', shape: b })).toBe(expected);
    expect(compatible({ dtype: 'float32', shape: b }, { dtype: 'int8', shape: a })).toBe(false);
  });
});

describe('attributes', () => {
  const row = {
    attributes: {
      i: int(1, { min: 0, max: 5 }),
      low: int(1, { min: 1 }),
      switch: flag(0),
      f: float(1),
      s: string(['a', 'b'], 'a'),
      text: text(''),
      is: ints([]),
      fs: floats([]),
      ss: strings([]),
      type: dtype('float32'),
      t: optional(tensor()),
      g: optional(subgraph()),
      must: int(),
    },
  };

  it('lets right values pass', () => {
    const good = {
      i: 5,
      low: 9,
      switch: 1,
      f: 0.5,
      s: 'b',
      text: 'x',
      is: [1, -2],
      fs: [0.5],
      ss: ['x'],
      type: 'int8',
      t: t('int8', [1], [1]),
      g: graph('g', () => {}),
      must: 0,
    };
    expect(attributeProblem(row, good)).toBeUndefined();
  });

  it.each([
    ['i', 6, /from 0 to 5/],
    ['i', -1, /from 0 to 5/],
    ['i', 1.5, /an integer/],
    ['i', [1], /an integer/],
    ['i', 'x', /an integer/],
    ['i', 2 ** 53, /an integer/],
    ['i', Number.NaN, /an integer/],
    ['low', 0, /at least 1/],
    ['switch', 2, /from 0 to 1/],
    ['f', '1', /a number/],
    ['s', 'c', /one of "a", "b"/],
    ['s', 1, /a string/],
    ['text', null, /a string/],
    ['is', 1, /a list of integers/],
    ['is', [1.5], /a list of integers/],
    ['fs', ['x'], /a list of numbers/],
    ['ss', [1], /a list of strings/],
    ['type', 'toString', /an element type/],
    ['t', {}, /a tensor/],
    ['t', null, /a tensor/],
    ['t', { dtype: 'float32', shape: [1], data: [1] }, /a tensor/],
    ['g', {}, /a graph/],
    ['__proto__y', 1, /is not one of/],
    ['toString', 1, /is not one of/],
  ])('G14: refuses %s = %j', (key, value, message) => {
    expect(attributeProblem(row, { must: 1, [key]: value })).toMatch(message);
  });

  it('G14: asks for what has no default', () => {
    expect(attributeProblem(row, {})).toMatch(/"must" is missing/);
  });
});

describe('bodies', () => {
  /** Ifs in Ifs, `per` nodes on each level. */
  const nested = (depth: number, per: number): Graph =>
    graph('nested', (b) => {
      const condition = b.input('c', 'bool', []);
      const level = (inner: GraphBuilder, d: number, from: string): string => {
        let y = from;
        for (let i = 0; i < per; i++) y = inner.add('Relu', [y], {}, { name: `r${d}_${i}`, output: `v${d}_${i}` });
        if (d === 0) return y;
        const then_branch = graph(`then${d}`, (t) => t.output(`a${d}`, level(t, d - 1, y)));
        const else_branch = graph(`else${d}`, (t) =>
          t.output(`b${d}`, t.add('Neg', [y], {}, { name: `n${d}`, output: `nv${d}` })),
        );
        return inner.add('If', [condition], { then_branch, else_branch }, { name: `if${d}`, output: `iv${d}` });
      };
      b.output('y', level(b, depth, b.input('x', 'float32', [4])));
    });
  it('are typed a number of times that does not grow with their depth', () => {
    const rule = vi.spyOn(opSpec('Relu'), 'infer');
    const counts = [3, 14].map((depth) => {
      rule.mockClear();
      fold(nested(depth, 20));
      return rule.mock.calls.length / (20 * (depth + 1));
    });
    rule.mockRestore();
    expect(counts[0]).toBeGreaterThanOrEqual(1);
    expect(counts[1]).toBeLessThan(3);
  });
  it('are typed again when what they see is another: type, constant, or depth', () => {
    // One body, shared by graphs that give it different surroundings.
    const body = graph('body', (b) => b.output('z', b.add('Reshape', ['x', 'shape'], {}, { output: 'z' })));
    const around = (length: number, shape: readonly number[], dtype: 'float32' | 'int32') =>
      graph('around', (b) => {
        b.input('x', dtype, [length]);
        b.weight('shape', { dtype: 'int64', shape: [shape.length], data: BigInt64Array.from(shape.map(BigInt)) });
        const attributes = { then_branch: body, else_branch: body };
        b.output('y', b.add('If', [b.input('c', 'bool', [])], attributes, { name: 'if', output: 'y' }));
      });
    const typeOf = (g: Graph) => inferTypes(g).get('y');
    for (let i = 0; i < 2; i++) {
      expect(typeOf(around(4, [2, 2], 'float32'))).toEqual({ dtype: 'float32', shape: [2, 2] });
      expect(typeOf(around(4, [4, 1], 'float32'))).toEqual({ dtype: 'float32', shape: [4, 1] });
      expect(typeOf(around(6, [3, -1], 'float32'))).toEqual({ dtype: 'float32', shape: [3, 2] });
      expect(typeOf(around(6, [3, -1], 'int32'))).toEqual({ dtype: 'int32', shape: [3, 2] });
      expect(() => typeOf(around(5, [3, -1], 'int32'))).toThrow('Reshape');
    }
  });
});
