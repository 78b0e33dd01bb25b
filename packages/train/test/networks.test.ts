/** Real networks: a step graph is made of each, well formed, and those that cannot be trained say why. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { verify } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { learnable, networkOf } from '../src/network.ts';
import { optimizerOf } from '../src/optimizer.ts';
import { STEP, stepGraph } from '../src/step.ts';

const models = resolve(import.meta.dirname, '../../..', process.env['GRIM_DATA'] ?? '../shared/data', 'models');
const network = (name: string) =>
  networkOf(fromOnnx(readFileSync(join(models, name, 'model.onnx'))), 4, 'cross-entropy');

describe.skipIf(!existsSync(models))('networks of the data folder (GRIM_DATA)', () => {
  it.each([
    ['resnet8_cifar10', 20],
    ['resnet20_cifar10', 59],
    ['mobilenet_v1_0.25_128_imagenet', 56],
    ['mobilenet_v2_imagenet', 106],
    ['squeezenet_v1_0_pruned_imagenet', 52],
    ['dscnn_kws', 20],
    ['kws_gru_l', 5],
  ])('%s has a step graph with %i weights that learn', (name, count) => {
    const net = network(name);
    const parameters = learnable(net.graph);
    expect(parameters).toHaveLength(count);
    const step = stepGraph(net, {
      loss: 'cross-entropy',
      parameters,
      optimizer: optimizerOf({ kind: 'sgd' }),
      masked: new Set(parameters.slice(0, 1)),
      penalised: new Map([[parameters[0] ?? '', 'scalar']]),
      distilled: undefined,
      clipNorm: 1,
      statistics: 'batch',
    });
    expect(verify(step).filter(({ code }) => code !== 'GRIM_IR_UNUSED')).toEqual([]);
    for (const name of parameters) expect(step.outputs.has(STEP.next(name))).toBe(true);
  });

  it.each(['face_slim_320', 'dtln_model_1', 'silero_vad_16k'])('%s is refused with a sentence', (name) => {
    expect(() => network(name)).toThrow(expect.objectContaining({ code: 'GRIM_TRAIN_BAD_NETWORK' }));
  });
});
