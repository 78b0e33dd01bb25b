/** A page of its own on a server of its own, whose script waits to play scenes (stage.ts). */
import type { Browser } from 'playwright-core';
import { HEADERS, type Mode, type Route, serve } from './server.ts';
import { watch } from './troubles.ts';

/** Where scenes are played. */
export type Place = 'page' | 'module' | 'classic' | 'service';

export interface OpenOptions {
  readonly mode: Mode;
  readonly place: Place;
  readonly routes: Readonly<Record<string, Route>>;
  /** Runs in the page before anything else. */
  readonly before?: string | undefined;
}

export interface Opened extends AsyncDisposable {
  readonly origin: string;
  /** Plays a scene where `place` says. Both its argument and its result are JSON. */
  call(name: string, argument?: unknown): Promise<unknown>;
  evaluate(code: string): Promise<unknown>;
  setOffline(offline: boolean): Promise<void>;
  /** Stops all pages and workers of the browser, as a machine that sleeps or a page that is frozen does. */
  standStill(ms: number): Promise<void>;
  /** What the console, the page and the worker complained of since the last question. */
  troubles(): Promise<string[]>;
}

export async function openPage(browser: Browser, { mode, place, routes, before }: OpenOptions): Promise<Opened> {
  const server = await serve(routes, HEADERS[mode]);
  const context = await browser.newContext();
  const { troubles: heard } = watch(context);
  let told = 0;
  if (before !== undefined) await context.addInitScript(before);
  const tab = await context.newPage();
  await tab.goto(server.origin);
  await tab.waitForFunction('"call" in globalThis');
  const call = (where: Place, name: string, argument?: unknown): Promise<unknown> =>
    tab.evaluate(`call(${[where, name, argument].map((value) => JSON.stringify(value) ?? 'undefined').join()})`);
  return {
    origin: server.origin,
    call: (name, argument) => call(place, name, argument),
    evaluate: (code) => tab.evaluate(code),
    setOffline: (offline) => context.setOffline(offline),
    async standStill(ms) {
      const session = await browser.newBrowserCDPSession();
      const { processInfo } = await session.send('SystemInfo.getProcessInfo');
      const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
      try {
        for (const id of renderers) process.kill(id, 'SIGSTOP');
        await new Promise((resolve) => setTimeout(resolve, ms));
      } finally {
        for (const id of renderers) process.kill(id, 'SIGCONT');
        await session.detach();
      }
    },
    async troubles() {
      const places: readonly Place[] = place === 'page' ? ['page'] : ['page', place];
      const found = await Promise.all(places.map((where) => call(where, 'troubles') as Promise<string[]>));
      const fresh = heard.slice(told);
      told = heard.length;
      return [...fresh, ...found.flat()];
    },
    async [Symbol.asyncDispose]() {
      await context.close();
      await server[Symbol.asyncDispose]();
    },
  };
}
