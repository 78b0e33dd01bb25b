/** Operators of transformers. Heads are an axis of their own (4-D), or packed into the last one (3-D). */
import { dtype, flag, float, type InferContext, int, op, optional } from '../op.ts';
import { type Dim, type DType, FLOAT_DTYPES, formatShape, isStatic, NUMERIC_DTYPES, type Shape } from '../types.ts';
import { broadcastShapes } from './broadcast.ts';
import { sharedLengths } from './lengths.ts';

/** A shape [batch, sequence, heads * size], or [batch, heads, sequence, size], as the second of these. */
function splitHeads(
  c: Pick<InferContext, 'fail' | 'unknown'>,
  what: string,
  shape: Shape | null,
  heads: number | undefined,
  attribute: string,
): readonly Dim[] | null {
  if (!shape) return null;
  if (shape.length === 4) {
    const [, found] = shape;
    if (heads !== undefined && typeof found === 'number' && found !== heads)
      c.fail(`${what} ${formatShape(shape)} has ${found} heads, attribute ${attribute} says ${heads}.`);
    return shape;
  }
  const [batch = 0, sequence = 0, packed = 0] = shape;
  if (shape.length !== 3) c.fail(`${what} has shape ${formatShape(shape)}; rank 3 or 4 is needed.`);
  if (heads === undefined || heads < 1)
    return c.fail(`${what} has rank 3, so attribute ${attribute} is needed.`, 'GRIM_IR_BAD_ATTRIBUTE');
  if (typeof packed === 'number' && packed % heads !== 0)
    c.fail(`${what} ${formatShape(shape)}: ${packed} is not a multiple of ${attribute} = ${heads}.`);
  return [batch, heads, sequence, typeof packed === 'number' ? packed / heads : c.unknown()];
}

/** Lengths of Attention's inputs: B batch, N heads, L query, S keys given, P past keys, T keys in all, E and V sizes. */
function attentionShapes(
  c: InferContext<{ readonly q_num_heads?: number | undefined; readonly kv_num_heads?: number | undefined }>,
) {
  const { q_num_heads: queryHeads, kv_num_heads: keyHeads } = c.attributes;
  const shapes = [c.shape(0), c.shape(1), c.shape(2)];
  const ranks = new Set(shapes.flatMap((shape) => (shape ? [shape.length] : [])));
  if (ranks.size > 1)
    c.fail(`Q, K and V have shapes ${shapes.map(formatShape).join(', ')}; one rank, 3 or 4, is needed.`);
  if (c.has(4) !== c.has(5)) c.fail('past_key and past_value come together or not at all.', 'GRIM_IR_ARITY');
  const query = splitHeads(c, 'Q', shapes[0] ?? null, queryHeads, 'q_num_heads');
  const key = splitHeads(c, 'K', shapes[1] ?? null, keyHeads, 'kv_num_heads');
  const value = splitHeads(c, 'V', shapes[2] ?? null, keyHeads, 'kv_num_heads');
  const heads = [...(query ? ['batch_size', 'q_num_heads', 'q_sequence_length', 'head_size'] : [])];
  const lengths = sharedLengths({
    ...c,
    has: (i) => (i < 3 ? true : c.has(i)),
    shape: (i) => (i < 3 ? ([query, key, value][i] ?? null) : c.shape(i)),
  });
  if (queryHeads !== undefined) lengths.set('q_num_heads', queryHeads, 'the attribute');
  if (keyHeads !== undefined) lengths.set('kv_num_heads', keyHeads, 'the attribute');
  if (heads.length > 0) lengths.match(0, 'Q', heads);
  lengths.match(1, 'K', ['batch_size', 'kv_num_heads', 'kv_sequence_length', 'head_size']);
  lengths.match(2, 'V', ['batch_size', 'kv_num_heads', 'kv_sequence_length', 'v_head_size']);
  lengths.match(4, 'past_key', ['batch_size', 'kv_num_heads', 'past_sequence_length', 'head_size']);
  lengths.match(5, 'past_value', ['batch_size', 'kv_num_heads', 'past_sequence_length', 'v_head_size']);
  lengths.match(6, 'nonpad_kv_seqlen', ['batch_size']);
  const [n, m] = [lengths.get('q_num_heads'), lengths.get('kv_num_heads')];
  if (typeof n === 'number' && typeof m === 'number' && (m === 0 || n % m !== 0))
    c.fail(`Q has ${n} heads, K and V ${m}; the first must be a multiple of the second.`);
  const keys = lengths.get('kv_sequence_length');
  const past = c.has(4) ? lengths.get('past_sequence_length') : 0;
  const total =
    typeof keys === 'number' && typeof past === 'number'
      ? keys + past
      : past === 0
        ? keys
        : keys === 0
          ? past
          : c.unknown();
  return { lengths, total };
}

