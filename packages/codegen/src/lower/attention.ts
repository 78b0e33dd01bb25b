/** Operators of transformers, composed of products, softmax and element-wise steps. Heads are an axis of their own inside. */
import type { NodeOf } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { sizeOf } from '../map/placement.ts';
import { type Composition, workType } from './composition.ts';

/** The first and the last key that a query may see for its place alone; the first is after the last when there is none. */
type Span = (query: number) => readonly [first: number, last: number];

/** Elements in the order [batch, heads, sequence, size]; a value of rank 3 has its heads side by side in the last axis. */
function headsFirst(g: Composition, x: string, shape: readonly number[], heads: number): string {
  if (shape.length === 4) return x;
  const [batch = 1, sequence = 1, packed = 1] = shape;
  return g.transpose(g.reshape(x, [batch, sequence, heads, packed / heads]), [0, 2, 1, 3]);
}

/** What is added to the scores: 0 or a mask's value, and minus infinity where a query may not look. */
function biasOf(
  g: Composition,
  node: NodeOf<'Attention'>,
  c: LowerContext,
  lengths: { readonly queries: number; readonly keys: number; readonly past: number },
): { readonly bias: string | undefined; readonly valid: string | undefined; readonly mayHideAll: boolean } {
  const { is_causal: causal, left_window_size: left, right_window_size: right } = node.attributes;
  const [, , , mask = '', , , validCount = ''] = node.inputs;
  const { queries, keys, past } = lengths;
  const work = workType(c.type(node.inputs[0] ?? '').dtype);
  const range = (length: number, shape: readonly number[]) =>
    g.reals(
      'int32',
      Array.from({ length }, (_, i) => i),
      shape,
    );
  const allowed: string[] = [];
  const column = range(keys, [keys]);
  let valid: string | undefined;
  let row = g.add('Add', [range(queries, [queries, 1]), g.reals('int32', [past], [])]);
  if (validCount !== '') {
    const count = g.reshape(g.cast(validCount, 'int64', 'int32'), [-1, 1, 1, 1]);
    valid = g.add('Less', [column, count]);
    allowed.push(valid);
    // Without a past the cache holds the new keys already: the queries stand at its end.
    if ((node.inputs[4] ?? '') === '')
      row = g.add('Add', [range(queries, [queries, 1]), g.add('Sub', [count, g.reals('int32', [queries], [])])]);
  }
  const ahead = Math.min(causal ? 0 : keys, right >= 0 ? right : keys);
  const window = causal === 1 || right >= 0;
  if (window) allowed.push(g.add('LessOrEqual', [column, g.add('Add', [row, g.reals('int32', [ahead], [])])]));
  if (left >= 0)
    allowed.push(
      g.add('GreaterOrEqual', [column, g.add('Sub', [row, g.reals('int32', [Math.min(left, 2 ** 30)], [])])]),
    );
  const span: Span = (query) => [
    left >= 0 ? Math.max(query + past - left, 0) : 0,
    window ? Math.min(query + past + ahead, keys - 1) : keys - 1,
  ];
  const sees = (query: number) => {
    const [first, last] = span(query);
    return first <= last;
  };
  const mayHideAll =
    mask !== '' || validCount !== '' || !Array.from({ length: queries }, (_, i) => sees(i)).every(Boolean);
  const hidden = g.reals(work, [Number.NEGATIVE_INFINITY], []);
  let bias: string | undefined;
  if (mask !== '') {
    const { dtype, shape } = c.type(mask);
    bias = dtype === 'bool' ? g.add('Where', [mask, g.reals(work, [0], []), hidden]) : g.cast(mask, dtype, work);
    const missing = keys - (shape.at(-1) ?? 0);
    if (missing > 0) {
      // Keys past the end of the mask are hidden.
      const rest = g.add('Expand', [hidden, g.integers([...shape.slice(0, -1), missing])]);
      bias = g.concat([bias, rest], shape.length - 1);
    }
  }
  if (allowed.length > 0) {
    const condition = allowed.reduce((all, one) => g.add('And', [all, one]));
    bias = g.add('Where', [condition, bias ?? g.reals(work, [0], []), hidden]);
  }
  return { bias, valid, mayHideAll };
}

