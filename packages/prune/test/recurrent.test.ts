/** One-shot pruning of recurrent layers: gates together, states as the pruned layer sees them. */
import { applyPattern, blockGrid, nonZeros, projectBcr } from '@grim/bcr';
import { type Graph, graph, patternMask, verify } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it } from 'vitest';
import { BASELINES, type OneShotOptions, type OneShotState, prunableLayers, pruneOneShot } from '../src/index.ts';
import { referenceCalibrator } from '../src/reference.ts';
import { batches, tensor } from './networks.ts';

const [steps, batch, inputs, hidden] = [7, 6, 5, 8];
const GATES = { GRU: 3, LSTM: 4, RNN: 1 } as const;

interface Variant {
  readonly op: 'GRU' | 'LSTM' | 'RNN';
  readonly direction?: 'forward' | 'reverse' | 'bidirectional';
  readonly layout?: number;
  readonly beforeReset?: number;
  readonly bias?: boolean;
  readonly initial?: boolean;
}

function network(variant: Variant, sparse: boolean): Graph {
  const { op, direction = 'forward', layout = 0, beforeReset = 0, bias = true, initial = false } = variant;
  const directions = direction === 'bidirectional' ? 2 : 1;
  const rows = GATES[op] * hidden;
  return graph('recurrent', (b) => {
    const x = b.input('x', 'float32', layout ? ['N', steps, inputs] : [steps, 'N', inputs]);
    const r = tensor([directions, rows, hidden], 2);
    if (sparse) {
      const matrix = { rows: directions * rows, cols: hidden, data: r.data };
      r.data.set(
        applyPattern(matrix, projectBcr(matrix, blockGrid(directions * rows, hidden, 2, 4), { density: 0.3 })).data,
      );
    }
    const state = layout ? [batch, directions, hidden] : [directions, batch, hidden];
    const from = [
      x,
      b.weight('w', tensor([directions, rows, inputs], 1)),
      b.weight('r', r),
      bias ? b.weight('b', tensor([directions, 2 * rows], 3)) : '',
      '',
      initial ? b.input('h0', 'float32', state) : '',
    ];
    while (from.at(-1) === '') from.pop();
    const attributes = { hidden_size: hidden, direction, layout } as const;
    // Only the last state is wanted: the states in between have to be asked for.
    const outputs = ['', 'last'];
    if (op === 'GRU')
      b.addMany('GRU', from, outputs, { ...attributes, linear_before_reset: beforeReset }, { name: 'cell' });
    else b.addMany(op, from, outputs, attributes, { name: 'cell' });
    b.output('last');
  });
}

const feedsOf = ({ layout = 0, initial = false, direction }: Variant) =>
  batches(4, layout ? [batch, steps, inputs] : [steps, batch, inputs]).map((feeds, i) => {
    const directions = direction === 'bidirectional' ? 2 : 1;
    return initial
      ? { ...feeds, h0: tensor(layout ? [batch, directions, hidden] : [directions, batch, hidden], 300 + i) }
      : feeds;
  });

const variants: readonly [string, Variant][] = [
  ['GRU', { op: 'GRU' }],
  ['GRU with the reset after the product', { op: 'GRU', beforeReset: 1 }],
  ['GRU in both directions, batch first', { op: 'GRU', direction: 'bidirectional', layout: 1 }],
  ['GRU from given states, without a bias', { op: 'GRU', initial: true, bias: false }],
  ['LSTM', { op: 'LSTM' }],
  ['LSTM backwards, from given states', { op: 'LSTM', direction: 'reverse', initial: true }],
  [
    'LSTM in both directions from given states, batch first',
    { op: 'LSTM', direction: 'bidirectional', layout: 1, initial: true },
  ],
  ['RNN', { op: 'RNN' }],
];

describe('a recurrent layer whose state weights already lie on a pattern', () => {
  it.for(variants)('keeps its outputs: %s', async ([, variant]) => {
    const dense = network(variant, true);
    const feeds = feedsOf(variant);
    const { graph: pruned, layers } = await pruneOneShot(dense, referenceCalibrator(feeds), {
      ...{ density: 0.3, block: { rows: 2, cols: 4 }, damping: 1e-9 },
    });
    expect(layers.map(({ name }) => name)).toEqual(['cell/R']);
    expect(layers[0]?.error).toBeLessThan(1e-8);
    for (const batchOf of feeds) {
      const [before, after] = [dense, pruned].map((g) => evaluate(g, batchOf)['last']?.data as Float32Array);
      for (const [i, value] of (before ?? []).entries()) expect(after?.[i]).toBeCloseTo(value, 4);
    }
    expect(verify(pruned).filter(({ severity }) => severity === 'error')).toEqual([]);
  });
});

describe('one-shot pruning of a recurrent layer', () => {
  const dense = network({ op: 'GRU' }, false);
  const feeds = feedsOf({ op: 'GRU' });
  const run = (options: Partial<OneShotOptions> = {}) =>
    pruneOneShot(dense, referenceCalibrator(feeds), { density: 0.5, block: { rows: 2, cols: 4 }, ...options });

  it('M2: writes zeros outside the pattern, of inputs too when they are named', async () => {
    expect(prunableLayers(dense).map(({ name, exempt }) => [name, exempt])).toEqual([
      ['cell/W', 'thin'],
      ['cell/R', undefined],
    ]);
    const { graph: pruned, layers } = await run({ density: { 'cell/W': 0.6, 'cell/R': 0.5 } });
    expect(layers.map(({ name }) => name)).toEqual(['cell/W', 'cell/R']);
    for (const [name, share] of [
      ['w', 0.6],
      ['r', 0.5],
    ] as const) {
      const weight = pruned.weights.get(name);
      if (!weight?.pattern) throw new Error(`${name} was not pruned`);
      const mask = patternMask(weight.pattern);
      expect(nonZeros(weight.pattern)).toBe(Math.floor(share * mask.length));
      mask.forEach((kept, i) => {
        if (!kept) expect(Object.is(weight.data[i], 0)).toBe(true);
      });
    }
    expect(verify(pruned).filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('loses less than weights that are only cut off', async () => {
    const { loss } = await run();
    expect(loss).toBeLessThan((await run(BASELINES.magnitude)).loss / 2);
    expect(loss).toBeLessThan((await run(BASELINES.wanda)).loss);
  });

  it('M10: goes on from its state with the same bits', async () => {
    const states: OneShotState[] = [];
    const whole = await run({ onLayer: (state) => states.push(JSON.parse(JSON.stringify(state))) });
    const resumed = await run({ resume: states[0] as OneShotState });
    for (const [name, { data }] of whole.graph.weights) expect(resumed.graph.weights.get(name)?.data).toEqual(data);
  });
});
