/**
 * Recurrent layers: `GRU`, `LSTM` and `RNN`.
 *
 * W meets the inputs of all steps in one product. Then a loop inside the module goes through the steps: R times the state
 * (rows in lanes for one sequence, columns for several), and one kernel for all gates. The state of B sequences is
 * [hidden, B], so that the gates are vectors of hidden · B elements, whatever B is; for one sequence it is h itself, and
 * the outputs are written where they belong.
 *
 * A loop inside the module is one call, which threads cannot share. So where R of one step is worth sharing, and the steps are not
 * many, they are spelled out instead: a group of calls for each product.
 */
import { density, type Matrix } from '@grim/bcr';
import {
  activationsOf,
  type BcrPattern,
  directionsOf,
  type NodeOf,
  RECURRENT,
  type Tensor,
  type Weight,
} from '@grim/ir';
import { addMatMul } from '../kernels/matmul.ts';
import { inRound, pairOfRounds, type RepeatedCall, repeated } from '../kernels/repeat.ts';
import { type Stage, stagesCall } from '../kernels/stages.ts';
import type { LowerContext, Lowerings } from '../lower.ts';
import { binary, convert, load } from '../map/expression.ts';
import { broadcastTo, dense, slice, transpose, view } from '../map/placement.ts';
import type { Address, Kernel, Placement } from '../program.ts';
import { matmulTwin } from '../wgsl/gemm.ts';
import { type CellState, gruGates, gruOutput, lstmStages, rnnStages } from './cells.ts';
import { rowsOf } from './pattern-rows.ts';
import { type Placer, placeProduct } from './product.ts';
import { piecesFor } from './share.ts';
import { callVectorProduct, LANE_SPEED } from './vector-product.ts';

type Kind = keyof typeof RECURRENT;
type RecurrentNode = NodeOf<'GRU'> | NodeOf<'LSTM'> | NodeOf<'RNN'>;

/** What all directions share. Placements are in the order of layout 0: steps, directions, sequences, units. */
interface Layer {
  readonly c: LowerContext;
  readonly node: RecurrentNode;
  readonly gates: number;
  readonly linear: boolean;
  readonly steps: number;
  readonly batch: number;
  readonly inputs: number;
  readonly hidden: number;
  readonly directions: number;
  readonly y: Placement | undefined;
  readonly lastH: Placement | undefined;
  readonly lastC: Placement | undefined;
  /** Per sequence, int32; absent when all take every step. */
  readonly lengths: Placement | undefined;
}

/** A matrix of one direction: constant, or somewhere in memory. */
type Factor =
  | { readonly kind: 'constant'; readonly matrix: Matrix; readonly pattern: BcrPattern | undefined }
  | { readonly kind: 'value'; readonly rows: number; readonly cols: number; readonly at: Address };

/** A call of a product; those with the same group may run at the same time. */
interface Called extends Pick<RepeatedCall, 'kernel' | 'args'> {
  readonly group: object | undefined;
}

/** A call of one step. */
interface StepCall extends RepeatedCall, Called {
  /** Key of the product that it belongs to. */
  readonly product: string | undefined;
}

/**
 * Weights that a loop of steps reads in pieces, every other step from the last one to the first: what the step before has read
 * last is still in the second-level cache. 2 % of a GRU of 1024 units at density 0.1, whose R takes 1.3 MB, with 1 MB of cache;
 * smaller matrices lose nothing, and 8 or 16 pieces gain no more.
 */
const TURNED = { bytes: 2 ** 18, pieces: 4 } as const;

/** Words that the steps of all recurrent layers of a model may take when they are spelled out, and about those of a call. */
const MOST_WORDS = 40_000;
const CALL_WORDS = 8;
/** Of the gates, in calls. */
const GATE_CALLS = 6;

const ZERO: Tensor = { dtype: 'float32', shape: [], data: Float32Array.of(0) };

