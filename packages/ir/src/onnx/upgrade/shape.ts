/** Older forms of operators that move elements: attributes that became inputs, and the reductions. */
import type { Rewrite, Rule } from './rewrite.ts';

const axesToInput = (since: number) => (u: Rewrite) => {
  if (u.opset < since) u.intsToInput('axes', 1);
};

export const shapeRules: Readonly<Record<string, Rule>> = {
  ReduceSum: axesToInput(13),
  Squeeze: axesToInput(13),
  Unsqueeze: axesToInput(13),
  ...Object.fromEntries(
    ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare'].map((kind) => [
      `Reduce${kind}`,
      axesToInput(18),
    ]),
  ),

  Reshape: (u) => {
    if (u.opset < 5) u.intsToInput('shape', 1);
  },

  Concat: (u) => {
    if (u.opset < 4 && !u.attributes.has('axis')) u.setInt('axis', 1);
  },

  Slice: (u) => {
    if (u.opset >= 10) return;
    u.intsToInput('starts', 1);
    u.intsToInput('ends', 2);
    u.intsToInput('axes', 3);
  },

  Split: (u) => {
    // The lengths of opset 1 could be an input of the data's own type.
    if (u.opset < 2 && u.has(1)) u.setInput(1, u.emit('Cast', [u.inputs[1] ?? ''], { to: { kind: 'int', value: 7 } }));
    if (u.opset < 13) u.intsToInput('split', 1);
    // Equal parts, without saying how many: the outputs say it.
    if (u.opset < 18 && !u.has(1)) u.setInt('num_outputs', u.outputs.length);
  },

  Pad: (u) => {
    if (u.opset >= 11) return;
    u.intsToInput(u.opset < 2 ? 'paddings' : 'pads', 1);
    const value = u.take('value', 'float');
    if (value !== undefined && value !== 0) u.setInput(2, u.scalar(u.dtype(0), value, 'value'));
  },

  Tile: (u) => {
    if (u.opset >= 6) return;
    // One axis and its count; now a count for every axis: ones, with that one scattered in.
    const [data = '', tiles = '', axis = ''] = u.inputs;
    const one = u.int64([1], 'one');
    const rank = u.emit('Shape', [u.emit('Shape', [data])]);
    const ones = u.emit('Expand', [one, rank]);
    const at = u.emit('Reshape', [u.emit('Cast', [axis], { to: { kind: 'int', value: 7 } }), one]);
    const count = u.emit('Reshape', [u.emit('Cast', [tiles], { to: { kind: 'int', value: 7 } }), one]);
    u.inputs = [data, u.emit('ScatterElements', [ones, at, count])];
  },

  TopK: (u) => {
    if (u.opset >= 10) return;
    const k = u.take('k', 'int');
    if (k === undefined) u.fail('attribute "k" is missing; it has no default.');
    else u.setInput(1, u.int64([k], 'k'));
  },

  Scatter: (u) => {
    u.op = 'ScatterElements';
  },
};
