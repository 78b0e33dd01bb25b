/** One-shot pruning of whole graphs, on the reference evaluator. */
import { applyPattern, blockGrid, nonZeros, projectBcr } from '@grim/bcr';
import { type Graph, type GraphBuilder, gemmView, graph, inferTypes, patternMask, verify, weightIndex } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { describe, expect, it } from 'vitest';
import {
  allocateDensity,
  BASELINES,
  type Feeds,
  type OneShotOptions,
  type OneShotState,
  prunableLayers,
  pruneOneShot,
} from '../src/index.ts';
import { referenceCalibrator } from '../src/reference.ts';
import { batches, residualNetwork, tensor } from './networks.ts';

const whole = Number.POSITIVE_INFINITY;
const dense = residualNetwork();
const inputs = batches(4, [8, 3, 8, 8]);
const run = (options: Partial<OneShotOptions> = {}, from: readonly Feeds[] = inputs, network: Graph = dense) =>
  pruneOneShot(network, referenceCalibrator(from), { density: 0.4, block: { rows: 2, cols: 9 }, ...options });

/** Bits of all weights, by name. */
const bitsOf = (g: Graph) =>
  new Map(
    [...g.weights].map(([name, { data }]) => [
      name,
      [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)],
    ]),
  );

/** Largest difference of the first outputs, and the largest output. */
function difference(a: Graph, b: Graph, feeds: Feeds): number {
  const [left, right] = [a, b].map((g) => Object.values(evaluate(g, feeds))[0]?.data as Float32Array);
  return Math.max(...Array.from(left ?? [], (v, i) => Math.abs(v - (right?.[i] ?? Number.NaN))));
}

describe('a layer whose weights already lie on a pattern', () => {
  /** Sets the weight to zero outside a pattern of a third of it. */
  const hidden = (from: Graph, input: number): Graph => {
    const node = from.nodes.find(({ name }) => name === 'layer');
    if (!node) throw new Error('no node "layer"');
    const name = node.inputs[input] ?? '';
    const view = gemmView(node, input, inferTypes(from));
    const weight = from.weights.get(name);
    if (!view || !weight) throw new Error('no weight');
    const { m, k } = view;
    const mask = patternMask(
      projectBcr({ rows: m, cols: k, data: tensor([m, k], 77).data }, blockGrid(m, k, 2, 3), { density: 0.34 }),
    );
    const data = new Float32Array(m * k);
    for (let row = 0; row < m; row++)
      for (let col = 0; col < k; col++) {
        const at = weightIndex(view, row, col);
        data[at] = mask[row * k + col] ? (weight.data[at] as number) : 0;
      }
    return { ...from, weights: new Map([...from.weights, [name, { ...weight, data }]]) };
  };
  const one = (shape: readonly (number | string)[], add: (b: GraphBuilder, x: string) => string) =>
    graph('one', (b) => b.output('y', add(b, b.input('x', 'float32', shape))));
  const w = (b: GraphBuilder, shape: readonly number[], name = 'w') => b.weight(name, tensor(shape, 3));
  const named = { name: 'layer' };

  const cases: readonly [string, Graph, number, readonly number[]][] = [
    ['a convolution', one([4, 4, 7, 6], (b, x) => b.add('Conv', [x, w(b, [6, 4, 3, 3])], {}, named)), 1, [4, 4, 7, 6]],
    [
      'a convolution with strides, dilations, uneven pads and a bias',
      one([4, 4, 9, 8], (b, x) =>
        b.add(
          'Conv',
          [x, w(b, [6, 4, 3, 2]), w(b, [6], 'b')],
          { strides: [2, 1], dilations: [1, 2], pads: [1, 0, 2, 1] },
          named,
        ),
      ),
      1,
      [4, 4, 9, 8],
    ],
    [
      'a convolution in groups',
      one([4, 6, 7, 7], (b, x) => b.add('Conv', [x, w(b, [8, 3, 3, 3])], { group: 2, pads: [1, 1, 1, 1] }, named)),
      1,
      [4, 6, 7, 7],
    ],
    [
      'a convolution with automatic pads',
      one([4, 3, 9, 9], (b, x) =>
        b.add('Conv', [x, w(b, [5, 3, 3, 3])], { auto_pad: 'SAME_LOWER', strides: [2, 2] }, named),
      ),
      1,
      [4, 3, 9, 9],
    ],
    [
      'a convolution over one axis',
      one([6, 5, 20], (b, x) => b.add('Conv', [x, w(b, [7, 5, 3])], {}, named)),
      1,
      [6, 5, 20],
    ],
    [
      'a Gemm',
      one([40, 12], (b, x) => b.add('Gemm', [x, w(b, [12, 6]), w(b, [6], 'b')], { alpha: 0.5, beta: 2 }, named)),
      1,
      [40, 12],
    ],
    [
      'a Gemm of transposes',
      one([12, 40], (b, x) => b.add('Gemm', [x, w(b, [6, 12])], { transA: 1, transB: 1 }, named)),
      1,
      [12, 40],
    ],
    [
      'a Gemm with the weight first',
      one([12, 40], (b, x) => b.add('Gemm', [w(b, [12, 6]), x], { transA: 1 }, named)),
      0,
      [12, 40],
    ],
    ['a MatMul', one([3, 20, 12], (b, x) => b.add('MatMul', [x, w(b, [12, 6])], {}, named)), 1, [3, 20, 12]],
    [
      'a MatMul with the weight first',
      one([3, 12, 20], (b, x) => b.add('MatMul', [w(b, [6, 12]), x], {}, named)),
      0,
      [3, 12, 20],
    ],
  ];
  it.for(cases)('keeps its outputs: %s', async ([, network, input, shape]) => {
    const from = hidden(network, input);
    const feeds = batches(3, shape);
    const { graph: pruned, layers } = await run(
      { density: { layer: 0.34 }, block: { rows: 2, cols: 3 }, damping: 1e-9 },
      feeds,
      from,
    );
    expect(layers).toHaveLength(1);
    expect(layers[0]?.error).toBeLessThan(1e-9);
    expect(difference(from, pruned, feeds[0] ?? {})).toBeLessThan(1e-4);
    expect(verify(pruned).filter(({ severity }) => severity === 'error')).toEqual([]);
  });
});

