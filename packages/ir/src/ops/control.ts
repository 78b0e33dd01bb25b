/** Operators that run other graphs. */
import { int, ints, op, optional, subgraph } from '../op.ts';
import type { Dim, Shape, TensorType } from '../types.ts';

/** What holds of a value that is either `a` or `b`. */
function either(a: TensorType, b: TensorType, unknown: () => string): TensorType {
  if (!a.shape || !b.shape || a.shape.length !== b.shape.length) return { dtype: a.dtype, shape: null };
  const other = b.shape;
  return { dtype: a.dtype, shape: a.shape.map((dim, i) => (dim === other[i] ? dim : unknown())) };
}

export const controlOps = {
  If: op({
    since: 25,
    inputs: ['cond: bool'],
    outputs: ['outputs...?: *'],
    types: {},
    attributes: { then_branch: subgraph(), else_branch: subgraph() },
    infer: (c) => {
      const condition = c.constant(0);
      const shape = c.shape(0);
      if (condition && condition.data.length !== 1)
        c.fail(`cond has shape [${condition.shape.join(', ')}]; exactly one element is needed.`);
      if (shape && shape.length > 1) c.fail(`cond has rank ${shape.length}; exactly one element is needed.`);
      const branches = [c.attributes.then_branch, c.attributes.else_branch].map((body) => c.inferGraph(body, []));
      const [then = [], otherwise = []] = branches;
      if (then.length !== otherwise.length)
        c.fail(`then_branch has ${then.length} outputs, else_branch ${otherwise.length}. Both must have the same.`);
      // A known condition: the branch not taken says nothing, and need not have the same type.
      if (condition) return condition.data[0] ? then : otherwise;
      return then.map((type, i) => {
        const other = otherwise[i] as TensorType;
        if (type.dtype !== other.dtype)
          c.fail(
            `output ${i} is ${type.dtype} in then_branch and ${other.dtype} in else_branch.`,
            'GRIM_IR_DTYPE_MISMATCH',
          );
        return either(type, other, c.unknown);
      });
    },
  }),

  Loop: op({
    since: 25,
    inputs: ['M?: int64', 'cond?: bool', 'v_initial...?: *'],
    outputs: ['v_final_and_scan_outputs...?: *'],
    types: {},
    attributes: { body: subgraph() },
    infer: (c) => {
      const carried = Math.max(c.inputCount - 2, 0);
      const initial = Array.from({ length: carried }, (_, i) => c.type(i + 2));
      // A carried value may change its shape from one iteration to the next: only its dtype is sure.
      const loose = initial.map(({ dtype, shape }): TensorType => ({ dtype, shape: shape?.map(c.unknown) ?? null }));
      const body = c.inferGraph(c.attributes.body, [
        { dtype: 'int64', shape: [] },
        { dtype: 'bool', shape: [] },
        ...loose,
      ]);
      if (body.length < 1 + carried)
        c.fail(`the body has ${body.length} outputs; a condition and ${carried} carried values are needed.`);
      return body.slice(1).map((type, i) => {
        if (i >= carried) return { dtype: type.dtype, shape: type.shape && [c.unknown() as Dim, ...type.shape] };
        const before = initial[i] as TensorType;
        if (before.dtype !== type.dtype)
          c.fail(
            `carried value ${i} goes in as ${before.dtype} and comes out as ${type.dtype}.`,
            'GRIM_IR_DTYPE_MISMATCH',
          );
        return either(before, type, c.unknown);
      });
    },
    // Shapes may depend on how often the body runs.
    dataDependent: true,
  }),

  Scan: op({
    since: 25,
    inputs: ['initial_state_and_scan_inputs...: *'],
    outputs: ['final_state_and_scan_outputs...: *'],
    types: {},
    attributes: {
      body: subgraph(),
      num_scan_inputs: int(undefined, { min: 1 }),
      scan_input_axes: optional(ints()),
      scan_input_directions: optional(ints()),
      scan_output_axes: optional(ints()),
      scan_output_directions: optional(ints()),
    },
    infer: (c) => {
      const { body, num_scan_inputs: scans, scan_input_axes: axes, scan_output_axes: outputAxes } = c.attributes;
      const states = c.inputCount - scans;
      if (states < 0) c.fail(`num_scan_inputs is ${scans}; the node has ${c.inputCount} inputs.`, 'GRIM_IR_BAD_ATTRIBUTE');
      let steps: Dim = c.unknown();
      const slices = Array.from({ length: scans }, (_, i): TensorType => {
        const { dtype, shape } = c.type(states + i);
        if (!shape) return { dtype, shape };
        const axis = normalAxis(axes?.[i] ?? 0, shape.length);
        if (axis === undefined) return c.fail(`scan input ${i} has rank ${shape.length}, scan axis ${axes?.[i] ?? 0}.`);
        const length = shape[axis] as Dim;
        if (typeof steps === 'number' && typeof length === 'number' && steps !== length)
          c.fail(`scan input ${i} has length ${length}, an earlier one ${steps}. All must be equal.`);
        if (typeof length === 'number') steps = length;
        return { dtype, shape: shape.filter((_, d) => d !== axis) };
      });
      const given = Array.from({ length: states }, (_, i) => c.type(i));
      const results = c.inferGraph(body, [...given, ...slices]);
      if (results.length < states) c.fail(`the body has ${results.length} outputs; ${states} state variables are needed.`);
      return results.map((type, i) => {
        if (i < states) return type;
        return { dtype: type.dtype, shape: insertAxis(type.shape, outputAxes?.[i - states] ?? 0, steps, c.fail) };
      });
    },
  }),
};

function normalAxis(axis: number, rank: number): number | undefined {
  return axis >= -rank && axis < rank ? (axis + rank) % rank : undefined;
}

function insertAxis(shape: Shape | null, axis: number, length: Dim, fail: (message: string) => never): Shape | null {
  if (!shape) return null;
  const at = normalAxis(axis, shape.length + 1);
  if (at === undefined) return fail(`scan output axis ${axis} is outside rank ${shape.length + 1}.`);
  return [...shape.slice(0, at), length, ...shape.slice(at)];
}
