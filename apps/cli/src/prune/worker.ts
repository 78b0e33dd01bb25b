/** A worker of the search of `grim prune`: prunes a network as it is told, and says what that loses. */
import { parentPort } from 'node:worker_threads';
import { GrimError } from '@grim/ir';
import { evaluator } from './evaluate.ts';
import type { TrialAnswer, TrialMessage } from './executor.ts';

let evaluate: ReturnType<typeof evaluator> | undefined;

parentPort?.on('message', (message: TrialMessage) => {
  if (message.kind === 'context') {
    evaluate = evaluator(message.context);
    return;
  }
  const { id, trial } = message;
  evaluate?.(trial).then(
    (result) => parentPort?.postMessage({ kind: 'done', id, result } satisfies TrialAnswer),
    (error: unknown) => {
      // Fields of an error do not survive being sent.
      const {
        code,
        message: text,
        details,
      } = error instanceof GrimError ? error : { code: undefined, message: String(error), details: {} };
      parentPort?.postMessage({ kind: 'failed', id, code, message: text, details } satisfies TrialAnswer);
    },
  );
});
