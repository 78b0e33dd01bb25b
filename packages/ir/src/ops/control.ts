/** Operators that run other graphs. A body sees the names of the graph around it; its inputs are what the operator passes. */
import type { Graph } from '../graph.ts';
import { type InferContext, int, ints, op, optional, subgraph } from '../op.ts';
import type { Dim, Shape, TensorType } from '../types.ts';

type Context = Pick<InferContext, 'fail' | 'unknown'>;

/** What holds of a value that is either `a` or `b`. */
function either(a: TensorType, b: TensorType, unknown: () => string): TensorType {
  if (!a.shape || !b.shape || a.shape.length !== b.shape.length) return { dtype: a.dtype, shape: null };
  const other = b.shape;
  return { dtype: a.dtype, shape: a.shape.map((dim, i) => (dim === other[i] ? dim : unknown())) };
}

function checkOneElement(c: Context, name: string, shape: Shape | null): void {
  if (shape && (shape.length > 1 || (typeof shape[0] === 'number' && shape[0] !== 1)))
    c.fail(`${name} has shape [${shape.join(', ')}]; exactly one element is needed.`);
}

function checkBody(c: Context, name: string, body: Graph, inputs: number, what: string, outputs: number): void {
  if (body.inputs.size !== inputs)
    c.fail(`${name} takes ${body.inputs.size} inputs; ${what} give it ${inputs}.`, 'GRIM_IR_ARITY');
  if (body.outputs.size < outputs)
    c.fail(`${name} has ${body.outputs.size} outputs; at least ${outputs} are needed.`, 'GRIM_IR_ARITY');
}

/** ONNX lets a body declare a scalar that it is given as [1] too. */
function scalarAsDeclared(body: Graph, input: number, dtype: TensorType['dtype']): TensorType {
  const declared = Array.from(body.inputs.values())[input]?.shape;
  return { dtype, shape: declared?.length === 1 ? [1] : [] };
}