function lower(node: RecurrentNode, c: LowerContext, kind: Kind): void {
  const [xName = '', , rName = '', , lengthsName = ''] = node.inputs;
  const [yName = '', hName = '', cName = ''] = node.outputs;
  const { direction, layout } = node.attributes;
  const { gates, activations } = RECURRENT[kind];
  const { dtype, shape } = c.type(xName);
  if (dtype !== 'float32') c.unsupported(`element type ${dtype}`, 'float32, float16, bfloat16');
  const [first = 0, second = 0, inputs = 0] = shape;
  const [steps, batch] = layout === 0 ? [first, second] : [second, first];
  const hidden = c.type(rName).shape[2] ?? 0;
  const directions = directionsOf(direction);
  const functions = activationsOf(node.attributes, activations, directions);
  if (typeof functions === 'string') c.unsupported(functions, 'functions as ONNX lists them');
  const output = (name: string, order: readonly number[]) => {
    const to = name === '' ? undefined : c.writeContiguous(name);
    return to && layout === 1 ? transpose(to, order) : to;
  };
  const y = output(yName, [1, 2, 0, 3]);
  const lastH = output(hName, [1, 0, 2]);
  const lastC = output(cName, [1, 0, 2]);
  if (hidden === 0 || batch === 0) return;
  if (inputs === 0) c.unsupported('inputs of no elements', 'at least one');
  const lengths = lengthsName === '' ? undefined : lengthsOf(c, lengthsName, steps);
  const linear = node.op === 'GRU' && node.attributes.linear_before_reset === 1;
  const layer: Layer = { c, node, gates, linear, steps, batch, inputs, hidden, directions, y, lastH, lastC, lengths };
  for (let d = 0; d < directions; d++) {
    const backward = direction === 'reverse' || d === 1;
    const own = functions.slice(d * activations.length, (d + 1) * activations.length);
    lowerDirection(layer, d, backward, own);
  }
}

/** @returns undefined when all sequences are known to be as long as the input */
function lengthsOf(c: LowerContext, name: string, steps: number): Placement | undefined {
  const known = c.constant(name);
  return known && Array.from(known.data as Int32Array).every((length) => length === steps) ? undefined : c.read(name);
}

function lowerDirection(layer: Layer, d: number, backward: boolean, functions: CellState['functions']): void {
  const { c, node, gates, linear, steps, batch, hidden, y, lastH, lastC } = layer;
  const [, , , , , hName = '', cName = ''] = node.inputs;
  const length = hidden * batch;
  const h = stateOf(layer, d, hName, lastH);
  const cell = node.op === 'LSTM' ? stateOf(layer, d, cName, lastC) : h;
  if (steps > 0) {
    const sums = vector(c.scratch(4 * gates * length), gates * length);
    const fromX = inputProducts(layer, d);
    const first = backward ? steps - 1 : 0;
    const sign = backward ? -1 : 1;
    // One sequence writes its outputs in place, several beside one another first.
    const direct = y && batch === 1 ? slice(y, [first, d, 0, 0], [1, 1, 1, hidden]) : undefined;
    const beside = y && !direct ? c.scratch(4 * steps * length) : undefined;
    const target = direct ?? (beside && { ...beside, offset: beside.offset + 4 * first * length });
    const time = layer.lengths && c.data(Float32Array.from({ length: steps }, (_, t) => t));
    const state: CellState = {
      fromX: parts({ ...fromX, offset: fromX.offset + 4 * first * gates * length }, length, gates),
      fromH: parts(sums, length, gates),
      h,
      cell,
      y: target && vector(target, length),
      peepholes: peepholesOf(layer, d),
      bias: linear ? recurrentBias(layer, d) : undefined,
      mask: time && { time: { ...scalar(time), offset: 4 * first }, lengths: spreadLengths(layer) },
      functions,
      clip: node.attributes.clip,
    };
    const moves = new Map<Address, number>(state.fromX.map((gate) => [gate, 4 * sign * gates * length]));
    if (state.y) moves.set(state.y, 4 * sign * (direct ? (y?.strides[0] ?? 0) : length));
    if (state.mask) moves.set(state.mask.time, 4 * sign);
    const spelled = steps === 1 || isSpelledOut(layer);
    const calls = stepCalls(layer, d, state, moves, spelled);
    if (spelled) for (let t = 0; t < steps; t++) callStep(c, calls, t);
    else {
      const back = inGroups(calls).map((group) => group.toReversed());
      const pairs = back.some((group) => group.length > 1) ? steps >> 1 : 0;
      if (pairs > 0) callLoop(c, pairs, pairOfRounds(calls, back.flat()));
      if (steps > 2 * pairs)
        callLoop(
          c,
          steps - 2 * pairs,
          calls.map((call) => inRound(call, 2 * pairs)),
        );
    }
    if (beside && y) {
      const all = dense(beside, 'float32', [steps, hidden, batch]);
      c.copy(transpose(all, [0, 2, 1]), without(slice(y, [0, d, 0, 0], [steps, 1, batch, hidden]), 1));
    }
  }
  for (const [state, last] of [
    [h, lastH],
    [cell, lastC],
  ] as const) {
    if (!last || batch === 1) continue;
    c.copy(
      transpose(dense(state, 'float32', [hidden, batch]), [1, 0]),
      without(slice(last, [d, 0, 0], [1, batch, hidden]), 0),
    );
  }
}

