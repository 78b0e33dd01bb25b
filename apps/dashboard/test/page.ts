/** The page as it is built, on a server with the headers that it is served with, in Chromium; what went wrong in it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Browser, findChromium, launchChromium, type Route, serve, watch } from '@grim/browser';
import type { Page } from 'playwright-core';
import { HEADERS } from '../src/headers.ts';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');

/** What `grim dashboard` answers, with two runs of one line and one of another. */
function json(value: unknown): Route {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };
}
const RUN = {
  ...{ kind: 'bench', model: 'models/kws.onnx', subject: '0123456789ab', deviceKey: 'ba9876543210' },
  ...{ device: { cpu: 'a processor' }, argv: ['bench', 'kws.onnx'], commit: 'c0ffee0c0ffee0' },
};
const API: Readonly<Record<string, Route>> = {
  '/api/results': json({
    schema: 'grim.results/1',
    device: 'ba9876543210',
    runs: [
      {
        ...RUN,
        id: 3,
        at: '2026-11-03T10:00:00Z',
        values: [{ what: 'ms of grim', value: 2.4, low: 2.3, high: 2.5, better: 'less' }],
      },
      {
        ...RUN,
        id: 2,
        at: '2026-11-02T10:00:00Z',
        values: [{ what: 'ms of grim', value: 2, low: 1.9, high: 2.1, better: 'less' }],
      },
      {
        ...RUN,
        id: 1,
        at: '2026-11-01T10:00:00Z',
        model: '<b>\u202eevil',
        subject: 'f',
        values: [{ what: 'bytes', value: 9 }],
      },
      { id: 'no run', at: 'never' },
    ],
  }),
  '/api/models': json({
    schema: 'grim.models/1',
    models: [{ name: 'served.onnx', url: '/models/tiny-gru.onnx', bytes: 11328 }],
  }),
};

/** A camera and a microphone that give test signals, without being asked for. */
const FAKES = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

export interface Site extends AsyncDisposable {
  readonly origin: string;
  readonly browser: Browser;
}

export async function openSite(routes: Readonly<Record<string, Route>> = {}): Promise<Site | undefined> {
  const chromium = findChromium();
  if (!chromium) return undefined;
  const ort = dirname(createRequire(import.meta.url).resolve('onnxruntime-web'));
  const own = {
    '/': readFileSync(join(DIST, 'index.html'), 'utf8'),
    '/assets/': { folder: join(DIST, 'assets') },
    '/models/': { folder: join(DIST, 'models') },
    '/ort/': { folder: ort },
  };
  const server = await serve({ ...API, ...routes, ...own }, HEADERS);
  const browser = await launchChromium(chromium, FAKES);
  return {
    origin: server.origin,
    browser,
    async [Symbol.asyncDispose]() {
      await browser.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

export interface Opened {
  readonly page: Page;
  /** What the console complained of, and exceptions that nobody caught. */
  readonly troubles: readonly string[];
  /** Requests to anywhere else. */
  readonly strangers: readonly string[];
}

interface PageOptions {
  readonly hash?: string;
  readonly width?: number;
  readonly dark?: boolean;
  /** Runs before any script of the page. */
  readonly before?: string;
}

export async function openPage({ browser, origin }: Site, options: PageOptions = {}): Promise<Opened> {
  const { hash = '', width = 1440, dark = false, before = '' } = options;
  const context = await browser.newContext({
    viewport: { width, height: width < 700 ? 844 : 900 },
    colorScheme: dark ? 'dark' : 'light',
    permissions: ['camera', 'microphone', 'clipboard-read', 'clipboard-write'],
    acceptDownloads: true,
  });
  if (before !== '') await context.addInitScript(before);
  const page = await context.newPage();
  const { troubles, strangers } = watch(page, origin);
  await page.goto(`${origin}/${hash}`);
  return { page, troubles, strangers };
}

/** A file is dropped on the page, as a person drops it: through a chooser that Chromium hands the path to. */
export async function openModel(page: Page, file: string): Promise<void> {
  await page.setInputFiles('[data-testid=model-file]', file);
}

/** Until nothing is under way any more. */
export async function idle(page: Page): Promise<void> {
  await page.waitForSelector('.busy', { state: 'detached', timeout: 110_000 });
}
