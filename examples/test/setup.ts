/** One project for all tests, with the models that the examples use, compiled by the command that was unpacked. */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { grim, makeConsumer, ROOT } from './consumer.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    readonly consumer: string;
  }
}

export default function setup({ provide }: TestProject): () => void {
  const consumer = makeConsumer();
  const remove = () => rmSync(consumer, { recursive: true, force: true });
  try {
    const model = 'apps/cli/demo/tiny-cnn';
    cpSync(join(ROOT, model), join(consumer, model), { recursive: true });
    grim(consumer, 'compile', `${model}/model.onnx`, '--dim', 'N=1', '-o', 'digits.grim');
    grim(consumer, 'types', 'digits.grim');
    provide('consumer', consumer);
    return remove;
  } catch (error) {
    remove();
    throw error;
  }
}