/** Whether threads shall share each step; then its words are spent. */
function isSpelledOut({ c, node, gates, hidden, batch, steps }: Layer): boolean {
  const weight = c.constant(node.inputs[2] ?? '');
  if (c.gpu || batch > 1 || !weight) return false;
  const share = weight.pattern ? density(weight.pattern) : 1;
  const pieces = piecesFor(c, (share * gates * hidden * hidden) / LANE_SPEED);
  const words = steps * CALL_WORDS * (pieces + GATE_CALLS);
  const spent = c.products.spelledWords + words;
  if (pieces < 2 || spent > MOST_WORDS) return false;
  c.products.spelledWords = spent;
  return true;
}

/** Appends the calls of step `t`. */
function callStep(c: LowerContext, calls: readonly StepCall[], t: number): void {
  for (const group of inGroups(calls)) {
    const product = group[0]?.product;
    const all = () =>
      c.parallel(() => {
        for (const call of group) {
          const { kernel, args } = inRound(call, t);
          c.call(kernel, ...args);
        }
      });
    if (product === undefined) all();
    else c.products.within(product, all);
  }
}

/** Neighbours that may run at the same time; a call of no group alone. */
function inGroups(calls: readonly StepCall[]): readonly (readonly StepCall[])[] {
  const groups: StepCall[][] = [];
  for (const call of calls) {
    const last = groups.at(-1);
    if (call.group !== undefined && last?.[0]?.group === call.group) last.push(call);
    else groups.push([call]);
  }
  return groups;
}

/** Appends a loop inside the module. */
function callLoop(c: LowerContext, rounds: number, calls: readonly StepCall[]): void {
  const { kernel, args } = repeated(rounds, calls);
  const product = calls.find((call) => call.product !== undefined)?.product;
  const loop = () => c.call(kernel, ...args);
  if (product === undefined) loop();
  else c.products.within(product, loop);
}

/** What happens in one step; `moves` are the bytes that a placement moves on by. @param shared  among threads */
function stepCalls(
  layer: Layer,
  d: number,
  s: CellState,
  moves: ReadonlyMap<Address, number>,
  shared: boolean,
): readonly StepCall[] {
  const { c, node, linear, hidden, batch } = layer;
  const length = hidden * batch;
  const gatesCall = (stages: readonly Stage[]): StepCall => {
    const { kernel, args } = stagesCall(stages, length, (table) => c.data(table));
    const moving = args.flatMap((arg, i) => {
      const bytes = typeof arg === 'number' ? undefined : moves.get(arg);
      return bytes === undefined ? [] : [[i, bytes] as const];
    });
    return { kernel, args, moves: new Map(moving), group: undefined, product: undefined };
  };
  const product = (from: number, to: number, x: Placement): readonly StepCall[] => {
    const { calls, key } = recurrentProduct(layer, d, from, to, x, s.fromH[from] as Placement, shared);
    return calls.map((call) => ({ ...call, moves: new Map(), product: key }));
  };
  if (node.op === 'RNN') return [...product(0, 1, s.h), gatesCall(rnnStages(s))];
  if (node.op === 'LSTM') return [...product(0, 4, s.h), gatesCall(lstmStages(s, node.attributes.input_forget === 1))];
  if (linear) return [...product(0, 3, s.h), gatesCall([...gruGates(s, false), ...gruOutput(s, true)])];
  const reset = s.fromH[1] as Placement;
  return [...product(0, 2, s.h), gatesCall(gruGates(s, true)), ...product(2, 3, reset), gatesCall(gruOutput(s, false))];
}

