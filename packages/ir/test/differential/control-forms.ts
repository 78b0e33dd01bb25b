/** Operators that run other graphs. */
import { body, graphProto, node, tensorValue, value } from '../onnx/model-file.ts';
import type { Form, Parts } from './case.ts';
import type { Generator } from './generator.ts';

type Attributes = Record<string, NonNullable<Parts['attributes']>[string]>;

/** Carries a sum and gives back each iteration's product with its number; may stop early. */
function loop(g: Generator): Parts {
  const shape = g.shape(0, 2, 3);
  const stop = g.between(1, 4);
  const inner = graphProto({
    nodes: [
      node('Add', ['carried', 'carried'], ['sum']),
      node('Cast', ['i'], ['number'], { to: 1 }),
      node('Mul', ['sum', 'number'], ['scanned']),
      node('Constant', [], ['last'], { value: tensorValue(g.int64(stop)) }),
      node('Less', ['i', 'last'], ['more']),
    ],
    inputs: [value('i', [], 'int64'), value('goes', [], 'bool'), value('carried', shape)],
    outputs: [value('more', [], 'bool'), value('sum', shape), value('scanned', shape)],
  });
  const trips = g.oneIn(4) ? undefined : g.int64(g.between(0, 6));
  const goes = g.oneIn(2) && trips ? undefined : g.whole('bool', [], [g.oneIn(6) ? 0 : 1]);
  return { inputs: [trips, goes, g.tensor('float32', shape)], attributes: { body: body(inner) }, outputs: 2 };
}

/** A running sum of one or two sequences. */
function scan(g: Generator, opset: number): Parts {
  const batch = opset < 9 ? [g.between(1, 3)] : [];
  const [steps, size] = [g.between(1, 4), g.between(1, 3)];
  const two = g.oneIn(2);
  const inner = graphProto({
    nodes: [
      node('Add', ['state', 'x'], ['sum']),
      node(two ? 'Mul' : 'Identity', two ? ['sum', 'z'] : ['sum'], ['next']),
      node('Identity', ['next'], ['shown']),
    ],
    inputs: [value('state', [size]), value('x', [size]), ...(two ? [value('z', [size])] : [])],
    outputs: [value('next', [size]), value('shown', [size])],
  });
  const count = two ? 2 : 1;
  const axes = g.list(count, opset < 9 ? 0 : -2, opset < 9 ? 0 : 1);
  const sequences = axes.map((axis) => {
    const across = axis === 1 || axis === -1;
    return g.tensor('float32', [...batch, ...(across ? [size, steps] : [steps, size])], -2, 2);
  });
  const state = g.tensor('float32', [...batch, size]);
  const attributes: Attributes = { body: body(inner), num_scan_inputs: count };
  if (opset < 9) {
    if (g.oneIn(2)) attributes['directions'] = g.list(count, 0, 1);
    return { inputs: [undefined, state, ...sequences], attributes, outputs: 2 };
  }
  attributes['scan_input_axes'] = axes;
  if (g.oneIn(2)) attributes['scan_input_directions'] = g.list(count, 0, 1);
  if (g.oneIn(2)) attributes['scan_output_directions'] = [g.below(2)];
  if (g.oneIn(2)) attributes['scan_output_axes'] = [g.between(-2, 1)];
  return { inputs: [state, ...sequences], attributes, outputs: 2 };
}

function choice(g: Generator): Parts {
  const branch = (name: string): ReturnType<typeof body> => {
    const tensor = g.tensor('float32', [g.between(1, 3)]);
    const nodes = [node('Constant', [], [name], { value: tensorValue(tensor) })];
    return body(graphProto({ nodes, outputs: [value(name, tensor.shape)] }));
  };
  return {
    inputs: [g.tensor('bool', g.one([], [1]), 0, 1)],
    attributes: { then_branch: branch('yes'), else_branch: branch('no') },
    weights: g.one([], [0]),
  };
}

export const controlForms: readonly Form[] = [
  { op: 'If', opsets: [1, 11, 13, 16, 19, 21], make: choice },
  { op: 'Loop', opsets: [9, 11, 13, 16, 19, 21], make: loop },
  { op: 'Scan', opsets: [8, 9, 11, 16, 19, 21], make: scan },
];
