/**
 * Gradients of RNN, GRU and LSTM over a fixed number of steps.
 *
 * The forward side stays the engine's own operator. Its output holds every state, so all gates of all steps follow from two
 * matrix products; what is left of the way back, step by step, is one small product and a few products by elements, their
 * factors computed for all steps at once. Gradients of weights are again one product each, over all steps.
 * @see Appleyard, Kočiský & Blunsom, "Optimizing Performance of Recurrent Neural Networks on GPUs", 2016 (the batching)
 */
import { activationsOf, RECURRENT } from '@grim/ir';
import type { Rule, RuleContext, Rules } from '../rule.ts';

type Kind = keyof typeof RECURRENT;

/** One direction, in the order in which its steps run: time first. */
interface Run {
  readonly steps: number;
  readonly batch: number;
  readonly inputs: number;
  readonly hidden: number;
  /** X [T·B, I] and previous states [T·B, H]. */
  readonly x: string;
  readonly previous: string;
  readonly first: { readonly h: string; readonly c: string };
  /** W [G·H, I], R [G·H, H], biases [G·H] each. */
  readonly w: string;
  readonly r: string;
  readonly wBias: string | undefined;
  readonly rBias: string | undefined;
  /** Gradients from outside: of the states by step [B, H], of the last state and cell; undefined where none. */
  readonly dy: readonly (string | undefined)[];
  readonly dLast: string | undefined;
  readonly dLastCell: string | undefined;
}

/** Gradients of what a direction was given; of gates before their functions [T·B, G·H] on the side of X and of R. */
interface Backward {
  readonly gatesX: string;
  readonly gatesR: string;
  readonly dFirst: string;
  readonly dFirstCell?: string;
  /** Where R is not applied to the previous state alone. */
  readonly dR?: string;
}

const split = (c: RuleContext, x: string, axis: number, parts: number): string[] =>
  parts === 1 ? [x] : c.addMany('Split', [x], parts, { axis, num_outputs: parts });

/** [T·N, …] in T pieces of [N, …]. */
const bySteps = (c: RuleContext, x: string, run: Run): string[] => split(c, x, 0, run.steps);

const some = (c: RuleContext, ...values: readonly (string | undefined)[]): string | undefined => {
  const found = values.filter((value) => value !== undefined);
  return found.length === 0 ? undefined : c.sum(...found);
};

const oneMinus = (c: RuleContext, x: string): string => c.sub(c.scalar(1), x);
const slopeOfSigmoid = (c: RuleContext, y: string): string => c.mul(y, oneMinus(c, y));
const slopeOfTanh = (c: RuleContext, y: string): string => oneMinus(c, c.mul(y, y));

const affine = (c: RuleContext, x: string, weight: string, bias: string | undefined): string => {
  const product = c.add('MatMul', [x, c.transpose(weight, [1, 0])]);
  return bias === undefined ? product : c.sum(product, bias);
};

/** Gates of one direction: [T·B, G·H] in G parts. */
function gatesOf(c: RuleContext, run: Run, gates: number): { readonly x: string[]; readonly r: string[] } {
  return {
    x: split(c, affine(c, run.x, run.w, run.wBias), 1, gates),
    r: split(c, affine(c, run.previous, run.r, run.rBias), 1, gates),
  };
}

const at = (list: readonly string[], i: number): string => list[i] as string;

function rnnBack(c: RuleContext, run: Run, states: string, relu: boolean): Backward {
  const slope = bySteps(c, relu ? c.positive(states) : slopeOfTanh(c, states), run);
  const gates = new Array<string>(run.steps);
  let next = run.dLast;
  for (let t = run.steps - 1; t >= 0; t--) {
    const dh = some(c, run.dy[t], next) ?? c.zeros([run.batch, run.hidden]);
    gates[t] = c.mul(dh, at(slope, t));
    next = c.add('MatMul', [at(gates, t), run.r]);
  }
  const all = c.concat(gates, 0);
  return { gatesX: all, gatesR: all, dFirst: next as string };
}

