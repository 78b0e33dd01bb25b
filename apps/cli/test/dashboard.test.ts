/** `grim dashboard`: who is answered, with what, and who is not; raw sockets say what no client library would. */
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type Browser, findChromium, launchChromium, NO_CHROMIUM, watch } from '@grim/browser';
import { HEADERS } from '@grim/dashboard/headers';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { apiOf } from '../src/dashboard/api.ts';
import { assetsOf } from '../src/dashboard/assets.ts';
import { rivalAssets } from '../src/dashboard/rival.ts';
import { type Served, serve } from '../src/dashboard/server.ts';
import { type Finished, thisMachine } from '../src/results/run.ts';
import { openResults, type Results } from '../src/results/store.ts';
import { grim, ROOT, start, TINY, temporaryFolder } from './grim.ts';

const TIMEOUT_MS = 400;
let served: Served;
let folder = '';

beforeAll(async () => {
  const { mkdtempSync } = await import('node:fs');
  folder = mkdtempSync(join((await import('node:os')).tmpdir(), 'grim-pages-'));
  const root = join(folder, 'public');
  mkdirSync(join(root, 'assets'), { recursive: true });
  mkdirSync(join(root, '.git'));
  mkdirSync(join(folder, 'public-secret'));
  writeFileSync(join(root, 'index.html'), '<!doctype html>page');
  writeFileSync(join(root, 'assets', 'a b.js'), 'script');
  writeFileSync(join(root, '.git', 'config'), 'secret');
  writeFileSync(join(root, '.env'), 'secret');
  writeFileSync(join(folder, 'public-secret', 'x.txt'), 'secret');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  symlinkSync(join(folder, 'secret.txt'), join(root, 'link.txt'));
  symlinkSync(folder, join(root, 'up'));
  served = await serve({ port: 0, assets: assetsOf(root, '/'), api: apiOf(undefined, []), timeoutMs: TIMEOUT_MS });
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
  (await import('node:fs')).rmSync(folder, { recursive: true, force: true });
});

/** What comes back for these very bytes, until the server closes. */
function raw(bytes: string, host = '127.0.0.1'): Promise<string> {
  return new Promise((done, fail) => {
    let answer = '';
    const socket = connect(served.port, host, () => socket.write(bytes, 'latin1'));
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text;
    });
    socket.on('close', () => done(answer));
    socket.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNREFUSED' ? fail(error) : done(answer)));
  });
}

const ask = (lines: readonly string[], target = '/', method = 'GET'): Promise<string> =>
  raw(`${[`${method} ${target} HTTP/1.1`, ...lines, 'Connection: close'].join('\r\n')}\r\n\r\n`);
const own = (): string => `Host: 127.0.0.1:${served.port}`;
const status = (answer: string): number => Number(answer.split(' ')[1]);

