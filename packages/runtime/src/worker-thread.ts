/**
 * What runs inside the worker of a model: `@grim/runtime/worker` starts it, waits for its port, and asks for one model.
 * The port comes with the first message; whoever else posts to the worker is not listened to.
 */
import { load } from './load.ts';
import type { Model } from './model.ts';
import { SYSTEM } from './system.ts';
import { type FromWorker, type Port, received, sent, type ToWorker } from './worker-messages.ts';

type OwnPort = Port<FromWorker, ToWorker>;

interface Parent {
  once(event: 'message', listener: (data: unknown) => void): void;
}
interface Threads {
  readonly parentPort: Parent | null;
}

function serve(port: OwnPort): void {
  let model: Model | undefined;
  let arrived: ((message: Extract<ToWorker, { kind: 'bytes' }>) => void) | undefined;
  const controllers = new Map<number, AbortController>();
  const say = (message: FromWorker, transfer: Transferable[] = []) => port.postMessage(message, transfer);

  const open = async ({ options, stage }: Extract<ToWorker, { kind: 'load' }>): Promise<void> => {
    const stream = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const answer = new Promise<Extract<ToWorker, { kind: 'bytes' }>>((resolve) => {
            arrived = resolve;
          });
          say({ kind: 'more' });
          const { bytes, error } = await answer;
          if (error) controller.error(received(error));
          else if (bytes) controller.enqueue(bytes);
          else controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    model = await load(
      stage === 'download' ? new Response(stream) : stream,
      { ...options, onProgress: (progress) => say({ kind: 'progress', progress }) },
      SYSTEM,
    );
    const { device, simd, threads, reasons, bytes, manifest } = model;
    say({ kind: 'loaded', device, simd, threads, reasons, bytes, manifest });
  };

  const answer = async ({ id, ...work }: Extract<ToWorker, { readonly id: number }>): Promise<void> => {
    if (work.kind === 'abort') return controllers.get(id)?.abort();
    const controller = new AbortController();
    controllers.set(id, controller);
    const options = work.paced ? { signal: controller.signal } : {};
    try {
      const outputs = await (work.kind === 'run' ? model?.run(work.inputs, options) : model?.warmup(options));
      const arrays = Object.values(outputs ?? {});
      say(
        { kind: 'done', id, outputs: outputs ?? undefined },
        arrays.map(({ buffer }) => buffer as ArrayBuffer),
      );
    } catch (error) {
      say({ kind: 'failed', id, error: sent(error) });
    } finally {
      controllers.delete(id);
    }
  };

  port.onmessage = ({ data }) => {
    switch (data.kind) {
      case 'load':
        open(data).catch((error: unknown) => say({ kind: 'failed', error: sent(error) }));
        break;
      case 'bytes':
        arrived?.(data);
        break;
      case 'reset':
        model?.reset();
        break;
      case 'dispose':
        model?.dispose();
        break;
      case 'ping':
        say({ kind: 'pong' });
        break;
      default:
        void answer(data);
    }
  };
}

/** Node hands over the message itself, a browser an event around it. */
const { process } = globalThis as { process?: { getBuiltinModule?(name: string): Threads } };
const parent = process?.getBuiltinModule?.('node:worker_threads')?.parentPort;
const begin = (data: unknown) => serve((data as { readonly port: OwnPort }).port);
if (parent) parent.once('message', begin);
else globalThis.addEventListener('message', ({ data }: MessageEvent) => begin(data), { once: true });
