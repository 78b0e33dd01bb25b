/**
 * A server for one person on one machine. It listens on loopback, and on no other address unless it is named, and believes nothing that
 * a web page elsewhere could make a browser send: the Host must be an address of this very server (a name that was pointed to 127.0.0.1 is
 * refused: DNS rebinding), an Origin must be its own, and requests that another site caused are refused. It only answers questions: GET
 * and HEAD, no body, no upgrade, nothing changes by asking. Who wants to be told something says so with `post`: small JSON, from pages
 * of its own. Slow and oversized requests are cut off.
 *
 * @see Fetch standard (Sec-Fetch-Site), RFC 9112 (one Host, origin-form targets)
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { HEADERS } from '@grim/dashboard/headers';
import { GrimError } from '@grim/ir';
import type { Asset, Assets } from './assets.ts';

/** What computed answers look like. */
interface Answer {
  readonly status: number;
  readonly body: object;
}

export interface ServerOptions {
  /** 0: a free one. */
  readonly port: number;
  readonly assets: Assets;
  /** Of paths below `/api/`; undefined where there is none. */
  readonly api: (path: string, query: URLSearchParams) => Promise<Answer | undefined>;
  /** The same of what is sent there, as JSON. Absent: nothing is taken. */
  readonly post?: (path: string, body: unknown) => Promise<Answer | undefined>;
  /** Begins and ends with a slash: where `/api/` is. Default `/`. */
  readonly at?: string;
  /** Of every answer. Default: those of the dashboard. */
  readonly headers?: Readonly<Record<string, string>>;
  /** IPv4 addresses of this machine to be reached at, besides loopback. */
  readonly addresses?: readonly string[];
  /** For one request to arrive. Default 10 seconds. */
  readonly timeoutMs?: number;
}

export interface Served extends AsyncDisposable {
  readonly port: number;
  /** With a slash at its end. */
  readonly url: string;
}

const MOST_CONNECTIONS = 256;
const HEADER_BYTES = 16 * 1024;
const BODY_BYTES = 64 * 1024;

/**
 * Listens on 127.0.0.1, where there is one on ::1, and on the addresses that are named.
 * @throws {GrimError} GRIM_CLI_PORT where the port cannot be had
 */
export async function serve(options: ServerOptions): Promise<Served> {
  const names = new Set<string>();
  const listener = answering(options, names);
  const first = made(listener, options);
  const port = await listen(first, options.port, '127.0.0.1');
  const servers = [first];
  const second = made(listener, options);
  try {
    await listen(second, port, '::1');
    servers.push(second);
  } catch (error) {
    // A machine without IPv6 is reached all the same. Somebody else on the port of ::1 is refused: `localhost` may mean either.
    const { errno } = (error as GrimError).details as { errno?: string };
    if (errno === 'EADDRINUSE') {
      first.close();
      throw error;
    }
  }
  for (const address of options.addresses ?? []) {
    const more = made(listener, options);
    try {
      await listen(more, port, address);
    } catch (error) {
      for (const server of servers) server.close();
      throw error;
    }
    servers.push(more);
  }
  for (const host of ['127.0.0.1', 'localhost', '[::1]', ...(options.addresses ?? [])]) {
    names.add(`${host}:${port}`);
    if (port === 80) names.add(host);
  }
  return {
    port,
    url: `http://127.0.0.1:${port}/`,
    async [Symbol.asyncDispose]() {
      await Promise.all(
        servers.map((server) => {
          const closed = new Promise((done) => server.close(done));
          server.closeAllConnections();
          return closed;
        }),
      );
    },
  };
}

function made(listener: RequestListener, { timeoutMs = 10_000 }: ServerOptions): Server {
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES,
      headersTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      keepAliveTimeout: timeoutMs,
      connectionsCheckingInterval: Math.max(50, timeoutMs / 10),
      requireHostHeader: true,
    },
    listener,
  );
  // A connection on which nothing is said at all; the others are answered before they are cut off.
  server.setTimeout(2 * timeoutMs);
  server.maxConnections = MOST_CONNECTIONS;
  // Without this one, Node tells a client that it may send its body.
  server.on('checkContinue', listener);
  for (const event of ['upgrade', 'connect'] as const)
    server.on(event, (_, socket) =>
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'),
    );
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return socket.destroy();
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
    return socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  });
  return server;
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((done, fail) => {
    server.once('error', ({ code = 'failed' }: NodeJS.ErrnoException) => fail(portError(port, code)));
    server.listen({ port, host, ipv6Only: true }, () => {
      const address = server.address();
      done(typeof address === 'object' && address ? address.port : port);
    });
  });
}

function portError(port: number, errno: string): GrimError {
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: `port ${port} is taken by another program. Choose another one with --port, or a free one with --port 0.`,
    EACCES: `you may not use port ${port}. Choose one from 1024 on with --port.`,
  };
  return new GrimError('GRIM_CLI_PORT', why[errno] ?? `port ${port} cannot be used (${errno}).`, { errno });
}