describe('who is answered', () => {
  it('S1: listens on loopback only', async () => {
    expect(status(await ask([own()]))).toBe(200);
    const others = Object.values(networkInterfaces())
      .flat()
      .filter((one) => one !== undefined && !one.internal && one.family === 'IPv4');
    for (const other of others)
      await expect(raw('GET / HTTP/1.1\r\n\r\n', other?.address), other?.address).rejects.toThrow('ECONNREFUSED');
  });

  it('S2: its own three names, in any case', async () => {
    for (const name of ['127.0.0.1', 'localhost', 'LocalHost', '[::1]'])
      expect([name, status(await ask([`Host: ${name}:${served.port}`]))]).toEqual([name, 200]);
  });

  it('S2: no other name, address, port or form, no second name, none at all', async () => {
    const { port } = served;
    const hosts = [
      ...[
        'evil.example',
        'localhost.evil.example',
        `localhost.evil.example:${port}`,
        '127.0.0.1.nip.io',
        `127.0.0.1.nip.io:${port}`,
      ],
      ...[
        'localhost',
        '127.0.0.1',
        `localhost:${port + 1}`,
        `127.0.0.1:0${port}`,
        `localhost.:${port}`,
        `127.0.0.1.:${port}`,
      ],
      ...[
        `127.1:${port}`,
        `127.0.0.2:${port}`,
        `0.0.0.0:${port}`,
        `2130706433:${port}`,
        `0x7f.1:${port}`,
        `0177.0.0.1:${port}`,
      ],
      ...[
        `[::]:${port}`,
        `[::ffff:127.0.0.1]:${port}`,
        `[0:0:0:0:0:0:0:1]:${port}`,
        `::1:${port}`,
        `user@localhost:${port}`,
      ],
      ...[
        `localhost:${port}/`,
        `localhost:${port} x`,
        `http://localhost:${port}`,
        `localhost:${port}#`,
        `localhost\t:${port}`,
      ],
      ...[`xn--localhost:${port}`, `localhost%2e:${port}`, `evil:${port}`, '', ' ', `:${port}`, '*'],
    ];
    for (const host of hosts) {
      const answer = await ask([`Host: ${host}`]);
      expect([host, [400, 403].includes(status(answer)), answer.includes('page')]).toEqual([host, true, false]);
    }
    expect(status(await ask([]))).toBe(400);
    expect(status(await ask([own(), own()]))).toBe(400);
    expect(status(await ask([own(), 'Host: evil.example']))).toBe(400);
    expect(status(await ask([own()], `http://127.0.0.1:${port}/`))).toBe(400);
    expect(status(await ask([own()], '*'))).toBe(400);
  });

  it('S3: no upgrade, from any origin', async () => {
    const upgrade = ['Upgrade: websocket', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Version: 13'];
    for (const origin of [
      [],
      [`Origin: http://127.0.0.1:${served.port}`],
      ['Origin: http://evil.example'],
      ['Origin: null'],
    ]) {
      const head = ['GET / HTTP/1.1', own(), 'Connection: Upgrade', ...upgrade, ...origin];
      expect(status(await raw(`${head.join('\r\n')}\r\n\r\n`))).toBe(400);
    }
    expect(status(await ask([own()], 'evil.example:443', 'CONNECT'))).toBe(400);
  });

  it('S3, S4: no request that another origin caused, and no word that would let it read', async () => {
    const { port } = served;
    const origins = [
      ...['http://evil.example', 'null', 'file://', `https://127.0.0.1:${port}`, `http://localhost.evil:${port}`, ''],
      ...[
        `http://127.0.0.1:${port + 1}`,
        'http://localhost',
        `http://127.0.0.1:${port}.evil.example`,
        `http://127.0.0.1:${port}/`,
      ],
      ...[
        `http://evil@127.0.0.1:${port}`,
        `HTTP://127.0.0.1:${port}`,
        `ws://127.0.0.1:${port}`,
        `chrome-extension://x:${port}`,
      ],
    ];
    for (const origin of origins) {
      const answer = await ask([own(), `Origin: ${origin}`], '/api/results');
      expect([origin, status(answer), /access-control/i.test(answer)]).toEqual([origin, 403, false]);
    }
    expect(status(await ask([own(), `Origin: http://localhost:${port}`], '/api/results'))).toBe(200);
    for (const site of ['cross-site', 'same-site', 'nonsense'])
      for (const mode of ['cors', 'no-cors', 'navigate', 'websocket'])
        expect(
          status(
            await ask(
              [own(), `Sec-Fetch-Site: ${site}`, `Sec-Fetch-Mode: ${mode}`, 'Sec-Fetch-Dest: empty'],
              '/api/results',
            ),
          ),
        ).toBe(403);
    const link = ['Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate'];
    expect(status(await ask([own(), ...link, 'Sec-Fetch-Dest: document']))).toBe(200);
    expect(status(await ask([own(), ...link, 'Sec-Fetch-Dest: iframe']))).toBe(403);
    expect(status(await ask([own(), ...link, 'Sec-Fetch-Dest: document'], '/api/results'))).toBe(403);
  });

  it('S4: no method but GET and HEAD', async () => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      const answer = await ask([own(), 'Access-Control-Request-Method: PUT'], '/api/results', method);
      expect([method, status(answer), /access-control/i.test(answer)]).toEqual([method, 405, false]);
      expect(answer).toContain('Allow: GET, HEAD');
    }
    const head = await ask([own()], '/', 'HEAD');
    expect([status(head), head.includes('page')]).toEqual([200, false]);
    expect(head).toMatch(/Content-Length: 19\r\n/);
    expect(await ask([own()], '/', 'get')).toMatch(/^HTTP\/1\.1 400/);
  });

  it('S5: nothing but what it has, whatever the path', async () => {
    expect(await ask([own()], '/assets/a%20b.js')).toMatch(/\r\n\r\nscript$/);
    const up = [
      '..',
      '%2e%2e',
      '%2E%2e',
      '.%2e',
      '%252e%252e',
      '..%2f',
      '..%5c',
      '..\\',
      '%c0%ae%c0%ae',
      '....//',
      '..;',
      '%u002e%u002e',
      '..%00',
    ];
    const paths = [
      ...up.flatMap((one) => [
        `/${one}/secret.txt`,
        `/assets/${one}/${one}/secret.txt`,
        `/${one}`,
        `//${one}/secret.txt`,
      ]),
      ...[
        '/link.txt',
        '/up/secret.txt',
        '/.git/config',
        '/.env',
        '/%2eenv',
        '/%2Egit/config',
        '/public-secret/x.txt',
        '/../public-secret/x.txt',
      ],
      ...[
        '//',
        '//evil.example',
        '/\\evil.example',
        '/./',
        '/index.html/',
        '/index.html.',
        '/INDEX.HTML',
        '/index.html%00',
        '/index.html::$DATA',
      ],
      ...[
        '/@fs/etc/passwd',
        '/@fs//etc/passwd?raw',
        '/@id/x',
        '/__open-in-editor',
        '/etc/passwd',
        '/C:/Windows/win.ini',
        '/assets',
        '/assets/',
      ],
      ...[
        '/index.html%20',
        '/%69ndex.html',
        '/index.html;x',
        '/#',
        '/index.html#',
        '/~root',
        '/assets/a b.js',
        '/%',
        '/%zz',
        '/api',
        '/api/',
      ],
      ...[
        '/api/results/0',
        '/api/results/-1',
        '/api/results/1/..',
        '/api/results/1.0',
        '/api/results/9e9',
        '/api/../results',
        '/api/x',
        '/__proto__',
      ],
      ...['/constructor', '/api/__proto__', '/api/results/%31', '/assets/a+b.js', '/assets/A%20B.js'],
    ];
    expect(paths.length).toBeGreaterThan(90);
    for (const path of paths) {
      const answer = await ask([own()], path);
      expect([path, [400, 404].includes(status(answer)), /secret|root:|page$|script$/.test(answer)]).toEqual([
        path,
        true,
        false,
      ]);
    }
    for (const query of ['?raw', '?import', '?url', '?raw??', '?x=/../../secret.txt'])
      expect(await ask([own()], `/${query}`)).toMatch(/\r\n\r\n<!doctype html>page$/);
  });

  it('S6: cuts off what is slow, too large, too much or no HTTP', async () => {
    const started = performance.now();
    expect(await raw(`GET / HTTP/1.1\r\n${own()}\r\nX: `)).toMatch(/^HTTP\/1\.1 (400|408)/);
    expect(await raw('G')).toMatch(/^(HTTP\/1\.1 (400|408)|$)/);
    expect(performance.now() - started).toBeGreaterThanOrEqual(TIMEOUT_MS);
    expect(status(await ask([own(), `X: ${'x'.repeat(17 * 1024)}`]))).toBe(431);
    expect(status(await ask([own(), ...Array.from({ length: 4000 }, (_, i) => `X${i}: 1`)]))).toBe(431);
    for (const garbage of [
      'GET /\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      '\r\n\r\n\0\0\0\r\n\r\n',
    ])
      expect(await raw(garbage)).toMatch(/^(HTTP\/1\.1 400|$)/);
    const pipelined = await raw(
      `${`GET / HTTP/1.1\r\n${own()}\r\n\r\n`.repeat(3)}GET / HTTP/1.1\r\n${own()}\r\nConnection: close\r\n\r\n`,
    );
    expect(pipelined.match(/HTTP\/1\.1 200/g)).toHaveLength(4);
    const many: Socket[] = Array.from({ length: 300 }, () => connect(served.port, '127.0.0.1').on('error', () => {}));
    // Those that say nothing are cut off after a while, and others are served.
    await expect.poll(async () => status(await ask([own()])), { timeout: 60_000, interval: TIMEOUT_MS }).toBe(200);
    for (const socket of many) socket.destroy();
  });

  it('S7: reads no body, and does not wait for one', async () => {
    for (const lines of [
      ['Content-Length: 1'],
      ['Content-Length: 999999999999'],
      ['Transfer-Encoding: chunked'],
      ['Content-Type: multipart/form-data; boundary=x', 'Content-Length: 7'],
      ['Expect: 100-continue', 'Content-Length: 10'],
    ])
      expect([lines, status(await ask([own(), ...lines]))]).toEqual([lines, 413]);
    expect(status(await ask([own(), 'Content-Length: 1', 'Content-Length: 2']))).toBe(400);
    expect(status(await ask([own(), 'Content-Length: 5', 'Transfer-Encoding: chunked']))).toBe(400);
    expect(status(await ask([own(), 'Content-Length: -1']))).toBe(400);
    expect(status(await ask([own(), 'Content-Length: 0']))).toBe(200);
  });

  it('S10: errors name no file, no program and nothing of the request', async () => {
    const answers = await Promise.all([
      ask([own()], '/<script>alert(1)</script>'),
      ask(['Host: <b>evil</b>']),
      ask([own()], '/api/results/<x>'),
      ask([own()], '/', 'DELETE'),
      raw('x'.repeat(20000)),
    ]);
    for (const answer of answers) expect(answer).not.toMatch(/<|evil|node|\.ts|at .*:\d+|\/home|\/tmp/i);
  });

  it('D3, D11: every answer carries the headers that keep others out', async () => {
    for (const target of ['/', '/assets/a%20b.js', '/api/results', '/none']) {
      const answer = await ask([own()], target);
      for (const [name, value] of Object.entries(HEADERS)) expect(answer).toContain(`${name}: ${value}\r\n`);
    }
    const policy = HEADERS['Content-Security-Policy'] ?? '';
    for (const part of [
      "default-src 'none'",
      "require-trusted-types-for 'script'",
      "frame-ancestors 'none'",
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
    ])
      expect(policy).toContain(part);
    expect(policy).not.toMatch(/'unsafe-eval'|script-src[^;]*unsafe-inline|https?:/);
  });
});

