/** A server on the loopback interface that gives out made-up routes and files, all under the same headers. */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

export type Mode = 'open' | 'isolated' | 'strict' | 'forbidden' | 'sealed';

const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
};
const STRICT = {
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'",
};

/** What a page is allowed, by the headers it comes with. */
export const HEADERS: Readonly<Record<Mode, Readonly<Record<string, string>>>> = {
  /** Nothing said: no shared memory. */
  open: {},
  isolated: ISOLATED,
  /** WebAssembly may be compiled; nothing may be evaluated, inlined or come from elsewhere. */
  strict: STRICT,
  /** Both. */
  sealed: { ...ISOLATED, ...STRICT },
  /** WebAssembly may not be compiled from bytes either. */
  forbidden: {
    'content-security-policy': "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'",
  },
};

/** What is sent, what answers, or, for a path with a `/` at its end, a folder whose files are given out. */
export type Route = string | Uint8Array | RequestListener | { readonly folder: string };

interface TestServer extends AsyncDisposable {
  /** Without `/` at the end. */
  readonly origin: string;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

export async function serve(
  routes: Readonly<Record<string, Route>>,
  headers: Readonly<Record<string, string>>,
): Promise<TestServer> {
  const server = createServer((request, response) => {
    const path = pathOf(request);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    // A cache would hide what the next request brings.
    response.setHeader('cache-control', 'no-store');
    const [prefix, route] =
      Object.entries(routes).find(([key, to]) => key === path || (isFolder(to) && path.startsWith(key))) ?? [];
    try {
      // Asked for by the browser, not by a page.
      if (path === '/favicon.ico') response.writeHead(204).end();
      else if (prefix === undefined || route === undefined) response.writeHead(404).end('<!doctype html>not here');
      else if (typeof route === 'function') route(request, response);
      else if (!isFolder(route))
        response
          .writeHead(200, { 'content-type': TYPES[extname(path) || '.html'] ?? 'application/octet-stream' })
          .end(route);
      else {
        const file = readFileSync(join(route.folder, normalize(`/${path.slice(prefix.length)}`)));
        response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(file);
      }
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function isFolder(route: Route): route is { readonly folder: string } {
  return typeof route === 'object' && 'folder' in route;
}

function pathOf({ url = '/' }: IncomingMessage): string {
  return decodeURIComponent(url.split('?')[0] ?? '/');
}