/** Gates `from` to `to` of R times the state-like `x`. */
function recurrentProduct(
  layer: Layer,
  d: number,
  from: number,
  to: number,
  x: Address,
  y: Address,
  shared: boolean,
): { readonly calls: readonly Called[]; readonly key: string | undefined } {
  const { c, node, gates, steps, batch, hidden } = layer;
  const first = d * gates + from;
  const factor = factorOf(c, node.inputs[2] ?? '', first * hidden, (to - from) * hidden, hidden);
  const { calls, key } = productCalls(c, factor, batch, x, 1, y, { shared });
  describe(layer, 'R', factor, batch, steps, calls);
  return { calls, key };
}

/** W·x + b of all steps, [steps, gates, hidden · batch]. */
function inputProducts(layer: Layer, d: number): Placement {
  const { c, node, gates, steps, batch, inputs, hidden } = layer;
  const [xName = '', wName = '', , bName = ''] = node.inputs;
  const rows = gates * hidden;
  const columns = steps * batch;
  const factor = factorOf(c, wName, d * rows, rows, inputs);
  const known = bName === '' ? undefined : c.constant(bName);
  const inside = factor.kind === 'constant' && (known !== undefined || bName === '');
  const bias = known && inside ? constantBias(layer, known, d) : undefined;
  const given = c.read(xName);
  const x = node.attributes.layout === 0 ? given : transpose(given, [1, 0, 2]);
  const sums = vector(c.scratch(4 * rows * columns), rows * columns);
  let product: ReturnType<typeof productCalls>;
  if (columns === 1 && factor.kind === 'constant')
    product = productCalls(c, factor, 1, x, x.strides[2] ?? 1, sums, { bias, shared: true });
  else {
    const turned = dense(c.scratch(4 * inputs * columns), 'float32', [inputs, steps, batch]);
    c.copy(transpose(x, [2, 0, 1]), turned);
    product = productCalls(c, factor, columns, turned, 1, sums, { bias, shared: true });
  }
  const { calls, key } = product;
  callStep(
    c,
    calls.map((call) => ({ ...call, moves: new Map(), product: key })),
    0,
  );
  describe(layer, 'W', factor, columns, 1, calls);
  if (steps === 1 && (inside || bName === '')) return sums;
  const products = transpose(dense(sums, 'float32', [rows, steps, batch]), [1, 0, 2]);
  const to = dense(c.scratch(4 * rows * columns), 'float32', [steps, rows, batch]);
  if (inside || bName === '') c.copy(products, to);
  else c.store(binary('add', load(products), load(computedBias(layer, d))), to);
  return vector(to, rows * columns);
}

/** What is added to W·x: both biases, but for the part of R·h that the reset gate is multiplied with. */
function constantBias({ gates, hidden, linear }: Layer, bias: Weight, d: number): Float32Array {
  const rows = gates * hidden;
  const own = (bias.data as Float32Array).subarray(2 * d * rows, 2 * (d + 1) * rows);
  return Float32Array.from(
    { length: rows },
    (_, i) => (own[i] ?? 0) + (linear && i >= 2 * hidden ? 0 : (own[rows + i] ?? 0)),
  );
}