/** Gates z, r, h. `linear` is linear_before_reset. */
function gruBack(c: RuleContext, run: Run, linear: boolean): Backward {
  const { hidden, batch, steps } = run;
  const fromX = gatesOf(c, run, 3);
  const z = c.add('Sigmoid', [c.sum(at(fromX.x, 0), at(fromX.r, 0))]);
  const reset = c.add('Sigmoid', [c.sum(at(fromX.x, 1), at(fromX.r, 1))]);
  const rCandidate = c.slice(run.r, 0, 2 * hidden, 3 * hidden);
  const gated = c.mul(reset, run.previous);
  const biasOf = run.rBias === undefined ? undefined : c.slice(run.rBias, 0, 2 * hidden, 3 * hidden);
  const recurrent = linear ? c.mul(reset, at(fromX.r, 2)) : affine(c, gated, rCandidate, biasOf);
  const n = c.add('Tanh', [c.sum(at(fromX.x, 2), recurrent)]);
  // Slopes of the state by each gate, and of the gates by the candidate's.
  const byZ = c.mul(c.sub(run.previous, n), slopeOfSigmoid(c, z));
  const byN = c.mul(oneMinus(c, z), slopeOfTanh(c, n));
  const byReset = c.mul(linear ? at(fromX.r, 2) : run.previous, slopeOfSigmoid(c, reset));
  const keep = bySteps(c, z, run);
  const rows = steps * batch;

  if (linear) {
    const factors = c.reshape(c.concat([byZ, c.mul(byN, byReset), c.mul(byN, reset)], 1), [rows, 3, hidden]);
    const factor = bySteps(c, factors, run);
    const gates = new Array<string>(steps);
    const states = new Array<string>(steps);
    let next = run.dLast;
    for (let t = steps - 1; t >= 0; t--) {
      const dh = some(c, run.dy[t], next) ?? c.zeros([batch, hidden]);
      states[t] = dh;
      gates[t] = c.reshape(c.mul(c.reshape(dh, [batch, 1, hidden]), at(factor, t)), [batch, 3 * hidden]);
      next = c.sum(c.mul(dh, at(keep, t)), c.add('MatMul', [at(gates, t), run.r]));
    }
    const gatesR = c.concat(gates, 0);
    const candidate = c.mul(c.concat(states, 0), byN);
    const gatesX = c.concat([c.slice(gatesR, 1, 0, 2 * hidden), candidate], 1);
    return { gatesX, gatesR, dFirst: next as string };
  }

  const [zFactor, nFactor, resetFactor] = [byZ, byN, byReset].map((value) => bySteps(c, value, run)) as [
    string[],
    string[],
    string[],
  ];
  const resets = bySteps(c, reset, run);
  const rGates = c.slice(run.r, 0, 0, 2 * hidden);
  const [pairs, candidates] = [new Array<string>(steps), new Array<string>(steps)];
  let next = run.dLast;
  for (let t = steps - 1; t >= 0; t--) {
    const dh = some(c, run.dy[t], next) ?? c.zeros([batch, hidden]);
    const dn = c.mul(dh, at(nFactor, t));
    const dGated = c.add('MatMul', [dn, rCandidate]);
    const pair = c.concat([c.mul(dh, at(zFactor, t)), c.mul(dGated, at(resetFactor, t))], 1);
    candidates[t] = dn;
    pairs[t] = pair;
    next = c.sum(c.mul(dh, at(keep, t)), c.mul(dGated, at(resets, t)), c.add('MatMul', [pair, rGates]));
  }
  const [pair, candidate] = [c.concat(pairs, 0), c.concat(candidates, 0)];
  const all = c.concat([pair, candidate], 1);
  const product = (d: string, from: string): string => c.add('MatMul', [c.transpose(d, [1, 0]), from]);
  const dR = c.concat([product(pair, run.previous), product(candidate, gated)], 0);
  return { gatesX: all, gatesR: all, dFirst: next as string, dR };
}

