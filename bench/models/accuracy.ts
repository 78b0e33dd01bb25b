/**
 * Answers of whole tasks on WebAssembly, against the counts that onnxruntime-node gives on the same data:
 * `node bench/models/accuracy.ts`. A count is compared, so single inputs may fall on the other side of a close decision.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { compile, pack } from '@grim/codegen';
import type { Tensor } from '@grim/ir';
import { fromOnnx, type ImportOptions } from '@grim/ir/onnx';
import { loadModel } from '@grim/runtime';
import { cifarBatch, standardised } from '../prune/cifar.ts';

const data = resolve(import.meta.dirname, '../..', process.env['GRIM_DATA'] ?? '../shared/data');
if (!existsSync(data)) throw new Error(`no data at ${data}: point GRIM_DATA at the folder with models/ and cifar10/`);

function load(name: string, options: ImportOptions) {
  const graph = fromOnnx(readFileSync(join(data, 'models', name, 'model.onnx')), options);
  return loadModel(pack(compile(graph)));
}

function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

let wrong = 0;
function report(task: string, found: number, wanted: number, tolerance: number, of: number): void {
  const fits = Math.abs(found - wanted) <= tolerance;
  if (!fits) wrong++;
  console.log(`${task.padEnd(18)} ${found} of ${of}, reference ${wanted} ± ${tolerance}${fits ? '' : '   WRONG'}`);
}

async function images(name: string, wanted: number): Promise<void> {
  const model = await load(name, { dims: { N: 1 } });
  const batch = cifarBatch(data, 50);
  let right = 0;
  for (let i = 0; i < batch.count; i++) {
    const { logits } = await model.run({ input: standardised(batch, i, 1, name === 'resnet8_cifar10') });
    if (argmax(logits as Float32Array) === batch.labels[i]) right++;
  }
  report(name, right, wanted, 1, batch.count);
}

async function keywords(): Promise<void> {
  const model = await load('dscnn_kws', { dims: { N: 1 } });
  const features = new Int8Array(readFileSync(join(data, 'kws-features/kws01_mfcc_int8.bin')));
  const lines = readFileSync(join(data, 'kws-features/y_labels.csv'), 'utf8').trim().split('\n');
  let right = 0;
  for (const [i, line] of lines.entries()) {
    const input = Float32Array.from(features.subarray(490 * i, 490 * (i + 1)), (q) => (q - 83) * 0.5847029);
    const { logits } = await model.run({ input });
    if (argmax(logits as Float32Array) === Number(line.split(',')[2])) right++;
  }
  report('dscnn_kws', right, 901, 1, lines.length);
}

/** 512 new samples at a time, the last 64 of the chunk before in front of them, the state fed back. */
async function voice(): Promise<void> {
  const sr: Tensor = { dtype: 'int64', shape: [], data: BigInt64Array.of(16000n) };
  const model = await load('silero_vad_16k', {
    shapes: { input: [1, 576], state: [2, 1, 128] },
    constants: { sr },
  });
  const wav = readFileSync(join(data, 'audio/silero_test_60s_16k.wav'));
  const samples = new Int16Array(wav.buffer.slice(wav.byteOffset + 44, wav.byteOffset + wav.length));
  let state: Float32Array = new Float32Array(256);
  let speech = 0;
  const chunks = Math.floor(samples.length / 512);
  for (let chunk = 0; chunk < chunks; chunk++) {
    const input = Float32Array.from({ length: 576 }, (_, i) => (samples[512 * chunk - 64 + i] ?? 0) / 32768);
    const { output, stateN } = await model.run({ input, state });
    if (((output as Float32Array)[0] ?? 0) > 0.5) speech++;
    state = stateN as Float32Array;
  }
  report('silero_vad_16k', speech, 1452, 2, chunks);
}

await keywords();
await images('resnet8_cifar10', 881);
await images('resnet20_cifar10', 915);
await images('resnet56_cifar10', 926);
await voice();
process.exitCode = wrong === 0 ? 0 : 1;
