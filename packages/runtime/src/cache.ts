/**
 * The entry `@grim/runtime/cache`: a `loadModel` that keeps files between visits and goes on with downloads that broke off.
 *
 * A file is kept in parts, each written as soon as it is whole, and an index that names them: the index is written last, so
 * what it names is there. A file counts as kept once a model was loaded from it; the model's own checksums decide, never a
 * length. Whatever is wrong with the store (no room, private mode, an entry that vanished or rotted), the network is used.
 */
import { fail, RuntimeError } from './errors.ts';
import type { LoadOptions, LoadProgress } from './load.ts';
import type { ModelSource } from './source.ts';
import { cacheStore, type ModelStore } from './store.ts';

export type { LoadOptions, LoadProgress } from './load.ts';
export type { ModelSource } from './source.ts';
export { cacheStore, type ModelStore } from './store.ts';

/** `loadModel` of `@grim/runtime`, `@grim/runtime/worker` or `@grim/runtime/verify`. */
export type Loader<Options extends LoadOptions, M> = (source: ModelSource, options?: Options) => Promise<M>;

export interface CacheOptions {
  /** Default: the browser's Cache Storage, under the name `grim`. */
  readonly store?: ModelStore | undefined;
  /** Asks the server whether a kept file is still the newest; when it cannot be asked, the kept one is used. Default true. */
  readonly revalidate?: boolean | undefined;
  /** A download of which nothing arrives for so long ends with an error. In milliseconds, default 30,000. */
  readonly stallMs?: number | undefined;
  /** What is written at once, and lost at most when a download breaks off. Default 4 MiB. */
  readonly partBytes?: number | undefined;
  /** Is told why a file was not kept, or a kept one not used. */
  readonly onUncached?: ((reason: unknown) => void) | undefined;
}

/** What is kept of one file. */
interface Entry {
  readonly id: string;
  /** Bytes of each part. */
  readonly parts: readonly number[];
  /** A model was loaded from it. */
  readonly whole: boolean;
  readonly etag?: string | undefined;
  readonly modified?: string | undefined;
}

/** What loading may say of bytes that are damaged, or of another model than they should be. */
const NETWORK = 'GRIM_RUNTIME_NETWORK';
const DAMAGED = [NETWORK, 'GRIM_RUNTIME_BAD_ARTIFACT', 'GRIM_RUNTIME_BAD_SOURCE', 'GRIM_RUNTIME_BAD_VERSION'];

/**
 * A `loadModel` that keeps what it loads from URLs; other sources go through untouched.
 * @param load  what loads from a response
 * @example
 * import { loadModel } from '@grim/runtime';
 * const loadKept = cached(loadModel);
 * using model = await loadKept('/models/keywords.grim');
 */
export function cached<Options extends LoadOptions, M>(
  load: Loader<Options, M>,
  {
    store = cacheStore(),
    revalidate = true,
    stallMs = 30_000,
    partBytes = 2 ** 22,
    onUncached = () => {},
  }: CacheOptions = {},
): Loader<Options, M> {
  return async (source, options) => {
    const key = typeof source === 'string' || source instanceof URL ? absolute(source) : '';
    // A path is read from the disk, where it lies already.
    if (!/^https?:/i.test(key)) return load(source, options);
    return lockFor(key, options?.signal, async (mayWrite) => {
      const session: Session = { store, key, mayWrite, stallMs, partBytes, onUncached };
      const { fetch: own = (input, init) => fetch(input, init), signal, onProgress } = (options ?? {}) as LoadOptions;
      const ask: Ask = (headers) => own(source as string, { ...(signal && { signal }), ...(headers && { headers }) });
      const open: Open<M> = (answer, fromCache = false) => {
        const report = onProgress && ((progress: LoadProgress) => onProgress({ ...progress, fromCache }));
        return load(source, { ...options, onProgress: report, fetch: async () => answer } as LoadOptions as Options);
      };
      const kept = await attempt(() => readEntry(store, key), onUncached);
      if (kept?.whole) {
        const answer = revalidate ? await newer(kept, ask, signal) : undefined;
        if (answer) return download(answer, session, open, { replaces: kept });
        try {
          return await open(responseOf(session, kept), true);
        } catch (error) {
          if (!isDamage(error)) throw error;
          onUncached(error);
          await forget(session, kept);
        }
      } else if (kept) {
        const answer = await reachable(ask(rangeAfter(kept)), open);
        if ('model' in answer) return answer.model;
        const { response } = answer;
        if (goesOn(response, kept)) {
          try {
            return await download(response, session, open, { begun: kept });
          } catch (error) {
            if (!isDamage(error) || codeOf(error) === NETWORK) throw error;
            onUncached(error);
          }
        }
        await forget(session, kept);
        if (response.status === 200) return download(response, session, open);
        void response.body?.cancel().catch(() => {});
      }
      const answer = await reachable(ask(), open);
      return 'model' in answer ? answer.model : download(answer.response, session, open);
    });
  };
}