describe('one-shot pruning of a network', () => {
  it('M2: writes zeros outside the pattern, bit for bit, and nothing but the pattern decides which', async () => {
    const { graph: pruned, layers } = await run();
    expect(layers.map(({ name }) => name)).toEqual(['a1', 'a2', 'b1', 'mix']);
    for (const layer of prunableLayers(dense)) {
      const weight = pruned.weights.get(layer.weight);
      if (layer.exempt) {
        expect(weight).toEqual(dense.weights.get(layer.weight));
        continue;
      }
      const pattern = weight?.pattern;
      const node = pruned.nodes.find(({ name }) => name === layer.name);
      if (!weight || !pattern || !node) throw new Error(`${layer.name} was not pruned`);
      const view = gemmView(node, 1, inferTypes(pruned));
      if (!view) throw new Error('no view');
      const data = new Float32Array(layer.m * layer.k);
      for (let row = 0; row < layer.m; row++)
        for (let col = 0; col < layer.k; col++)
          data[row * layer.k + col] = weight.data[weightIndex(view, row, col)] as number;
      const again = applyPattern({ rows: layer.m, cols: layer.k, data }, pattern).data;
      expect(new Uint32Array(again.buffer)).toEqual(new Uint32Array(data.buffer));
      expect(nonZeros(pattern)).toBe(Math.floor(0.4 * layer.m * layer.k));
    }
    expect(verify(pruned).filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('loses less than cutting weights off, scored or not, and than whole rows and columns, at equal density', async () => {
    const loss = async (options: Partial<OneShotOptions>) => (await run(options)).loss;
    const full = await loss({});
    for (const name of ['magnitude', 'wanda', 'structured'] as const) {
      const { block, ...rest } = BASELINES[name];
      expect(full, name).toBeLessThan(await loss({ ...rest, ...(block && { block }) }));
    }
    // What blocks cost is bought for speed.
    expect(await loss(BASELINES.unstructured)).toBeLessThan(full);
    const { layers } = await run(BASELINES.columns);
    for (const { density } of layers) expect(density).toBeLessThanOrEqual(0.4);
  });

  it('M4: gives the same bits again, and other bits for another seed', async () => {
    const options = { samples: 200 };
    const [first, second, other] = [await run(options), await run(options), await run({ ...options, seed: 2 })];
    expect(bitsOf(second.graph)).toEqual(bitsOf(first.graph));
    expect(bitsOf(other.graph)).not.toEqual(bitsOf(first.graph));
  });

  it('M10: goes on after every layer from a state that went through JSON, with the same bits as without the break', async () => {
    const states: OneShotState[] = [];
    const undisturbed = await run({ onLayer: (state) => states.push(JSON.parse(JSON.stringify(state))) });
    expect(states).toHaveLength(4);
    for (const resume of states) {
      const resumed = await run({ resume });
      expect(bitsOf(resumed.graph)).toEqual(bitsOf(undisturbed.graph));
      expect(resumed.loss).toBe(undisturbed.loss);
    }
    await expect(run({ resume: states[0] as OneShotState, damping: 0.02 })).rejects.toMatchObject({
      code: 'GRIM_PRUNE_BAD_STATE',
    });
    await expect(run({ resume: { ...(states[0] as OneShotState), version: 2 as unknown as 1 } })).rejects.toMatchObject(
      { code: 'GRIM_PRUNE_BAD_STATE' },
    );
  });

  it('stops with the reason of the signal, and reports progress until then', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const seen: string[] = [];
    const pruning = run({
      signal: controller.signal,
      onProgress: ({ layer, step }) => {
        seen.push(`${layer} ${step}`);
        if (layer === 'a2') controller.abort(reason);
      },
    });
    await expect(pruning).rejects.toBe(reason);
    expect(seen).toContain('a1 measure');
    expect(seen.some((entry) => entry.startsWith('b1'))).toBe(false);
  });

  it('changes nothing at density 1', async () => {
    const { graph: same, layers, weightDensity } = await run({ density: 1 });
    expect(same).toEqual(dense);
    expect([layers.length, weightDensity]).toEqual([0, 1]);
  });

  it('spends the same budget where it is needed when it may choose the density of each layer', async () => {
    const block = { rows: 2, cols: 9 };
    // One layer needs no more than a sixth of its weights.
    const old = dense.weights.get('a1.weight');
    const data = Float32Array.from(old?.data as Float32Array);
    const sparse = applyPattern(
      { rows: 8, cols: 72, data },
      projectBcr({ rows: 8, cols: 72, data }, blockGrid(8, 72, 2, 9), { density: 1 / 6 }),
    );
    const network: Graph = {
      ...dense,
      weights: new Map([...dense.weights, ['a1.weight', { dtype: 'float32', shape: [8, 8, 3, 3], data: sparse.data }]]),
    };
    const { density, table } = await allocateDensity(network, referenceCalibrator(inputs), {
      ...{ density: 0.4, budget: 'weights', block },
    });
    const sizes = prunableLayers(network).filter(({ exempt }) => !exempt);
    const total = sizes.reduce((sum, { m, k }) => sum + m * k, 0);
    const kept = sizes.reduce((sum, { name, m, k }) => sum + m * k * (density[name] ?? 1), 0);
    expect(kept / total).toBeLessThanOrEqual(0.4 + 1e-9);
    expect(kept / total).toBeGreaterThan(0.37);
    for (const { losses } of table) expect(losses).toEqual([...losses].sort((a, b) => a - b));
    expect(density['a1']).toBeLessThan(0.3);
    expect(density['a2']).toBeGreaterThan(0.4);
    const uniform = await run({ block }, inputs, network);
    const chosen = await run({ block, density }, inputs, network);
    expect(chosen.loss).toBeLessThan(uniform.loss);
  });
});

describe('what is refused', () => {
  it('M1: a density of 0, above 1 or NaN, and a block without size; a block larger than the matrix is the matrix', async () => {
    for (const density of [0, -0.1, 1.01, Number.NaN])
      await expect(run({ density })).rejects.toMatchObject({ code: 'GRIM_PRUNE_BAD_TARGET' });
    await expect(run({ block: { rows: 0, cols: 4 } })).rejects.toMatchObject({ code: 'GRIM_BCR_BAD_GRID' });
    await expect(run({ density: { nowhere: 0.5 } })).rejects.toMatchObject({ code: 'GRIM_PRUNE_NO_LAYER' });
    await expect(run({ density: { __proto__: 0.5, toString: 0.5 } as never })).rejects.toMatchObject({
      code: 'GRIM_PRUNE_NO_LAYER',
    });
    const { layers } = await run({ density: { a1: 0.5 }, block: { rows: 1e9, cols: whole } });
    expect(layers[0]?.grid).toEqual({ rows: 8, cols: 72, blockRows: 8, blockCols: 72 });
  });

  it('calibration inputs that are missing, empty, uneven or not finite, by name and batch', async () => {
    const bad = { code: 'GRIM_PRUNE_BAD_CALIBRATION' };
    await expect(run({}, [])).rejects.toMatchObject(bad);
    await expect(run({}, [{}])).rejects.toMatchObject(bad);
    await expect(run({}, batches(1, [0, 3, 8, 8]))).rejects.toMatchObject(bad);
    await expect(run({}, [...batches(1, [8, 3, 8, 8]), ...batches(1, [4, 3, 8, 8])])).rejects.toMatchObject(bad);
    const poisoned = tensor([8, 3, 8, 8], 1);
    poisoned.data[17] = Number.NaN;
    await expect(run({}, [...batches(1, [8, 3, 8, 8]), { x: poisoned }])).rejects.toMatchObject({
      ...bad,
      details: { batch: 1, name: 'x', at: 17 },
    });
  });

  it('M3: weights that are not finite end the run at that layer, with the layers before it kept', async () => {
    const weight = dense.weights.get('b1.weight');
    if (!weight) throw new Error('no weight');
    const data = Float32Array.from(weight.data as Float32Array);
    data[5] = Number.NaN;
    const broken = { ...dense, weights: new Map([...dense.weights, ['b1.weight', { ...weight, data }]]) };
    let last: OneShotState | undefined;
    const pruning = run(
      { onLayer: (state) => (last = state), activationAware: 'never', lossBatches: 1 },
      inputs,
      broken,
    );
    await expect(pruning).rejects.toMatchObject({
      code: expect.stringMatching(/^GRIM_PRUNE_(BAD_CALIBRATION|DIVERGED)$/),
    });
    expect(last?.layers.map(({ reports }) => reports[0]?.name)).toEqual(['a1', 'a2']);
  });
});

describe('poor calibration inputs', () => {
  it('too few samples are reported, and damping decides', async () => {
    const { layers } = await run({ samples: 4 }, batches(1, [1, 3, 8, 8]));
    expect(layers[0]?.warning).toBe('few samples');
    for (const { error } of layers) expect(error ?? 1).toBeLessThan(1);
  });

  it('inputs that never vary leave the surviving weights as they are', async () => {
    const constant = { x: { ...tensor([8, 3, 8, 8], 1), data: new Float32Array(8 * 3 * 64).fill(0.5) } };
    const network = graph('one', (b) => {
      const x = b.input('x', 'float32', ['N', 4]);
      b.output(
        'y',
        b.add('Gemm', [x, b.weight('w', tensor([4, 6], 1)), b.weight('c', tensor([6], 2))], {}, { name: 'g' }),
      );
    });
    const feeds = [{ x: { ...constant.x, shape: [4, 4], data: new Float32Array(16).fill(0.5) } }];
    const { graph: pruned, layers } = await run(
      { density: { g: 0.5 }, block: { rows: 1, cols: whole } },
      feeds,
      network,
    );
    expect(layers[0]?.warning).toBe('constant inputs');
    const [before, after] = [network, pruned].map((g) => g.weights.get('w')?.data as Float32Array);
    for (const [i, value] of (after ?? []).entries()) if (value !== 0) expect(value).toBeCloseTo(before?.[i] ?? 0, 5);
    // What was pruned times the constant has moved into the bias.
    expect(difference(network, pruned, feeds[0] ?? {})).toBeLessThan(1e-5);
  });
});

describe('a choice of the caller', () => {
  const two = (layer: { readonly k: number }, values: Float64Array): Uint8Array => {
    const mask = new Uint8Array(values.length);
    for (let first = 0; first < values.length; first += layer.k) {
      const row = Array.from(values.subarray(first, first + layer.k), Math.abs);
      const order = row.map((_, i) => i).sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0));
      for (const i of order.slice(0, 2)) mask[first + i] = 1;
    }
    return mask;
  };

  it('decides what survives in every layer, and the refit stays inside it', async () => {
    const { graph: sparse, layers } = await run({ choose: two, block: { rows: 1, cols: whole } });
    expect(layers.length).toBeGreaterThan(0);
    for (const layer of prunableLayers(sparse)) {
      const weight = sparse.weights.get(layer.weight);
      if (!weight?.pattern) continue;
      const mask = patternMask(weight.pattern);
      for (let row = 0; row < layer.m; row++)
        expect(mask.subarray(row * layer.k, (row + 1) * layer.k).reduce((sum, one) => sum + one, 0)).toBe(2);
      expect(weight.data.filter((v) => v !== 0).length).toBeLessThanOrEqual(2 * layer.m);
    }
    const magnitude = await run({ ...BASELINES.magnitude, choose: two, block: { rows: 1, cols: whole } });
    const [feeds = {}] = inputs;
    expect(difference(sparse, dense, feeds)).toBeLessThan(difference(magnitude.graph, dense, feeds));
  });

  it('needs blocks of one row', async () => {
    await expect(run({ choose: two })).rejects.toMatchObject({ code: 'GRIM_PRUNE_BAD_OPTION' });
  });
});