/** The same of a bias that only a run knows: [gates · hidden, 1]. */
function computedBias({ c, node, gates, hidden, linear }: Layer, d: number): Placement {
  const rows = gates * hidden;
  const given = c.read(node.inputs[3] ?? '');
  const part = (start: number, count: number) => without(slice(given, [d, start], [1, count]), 0);
  const sum = vector(c.scratch(4 * rows), rows);
  const both = linear ? 2 * hidden : rows;
  c.store(binary('add', load(part(0, both)), load(part(rows, both))), slice(sum, [0], [both]));
  if (linear) c.copy(part(both, hidden), slice(sum, [both], [hidden]));
  return view(sum, { shape: [rows, 1], strides: [1, 0] });
}

/** Rb of gate h for every unit and sequence. */
function recurrentBias(layer: Layer, d: number): Placement | undefined {
  const { c, node, gates, hidden } = layer;
  const name = node.inputs[3] ?? '';
  if (name === '') return undefined;
  return spread(layer, without(slice(c.read(name), [d, (gates + 2) * hidden], [1, hidden]), 0));
}

function peepholesOf(layer: Layer, d: number): readonly Placement[] | undefined {
  const { c, node, hidden } = layer;
  const name = node.inputs[7] ?? '';
  if (name === '') return undefined;
  const given = c.read(name);
  return [0, 1, 2].map((gate) => spread(layer, without(slice(given, [d, gate * hidden], [1, hidden]), 0)));
}

/** One value per unit, for every sequence: [hidden · batch]. */
function spread({ c, hidden, batch }: Layer, values: Placement): Placement {
  if (batch === 1 && values.strides[0] === 1) return values;
  const to = dense(c.scratch(4 * hidden * batch), 'float32', [hidden, batch]);
  c.copy(broadcastTo(view(values, { shape: [hidden, 1], strides: [values.strides[0] ?? 1, 0] }), to.shape), to);
  return vector(to, hidden * batch);
}

function spreadLengths({ c, lengths, hidden, batch }: Layer): Placement {
  const to = dense(c.scratch(4 * hidden * batch), 'float32', [hidden, batch]);
  if (lengths) c.store(convert(load(lengths), 'f32', true), to);
  return vector(to, hidden * batch);
}

/** The state, with its first value in it: [hidden, batch] as a vector; of one sequence, the output itself. */
function stateOf(
  { c, node, hidden, batch }: Layer,
  d: number,
  initial: string,
  last: Placement | undefined,
): Placement {
  const inPlace = last && batch === 1 ? slice(last, [d, 0, 0], [1, 1, hidden]) : undefined;
  const state = dense(inPlace ?? c.scratch(4 * hidden * batch), 'float32', [hidden, batch]);
  if (initial === '') c.fill(state, ZERO);
  else {
    const given = c.read(initial);
    const ordered = node.attributes.layout === 1 ? transpose(given, [1, 0, 2]) : given;
    c.copy(transpose(without(slice(ordered, [d, 0, 0], [1, batch, hidden]), 0), [1, 0]), state);
  }
  return vector(state, hidden * batch);
}

function factorOf(c: LowerContext, name: string, first: number, rows: number, cols: number): Factor {
  const weight = c.constant(name);
  if (!weight) {
    const { buffer, offset } = c.contiguous(name);
    return { kind: 'value', rows, cols, at: { buffer, offset: offset + 4 * first * cols } };
  }
  const data = (weight.data as Float32Array).subarray(first * cols, (first + rows) * cols);
  return {
    kind: 'constant',
    matrix: { rows, cols, data },
    pattern: weight.pattern && rowsOf(weight.pattern, first, rows),
  };
}

/**
 * y[rows, columns] = factor · x[cols, columns] + bias, not called yet; of one column, elements of x are `step` apart. `key` is that of the product, which a schedule may be given for.
 */
