/** A worker of `grim reram`: runs a network on its share of the examples, and says how far it is. */
import { parentPort } from 'node:worker_threads';
import { GrimError } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import { type SimulateOptions, simulateDigital, simulateQuantised } from '@grim/reram';
import type { Answer, Order, Run, Share, Task } from './pool.ts';

parentPort?.on('message', (order: Order) => {
  if (order === 'close') {
    parentPort?.close();
    return;
  }
  work(order).then(
    (runs) => parentPort?.postMessage({ kind: 'done', runs } satisfies Answer),
    (error: unknown) => {
      // Fields of an error do not survive being sent.
      const { code, message, details } =
        error instanceof GrimError ? error : { code: undefined, message: String(error), details: {} };
      parentPort?.postMessage({ kind: 'failed', code, message, details } satisfies Answer);
    },
  );
});

function progress(runs: number): void {
  parentPort?.postMessage({ kind: 'progress', runs } satisfies Answer);
}

async function work({ task, feeds, firstFeed, firstTrial, trials }: Share): Promise<readonly Run[]> {
  const { network, output } = task;
  const values = (outputs: Readonly<Record<string, { readonly data: ArrayLike<number | bigint | boolean> }>>) =>
    Float64Array.from(outputs[output]?.data ?? [], Number);
  if (task.kind !== 'simulate')
    return feeds.map((feed, i) => {
      const outputs =
        task.kind === 'float' ? evaluate(network.graph, feed) : (simulateDigital(network, [feed])[0] ?? {});
      progress(1);
      return { trial: 0, feed: firstFeed + i, values: values(outputs as never) };
    });
  const runs: Run[] = [];
  const { outputs, layers } = await simulateQuantised(network, feeds, task.crossbar, {
    ...optionsOf(task),
    seed: task.seed + firstTrial,
    trials,
    firstFeed,
    onProgress: () => progress(1),
  });
  outputs.forEach((trial, t) => {
    trial.forEach((result, i) => {
      runs.push({ trial: firstTrial + t, feed: firstFeed + i, values: values(result as never) });
    });
  });
  const [first] = runs;
  if (first) runs[0] = { ...first, layers };
  return runs;
}

function optionsOf(task: Task & { readonly kind: 'simulate' }): SimulateOptions {
  const { everyConversion, statistics, seconds, bits, remap, compact = false } = task;
  return {
    ...{ everyConversion, statistics, seconds, compact },
    ...(remap && { remap }),
    ...(bits && {
      layerCrossbar: ({ index }, bar) => {
        const own = bits[index];
        return own === undefined ? bar : { ...bar, adc: { model: 'uniform', bits: own, range: 'unit-step' } };
      },
    }),
  };
}