type Ask = (headers?: Record<string, string>) => Promise<Response>;
/** Loads from an answer, or fails as loading from this URL does. */
type Open<M> = (answer: Response | Promise<Response>, fromCache?: boolean) => Promise<M>;

/** An answer that never came is for `load` to report. */
async function reachable<M>(
  answer: Promise<Response>,
  open: Open<M>,
): Promise<{ readonly response: Response } | { readonly model: M }> {
  try {
    return { response: await answer };
  } catch {
    return { model: await open(answer) };
  }
}

interface Session {
  readonly store: ModelStore;
  readonly key: string;
  readonly mayWrite: boolean;
  readonly stallMs: number;
  readonly partBytes: number;
  readonly onUncached: (reason: unknown) => void;
}

function absolute(url: string | URL): string {
  const { location } = globalThis as { location?: { href: string } };
  return URL.parse(url, location?.href)?.href ?? '';
}

/** One page at a time writes a file; others load it all the same. */
async function lockFor<T>(
  key: string,
  signal: AbortSignal | undefined,
  work: (mayWrite: boolean) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const { navigator } = globalThis as { navigator?: { locks?: LockManager } };
  if (!navigator?.locks) return work(true);
  return (await navigator.locks.request(`grim ${key}`, { ifAvailable: true }, (lock) => work(lock !== null))) as T;
}

/** What the store refuses is reported and does without. */
async function attempt<T>(work: () => Promise<T>, onUncached: (reason: unknown) => void): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    onUncached(error);
    return undefined;
  }
}

const codeOf = (error: unknown) => (error as { code?: unknown } | undefined)?.code;
const isDamage = (error: unknown) => DAMAGED.includes(codeOf(error) as string);

async function forget({ store, key, mayWrite, onUncached }: Session, entry: Entry): Promise<void> {
  if (mayWrite) await attempt(() => remove(store, key, entry), onUncached);
}

async function readEntry(store: ModelStore, key: string): Promise<Entry | undefined> {
  const stored = await store.get(key);
  if (!stored) return undefined;
  const entry = JSON.parse(await stored.text()) as Partial<Entry> | null;
  const { id, parts, whole } = entry ?? {};
  const fits =
    typeof id === 'string' && typeof whole === 'boolean' && Array.isArray(parts) && parts.every(Number.isSafeInteger);
  return fits ? (entry as Entry) : undefined;
}

const partKey = (key: string, { id }: Pick<Entry, 'id'>, index: number) => `${key}#${id}/${index}`;
const bytesOf = ({ parts }: Entry) => parts.reduce((sum, bytes) => sum + bytes, 0);

/** The answer with another file, or undefined when the kept one will do. */
async function newer(
  { etag, modified }: Entry,
  ask: Ask,
  signal: AbortSignal | undefined,
): Promise<Response | undefined> {
  if (!etag && !modified) return undefined;
  try {
    const answer = await ask(etag ? { 'If-None-Match': etag } : { 'If-Modified-Since': modified as string });
    if (answer.status === 200) return answer;
    void answer.body?.cancel();
  } catch {
    signal?.throwIfAborted();
  }
  return undefined;
}

function rangeAfter(kept: Entry): Record<string, string> {
  const validator = kept.etag ?? kept.modified;
  return { Range: `bytes=${bytesOf(kept)}-`, ...(validator ? { 'If-Range': validator } : {}) };
}

/** Whether the answer is the rest of the very file that was begun. */
function goesOn({ status, headers }: Response, kept: Entry): boolean {
  const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
  const { etag, modified } = validators(headers);
  return (
    status === 206 &&
    !encoded(headers) &&
    Number(from) === bytesOf(kept) &&
    Number(to) + 1 === Number(total) &&
    etag === kept.etag &&
    (etag !== undefined || modified === kept.modified)
  );
}

function validators(headers: Headers): Pick<Entry, 'etag' | 'modified'> {
  return { etag: headers.get('etag') ?? undefined, modified: headers.get('last-modified') ?? undefined };
}

/** Compressed in transit: places in the file are not places in the answer. */
function encoded(headers: Headers): boolean {
  return (headers.get('content-encoding') ?? 'identity') !== 'identity';
}

/** A weak validator promises the same meaning, not the same bytes. */
function canGoOn({ headers }: Response): boolean {
  const { etag, modified } = validators(headers);
  return !encoded(headers) && (etag ? !etag.startsWith('W/') : modified !== undefined);
}

