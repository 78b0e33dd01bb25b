/** Turns whatever a model may come from into a row of chunks, and reads exact lengths from it. */
import { tagOf } from './dtypes.ts';
import { corrupt, fail, quote, RuntimeError } from './errors.ts';
import { fileName, type System } from './system.ts';

type Bytes = ArrayBufferLike | ArrayBufferView;
type Direct = string | URL | Request | Response | ReadableStream<Uint8Array> | Blob | Bytes;
/** Where a model comes from. A string is a URL, or a path where files can be read; a promise of any of these will do. */
export type ModelSource = Direct | PromiseLike<Direct>;

export interface SourceOptions {
  readonly signal?: AbortSignal | undefined;
  readonly fetch?: ((input: string | URL | Request, init?: RequestInit) => Promise<Response>) | undefined;
}

const LOCKED = 'loadModel: the stream was read before.';

interface Chunks {
  next(): Promise<unknown>;
  cancel(reason: unknown): unknown;
}

/** Rejects with the signal's reason as soon as it is aborted, whatever `work` does; leaves no listener. */
export function abortable<T>(work: PromiseLike<T> | T, signal: AbortSignal | undefined): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = () => reject(signal?.reason);
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop);
    Promise.resolve(work)
      .then(resolve, reject)
      .finally(() => signal?.removeEventListener('abort', stop));
  });
}

/** @throws {RuntimeError} GRIM_RUNTIME_BAD_SOURCE, NETWORK; the signal's reason */
export async function openSource(source: ModelSource, options: SourceOptions, system: System): Promise<ByteReader> {
  const { signal } = options;
  const direct = await abortable(source, signal);
  const tag = tagOf(direct);
  if (typeof direct === 'string' || direct instanceof URL) {
    // A scheme has two letters at least: "c:\model.grim" is a path.
    const scheme = /^([a-z][a-z\d+.-]+):/i.exec(String(direct))?.[1]?.toLowerCase();
    if (scheme === undefined || scheme === 'file') {
      const path = scheme ? new URL(direct) : direct;
      const file = await attempt(() => system.readFile(path), signal, `${fileName(path)} cannot be read`);
      if (file) return byteReader(iterate(file), 'verify', signal);
    }
  }
  if (typeof direct === 'string' || direct instanceof URL || tag === 'Request') {
    const where = fileName((direct as Request).url ?? direct);
    const request = options.fetch ?? system.fetch;
    return openResponse(
      await attempt(
        () => abortable(request(direct as string, signal ? { signal } : {}), signal),
        signal,
        `${where} cannot be fetched`,
      ),
      where,
      signal,
    );
  }
  if (tag === 'Response') return openResponse(direct as Response, 'it', signal);
  if (tag === 'ReadableStream') return openStream(direct as ReadableStream, 'verify', signal);
  if (tag === 'Blob' || tag === 'File') return openStream((direct as Blob).stream(), 'verify', signal);
  if (ArrayBuffer.isView(direct) || tag === 'ArrayBuffer' || tag === 'SharedArrayBuffer') {
    const { buffer, byteOffset, byteLength } = direct as ArrayBufferView & ArrayBuffer;
    return byteReader(
      iterate([new Uint8Array(buffer ?? (direct as ArrayBuffer), byteOffset ?? 0, byteLength)]),
      'verify',
      signal,
    );
  }
  fail('BAD_SOURCE', 'loadModel: the source is no URL, path, Response, stream or bytes.');
}

function openResponse(response: Response, where: string, signal: AbortSignal | undefined): ByteReader {
  const { ok, status, bodyUsed, body } = response;
  if (!ok || status === 206) {
    body?.cancel().catch(() => {});
    fail('BAD_SOURCE', `model file: the server answered ${status} for ${where}.`, { status });
  }
  if (bodyUsed || body?.locked) fail('BAD_SOURCE', LOCKED);
  return openStream(body ?? new Blob([]).stream(), 'download', signal);
}

function openStream(stream: ReadableStream<unknown>, stage: Stage, signal: AbortSignal | undefined): ByteReader {
  if (stream.locked) fail('BAD_SOURCE', LOCKED);
  const reader = stream.getReader();
  const chunks = {
    next: () => reader.read().then(({ value }) => value),
    cancel: (reason: unknown) => reader.cancel(reason),
  };
  return byteReader(chunks, stage, signal);
}

function iterate(from: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Chunks {
  const iterator = Symbol.asyncIterator in from ? from[Symbol.asyncIterator]() : from[Symbol.iterator]();
  return {
    next: async () => (await iterator.next()).value,
    cancel: () => iterator.return?.(),
  };
}

async function attempt<T>(work: () => T, signal: AbortSignal | undefined, what: string): Promise<Awaited<T>> {
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof RuntimeError) throw error;
    const { message, code, cause } = error as { message?: string; code?: string; cause?: { code?: string } };
    const why = code ?? cause?.code ?? message;
    fail(code ? 'BAD_SOURCE' : 'NETWORK', `model file: ${what} (${quote(why)}).`, { reason: why }, error);
  }
}

type Stage = 'download' | 'verify';

/** Exact lengths from chunks of any length. */
export interface ByteReader {
  readonly stage: Stage;
  /** Called when bytes arrived; `taken` says how many there were so far. */
  onChunk(): void;
  taken: number;
  /** Fills `target` as far as the bytes go, and says how far. */
  fill(target: Uint8Array): Promise<number>;
  /** @throws {RuntimeError} GRIM_RUNTIME_BAD_ARTIFACT when the bytes end before `target` is full */
  read<T extends Uint8Array>(target: T): Promise<T>;
  /** True when no byte is left. */
  ended(): Promise<boolean>;
  /** Tells the source that nobody reads on; does not wait for its answer, which may never come. */
  cancel(reason: unknown): void;
}

function byteReader(chunks: Chunks, stage: Stage, signal: AbortSignal | undefined): ByteReader {
  let rest: Uint8Array = new Uint8Array();
  const ended = async () => {
    while (rest.length === 0) {
      const chunk = await attempt(
        () => abortable(chunks.next(), signal),
        signal,
        `reading stopped after ${reader.taken} bytes`,
      );
      if (chunk === undefined) return true;
      if (tagOf(chunk) !== 'Uint8Array') fail('BAD_SOURCE', 'loadModel: the stream gives no Uint8Array.');
      rest = chunk as Uint8Array;
    }
    return false;
  };
  const reader: ByteReader = {
    stage,
    onChunk() {},
    taken: 0,
    ended,
    async fill(target) {
      let at = 0;
      while (at < target.length && !(await ended())) {
        const { length } = rest.subarray(0, target.length - at);
        target.set(rest.subarray(0, length), at);
        rest = rest.subarray(length);
        at += length;
        reader.taken += length;
        reader.onChunk();
      }
      return at;
    },
    async read(target) {
      if ((await reader.fill(target)) < target.length) corrupt(`it is cut short, after ${reader.taken} bytes`);
      return target;
    },
    cancel(reason) {
      Promise.resolve(reason)
        .then(chunks.cancel)
        // It failed before, and that error is the one that counts.
        .catch(() => {});
    },
  };
  return reader;
}