describe('the files of onnxruntime-web', () => {
  it('are offered where it is installed, are read when they are asked for, and 404 when they are gone', async () => {
    const place = temporaryFolder();
    const dist = join(place, 'node_modules/onnxruntime-web/dist');
    mkdirSync(dist, { recursive: true });
    writeFileSync(join(dist, '../package.json'), '{ "name": "onnxruntime-web", "main": "dist/main.js" }');
    for (const name of ['main.js', 'ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm', 'ort.webgl.js'])
      writeFileSync(join(dist, name), 'first');
    expect(rivalAssets([]).size).toBe(0);
    const assets = rivalAssets([join(place, 'package.json')]);
    expect([...assets.keys()]).toEqual(['/ort/ort.wasm.bundle.min.mjs', '/ort/ort-wasm-simd-threaded.wasm']);
    await using own = await serve({ port: 0, assets, api: async () => undefined });
    writeFileSync(join(dist, 'ort.wasm.bundle.min.mjs'), 'second');
    const first = await fetch(`${own.url}ort/ort.wasm.bundle.min.mjs`);
    expect([first.headers.get('content-type'), await first.text()]).toEqual([
      'text/javascript; charset=utf-8',
      'second',
    ]);
    rmSync(join(dist, 'ort-wasm-simd-threaded.wasm'));
    expect((await fetch(`${own.url}ort/ort-wasm-simd-threaded.wasm`)).status).toBe(404);
  });
});

