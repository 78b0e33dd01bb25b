/** Older forms of elementwise operators: limited broadcasting (before opset 7), attributes that became inputs. */
import { DATA_TYPE_NAMES, DATA_TYPES } from '../model.ts';
import type { Rewrite, Rule } from './rewrite.ts';

/** Before opset 7 the second operand was only broadcast on request, and `axis` said where its first axis belongs. */
function limitedBroadcast(u: Rewrite): void {
  if (u.opset >= 7) return;
  u.drop('broadcast');
  const axis = u.take('axis', 'int');
  if (axis === undefined) return;
  alignAt(u, 1, Number(axis));
}

/** Appends axes of length 1 to an input until its first axis stands at `axis` of input 0. */
function alignAt(u: Rewrite, input: number, axis: number): void {
  const rank = u.rank(0);
  const own = u.rank(input);
  const from = axis < 0 ? axis + rank : axis;
  const missing = rank - from - own;
  if (from < 0 || missing < 0)
    u.fail(`axis is ${axis}: an operand of rank ${own} does not fit there into one of rank ${rank}.`);
  if (missing === 0 || own === 0) return;
  const axes = u.int64(
    Array.from({ length: missing }, (_, i) => own + i),
    'axes',
  );
  u.setInput(input, u.emit('Unsqueeze', [u.inputs[input] ?? '', axes]));
}

/** Element types by the upper-case names that Cast had in opset 1. */
const CAST_NAMES = new Map([
  ['DOUBLE', 11],
  ['FLOAT', 1],
]);
for (const [number] of DATA_TYPES) CAST_NAMES.set((DATA_TYPE_NAMES[number] ?? '').toUpperCase(), number);

const FLOAT32_MAX = 3.4028234663852886e38;

export const elementwiseRules: Readonly<Record<string, Rule>> = {
  Add: limitedBroadcast,
  Sub: limitedBroadcast,
  Mul: limitedBroadcast,
  Div: limitedBroadcast,
  Pow: limitedBroadcast,
  And: limitedBroadcast,
  Or: limitedBroadcast,
  Xor: limitedBroadcast,
  Equal: limitedBroadcast,
  Greater: limitedBroadcast,
  Less: limitedBroadcast,

  PRelu: (u) => {
    // One slope per channel, before slopes were broadcast like any other operand.
    if (u.opset < 7 && u.type(1)?.shape?.length === 1 && u.type(1)?.shape?.[0] !== 1) alignAt(u, 1, 1);
  },

  Selu: (u) => {
    if (u.opset >= 6) return;
    if (!u.attributes.has('alpha')) u.set('alpha', { kind: 'float', value: Math.fround(1.6732) });
    if (!u.attributes.has('gamma')) u.set('gamma', { kind: 'float', value: Math.fround(1.0507) });
  },

  Cast: (u) => {
    if (u.opset >= 6) return;
    const name = u.take('to', 'string');
    const to = CAST_NAMES.get((name ?? '').toUpperCase());
    if (to === undefined) u.fail(`attribute "to" is "${name ?? ''}"; the name of a supported element type is needed.`);
    else u.setInt('to', to);
  },

  Clip: (u) => {
    if (u.opset >= 11) return;
    const dtype = u.dtype(0);
    // In opset 6 the bounds had defaults: infinities were clipped. float16 has no such number.
    const fallback = u.opset >= 6 && (dtype === 'float32' || dtype === 'float64') ? FLOAT32_MAX : undefined;
    const least = u.take('min', 'float') ?? (fallback === undefined ? undefined : -fallback);
    const most = u.take('max', 'float') ?? fallback;
    if (least !== undefined) u.setInput(1, u.scalar(dtype, least, 'min'));
    if (most !== undefined) u.setInput(2, u.scalar(dtype, most, 'max'));
  },

  Dropout: (u) => {
    if (u.opset >= 12) return;
    // Without a training input this is inference: the ratio says nothing.
    u.drop('ratio', 'is_test');
    const [output = '', mask = ''] = u.outputs;
    if (u.opset >= 10 || mask === '') return;
    // The mask had the element type of the data.
    const kept = u.emit('ConstantOfShape', [u.emit('Shape', [u.inputs[0] ?? ''])], {
      value: {
        kind: 'tensor',
        value: { name: '', dims: [1], dataType: 1, payload: { form: 'float_data', values: Float32Array.of(1) } },
      },
    });
    u.emit('CastLike', [kept, u.inputs[0] ?? ''], {}, mask);
    u.outputs = [output];
  },
};