/** Gates i, o, f, c. */
function lstmBack(c: RuleContext, run: Run): Backward {
  const { hidden, batch, steps } = run;
  const parts = gatesOf(c, run, 4);
  const before = parts.x.map((x, i) => c.sum(x, at(parts.r, i)));
  const [input, output, forget] = before.slice(0, 3).map((gate) => c.add('Sigmoid', [gate])) as [
    string,
    string,
    string,
  ];
  const g = c.add('Tanh', [at(before, 3)]);
  const [added, kept] = [bySteps(c, c.mul(input, g), run), bySteps(c, forget, run)];
  const cells: string[] = [];
  let cell = run.first.c;
  for (let t = 0; t < steps; t++) {
    cell = c.sum(c.mul(at(kept, t), cell), at(added, t));
    cells.push(cell);
  }
  const tanh = c.add('Tanh', [c.concat(cells, 0)]);
  const previous = c.concat([run.first.c, ...cells.slice(0, -1)], 0);
  const byState = bySteps(c, c.mul(output, slopeOfTanh(c, tanh)), run);
  const byOutput = bySteps(c, c.mul(tanh, slopeOfSigmoid(c, output)), run);
  const byInput = bySteps(c, c.mul(g, slopeOfSigmoid(c, input)), run);
  const byForget = bySteps(c, c.mul(previous, slopeOfSigmoid(c, forget)), run);
  const byNew = bySteps(c, c.mul(input, slopeOfTanh(c, g)), run);
  const gates = new Array<string>(steps);
  let [next, nextCell] = [run.dLast, run.dLastCell];
  for (let t = steps - 1; t >= 0; t--) {
    const dh = some(c, run.dy[t], next) ?? c.zeros([batch, hidden]);
    const dc = some(c, c.mul(dh, at(byState, t)), nextCell) as string;
    gates[t] = c.concat(
      [c.mul(dc, at(byInput, t)), c.mul(dh, at(byOutput, t)), c.mul(dc, at(byForget, t)), c.mul(dc, at(byNew, t))],
      1,
    );
    nextCell = c.mul(dc, at(kept, t));
    next = c.add('MatMul', [at(gates, t), run.r]);
  }
  const all = c.concat(gates, 0);
  return { gatesX: all, gatesR: all, dFirst: next as string, dFirstCell: nextCell as string };
}

function check(c: RuleContext<'LSTM'>, kind: Kind, directions: number): boolean {
  const refuse = (why: string): never => c.refuse(why);
  if (c.a.clip !== undefined) refuse('clip is set');
  if (c.has(4)) refuse('sequence_lens is given: all sequences of a batch must have one length');
  if (kind === 'LSTM' && c.has(7)) refuse('it has peepholes');
  if (kind === 'LSTM' && c.a.input_forget !== 0) refuse('input_forget is 1');
  const wanted = RECURRENT[kind].activations.map((name) => name.toLowerCase());
  const found = activationsOf(c.a, RECURRENT[kind].activations, directions);
  const names = typeof found === 'string' ? [] : found.map(({ name }) => name);
  const relu = kind === 'RNN' && names.length > 0 && names.every((name) => name === 'relu');
  if (!relu && names.some((name, i) => name !== wanted[i % wanted.length]))
    refuse(`its activations are ${names.join(', ')}; ${wanted.join(', ')} are known`);
  return relu;
}

