/** The text form: print → parse is the identity, and no text brings the parser down. */
import { describe, expect, it } from 'vitest';
import { GrimError } from '../src/errors.ts';
import { type Graph, graph, type Weight } from '../src/graph.ts';
import { contentHash } from '../src/literal.ts';
import { parse } from '../src/parse.ts';
import { print } from '../src/print.ts';
import { DTYPES, type Tensor } from '../src/types.ts';
import { verify } from '../src/verify.ts';
import { HOSTILE_NAMES, random, randomGraph, randomTensor } from './random-graph.ts';
import { refusal } from './run.ts';

const bytesOf = ({ data }: Tensor) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex');

/** Equal, elements by their bits: `toEqual` alone takes every NaN for every other. */
function expectSame(a: Graph, b: Graph): void {
  expect(a).toEqual(b);
  expect(Array.from(a.weights, ([name, w]) => [name, bytesOf(w)])).toEqual(
    Array.from(b.weights, ([name, w]) => [name, bytesOf(w)]),
  );
}

/** Text with a graph around it. */
const inGraph = (body: string) => `grim-ir 1\ngraph g {\n${body}\n}\n`;
const parseError = (text: string) => refusal(() => parse(text));

describe('round trip', () => {
  it('print, parse, print gives the same text and the same graph, weights inline', () => {
    for (let seed = 0; seed < 300; seed++) {
      const g = randomGraph(seed, { hostileNames: seed % 2 === 0, bodies: seed % 3 === 0 });
      const text = print(g);
      const back = parse(text);
      expectSame(back, g);
      expect(print(back)).toBe(text);
    }
  });

  it('the same with weights by reference', () => {
    for (let seed = 0; seed < 100; seed++) {
      const g = randomGraph(seed, { hostileNames: seed % 2 === 0 });
      const text = print(g, { weights: 'reference' });
      const back = parse(text, { weights: g.weights });
      expectSame(back, g);
      expect(print(back, { weights: 'reference' })).toBe(text);
    }
  });

  it('the random graphs have no errors, so that the round trip is one of whole graphs', () => {
    for (let seed = 0; seed < 100; seed++) {
      const errors = verify(randomGraph(seed, { hostileNames: true, bodies: true })).filter(
        (d) => d.severity === 'error',
      );
      expect(errors).toEqual([]);
    }
  });

  it('G21: hostile names are ordinary names of nodes, inputs, weights, outputs, dimensions and strings', () => {
    const g = graph('__proto__', (b) => {
      for (const name of HOSTILE_NAMES) {
        const x = b.input(`i${name}`, 'float32', [name, 2]);
        const w = b.weight(name, { dtype: 'float32', shape: [1], data: Float32Array.of(1) });
        b.output(name, b.add('Add', [x, w], {}, { name, output: `o${name}` }));
      }
    });
    expectSame(parse(print(g)), g);
    expect(Array.from(parse(print(g)).outputs.keys())).toEqual(HOSTILE_NAMES);
    // No character that a terminal obeys or hides, and no unpaired surrogate.
    expect(print(g)).not.toMatch(/[^\P{C}\n]/u);
  });

  it('G21, G22: names that look alike stay distinct', () => {
    const names = ['é', 'e\u0301', 'É', 'a', 'А', 'А\u200d'];
    const g = graph('g', (b) => {
      for (const name of names) b.output(name, b.input(name, 'float32', []));
    });
    expect(Array.from(parse(print(g)).inputs.keys())).toEqual(names);
  });

  it('T4: every element comes back bit for bit, NaN payloads and negative zeros included', () => {
    const next = random(7);
    for (const dtype of DTYPES)
      for (const count of [0, 1, 5, 64, 65, 66, 67, 200]) {
        const weight = randomTensor(next, dtype, [count]);
        const g = graph('g', (b) => b.output('w', b.weight('w', weight)));
        expect(bytesOf(parse(print(g)).weights.get('w') as Weight)).toBe(bytesOf(weight));
      }
  });

  it('T4: the special values of each float type are words or bits', () => {
    const weight: Weight = {
      dtype: 'float32',
      shape: [9],
      data: new Float32Array(
        Uint32Array.of(
          0x7fc00000,
          0xffc00000,
          0x7f800001,
          0x7f800000,
          0xff800000,
          0x80000000,
          1,
          0x3dcccccd,
          0x7f7fffff,
        ).buffer,
      ),
    };
    const text = print(graph('g', (b) => b.output('w', b.weight('w', weight))));
    expect(text).toContain('(nan, 0xffc00000, 0x7f800001, inf, -inf, -0, 1e-45, 0.1, 3.4028235e+38)');
  });

  it('T6: every float16 and bfloat16 pattern comes back', () => {
    for (const dtype of ['float16', 'bfloat16'] as const)
      for (let from = 0; from < 65536; from += 64) {
        const data = Uint16Array.from({ length: 64 }, (_, i) => from + i);
        const g = graph('g', (b) => b.output('w', b.weight('w', { dtype, shape: [64], data })));
        expect(parse(print(g)).weights.get('w')?.data).toEqual(data);
      }
  });

  it('a weight that is a view at an odd offset is written by its own bytes', () => {
    const data = new Uint8Array(300).map((_, i) => i).subarray(3, 103);
    const g = graph('g', (b) => b.output('w', b.weight('w', { dtype: 'uint8', shape: [100], data })));
    expect(parse(print(g)).weights.get('w')?.data).toEqual(Uint8Array.from(data));
  });

  it('attributes of every kind come back, defaults are left out', () => {
    const g = graph('g', (b) => {
      const x = b.input('x', 'float32', null);
      b.add('LeakyRelu', [x], { alpha: -0 });
      b.add('LeakyRelu', [x], { alpha: Number.NaN });
      b.add('LeakyRelu', [x]);
      b.add('Cast', [x], { to: 'float16' });
      b.add('Einsum', [x], { equation: 'ij->"ji"\n' });
      b.add('Einsum', [x], { equation: 'nan' });
      b.add('Transpose', [x], { perm: [] });
      b.add('Conv', [x, x], { pads: [1, 1], auto_pad: 'SAME_UPPER' });
      b.add('ConstantOfShape', [x], { value: { dtype: 'int64', shape: [1], data: BigInt64Array.of(-(2n ** 63n)) } });
    });
    expect(parse(print(g))).toEqual(g);
    expect(print(g)).toContain('LeakyRelu_2_3 = LeakyRelu(x) as LeakyRelu_2  # float32 [...]\n');
    expect(print(g)).toContain('value=int64 [1] (-9223372036854775808)');
  });

  it('two outputs of one value, unwanted outputs and nodes without a first output keep their names', () => {
    const text = inGraph(
      '  input x float32 [4]\n  () = Relu(x) as none\n  _, b = Split(x, num_outputs=2) as split\n  output b\n  output c = b\n  output d = x',
    );
    const g = parse(text);
    expect(g.nodes.map((n) => n.outputs)).toEqual([[], ['', 'b']]);
    expect(print(g).replaceAll(/ {2}#.*/g, '')).toBe(text);
  });
});

describe('refusals', () => {
  it('say line, column, what was found and what was needed', () => {
    expect(parseError(inGraph('  input x float33 [1]'))).toEqual({
      code: 'GRIM_IR_PARSE',
      message: 'line 3, column 11: found "float33"; an element type is needed.',
    });
    expect(parseError('').message).toBe(
      'line 1, column 1: found the end of the text; "grim-ir 1", the first line of the text form, is needed.',
    );
  });

  it.each([
    ['another version', 'grim-ir 2\ngraph g {}', 'version 1'],
    ['text after the graph', `${inGraph('')}x`, 'the end of the text'],
    ['a graph without its end', 'grim-ir 1\ngraph g {', 'an input, a weight, a node, an output, or "}"'],
    ['a string without its end', inGraph('  input "x'), 'no closing quote'],
    ['an unknown escape', inGraph('  input "\\x" float32 []'), 'unknown escape'],
    ['an escape past Unicode', inGraph('  input "\\u{110000}" float32 []'), 'unknown escape'],
    [
      'a weight with too few elements',
      inGraph('  weight w float32 [3] (1, 2)'),
      'found 2 elements before here; 3 are needed',
    ],
    ['a weight with an open length', inGraph('  weight w float32 [N] (1)'), 'a length in every dimension'],
    ['an element out of range', inGraph('  weight w int8 [1] (128)'), 'an element of int8'],
    ['a fraction among integers', inGraph('  weight w int64 [1] (0.5)'), 'an element of int64'],
    ['bits of the wrong width', inGraph('  weight w float32 [1] (0x7fc0)'), 'an element of float32'],
    ['base64 of another length', inGraph('  weight w uint8 [2] base64 "AAAA"'), 'base64 of 2 bytes'],
    ['base64 that is not canonical', inGraph('  weight w uint8 [1] base64 "AB=="'), 'base64 of 1 bytes'],
    ['base64 with a wrong letter', inGraph('  weight w uint8 [3] base64 "A-AA"'), 'base64 of 3 bytes'],
    ['a node without a name', inGraph('  () = Relu(x)'), 'the name of the node'],
    ['an input behind an attribute', inGraph('  y = LeakyRelu(alpha=1, x)'), 'stands behind an attribute'],
    [
      'a block with a falling range',
      inGraph('  weight w float32 [1, 1] (0) bcr [1, 1] in [1, 1] { [3-1 | 0] }'),
      'an index',
    ],
    [
      'a pattern larger than its weight',
      inGraph('  weight w float32 [1, 1] (0) bcr [1, 1] in [1, 1] { [0-65535 | 0] }'),
      'keeps more rows',
    ],
    ['a pattern of three numbers', inGraph('  weight w float32 [1] (0) bcr [1, 1, 1] in [1, 1] { }'), 'two numbers'],
  ])('%s', (_, text, part) => {
    const { code, message } = parseError(text);
    expect(code).toBe('GRIM_IR_PARSE');
    expect(message).toMatch(/^line \d+, column \d+: /);
    expect(message).toContain(part);
  });

  it('G6: operators and attributes that the table does not hold', () => {
    expect(parseError(inGraph('  y = Bessel(x)'))).toMatchObject({ code: 'GRIM_IR_UNSUPPORTED_OP' });
    expect(parseError(inGraph('  y = Relu(x, __proto__=1)'))).toMatchObject({ code: 'GRIM_IR_BAD_ATTRIBUTE' });
    expect(parseError(inGraph('  y = __proto__(x)'))).toMatchObject({ code: 'GRIM_IR_UNSUPPORTED_OP' });
  });

  it('G14: attributes of another kind, missing ones, and ones given twice', () => {
    expect(parseError(inGraph('  y = LeakyRelu(x, alpha=[1])'))).toMatchObject({ code: 'GRIM_IR_BAD_ATTRIBUTE' });
    expect(parseError(inGraph('  y = Concat(x)'))).toMatchObject({ code: 'GRIM_IR_BAD_ATTRIBUTE' });
    expect(parseError(inGraph('  y = If(x, then_branch=3, else_branch=4)'))).toMatchObject({
      code: 'GRIM_IR_BAD_ATTRIBUTE',
    });
    expect(parseError(inGraph('  y = LeakyRelu(x, alpha=1, alpha=2)'))).toMatchObject({
      code: 'GRIM_IR_DUPLICATE_NAME',
    });
  });

  it('G2: the same input, weight or output twice', () => {
    for (const line of ['input x float32 []', 'weight x float32 [] (1)', 'output x'])
      expect(parseError(inGraph(`${line}\n${line}`)).code).toBe('GRIM_IR_DUPLICATE_NAME');
  });

  it('F12: a referred weight that is missing, of another type, or with one bit changed', () => {
    const data = Float32Array.from({ length: 20 }, (_, i) => i);
    const weight: Weight = { dtype: 'float32', shape: [20], data };
    const text = print(
      graph('g', (b) => b.output('w', b.weight('w', weight))),
      { weights: 'reference' },
    );
    const parseWith = (given: Weight | undefined) =>
      refusal(() => parse(text, { weights: new Map(given ? [['w', given]] : []) }));
    expect(parseWith(undefined).code).toBe('GRIM_IR_BAD_WEIGHT');
    expect(parseWith({ ...weight, shape: [4, 5] }).message).toContain('float32 [20] is needed');
    expect(parseWith({ ...weight, data: data.subarray(1) }).message).toContain('does not hold the elements');
    const changed = data.slice();
    new Uint8Array(changed.buffer)[3] = 1;
    expect(parseWith({ ...weight, data: changed }).message).toContain('has other elements');
  });

  it('the hash of contents sees every single bit and the length', () => {
    const bytes = new Uint8Array(37).map((_, i) => i * 7);
    const hash = (data: Uint8Array) => contentHash({ dtype: 'uint8', shape: [data.length], data });
    const seen = new Set([hash(bytes)]);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = bytes.slice();
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      seen.add(hash(copy));
    }
    for (let length = 0; length < 10; length++) seen.add(hash(new Uint8Array(length)));
    expect(seen.size).toBe(1 + bytes.length * 8 + 10);
  });
});

describe('limits', () => {
  const limited = (text: string, limits: object) => () => parse(text, { limits });
  const many = (count: number, line: (i: number) => string) =>
    inGraph(Array.from({ length: count }, (_, i) => line(i)).join('\n'));

  it.each([
    ['nodes', many(3, (i) => `y${i} = Relu(x)`), many(4, (i) => `y${i} = Relu(x)`), { nodes: 3 }],
    [
      'initializers',
      many(3, (i) => `weight w${i} int8 [] (1)`),
      many(4, (i) => `weight w${i} int8 [] (1)`),
      { initializers: 3 },
    ],
    ['rank', inGraph('input x int8 [1, 1]'), inGraph('input x int8 [1, 1, 1]'), { rank: 2 }],
    ['valuesPerNode', inGraph('y = Sum(a, b)'), inGraph('y = Sum(a, b, c)'), { valuesPerNode: 2 }],
    ['nameBytes', inGraph('y = Relu("éé")'), inGraph('y = Relu("ééa")'), { nameBytes: 4 }],
    ['stringBytes', inGraph('y = Einsum(x, equation=ij)'), inGraph('y = Einsum(x, equation=ijk)'), { stringBytes: 2 }],
  ])('%s: at the limit and one past it', (_, at, past, limits) => {
    expect(limited(at, { ...limits })).not.toThrow();
    expect(refusal(limited(past, { ...limits }))).toMatchObject({ code: 'GRIM_IR_LIMIT' });
  });

  it('textBytes counts UTF-8, at the limit and one past it', () => {
    const text = inGraph('input "é😀\ud800" float32 []');
    const bytes = Buffer.byteLength(text);
    expect(limited(text, { textBytes: bytes })).not.toThrow();
    expect(refusal(limited(text, { textBytes: bytes - 1 })).code).toBe('GRIM_IR_LIMIT');
  });

  it('G4: bodies nest 16 deep and no deeper, and 100,000 end in the same error', () => {
    const nested = (depth: number) => {
      const open = 'y = If(c, then_branch=graph b {\n';
      return inGraph(
        `${open.repeat(depth)}output o = c\n${'}, else_branch=graph e {\n output o = c\n})\n output o = y'.repeat(depth)}`,
      );
    };
    expect(() => parse(nested(16))).not.toThrow();
    expect(parse(print(parse(nested(16))))).toEqual(parse(nested(16)));
    for (const depth of [17, 100_000]) expect(parseError(nested(depth)).code).toBe('GRIM_IR_LIMIT');
  });

  it('G7: shapes too large are refused before anything is allocated', () => {
    for (const shape of [
      '[65537, 65536]',
      '[4294967296]',
      '[1e308, 1e308]',
      '[-1]',
      '[0.5]',
      '[nan]',
      '[2147483647, 2147483647, 0.5]',
    ])
      expect(parseError(inGraph(`weight w float32 ${shape} ()`)).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
    expect(parseError(inGraph('weight w float32 [1073741823] base64 "AAAA"')).code).toBe('GRIM_IR_PARSE');
  });
});

describe('damaged text', () => {
  it('5,000 random edits of printed graphs end in a graph or a GrimError, and verify and print take the graph', () => {
    const texts = Array.from({ length: 20 }, (_, seed) =>
      print(randomGraph(seed, { hostileNames: seed % 2 === 0, bodies: true })),
    );
    const next = random(1);
    const below = (n: number) => Math.floor(next() * n);
    const pieces = [
      '"',
      '\\',
      '{',
      '}',
      '(',
      ')',
      '[',
      ']',
      ',',
      '=',
      '|',
      '#',
      '\n',
      '_',
      '0',
      '-',
      '?',
      'graph ',
      'as ',
      '1e99',
      'nan',
      'float32',
      'base64 ',
      '@',
      'bcr ',
      '0-9',
      '\ud800',
      'If(',
      '\\u{',
      'pads=',
      'Loop',
    ];
    let graphs = 0;
    for (let i = 0; i < 5000; i++) {
      let text = texts[below(texts.length)] ?? '';
      for (let edits = 1 + below(3); edits > 0; edits--) {
        const at = below(text.length);
        const until = at + below(below(4) ? 3 : 200);
        const piece = pieces[below(pieces.length)] ?? '';
        text = text.slice(0, at) + (below(3) ? piece : text.slice(below(text.length)).slice(0, 20)) + text.slice(until);
      }
      try {
        const g = parse(text);
        graphs++;
        verify(g);
        expect(parse(print(g))).toEqual(g);
      } catch (error) {
        if (!(error instanceof GrimError)) throw error;
      }
    }
    // Both ends are reached.
    expect(graphs).toBeGreaterThan(100);
    expect(graphs).toBeLessThan(4900);
  });

  it('unclosed and repeated brackets of a megabyte end in an error, without deep recursion', () => {
    for (const piece of ['(', '[', '{', 'graph g {', '"', '\\', 'y = If(then_branch=', '#', '\n'])
      expect(parseError(`grim-ir 1\ngraph g {${piece.repeat(1e6 / piece.length)}`).code).toMatch(/^GRIM_IR_/);
  });
});