describe('the program', () => {
  it('S9: a port that is taken is told, with what to do', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((done) => other.once('listening', done));
    onTestFinished(() => void other.close());
    const { port } = other.address() as { port: number };
    const { code, err } = await grim(['dashboard', '--port', String(port)]);
    expect([code, err]).toEqual([
      1,
      `grim: port ${port} is taken by another program. Choose another one with --port, or a free one with --port 0. [GRIM_CLI_PORT]\n`,
    ]);
  });

  it.for(['SIGINT', 'SIGTERM'] as const)(
    'S9, L5: %s ends it well, with a connection open, and the port is free again',
    async (signal, ctx) => {
      if (process.platform === 'win32') ctx.skip('Windows has no such signals');
      const { child, ended } = start(['dashboard', '--port', '0', '--json', TINY, '--dim', 'N=1'], {
        env: { ...process.env, GRIM_RESULTS: 'off' },
      });
      const { port, models } = JSON.parse(
        await new Promise<string>((done) => {
          let text = '';
          child.stdout?.on('data', (more) => {
            text += more;
            if (text.endsWith('}\n')) done(text);
          });
        }),
      );
      const model = await fetch(`http://127.0.0.1:${port}${models[0].url}`);
      expect(new Uint8Array(await model.arrayBuffer())).toEqual(new Uint8Array(readFileSync(TINY)));
      const open = connect(port, '127.0.0.1').on('error', () => {});
      await new Promise((done) => open.once('connect', done));
      child.kill(signal);
      expect(await ended).toMatchObject({ code: 0, err: '' });
      const next = createServer().listen(port, '127.0.0.1');
      await new Promise((done) => next.once('listening', done));
      next.close();
    },
  );

  it('serves the dashboard that was built into it, and the plain pages beside it', async (ctx) => {
    const built = join(ROOT, 'apps/cli/dist/dashboard/index.html');
    if (!existsSync(built)) ctx.skip('not built: npm run build');
    const { spawn } = await import('node:child_process');
    const env = { ...process.env, GRIM_RESULTS: 'off' };
    const program = join(ROOT, 'apps/cli/bin/grim.js');
    const child = spawn(process.execPath, [program, 'dashboard', '--port', '0', '--json'], { env });
    const ended = new Promise((done) => child.once('close', done));
    const { url } = JSON.parse(
      await new Promise<string>((done) => child.stdout.once('data', (text) => done(String(text)))),
    );
    expect(await (await fetch(url)).text()).toBe(readFileSync(built, 'utf8'));
    expect(await (await fetch(`${url}plain/`)).text()).toBe(
      readFileSync(join(ROOT, 'apps/cli/page/index.html'), 'utf8'),
    );
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  });

  it('L1: wrong usage is told in one line', async () => {
    for (const [argv, says] of [
      [['--port', '65536'], /number from 0 to 65535/],
      [['--port', '-1'], /--port/],
      [['--json=x.json'], /goes to stdout/],
      [[''], /<models> is empty/],
    ] as const)
      expect(await grim(['dashboard', ...argv])).toMatchObject({ code: 2, err: expect.stringMatching(says) });
    expect(await grim(['dashboard', 'none.grim'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('GRIM_CLI_NOT_FOUND'),
    });
  });
});

