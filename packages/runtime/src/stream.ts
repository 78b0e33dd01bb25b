/**
 * The entry `@grim/runtime/stream`: a recurrent model fed frame by frame in real time. The states stay in the model; outputs are
 * written to the same arrays each time, so that a frame allocates nothing of the size of a tensor.
 */
import { elementCount, viewAs } from './dtypes.ts';
import type { Model, RunOptions, Tensors } from './model.ts';

export interface FrameStream<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors> {
  /**
   * Runs the model on one frame, in the order of the calls.
   * @returns always the same object with the same arrays: copy what must outlive the next frame
   * @throws {RuntimeError} what `model.run` throws; a frame that fails leaves the states as they were
   */
  push(frame: I): Promise<O>;
  /** The outputs of each frame of `frames`, one after the other; frames are taken when they are needed. */
  through(frames: AsyncIterable<I> | Iterable<I>): AsyncGenerator<O, void, undefined>;
  /** All states to zero: the next frame is the first. */
  reset(): void;
}

/**
 * Opens a stream over a model of any entry. Its states are set to zero; nothing else should run the model meanwhile, as both
 * would share them. Which outputs are states of the next frame the compiler was told (`compile(graph, { states })`).
 * @example
 * using model = await loadModel('/models/keywords.grim');
 * const stream = openStream(model);
 * for await (const { logits } of stream.through(frames)) show(logits);
 */
export function openStream<I extends Partial<Tensors> = Tensors, O extends Partial<Tensors> = Tensors>(
  model: Model<I, O>,
): FrameStream<I, O> {
  const outputs = Object.fromEntries(
    model.manifest.outputs.map(({ name, dtype, shape }) => {
      const elements = elementCount(shape);
      return [name, viewAs(dtype, new ArrayBuffer(8 * elements), 0, elements)];
    }),
  ) as unknown as O;
  const options: RunOptions<O> = { outputs };
  model.reset();
  const push = (frame: I) => model.run(frame, options);
  return {
    push,
    async *through(frames) {
      for await (const frame of frames) yield await push(frame);
    },
    reset: () => model.reset(),
  };
}
