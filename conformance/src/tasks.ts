/**
 * Whole tasks: a real model, a row of inputs, and how many answers are right. Runs wherever the compiler and the runtime
 * do; the inputs come from task-data.ts.
 *
 * `wanted` is what onnxruntime-node 1.30.0 gives on the same data. A count is compared, so single inputs may fall on the
 * other side of a close decision.
 */
import { compile, pack } from '@grim/codegen';
import type { Tensor } from '@grim/ir';
import { fromOnnx, type ImportOptions } from '@grim/ir/onnx';
import { loadModel } from '@grim/runtime';

export interface Task {
  /** The folder of the model, under models/. */
  readonly name: string;
  readonly options: ImportOptions;
  readonly input: string;
  readonly output: string;
  /** An output that is an input of the next run; zeros at first. */
  readonly feed?: { readonly output: string; readonly input: string };
  readonly wanted: number;
  /** How far the count may be from `wanted`. */
  readonly tolerance: number;
}

const one: ImportOptions = { dims: { N: 1 } };
const rate: Tensor = { dtype: 'int64', shape: [], data: BigInt64Array.of(16000n) };

export const TASKS: readonly Task[] = [
  { name: 'dscnn_kws', options: one, input: 'input', output: 'logits', wanted: 901, tolerance: 1 },
  { name: 'resnet8_cifar10', options: one, input: 'input', output: 'logits', wanted: 881, tolerance: 1 },
  { name: 'resnet20_cifar10', options: one, input: 'input', output: 'logits', wanted: 915, tolerance: 1 },
  { name: 'resnet56_cifar10', options: one, input: 'input', output: 'logits', wanted: 926, tolerance: 1 },
  {
    name: 'silero_vad_16k',
    options: { shapes: { input: [1, 576], state: [2, 1, 128] }, constants: { sr: rate } },
    input: 'input',
    output: 'output',
    feed: { output: 'stateN', input: 'state' },
    wanted: 1452,
    tolerance: 2,
  },
];

export interface TaskInputs {
  readonly count: number;
  /** [count, …], one input after another. */
  readonly inputs: Float32Array;
}

/** The `.grim` file of a task's model. */
export function compileTask({ options }: Task, onnx: Uint8Array): Uint8Array {
  return pack(compile(fromOnnx(onnx, options)));
}

/** The outputs for all inputs, one after another. */
export async function answerTask(
  { input, output, feed }: Task,
  grim: Uint8Array,
  { count, inputs }: TaskInputs,
): Promise<Float32Array> {
  using model = await loadModel(grim);
  const size = inputs.length / count;
  let answers = new Float32Array();
  let state: Record<string, Float32Array> = {};
  if (feed) state[feed.input] = new Float32Array(model.inputs[feed.input]?.shape.reduce((a, b) => a * b, 1) ?? 0);
  for (let i = 0; i < count; i++) {
    const found = await model.run({ ...state, [input]: inputs.subarray(size * i, size * (i + 1)) });
    const answer = found[output] as Float32Array;
    if (i === 0) answers = new Float32Array(answer.length * count);
    answers.set(answer, answer.length * i);
    if (feed) state = { [feed.input]: found[feed.output] as Float32Array };
  }
  return answers;
}
