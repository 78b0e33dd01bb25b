/** Attention, rotary embedding and losses against the reference. */
import { type DType, graph, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.ts';
import { check, random, randomInputs } from './check.ts';

type Next = () => number;
const whole = (next: Next, most: number) => Math.floor(next() * (most + 1));
const from = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length - 1)] as T;

const FLOATS: readonly DType[] = ['float32', 'float32', 'float16', 'bfloat16'];
/** Of values around 1: an ulp of each type, and a few roundings of float32. */
const CLOSE: Readonly<Partial<Record<DType, { absolute: number; relative: number }>>> = {
  float32: { absolute: 2e-5, relative: 2e-5 },
  float16: { absolute: 2e-3, relative: 2e-3 },
  bfloat16: { absolute: 2e-2, relative: 2e-2 },
};

function integers(shape: readonly number[], pick: () => number, dtype: 'int32' | 'int64' = 'int64'): Tensor {
  const values = Array.from({ length: shape.reduce((all, dim) => all * dim, 1) }, pick);
  return {
    dtype,
    shape,
    data: dtype === 'int64' ? BigInt64Array.from(values, BigInt) : Int32Array.from(values),
  } as Tensor;
}

describe('Attention', () => {
  it('C4, C7: 120 random forms (heads packed or apart, shared keys, masks, past, windows) are those of the reference', () => {
    for (let seed = 1; seed <= 120; seed++) {
      const next = random(seed);
      const dtype = from(next, FLOATS);
      const [batch, keyHeads, groups] = [1 + whole(next, 1), 1 + whole(next, 2), 1 + whole(next, 2)];
      const heads = keyHeads * groups;
      const [queries, given] = [1 + whole(next, 6), 1 + whole(next, 8)];
      const [size, valueSize] = [1 + whole(next, 8), 1 + whole(next, 8)];
      const past = next() < 0.3 ? whole(next, 4) : undefined;
      const keys = given + (past ?? 0);
      const packed = next() < 0.5;
      const inputs: Record<string, Tensor> = {};
      const g = graph(`attention ${seed}`, (b) => {
        const value = (name: string, count: number, length: number, width: number) =>
          b.input(name, dtype, packed ? [batch, length, count * width] : [batch, count, length, width]);
        const q = value('q', heads, queries, size);
        const k = value('k', keyHeads, given, size);
        const v = value('v', keyHeads, given, valueSize);
        let mask = '';
        if (next() < 0.5) {
          const type = from(next, ['bool', dtype] as const);
          const shape = [
            from(next, [1, batch]),
            from(next, [1, heads]),
            from(next, [1, queries]),
            keys - whole(next, keys - 1),
          ];
          mask = b.input('mask', type, shape.slice(whole(next, 3)));
        }
        const [pastKey, pastValue] =
          past === undefined
            ? ['', '']
            : [
                b.input('past_key', dtype, [batch, keyHeads, past, size]),
                b.input('past_value', dtype, [batch, keyHeads, past, valueSize]),
              ];
        let valid = '';
        if (next() < 0.3) {
          valid = b.input('valid', 'int64', [batch]);
          inputs['valid'] = integers([batch], () => whole(next, keys));
        }
        const outputs = b.addMany('Attention', [q, k, v, mask, pastKey, pastValue, valid], 4, {
          is_causal: whole(next, 1),
          left_window_size: next() < 0.3 ? whole(next, 3) : -1,
          right_window_size: next() < 0.3 ? whole(next, 3) : -1,
          softcap: next() < 0.3 ? 2 : 0,
          qk_matmul_output_mode: whole(next, 3),
          ...(next() < 0.3 ? { scale: 0.3 } : {}),
          ...(packed || next() < 0.5 ? { q_num_heads: heads, kv_num_heads: keyHeads } : {}),
        });
        outputs.forEach((output, i) => {
          if (i === 0 || next() < 0.5) b.output(`y${i}`, output);
        });
      });
      check(g, { inputs: { ...randomInputs(g, seed, false), ...inputs }, ...CLOSE[dtype] });
    }
  });

  it('keys behind the valid ones may hold anything', () => {
    const g = graph('cache', (b) => {
      const [q, k, v] = ['q', 'k', 'v'].map((name) => b.input(name, 'float32', [1, 1, name === 'q' ? 1 : 4, 2]));
      const valid = b.input('valid', 'int64', [1]);
      b.output('y', b.add('Attention', [q ?? '', k ?? '', v ?? '', '', '', '', valid]));
    });
    const data = Float32Array.of(1, 2, 3, 4, Number.NaN, Number.NaN, Infinity, -Infinity);
    const cache: Tensor = { dtype: 'float32', shape: [1, 1, 4, 2], data };
    const q: Tensor = { dtype: 'float32', shape: [1, 1, 1, 2], data: Float32Array.of(0.5, -1) };
    check(g, {
      inputs: {
        q,
        k: { ...cache, data: data.map((x) => (Number.isFinite(x) ? x : 9)) },
        v: cache,
        valid: integers([1], () => 2),
      },
      ...CLOSE.float32,
    });
  });

  it('a float64 one is refused by name', () => {
    const g = graph('double', (b) => {
      const x = b.input('x', 'float64', [1, 1, 2, 2]);
      b.output('y', b.add('Attention', [x, x, x], {}, { name: 'heads' }));
    });
    expect(() => compile(g)).toThrow(/"heads" \(Attention\): Softmax of float64/);
  });
});