export const controlOps = {
  If: op({
    since: 25,
    inputs: ['cond: bool'],
    outputs: ['outputs...?: *'],
    types: {},
    attributes: { then_branch: subgraph(), else_branch: subgraph() },
    infer: (c) => {
      const { then_branch: thenBranch, else_branch: elseBranch } = c.attributes;
      checkOneElement(c, 'cond', c.shape(0));
      checkBody(c, 'then_branch', thenBranch, 0, 'If', 0);
      checkBody(c, 'else_branch', elseBranch, 0, 'If', 0);
      if (thenBranch.outputs.size !== elseBranch.outputs.size)
        c.fail(
          `then_branch has ${thenBranch.outputs.size} outputs, else_branch ${elseBranch.outputs.size}. ` +
            'Both must have the same.',
          'GRIM_IR_ARITY',
        );
      // A known condition: the branch not taken says nothing. It may not even fit, being there for other shapes.
      const condition = c.constant(0);
      if (condition) return c.inferGraph(condition.data[0] ? thenBranch : elseBranch, []);
      const then = c.inferGraph(thenBranch, []);
      const otherwise = c.inferGraph(elseBranch, []);
      return then.map((type, i) => {
        const other = otherwise[i] ?? type;
        if (type.dtype !== other.dtype)
          c.fail(
            `output ${i} is ${type.dtype} in then_branch and ${other.dtype} in else_branch.`,
            'GRIM_IR_DTYPE_MISMATCH',
          );
        return either(type, other, c.unknown);
      });
    },
    dataDependent: true,
  }),

  Loop: op({
    since: 25,
    inputs: ['M?: int64', 'cond?: bool', 'v_initial...?: *'],
    outputs: ['v_final_and_scan_outputs...?: *'],
    types: {},
    attributes: { body: subgraph() },
    infer: (c) => {
      const { body } = c.attributes;
      const carried = Math.max(c.inputCount - 2, 0);
      if (c.has(0)) checkOneElement(c, 'M', c.shape(0));
      if (c.has(1)) checkOneElement(c, 'cond', c.shape(1));
      for (let i = 0; i < carried; i++)
        if (!c.has(i + 2)) c.fail(`v_initial ${i} is left out; every carried value needs one.`, 'GRIM_IR_ARITY');
      checkBody(c, 'the body', body, 2 + carried, `iteration, condition and ${carried} carried values`, 1 + carried);
      const initial = Array.from({ length: carried }, (_, i) => c.type(i + 2));
      // A carried value may change its lengths from one iteration to the next, so the body gets names for them. A
      // length that leaves the body under the name it came in with never changes.
      const loose = initial.map(({ dtype, shape }): TensorType => ({ dtype, shape: shape?.map(c.unknown) ?? null }));
      const [condition, ...results] = c.inferGraph(body, [
        scalarAsDeclared(body, 0, 'int64'),
        scalarAsDeclared(body, 1, 'bool'),
        ...loose,
      ]);
      if (condition && condition.dtype !== 'bool')
        c.fail(
          `the body's first output, the condition, is ${condition.dtype}; bool is needed.`,
          'GRIM_IR_DTYPE_MISMATCH',
        );
      checkOneElement(c, "the body's condition", condition?.shape ?? null);
      const fixed = new Map<Dim, Dim>();
      loose.forEach(({ shape: names }, i) => {
        const shape = results[i]?.shape;
        names?.forEach((name, d) => {
          if (shape?.length === names.length && shape[d] === name) fixed.set(name, initial[i]?.shape?.[d] as Dim);
        });
      });
      return results.map(({ dtype, shape }, i) => {
        const before = initial[i];
        const settled = shape?.map((dim) => fixed.get(dim) ?? dim) ?? null;
        if (!before) return { dtype, shape: settled && [c.unknown() as Dim, ...settled] };
        if (before.dtype !== dtype)
          c.fail(`carried value ${i} goes in as ${before.dtype} and comes out as ${dtype}.`, 'GRIM_IR_DTYPE_MISMATCH');
        return either(before, { dtype, shape: settled }, c.unknown);
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
      if (states < 0)
        c.fail(`num_scan_inputs is ${scans}; the node has ${c.inputCount} inputs.`, 'GRIM_IR_BAD_ATTRIBUTE');
      for (let i = 0; i < c.inputCount; i++) if (!c.has(i)) c.fail(`input ${i} is left out.`, 'GRIM_IR_ARITY');
      checkBody(c, 'the body', body, c.inputCount, `${states} state variables and ${scans} scan inputs`, states);
      const scanOutputs = body.outputs.size - states;
      checkPerScan(c, 'scan_input_axes', axes, scans);
      checkPerScan(c, 'scan_output_axes', outputAxes, scanOutputs);
      checkDirections(c, 'scan_input_directions', c.attributes.scan_input_directions, scans);
      checkDirections(c, 'scan_output_directions', c.attributes.scan_output_directions, scanOutputs);
      let steps: Dim = c.unknown();
      const slices = Array.from({ length: scans }, (_, i): TensorType => {
        const { dtype, shape } = c.type(states + i);
        if (!shape) return { dtype, shape };
        const axis = normalAxis(c, `scan input ${i}`, axes?.[i] ?? 0, shape.length);
        const length = shape[axis] as Dim;
        if (typeof steps === 'number' && typeof length === 'number' && steps !== length)
          c.fail(
            `scan input ${i} has length ${length} along axis ${axis}, an earlier one ${steps}. All must be equal.`,
          );
        if (typeof steps === 'string') steps = length;
        return { dtype, shape: shape.filter((_, d) => d !== axis) };
      });
      const given = Array.from({ length: states }, (_, i) => c.type(i));
      return c.inferGraph(body, [...given, ...slices]).map((type, i) => {
        const state = given[i];
        if (!state)
          return { dtype: type.dtype, shape: insertAxis(c, type.shape, outputAxes?.[i - states] ?? 0, steps) };
        if (type.dtype !== state.dtype)
          c.fail(
            `state variable ${i} goes in as ${state.dtype} and comes out as ${type.dtype}.`,
            'GRIM_IR_DTYPE_MISMATCH',
          );
        checkSameShape(c, i, state.shape, type.shape);
        return state.shape ? state : type;
      });
    },
    // The body may hold operators whose shapes depend on their data.
    dataDependent: true,
  }),
};

function checkPerScan(c: Context, name: string, list: readonly number[] | undefined, count: number): void {
  if (list && list.length !== count)
    c.fail(`${name} has ${list.length} entries for ${count} scans.`, 'GRIM_IR_BAD_ATTRIBUTE');
}

function checkDirections(c: Context, name: string, list: readonly number[] | undefined, count: number): void {
  checkPerScan(c, name, list, count);
  if (list?.some((direction) => direction !== 0 && direction !== 1))
    c.fail(`${name} is [${list.join(', ')}]; 0 (forward) or 1 (backward) is needed.`, 'GRIM_IR_BAD_ATTRIBUTE');
}

function checkSameShape(c: Context, index: number, before: Shape | null, after: Shape | null): void {
  if (!before || !after) return;
  const differs = (dim: Dim, d: number) => typeof dim === 'number' && typeof after[d] === 'number' && dim !== after[d];
  if (before.length !== after.length || before.some(differs))
    c.fail(
      `state variable ${index} goes in as [${before.join(', ')}] and comes out as [${after.join(', ')}]. ` +
        'A state keeps its shape.',
    );
}

function normalAxis(c: Context, what: string, axis: number, rank: number): number {
  if (axis < -rank || axis >= rank)
    c.fail(`${what}: axis ${axis} is outside [${-rank}, ${rank - 1}], rank being ${rank}.`, 'GRIM_IR_BAD_ATTRIBUTE');
  return axis < 0 ? axis + rank : axis;
}

function insertAxis(c: Context, shape: Shape | null, axis: number, length: Dim): Shape | null {
  if (!shape) return null;
  const at = normalAxis(c, 'scan output', axis, shape.length + 1);
  return [...shape.slice(0, at), length, ...shape.slice(at)];
}
