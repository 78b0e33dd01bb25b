/**
 * The `grim` program. The work runs in a worker thread; this thread only prints, writes files, and listens: a long
 * computation can then be interrupted at any time, and running out of memory is an error with a sentence, not a crash.
 */
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { EXIT } from './exit-codes.ts';
import type { OutputFile } from './output.ts';
import type { Finished } from './results/run.ts';
import type { Message, Setting } from './session.ts';

/** How long SIGINT's own default would be in the way: exit at once, the worker's state does not matter. */
function supervise(): void {
  const argv = process.argv.slice(2);
  const verbose = argv.includes('--verbose');
  const tty = process.stdout.isTTY === true;
  const setting: Setting = {
    argv,
    color: tty && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb',
    columns: tty ? Math.min(100, Math.max(40, process.stdout.columns || 80)) : 80,
    verbose,
    hints: process.stderr.isTTY === true,
  };
  const files: OutputFile[] = [];
  const runs: Finished[] = [];
  let finished = false;
  // Ends when it is told to, and well; told twice, at once.
  let serving = false;
  let kept = '';

  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // The reader has gone (`| head`): nothing is wrong, and nobody is left to tell.
      if (error.code === 'EPIPE') process.exit(EXIT.done);
      if (stream === process.stdout)
        process.stderr.write(`grim: stdout: writing failed (${error.code}). [GRIM_CLI_WRITE]\n`);
      process.exit(EXIT.failed);
    });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (serving) {
        serving = false;
        worker.postMessage('stop');
        return;
      }
      process.stderr.write(`grim: interrupted; no half-written file is left${kept}. [GRIM_CLI_INTERRUPTED]\n`);
      process.exit(EXIT.interrupted);
    });

  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: setting });
  worker.on('message', (message: Message) => {
    switch (message.kind) {
      case 'out':
        process.stdout.write(message.text);
        break;
      case 'err':
        process.stderr.write(message.text);
        break;
      case 'file':
        files.push(message.file);
        break;
      case 'record':
        runs.push(message.run);
        break;
      case 'serving':
        serving = true;
        break;
      case 'resumable':
        kept = `; ${message.sentence}`;
        break;
      case 'end':
        finished = true;
        process.exitCode = message.exitCode;
        void writeFiles(files, verbose).then((written) => (written ? recordRuns(runs, argv) : undefined));
    }
  });
  const fail = (sentence: string): void => {
    if (finished) return;
    finished = true;
    process.stderr.write(`grim: ${sentence}\n`);
    process.exitCode = EXIT.failed;
  };
  worker.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_WORKER_OUT_OF_MEMORY')
      fail(
        'there is not enough memory. Give Node more: NODE_OPTIONS=--max-old-space-size=4096. [GRIM_CLI_OUT_OF_MEMORY]',
      );
    else fail(`internal error: ${verbose ? error.stack : error.message}. This is a bug of GRIM. [GRIM_CLI_INTERNAL]`);
  });
  worker.on('exit', () =>
    fail('internal error: the work ended without a result. This is a bug of GRIM. [GRIM_CLI_INTERNAL]'),
  );
}

/** Here and not in the worker: a signal waits until the file is whole. @returns whether all is written */
async function writeFiles(files: readonly OutputFile[], verbose: boolean): Promise<boolean> {
  if (files.length === 0) return true;
  const [{ writeWhole }, { about, describeFailure }] = await Promise.all([import('./files.ts'), import('./errors.ts')]);
  try {
    for (const file of files) about(file.path, () => writeWhole(file.path, file.content, file));
    const spent = files.flatMap((file) => file.spent ?? []);
    if (spent.length > 0) {
      const { removeLayers } = await import('./prune/layer-store.ts');
      for (const folder of spent) removeLayers(folder);
    }
    return true;
  } catch (error) {
    const { text, more, exitCode } = describeFailure(error, verbose);
    process.stderr.write(text + (process.stderr.isTTY ? more : ''));
    process.exitCode = exitCode;
    return false;
  }
}

async function recordRuns(runs: readonly Finished[], argv: readonly string[]): Promise<void> {
  if (runs.length === 0) return;
  const { record } = await import('./results/record.ts');
  for (const run of runs) process.stderr.write(await record(run, argv));
}

if (isMainThread) supervise();
else {
  const { runSession } = await import('./session.ts');
  const stopped = () => new Promise<void>((done) => parentPort?.once('message', () => done()));
  await runSession(workerData as Setting, (message) => parentPort?.postMessage(message), stopped);
  // A command that ends by itself waits for no interruption any more.
  parentPort?.unref();
}