describe('RotaryEmbedding', () => {
  it('C4: 60 random forms are those of the reference', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = random(seed);
      const dtype = from(next, FLOATS);
      const [batch, heads, sequence] = [1 + whole(next, 2), 1 + whole(next, 3), 1 + whole(next, 6)];
      const size = 2 * (1 + whole(next, 4));
      const part = next() < 0.5 ? 0 : 2 * (1 + whole(next, size / 2 - 1));
      const half = (part || size) / 2;
      const packed = next() < 0.5;
      const inputs: Record<string, Tensor> = {};
      const g = graph(`rotary ${seed}`, (b) => {
        const x = b.input('x', dtype, packed ? [batch, sequence, heads * size] : [batch, heads, sequence, size]);
        const positions = next() < 0.5 ? b.input('positions', 'int64', [batch, sequence]) : '';
        const table = positions === '' ? [batch, sequence, half] : [9, half];
        if (positions !== '') inputs['positions'] = integers([batch, sequence], () => whole(next, 8));
        const [cos, sin] = [b.input('cos', dtype, table), b.input('sin', dtype, table)];
        const attributes = { interleaved: whole(next, 1), num_heads: packed ? heads : 0, rotary_embedding_dim: part };
        b.output('y', b.add('RotaryEmbedding', [x, cos, sin, positions], attributes));
      });
      check(g, { inputs: { ...randomInputs(g, seed, false), ...inputs }, ...CLOSE[dtype] });
    }
  });
});

describe('losses', () => {
  it('C4: 120 random forms are those of the reference', () => {
    for (let seed = 1; seed <= 120; seed++) {
      const next = random(seed);
      const dtype = from(next, FLOATS);
      const [batch, classes] = [1 + whole(next, 4), 1 + whole(next, 6)];
      const rest = Array.from({ length: whole(next, 2) }, () => 1 + whole(next, 3));
      const type = from(next, ['int32', 'int64'] as const);
      const ignored = from(next, [undefined, 0, -100]);
      const op = from(next, ['NegativeLogLikelihoodLoss', 'SoftmaxCrossEntropyLoss'] as const);
      const g = graph(`loss ${seed}`, (b) => {
        const scores = b.input('scores', dtype, [batch, classes, ...rest]);
        const labels = b.input('labels', type, [batch, ...rest]);
        const weights = next() < 0.5 ? b.input('weights', dtype, [classes]) : '';
        const attributes = {
          reduction: from(next, ['none', 'sum', 'mean'] as const),
          ...(ignored === undefined ? {} : { ignore_index: ignored }),
        };
        const outputs = b.addMany(op, [scores, labels, weights], op === 'SoftmaxCrossEntropyLoss' ? 2 : 1, attributes);
        outputs.forEach((output, i) => {
          b.output(`y${i}`, output);
        });
      });
      const labels = integers(
        [batch, ...rest],
        () => (ignored !== undefined && next() < 0.3 ? ignored : whole(next, classes - 1)),
        type,
      );
      const inputs = randomInputs(g, seed, false);
      // A mean over weights of both signs may divide by anything.
      const positive = inputs['weights'] && {
        ...inputs['weights'],
        data: inputs['weights'].data.map(
          (x) => (dtype === 'float32' ? Math.abs(Number(x)) + 0.1 : Number(x) & 0x7fff) as never,
        ),
      };
      check(g, {
        inputs: { ...inputs, ...(positive ? { weights: positive as Tensor } : {}), labels },
        ...CLOSE[dtype],
        ...(dtype === 'float32' ? { absolute: 1e-4 } : {}),
      });
    }
  });

  it('no labels at all have the sum 0 and no mean', () => {
    for (const reduction of ['none', 'sum', 'mean'] as const)
      check(
        graph(`nothing ${reduction}`, (b) => {
          const scores = b.input('scores', 'float32', [0, 3]);
          b.output('y', b.add('SoftmaxCrossEntropyLoss', [scores, b.input('labels', 'int64', [0])], { reduction }));
        }),
      );
  });
});