function lowerAttention(node: NodeOf<'Attention'>, c: LowerContext): void {
  const { softcap, qk_matmul_output_mode: mode, q_num_heads: given, kv_num_heads: givenKeys } = node.attributes;
  const [qName = '', kName = '', vName = '', , pastKey = '', pastValue = ''] = node.inputs;
  const [q, k, v] = [c.type(qName), c.type(kName), c.type(vName)];
  const work = workType(q.dtype);
  const packed = q.shape.length === 3;
  const heads = packed ? (given ?? 1) : (q.shape[1] ?? 1);
  const keyHeads = packed ? (givenKeys ?? 1) : (k.shape[1] ?? 1);
  const [batch = 1] = q.shape;
  const queries = (packed ? q.shape[1] : q.shape[2]) ?? 1;
  const size = (q.shape.at(-1) ?? 1) / (packed ? heads : 1);
  const valueSize = (v.shape.at(-1) ?? 1) / (packed ? keyHeads : 1);
  const past = pastKey === '' ? 0 : (c.type(pastKey).shape[2] ?? 0);
  const keys = past + ((packed ? k.shape[1] : k.shape[2]) ?? 0);
  if (sizeOf(q.shape) === 0 && size === 0) c.unsupported('heads of size 0', 'sizes of 1 and more');
  // Neighbouring heads that share one head of K and V are one taller matrix.
  const rows = (heads / keyHeads) * queries;
  c.compose((g) => {
    const present = (name: string, shape: readonly number[], before: string) => {
      const own = headsFirst(g, name, shape, keyHeads);
      return before === '' ? own : g.concat([before, own], 2);
    };
    const presentKey = present(kName, k.shape, pastKey);
    const presentValue = present(vName, v.shape, pastValue);
    const scale = g.reals(work, [node.attributes.scale ?? 1 / Math.sqrt(size)], []);
    const query = g.add('Mul', [g.cast(headsFirst(g, qName, q.shape, heads), q.dtype, work), scale]);
    const tall = g.reshape(query, [batch, keyHeads, rows, size]);
    const turned = g.transpose(g.cast(presentKey, k.dtype, work), [0, 1, 3, 2]);
    let scores = g.reshape(g.add('MatMul', [tall, turned]), [batch, heads, queries, keys]);
    const stages = [scores];
    if (softcap > 0) {
      const cap = g.reals(work, [softcap], []);
      scores = g.add('Mul', [g.add('Tanh', [g.add('Div', [scores, cap])]), cap]);
    }
    stages.push(scores);
    const { bias, valid, mayHideAll } = biasOf(g, node, c, { queries, keys, past });
    if (bias !== undefined) scores = g.add('Add', [scores, bias]);
    stages.push(scores);
    let weights = g.add('Softmax', [scores], { axis: -1 });
    const zero = g.reals(work, [0], []);
    // Of a query that sees nothing the softmax is NaN; its result is zero.
    const shown = (x: string) => {
      if (!mayHideAll || bias === undefined || keys === 0) return x;
      const most = g.add('ReduceMax', [bias, g.integers([-1])], { keepdims: 1 });
      return g.add('Where', [g.add('Equal', [most, g.reals(work, [Number.NEGATIVE_INFINITY], [])]), zero, x]);
    };
    if (mode === 3) weights = shown(weights);
    stages.push(weights);
    let values = g.cast(presentValue, v.dtype, work);
    // What stands behind the valid keys of a cache may be anything, and NaN times 0 is NaN.
    if (valid !== undefined) values = g.add('Where', [g.transpose(valid, [0, 1, 3, 2]), values, zero]);
    const product = g.add('MatMul', [g.reshape(weights, [batch, keyHeads, rows, keys]), values]);
    let y = shown(g.reshape(product, [batch, heads, queries, valueSize]));
    if (packed) y = g.reshape(g.transpose(y, [0, 2, 1, 3]), [batch, queries, heads * valueSize]);
    return [g.cast(y, work, q.dtype), presentKey, presentValue, g.cast(stages[mode] ?? scores, work, q.dtype)];
  });
}

function lowerRotaryEmbedding(node: NodeOf<'RotaryEmbedding'>, c: LowerContext): void {
  const { interleaved, num_heads: heads, rotary_embedding_dim: part } = node.attributes;
  const [xName = '', cosName = '', sinName = '', positions = ''] = node.inputs;
  const { dtype, shape } = c.type(xName);
  const packed = shape.length === 3;
  const [batch = 1] = shape;
  const split = packed ? [batch, shape[1] ?? 1, heads, (shape[2] ?? 1) / heads] : shape;
  const size = split[3] ?? 1;
  const half = (part || size) / 2;
  const work = workType(dtype);
  const sequence = (packed ? split[1] : split[2]) ?? 1;
  c.compose((g) => {
    const x = g.cast(packed ? g.reshape(xName, split) : xName, dtype, work);
    const factors = [cosName, sinName].map((name) => {
      const rows = positions === '' ? name : g.add('Gather', [name, positions], { axis: 0 });
      return g.cast(g.reshape(rows, [batch, packed ? sequence : 1, packed ? 1 : sequence, half]), dtype, work);
    });
    const [cos = '', sin = ''] = factors;
    // A pair is two neighbours, or two elements half the rotated part away from each other.
    const first = interleaved ? g.slice(x, 3, 0, 2 * half, 2) : g.slice(x, 3, 0, half);
    const second = interleaved ? g.slice(x, 3, 1, 2 * half, 2) : g.slice(x, 3, half, 2 * half);
    const times = (a: string, b: string) => g.add('Mul', [a, b]);
    const turned = [
      g.add('Sub', [times(cos, first), times(sin, second)]),
      g.add('Add', [times(sin, first), times(cos, second)]),
    ];
    const rotated = interleaved
      ? g.reshape(
          g.concat(
            turned.map((value) => g.reshape(value, [...split.slice(0, 3), half, 1])),
            4,
          ),
          [...split.slice(0, 3), 2 * half],
        )
      : g.concat(turned, 3);
    const y = 2 * half === size ? rotated : g.concat([rotated, g.slice(x, 3, 2 * half, size)], 3);
    return [g.reshape(g.cast(y, work, dtype), shape)];
  });
}

export const attentionLowerings: Lowerings = {
  Attention: { lower: lowerAttention },
  RotaryEmbedding: { lower: lowerRotaryEmbedding },
};
