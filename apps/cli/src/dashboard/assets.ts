/**
 * The files that the server has, as a map from the path of a request to content. It is made once, before the server listens:
 * no request ever becomes the name of a file, so there is nothing to traverse.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { GrimError, quote } from '@grim/ir';
import { readRegularFile } from '../files.ts';

export interface Asset {
  readonly type: string;
  readonly content: Uint8Array;
}
export type Assets = ReadonlyMap<string, Asset>;

const TYPES: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  ico: 'image/x-icon',
  jpg: 'image/jpeg',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  mjs: 'text/javascript; charset=utf-8',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
  wasm: 'application/wasm',
  webmanifest: 'application/manifest+json',
  woff2: 'font/woff2',
};
/** All of it stays in memory. */
const MOST_BYTES = 256 * 2 ** 20;

/**
 * Regular files of a folder and those below it, without what begins with a dot and without links. `index.html` stands for its folder.
 * @param at  where the folder begins, as `/` or `/results/`
 * @throws {GrimError} GRIM_CLI_TOO_LARGE, and what reading a file throws
 */
export function assetsOf(folder: string, at: string): Assets {
  const found = new Map<string, Asset>();
  if (!existsSync(folder)) return found;
  let total = 0;
  // Not readdir's own recursion: that one follows links to folders.
  const walk = (inner: string, prefix: string): void => {
    for (const entry of readdirSync(inner, { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const [path, name] = [join(inner, entry.name), prefix + encodeURIComponent(entry.name)];
      if (entry.isDirectory()) walk(path, `${name}/`);
      if (!entry.isFile()) continue;
      const content = readRegularFile(path);
      total += content.length;
      if (total > MOST_BYTES)
        throw new GrimError('GRIM_CLI_TOO_LARGE', `${quote(folder)}: its files have more than ${MOST_BYTES} bytes.`);
      const asset = { content, type: typeOf(entry.name) };
      found.set(name, asset);
      if (entry.name === 'index.html') found.set(prefix, asset);
    }
  };
  walk(folder, at);
  return found;
}

/** A file that is read when it is asked for first. */
export function lazyAsset(name: string, read: () => Uint8Array): Asset {
  let content: Uint8Array | undefined;
  return {
    type: typeOf(name),
    get content() {
      content ??= read();
      return content;
    },
  };
}

function typeOf(name: string): string {
  return TYPES[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
}