const EVIL = '"><img src=x onerror=alert(1)>\u202e\u0007.onnx';

async function database(): Promise<string> {
  const path = join(temporaryFolder(), 'r.sqlite');
  using results = await openResults(path, 'write');
  const run: Finished & Parameters<Results['add']>[0] = {
    ...{ kind: 'bench', model: 'nets/a.onnx', modelSha256: 'a', setting: {}, report: { rounds: 3 } },
    values: [{ what: 'ms of grim', value: 2, low: 1.9, high: 2.1, better: 'less' }],
    ...{ at: '2026-01-02T03:04:05Z', device: thisMachine(), commit: null, argv: ['bench', 'nets/a.onnx'] },
    versions: { grim: '0.1.0', node: '24', v8: '13' },
  };
  results.add(run);
  results.add({ ...run, values: [{ what: 'ms of grim', value: 1, low: 0.9, high: 1.1, better: 'less' }] });
  results.add({ ...run, model: EVIL, argv: ['bench', EVIL] });
  return path;
}

describe('what the page asks for', () => {
  it('gives runs without reports, one with it, and none where none are kept', async () => {
    const api = apiOf(await database(), []);
    const list = await api('results', new URLSearchParams('limit=2'));
    expect(list).toMatchObject({ status: 200, body: { schema: 'grim.results/1', runs: [{ id: 3 }, { id: 2 }] } });
    expect(await api('results/1', new URLSearchParams())).toMatchObject({
      status: 200,
      body: { run: { id: 1 }, report: { rounds: 3 } },
    });
    expect(await api('results/9', new URLSearchParams())).toBeUndefined();
    expect(await api('results', new URLSearchParams('kind=tune'))).toMatchObject({ body: { runs: [] } });
    expect(await apiOf(undefined, [])('results', new URLSearchParams())).toMatchObject({
      status: 200,
      body: { runs: [] },
    });
    const missing = apiOf(join(temporaryFolder(), 'none.sqlite'), []);
    expect(await missing('results', new URLSearchParams())).toMatchObject({ status: 200, body: { runs: [] } });
  });

  it('S10: a database that cannot be used is told without its path', async () => {
    const path = join(temporaryFolder(), 'r.sqlite');
    writeFileSync(path, 'text'.repeat(999));
    const { status: code, body } = (await apiOf(path, [])('results', new URLSearchParams())) ?? {};
    expect([code, JSON.stringify(body)]).toEqual([503, expect.stringContaining('GRIM_CLI_RESULTS')]);
    expect(JSON.stringify(body)).not.toContain(path);
  });
});