function productCalls(
  c: LowerContext,
  factor: Factor,
  columns: number,
  x: Address,
  step: number,
  y: Address,
  { bias, shared }: { readonly bias?: Float32Array | undefined; readonly shared: boolean },
): { readonly calls: readonly Called[]; readonly key: string | undefined } {
  const row = 4 * columns;
  if (factor.kind === 'value') {
    const { rows, cols, at } = factor;
    const kernel: Kernel = {
      name: 'f32_matmul',
      emit: (module, family, exported) => addMatMul(module, { ...family, exported }),
      twin: matmulTwin,
    };
    return {
      calls: [{ kernel, args: [columns, x, y, 32, 32, 0, at, rows, cols, row, 4 * cols, row], group: undefined }],
      key: undefined,
    };
  }
  const calls: Called[] = [];
  let group: object | undefined;
  const products = c.products.apart();
  const recorder: Placer = {
    // Calls that become one loop over time cannot be shared.
    threads: shared ? c.threads : 1,
    pieceCycles: c.pieceCycles,
    gpu: c.gpu,
    parallel: (body) => {
      group = {};
      body();
      group = undefined;
    },
    call: (kernel, ...args) => calls.push({ kernel, args, group }),
    data: (values, kind) => c.data(values, kind),
    scratch: (bytes) => c.scratch(bytes),
    products,
    node: c.node,
    stream: (words, stream) => c.stream(words, stream),
    laneWeights: (values, words, rows) => c.laneWeights(values, words, rows),
  };
  const { matrix, pattern } = factor;
  const bytes = 4 * matrix.rows * matrix.cols * (pattern ? density(pattern) : 1);
  const leastPieces = shared || c.gpu || bytes < TURNED.bytes ? 1 : TURNED.pieces;
  const product = { matrix, pattern, bias, activation: 'none' } as const;
  if (columns === 1)
    callVectorProduct(recorder, { ...product, xOffset: (k) => 4 * k * step }, x, y, undefined, leastPieces);
  else
    placeProduct(recorder, { ...product, xOffset: (k) => row * k, plane: row, yRow: row }, columns).call(
      recorder,
      columns,
      x,
      y,
      undefined,
    );
  const [site] = products.sites;
  if (site) c.products.place(site);
  return { calls, key: site?.key };
}

/** Says what was chosen for a matrix, `rounds` times `columns` columns of which are computed. */
function describe(
  { c, node }: Layer,
  name: 'W' | 'R',
  factor: Factor,
  columns: number,
  rounds: number,
  calls: readonly Called[],
): void {
  if (factor.kind === 'value') {
    c.note(`${name} is computed: multiplied as it stands`);
    return;
  }
  const { matrix, pattern } = factor;
  const { rows: m, cols: k } = matrix;
  const kernel = [...new Set(calls.map((call) => call.kernel.name))].join(' + ');
  const share = pattern ? density(pattern) : 1;
  c.note(`${name} ${m}×${k}, density ${share.toFixed(3)}: ${kernel}, ${columns} columns, ${rounds} times`);
  c.layer({
    node: node.name,
    op: node.op,
    m,
    k,
    n: columns * rounds,
    ...(pattern ? { grid: pattern.grid } : {}),
    density: share,
    kernel,
    macs: m * k * columns * rounds,
  });
}

/** Contiguous elements from an address on. */
function vector({ buffer, offset }: Address, length: number): Placement {
  return { buffer, offset, dtype: 'float32', shape: [length], strides: [1] };
}

function scalar({ buffer, offset }: Address): Placement {
  return { buffer, offset, dtype: 'float32', shape: [], strides: [] };
}

function parts(of: Address, length: number, count: number): readonly Placement[] {
  return Array.from({ length: count }, (_, i) =>
    vector({ buffer: of.buffer, offset: of.offset + 4 * i * length }, length),
  );
}

/** Without an axis of length 1. */
function without(of: Placement, axis: number): Placement {
  return view(of, { shape: of.shape.toSpliced(axis, 1), strides: of.strides.toSpliced(axis, 1) });
}

export const recurrentLowerings: Lowerings = {
  GRU: { lower: (node, c) => lower(node, c, 'GRU') },
  LSTM: { lower: (node, c) => lower(node, c, 'LSTM') },
  RNN: { lower: (node, c) => lower(node, c, 'RNN') },
};