function rule<O extends Kind>(kind: O): Rule<O> {
  return (given) => {
    // All three have the attributes and inputs of LSTM, or fewer.
    const c = given as unknown as RuleContext<'LSTM'>;
    const [directions = 1, rows = 0, inputs = 0] = c.shape(1);
    const hidden = c.shape(2)[2] ?? 0;
    const relu = check(c, kind, directions);
    const last = c.a.layout === 1;
    const [steps = 0, batch = 0] = last ? [c.shape(0)[1], c.shape(0)[0]] : c.shape(0);
    // Engines lack the batch-first layout: it is transposed around the operator.
    const x = last ? c.transpose(c.input(0), [1, 0, 2]) : c.input(0);
    const state = (i: number): string =>
      !c.has(i) ? c.zeros([directions, batch, hidden]) : last ? c.transpose(c.input(i), [1, 0, 2]) : c.input(i);
    const [h0, c0] = [state(5), kind === 'LSTM' ? state(6) : ''];
    const bias = c.has(3) ? c.input(3) : '';
    const y = forward();

    function forward(): string {
      const { layout: _, ...attributes } = c.a;
      const node = [x, c.input(1), c.input(2), bias, '', h0, ...(kind === 'LSTM' ? [c0] : [])];
      const names = [0, 1, 2]
        .slice(0, kind === 'LSTM' ? 3 : 2)
        .map((i) => c.node.outputs[i] || `${c.node.name}/state${i}`);
      if (!last) {
        c.addMany(kind, node, names, attributes as never);
        return names[0] as string;
      }
      const made = c.addMany(kind, node, names.length, attributes as never);
      made.forEach((value, i) => {
        if (c.node.outputs[i]) c.transpose(value, i === 0 ? [2, 0, 1, 3] : [1, 0, 2], c.node.outputs[i]);
      });
      return made[0] as string;
    }

    return ([dyGiven, dLastGiven, dCellGiven]) => {
      const timeFirst = (value: string | undefined, perm: readonly number[]): string | undefined =>
        value !== undefined && last ? c.transpose(value, perm) : value;
      const dy = timeFirst(dyGiven, [1, 2, 0, 3]);
      const dLast = timeFirst(dLastGiven, [1, 0, 2]);
      const dCell = timeFirst(dCellGiven, [1, 0, 2]);
      if (!dy && !dLast && !dCell) return [];
      const found = {
        x: [] as string[],
        w: [] as string[],
        r: [] as string[],
        b: [] as string[],
        h: [] as string[],
        c: [] as string[],
      };
      for (let d = 0; d < directions; d++) {
        const backward = c.a.direction === 'reverse' || d === 1;
        const ordered = (value: string): string => (backward ? c.reverse(value, 0) : value);
        const only = (value: string, axis: number, shape: readonly number[]): string =>
          c.reshape(directions === 1 ? value : c.slice(value, axis, d, d + 1), shape);
        const states = ordered(only(y, 1, [steps, batch, hidden]));
        const first = { h: only(h0, 0, [batch, hidden]), c: kind === 'LSTM' ? only(c0, 0, [batch, hidden]) : '' };
        const flat = c.reshape(states, [steps * batch, hidden]);
        const previous = steps === 1 ? first.h : c.concat([first.h, c.slice(flat, 0, 0, (steps - 1) * batch)], 0);
        const ownX = c.reshape(ordered(x), [steps * batch, inputs]);
        const biases = c.has(3) ? only(bias, 0, [2 * rows]) : undefined;
        const perStep = dy && c.reshape(ordered(only(dy, 1, [steps, batch, hidden])), [steps * batch, hidden]);
        const run: Run = {
          steps,
          batch,
          inputs,
          hidden,
          x: ownX,
          previous,
          first,
          w: only(c.input(1), 0, [rows, inputs]),
          r: only(c.input(2), 0, [rows, hidden]),
          wBias: biases && c.slice(biases, 0, 0, rows),
          rBias: biases && c.slice(biases, 0, rows, 2 * rows),
          dy: perStep ? split(c, perStep, 0, steps) : [],
          dLast: dLast && only(dLast, 0, [batch, hidden]),
          dLastCell: dCell && only(dCell, 0, [batch, hidden]),
        };
        const back =
          kind === 'RNN'
            ? rnnBack(c, run, flat, relu)
            : kind === 'GRU'
              ? gruBack(c, run, (given as unknown as RuleContext<'GRU'>).a.linear_before_reset === 1)
              : lstmBack(c, run);
        const product = (gate: string, from: string): string => c.add('MatMul', [c.transpose(gate, [1, 0]), from]);
        if (c.wanted(0))
          found.x.push(ordered(c.reshape(c.add('MatMul', [back.gatesX, run.w]), [steps, batch, inputs])));
        if (c.wanted(1)) found.w.push(c.reshape(product(back.gatesX, ownX), [1, rows, inputs]));
        if (c.wanted(2)) found.r.push(c.reshape(back.dR ?? product(back.gatesR, previous), [1, rows, hidden]));
        if (c.wanted(3)) {
          const sum = (value: string): string => c.reduce('ReduceSum', value, [0]);
          found.b.push(c.concat([sum(back.gatesX), sum(back.gatesR)], 1));
        }
        if (c.wanted(5)) found.h.push(c.reshape(back.dFirst, [1, batch, hidden]));
        if (c.wanted(6) && back.dFirstCell) found.c.push(c.reshape(back.dFirstCell, [1, batch, hidden]));
      }
      const joined = (list: readonly string[]): string | undefined =>
        list.length === 0 ? undefined : c.concat(list, 0);
      const restored = (value: string | undefined): string | undefined =>
        value !== undefined && last ? c.transpose(value, [1, 0, 2]) : value;
      const dx = found.x.length === 0 ? undefined : c.sum(...found.x);
      return [
        restored(dx),
        joined(found.w),
        joined(found.r),
        joined(found.b),
        undefined,
        restored(joined(found.h)),
        restored(joined(found.c)),
      ];
    };
  };
}

export const recurrentRules: Rules<Kind> = { RNN: rule('RNN'), GRU: rule('GRU'), LSTM: rule('LSTM') };