function answering(options: ServerOptions, names: ReadonlySet<string>): RequestListener {
  const { assets, api, post, at = '/', headers = HEADERS } = options;
  const prefix = `${at}api/`;
  return (request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const refusal = refusalOf(request, names, options);
    if (refusal) return sendText(request, response, ...refusal);
    const [path = '', query = ''] = (request.url ?? '').split(/\?(.*)/s);
    const asset = assets.get(path);
    if (asset && request.method !== 'POST') return sendAsset(request, response, asset);
    if (!path.startsWith(prefix)) return sendText(request, response, 404, 'There is no such page.');
    const asked = path.slice(prefix.length);
    const found =
      post && request.method === 'POST'
        ? bodyOf(request).then((body) =>
            body === undefined ? { status: 400, body: NO_JSON } : post(asked, body.value),
          )
        : api(asked, new URLSearchParams(query));
    found.then(
      (answer) => {
        if (!answer) return sendText(request, response, 404, 'There is no such page.');
        const content = new TextEncoder().encode(`${JSON.stringify(answer.body)}\n`);
        return send(request, response, answer.status, { content, type: 'application/json' });
      },
      () => sendText(request, response, 500, 'This went wrong. The command line says more.'),
    );
    return undefined;
  };
}

const NO_JSON = { error: { code: 'GRIM_CLI_BAD_REQUEST', message: 'JSON is needed.' } };

/** @returns undefined where it is no JSON; its length was looked at before */
async function bodyOf(request: IncomingMessage): Promise<{ readonly value: unknown } | undefined> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    return { value: JSON.parse(Buffer.concat(chunks).toString('utf8')) };
  } catch {
    return undefined;
  }
}

type Refusal = readonly [status: number, sentence: string];

/** Why a request is not answered; undefined where it is. Nothing of the request is repeated. */
function refusalOf(
  request: IncomingMessage,
  names: ReadonlySet<string>,
  { assets, post, at = '/' }: ServerOptions,
): Refusal | undefined {
  const { method = '', url = '', headers, headersDistinct } = request;
  const hosts = headersDistinct['host'] ?? [];
  if (hosts.length !== 1) return [400, 'One Host is needed.'];
  if (!names.has((hosts[0] ?? '').toLowerCase())) return [403, 'This server has another name.'];
  if (!url.startsWith('/')) return [400, 'A path is needed.'];
  const told = post !== undefined && method === 'POST' && url.startsWith(`${at}api/`);
  if (method !== 'GET' && method !== 'HEAD' && !told) return [405, 'GET and HEAD are answered.'];
  const length = Number(headers['content-length'] ?? 0);
  if (headers['transfer-encoding'] !== undefined || !(length >= 0 && length <= (told ? BODY_BYTES : 0)))
    return [413, told ? `At most ${BODY_BYTES} bytes are read, of a length that is said.` : 'No body is read.'];
  // A form of another site could send text; JSON it could not.
  if (told && headers['content-type'] !== 'application/json') return [415, 'JSON is needed.'];
  if (headers.upgrade !== undefined || headers.expect !== undefined) return [400, 'Nothing else is spoken here.'];
  const origins = headersDistinct['origin'] ?? [];
  if (origins.length > 1 || origins.some((origin) => !names.has(withoutScheme(origin))))
    return [403, 'Another site must not ask.'];
  if (told && origins.length === 0) return [403, 'A page of this server may tell something, nobody else.'];
  const site = headers['sec-fetch-site'] ?? 'none';
  // A link from elsewhere may open a page, in a tab of its own.
  const opens = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  const page = assets.get(url.split('?')[0] ?? '')?.type.startsWith('text/html') === true;
  if (site !== 'none' && site !== 'same-origin' && !(opens && page)) return [403, 'Another site must not ask.'];
  return undefined;
}

/** What is behind `http://`, exactly so; nothing that is a name otherwise. */
function withoutScheme(origin: string): string {
  return origin.startsWith('http://') ? origin.slice('http://'.length) : '';
}

/** Some are read only now, and may be gone. */
function sendAsset(request: IncomingMessage, response: ServerResponse, asset: Asset): void {
  let content: Uint8Array;
  try {
    ({ content } = asset);
  } catch {
    sendText(request, response, 404, 'There is no such page.');
    return;
  }
  send(request, response, 200, { type: asset.type, content });
}

function sendText(request: IncomingMessage, response: ServerResponse, status: number, sentence: string): void {
  // What may still come of a request that is refused is not waited for.
  response.setHeader('Connection', 'close');
  if (status === 405) response.setHeader('Allow', 'GET, HEAD');
  send(request, response, status, {
    content: new TextEncoder().encode(`${sentence}\n`),
    type: 'text/plain; charset=utf-8',
  });
}

function send(request: IncomingMessage, response: ServerResponse, status: number, { content, type }: Asset): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': content.length });
  response.end(request.method === 'HEAD' ? undefined : content);
}