describe('pages in Chromium', () => {
  let browser: Browser | undefined;
  beforeAll(async () => {
    const path = findChromium();
    if (path) browser = await launchChromium(path);
  });
  afterAll(() => browser?.close());

  async function open(argv: readonly string[], at = 'plain/', cwd = ROOT) {
    const { child, ended } = start(['dashboard', '--port', '0', '--json', ...argv], {
      env: { ...process.env, GRIM_RESULTS: await database() },
      cwd,
    });
    onTestFinished(async () => {
      child.kill('SIGTERM');
      await ended;
    });
    const { url } = JSON.parse(
      await new Promise<string>((done) => child.stdout?.once('data', (text) => done(String(text)))),
    );
    const context = await (browser as Browser).newContext();
    onTestFinished(() => context.close());
    const page = await context.newPage();
    const { troubles, strangers } = watch(page, url.replace(/\/$/, ''));
    await page.goto(`${url}${at}`);
    return { page, troubles, strangers };
  }

  it('D1, D10: lists runs, names as text, draws one over time, asks nobody else', async (context) => {
    if (!browser) context.skip(NO_CHROMIUM);
    const { page, troubles, strangers } = await open([]);
    await page.waitForSelector('#runs tr');
    expect(await page.evaluate('crossOriginIsolated')).toBe(true);
    expect(await page.locator('#runs tr').count()).toBe(3);
    expect(await page.locator('#runs img').count()).toBe(0);
    expect(await page.locator('#runs tr').first().textContent()).toContain(
      '<img src=x onerror=alert(1)>\\u{202e}\\u{7}.onnx',
    );
    await page.getByRole('button', { name: 'run 2' }).click();
    expect(await page.locator('#trend-text').textContent()).toBe('ms of grim in 2 runs: 2 in run 1, 1 in run 2.');
    expect(await page.locator('#trend circle').count()).toBe(2);
    await page.setViewportSize({ width: 390, height: 800 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    expect([...troubles, ...strangers]).toEqual([]);
  });

  it('D3: the dashboard works under the policy it is served with, and measures onnxruntime-web where that is installed', async (context) => {
    if (!browser) context.skip(NO_CHROMIUM);
    if (!existsSync(join(ROOT, 'apps/dashboard/dist/index.html'))) context.skip('the dashboard is not built');
    // Of a folder for which it is installed.
    const { page, troubles, strangers } = await open([], '#model=small-cnn&tab=bench&rounds=5', join(ROOT, 'bench'));
    await page.waitForSelector('#contenders');
    const early = strangers.length;
    const asked: string[] = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    await page.getByLabel('onnxruntime-web beside it').check();
    expect(asked.filter((path) => path.startsWith('/ort/'))).toEqual([]);
    await page.getByRole('button', { name: 'Measure', exact: true }).click();
    await page.waitForSelector('[data-testid=contenders]', { timeout: 100_000 });
    const rows = await page.locator('[data-testid=contenders] tbody tr').allTextContents();
    expect(rows.at(-1)).toMatch(/^onnxruntime-web, 1 threadversion 1\.[^-]*[mµ]s/);
    expect(rows.filter((row) => row.includes('did not run'))).toEqual([]);
    // Threads too: their workers are scripts of this server.
    expect(rows.join()).toMatch(/\d of \d threads/);
    expect([early, ...troubles, ...strangers]).toEqual([0]);
  });

  it('runs two models in turn and says which is faster', async (context) => {
    if (!browser) context.skip(NO_CHROMIUM);
    const folder = temporaryFolder();
    const paths = await Promise.all(
      ['--dense'].map(async (how) => {
        const path = join(folder, `${how.slice(2)}.grim`);
        const { files } = await grim(['compile', TINY, '--dim', 'N=8', how, '-o', path]);
        writeFileSync(path, files[0]?.content ?? '');
        return path;
      }),
    );
    const { page, troubles, strangers } = await open([...paths, TINY, '--dim', 'N=8']);
    await page.getByRole('button', { name: 'Run them in turn' }).click();
    // A policy forbids to wait inside the page.
    await expect.poll(() => page.locator('#status').textContent(), { timeout: 100_000 }).toMatch(/Medians of|failed/);
    const said = await page.locator('#status').textContent();
    expect(said).toMatch(/^model\.onnx is \d+\.\d\d times as fast as dense\.grim\. Medians of 101 rounds/);
    expect(Number(await page.locator('#timed tr:nth-child(2) td:nth-child(6)').textContent())).toBeLessThan(1e-5);
    expect([...troubles, ...strangers]).toEqual([]);
  });
});
