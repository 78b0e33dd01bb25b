/** Operators of transformers. */
import type { Tensor } from '../../src/types.ts';
import { float } from '../onnx/model-file.ts';
import type { Form, Parts } from './case.ts';
import type { Generator } from './generator.ts';

type Attributes = Record<string, NonNullable<Parts['attributes']>[string]>;

function attention(g: Generator): Parts {
  const [batch, keyHeads, queries, keys, size, valueSize] = g.list(6, 1, 3) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const heads = keyHeads * g.between(1, 2);
  const packed = g.oneIn(2);
  const past = g.oneIn(3) ? g.between(1, 3) : 0;
  const total = past + keys;
  const part = (count: number, length: number, width: number): Tensor =>
    g.tensor('float32', packed ? [batch, length, count * width] : [batch, count, length, width], -1, 1);
  const kind = g.below(4);
  const mask =
    kind === 0
      ? g.tensor('float32', g.one([queries, total], [batch, 1, queries, total], [batch, heads, queries, total]))
      : kind === 1
        ? // Every query sees the first key, so that no row is empty.
          g.whole(
            'bool',
            [queries, total],
            Array.from({ length: queries * total }, (_, i) => (i % total === 0 || g.oneIn(2) ? 1 : 0)),
          )
        : undefined;
  const attributes: Attributes = {
    ...(packed ? { q_num_heads: heads, kv_num_heads: keyHeads } : {}),
    ...(g.oneIn(3) && queries <= keys ? { is_causal: 1 } : {}),
    ...(g.oneIn(3) ? { scale: float(0.25) } : {}),
    ...(g.oneIn(3) ? { softcap: float(2) } : {}),
    ...(g.oneIn(3) ? { qk_matmul_output_mode: g.below(4) } : {}),
  };
  const outputs = attributes['qk_matmul_output_mode'] === undefined ? (past ? 3 : 1) : 4;
  const cache = past
    ? [g.tensor('float32', [batch, keyHeads, past, size]), g.tensor('float32', [batch, keyHeads, past, valueSize])]
    : [];
  const inputs = [part(heads, queries, size), part(keyHeads, keys, size), part(keyHeads, keys, valueSize)];
  const rest = mask || past ? [mask, ...cache] : [];
  return { inputs: [...inputs, ...rest], attributes, outputs };
}

function rotary(g: Generator): Parts {
  const [batch, heads, steps, half] = g.list(4, 1, 3) as [number, number, number, number];
  const rotated = g.oneIn(2) ? 0 : 2 * g.between(1, half);
  const width = (rotated || 2 * half) / 2;
  const packed = g.oneIn(2);
  const x = g.tensor('float32', packed ? [batch, steps, heads * 2 * half] : [batch, heads, steps, 2 * half]);
  const attributes: Attributes = {
    ...(packed ? { num_heads: heads } : {}),
    ...(rotated ? { rotary_embedding_dim: rotated } : {}),
    ...(rotated && !packed ? { num_heads: heads } : {}),
    ...(g.oneIn(2) ? { interleaved: 1 } : {}),
  };
  const table = (): Tensor => g.tensor('float32', [5, width], -1, 1);
  if (g.oneIn(2)) {
    const direct = (): Tensor => g.tensor('float32', [batch, steps, width], -1, 1);
    return { inputs: [x, direct(), direct()], attributes };
  }
  const positions = g.whole('int64', [batch, steps], g.list(batch * steps, 0, 4));
  return { inputs: [x, table(), table(), positions], attributes };
}

export const attentionForms: readonly Form[] = [
  { op: 'Attention', opsets: [23, 24], make: attention },
  { op: 'RotaryEmbedding', opsets: [23], make: rotary },
];