/** Loads from an answer of the network, keeping what arrives. */
async function download<M>(
  answer: Response,
  session: Session,
  open: Open<M>,
  { begun, replaces }: { readonly begun?: Entry; readonly replaces?: Entry } = {},
): Promise<M> {
  const { body, status, headers } = answer;
  if (status !== (begun ? 206 : 200) || !body) return open(answer);
  const entry = begun ?? { id: newId(), parts: [], whole: false, ...validators(headers) };
  const keeper = session.mayWrite ? newKeeper(session, entry, replaces) : undefined;
  const pieces = chain(begun ? partsOf(session, begun) : none(), arriving(body, session, keeper));
  let model: M;
  try {
    model = await open(new Response(streamOf(pieces)));
  } catch (error) {
    // What is damaged is of no use; what broke off, or was stopped, can be gone on with.
    const useful = canGoOn(answer) && (codeOf(error) === NETWORK || !isDamage(error));
    await (useful ? keeper?.close(false) : keeper?.drop());
    throw error;
  }
  await keeper?.close(true);
  return model;
}

/** Of one download: what two pages write at once must not be mixed. */
function newId(): string {
  return Date.now().toString(36) + Math.random().toString(36).slice(2);
}

interface Keeper {
  add(chunk: Uint8Array): Promise<void>;
  close(whole: boolean): Promise<void>;
  drop(): Promise<void>;
}

/**
 * Collects chunks to parts. After the first failure of the store it does nothing more, and leaves nothing behind.
 * @param replaces  an older file that stays until this one is whole
 */
function newKeeper({ store, key, partBytes, onUncached }: Session, from: Entry, replaces: Entry | undefined): Keeper {
  let entry = from;
  let chunks: Uint8Array[] = [];
  let bytes = 0;
  let broken = false;
  const clear = () => (replaces ? removeParts(store, key, entry) : remove(store, key, entry));
  const guarded = async (work: () => Promise<void>): Promise<void> => {
    if (broken) return;
    try {
      await work();
    } catch (error) {
      broken = true;
      chunks = [];
      onUncached(error);
      await attempt(clear, () => {});
    }
  };
  const flush = async () => {
    if (bytes === 0) return;
    await store.set(partKey(key, entry, entry.parts.length), new Blob(chunks as BlobPart[]));
    entry = { ...entry, parts: [...entry.parts, bytes] };
    chunks = [];
    bytes = 0;
  };
  const writeIndex = () => store.set(key, new Blob([JSON.stringify(entry)]));
  return {
    add: (chunk) =>
      guarded(async () => {
        chunks.push(chunk.slice());
        bytes += chunk.length;
        if (bytes < partBytes) return;
        await flush();
        if (!replaces) await writeIndex();
      }),
    close: (whole) =>
      guarded(async () => {
        if (replaces && !whole) return clear();
        await flush();
        entry = { ...entry, whole };
        await writeIndex();
        if (replaces) await removeParts(store, key, replaces);
      }),
    drop: () => guarded(clear),
  };
}

async function remove(store: ModelStore, key: string, entry: Entry): Promise<void> {
  await store.delete(key);
  await removeParts(store, key, entry);
}

/** One more than the index names: the last may have been written without it. */
async function removeParts(store: ModelStore, key: string, entry: Entry): Promise<void> {
  for (let i = 0; i <= entry.parts.length; i++) await store.delete(partKey(key, entry, i));
}

type Pieces = AsyncGenerator<Uint8Array<ArrayBuffer>, void, void>;

async function* none(): Pieces {}

async function* chain(first: Pieces, second: Pieces): Pieces {
  yield* first;
  yield* second;
}

async function* partsOf({ store, key }: Session, entry: Entry): Pieces {
  for (const [i, bytes] of entry.parts.entries()) {
    const part = await store.get(partKey(key, entry, i)).then(
      (blob) => blob?.arrayBuffer(),
      () => undefined,
    );
    if (part?.byteLength !== bytes)
      fail('BAD_ARTIFACT', `model file: part ${i} is not in the store any more.`, { part: i });
    yield new Uint8Array(part);
  }
}

function responseOf(session: Session, entry: Entry): Response {
  return new Response(streamOf(partsOf(session, entry)));
}

/** The chunks of an answer, kept as they come. */
async function* arriving(body: ReadableStream<Uint8Array>, { stallMs }: Session, keeper: Keeper | undefined): Pieces {
  const reader = body.getReader();
  let ended = false;
  try {
    for (;;) {
      const { value } = await within(reader.read(), stallMs);
      ended = value === undefined;
      if (!value) return;
      await keeper?.add(value);
      yield value as Uint8Array<ArrayBuffer>;
    }
  } finally {
    if (!ended) reader.cancel().catch(() => {});
  }
}

async function within<T>(work: Promise<T>, stallMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(new RuntimeError('GRIM_RUNTIME_NETWORK', `model file: nothing arrived for ${stallMs} ms.`, { stallMs })),
      Math.min(stallMs, 2 ** 31 - 1),
    );
  });
  try {
    return await Promise.race([work, stalled]);
  } finally {
    clearTimeout(timer);
  }
}

function streamOf(pieces: Pieces): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
}
