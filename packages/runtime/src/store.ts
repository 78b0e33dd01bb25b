/** Where files are kept between visits: something with three calls, by default the Cache Storage of the browser. */

/** Keeps blobs under names; each call may fail at any time. */
export interface ModelStore {
  get(key: string): Promise<Blob | undefined>;
  set(key: string, content: Blob): Promise<void>;
  delete(key: string): Promise<void>;
}

/** The Cache Storage of the page's origin. Where there is none (no secure context, Node), every call says so. */
export function cacheStore(name = 'grim'): ModelStore {
  const open = async (): Promise<Cache> => {
    const { caches } = globalThis as { caches?: CacheStorage };
    if (!caches) throw new Error('there is no Cache Storage here');
    return caches.open(name);
  };
  // Cache Storage leaves fragments of a URL aside, and parts are told apart by theirs.
  const place = (key: string) => {
    const url = new URL(key);
    const part = url.hash;
    url.hash = '';
    if (part) url.searchParams.set('grim-part', part.slice(1));
    return url.href;
  };
  return {
    async get(key) {
      const found = await (await open()).match(place(key), { ignoreVary: true });
      return found?.blob();
    },
    async set(key, content) {
      await (await open()).put(place(key), new Response(content));
    },
    async delete(key) {
      await (await open()).delete(place(key), { ignoreVary: true });
    },
  };
}