export const attentionOps = {
  Attention: op({
    since: 25,
    inputs: [
      'Q: T1',
      'K: T1',
      'V: T2',
      'attn_mask?: U',
      'past_key?: T1',
      'past_value?: T2',
      'nonpad_kv_seqlen?: int64',
    ],
    outputs: ['Y: T1', 'present_key?: T1', 'present_value?: T2', 'qk_matmul_output?: T1'],
    types: { T1: FLOAT_DTYPES, T2: FLOAT_DTYPES, U: [...NUMERIC_DTYPES, 'bool'] },
    attributes: {
      is_causal: flag(0),
      kv_num_heads: optional(int(undefined, { min: 1 })),
      // How many keys before and after its own place a query sees; −1: all of them.
      left_window_size: int(-1, { min: -1 }),
      q_num_heads: optional(int(undefined, { min: 1 })),
      // What qk_matmul_output holds: 0 scaled Q·Kᵀ, 1 after softcap, 2 after the bias, 3 after softmax.
      qk_matmul_output_mode: int(0, { min: 0, max: 3 }),
      right_window_size: int(-1, { min: -1 }),
      scale: optional(float()),
      softcap: float(0),
      softmax_precision: optional(dtype()),
    },
    infer: (c) => {
      const { softcap, softmax_precision: precision, scale } = c.attributes;
      if (!(softcap >= 0)) c.fail(`softcap is ${softcap}; 0 (none) or more is needed.`, 'GRIM_IR_BAD_ATTRIBUTE');
      if (scale !== undefined && !Number.isFinite(scale))
        c.fail(`scale is ${scale}; a finite number is needed.`, 'GRIM_IR_BAD_ATTRIBUTE');
      if (precision !== undefined && !(FLOAT_DTYPES as readonly DType[]).includes(precision))
        c.fail(`softmax_precision is ${precision}; ${FLOAT_DTYPES.join(', ')} are taken.`, 'GRIM_IR_BAD_ATTRIBUTE');
      const { lengths, total } = attentionShapes(c);
      const [batch, heads, queries] = ['batch_size', 'q_num_heads', 'q_sequence_length'].map(lengths.get) as [
        Dim,
        Dim,
        Dim,
      ];
      const [keyHeads, size, valueSize] = ['kv_num_heads', 'head_size', 'v_head_size'].map(lengths.get) as [
        Dim,
        Dim,
        Dim,
      ];
      const scores: Shape = [batch, heads, queries, total];
      checkMask(c, scores);
      const valid = c.has(6) ? c.integers(6) : undefined;
      if (typeof total === 'number')
        valid?.forEach((count, b) => {
          if (count < 0 || count > total)
            c.fail(`nonpad_kv_seqlen[${b}] is ${count}; there are ${total} keys (0 to ${total} are taken).`);
        });
      const rank = c.shape(0)?.length;
      const packed = typeof heads === 'number' && typeof valueSize === 'number' ? heads * valueSize : c.unknown();
      const y = rank === undefined ? null : rank === 4 ? [batch, heads, queries, valueSize] : [batch, queries, packed];
      return [y, [batch, keyHeads, total, size], [batch, keyHeads, total, valueSize], scores];
    },
    macs: (_, [y, presentKey, , scores]) => {
      // Q·Kᵀ takes head_size products for each score, and the weighted sum of V one for each score and column of V.
      const shapes = [y?.shape ?? null, presentKey?.shape ?? null, scores?.shape ?? null];
      const [output, keys, all] = shapes;
      if (!output || !keys || !all || !isStatic(output) || !isStatic(keys) || !isStatic(all)) return 0;
      const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
      return product(all) * (keys[3] ?? 0) + product(output) * (all[3] ?? 0);
    },
  }),

  RotaryEmbedding: op({
    since: 23,
    inputs: ['X: T', 'cos_cache: T', 'sin_cache: T', 'position_ids?: int64'],
    outputs: ['Y: T'],
    types: { T: FLOAT_DTYPES },
    attributes: {
      interleaved: flag(0),
      num_heads: int(0, { min: 0 }),
      rotary_embedding_dim: int(0, { min: 0 }),
    },
    infer: (c) => {
      const { num_heads: heads, rotary_embedding_dim: rotary } = c.attributes;
      const shape = c.shape(0);
      const split = splitHeads(c, 'X', shape, heads || undefined, 'num_heads');
      const size = split?.[3];
      const rotated = rotary || size;
      if (typeof size === 'number' && rotary > size)
        c.fail(`rotary_embedding_dim is ${rotary}; a head has ${size} elements.`, 'GRIM_IR_BAD_ATTRIBUTE');
      if (typeof rotated === 'number' && rotated % 2 !== 0)
        c.fail(`${rotated} elements of a head are rotated; an even number is needed.`);
      const lengths = sharedLengths(c);
      if (split) {
        lengths.set('batch_size', split[0] ?? 0, 'X');
        lengths.set('sequence_length', split[2] ?? 0, 'X');
      }
      if (typeof rotated === 'number') lengths.set('rotated/2', rotated / 2, `the ${rotated} elements rotated`);
      const table = c.has(3) ? ['max_position_id_plus_1', 'rotated/2'] : ['batch_size', 'sequence_length', 'rotated/2'];
      lengths.match(1, 'cos_cache', table);
      lengths.match(2, 'sin_cache', table);
      lengths.match(3, 'position_ids', ['batch_size', 'sequence_length']);
      const positions = c.has(3) ? c.integers(3) : undefined;
      const rows = c.has(3) ? lengths.get('max_position_id_plus_1') : 0;
      if (typeof rows === 'number')
        positions?.forEach((position, i) => {
          if (position < 0 || position >= rows)
            c.fail(`position_ids[${i}] is ${position}; the caches have ${rows} rows (0 to ${rows - 1} are taken).`);
        });
      return [shape];
    },
  }),
};

/** The mask broadcasts to the scores; its last axis may be shorter, the rest then being masked out. */
function checkMask(c: InferContext, scores: Shape): void {
  const mask = c.has(3) ? c.shape(3) : null;
  if (!mask) return;
  const [length, total] = [mask.at(-1), scores.at(-1)];
  if (mask.length < 1 || mask.length > 4) c.fail(`attn_mask has shape ${formatShape(mask)}; rank 1 to 4 is needed.`);
  if (typeof length === 'number' && typeof total === 'number' && length > total)
    c.fail(`attn_mask ${formatShape(mask)} is for ${length} keys; there are ${total}.`);
  const wanted = scores.slice(-mask.length, -1);
  const rest = mask.slice(0, -1);
  const result = broadcastShapes(c, [rest, wanted]);
  result?.forEach((dim, axis) => {
    if (typeof dim === 'number' && typeof wanted[axis] === 'number' && dim !== wanted[axis])
      c.fail(`attn_mask ${formatShape(mask)} does not broadcast to the scores ${formatShape(scores)}.`);
  });
}
