/** What goes wrong in pages: words on their consoles, exceptions that nobody caught, requests to strangers. */
import type { BrowserContext, Page } from 'playwright-core';

interface Watched {
  /** Grows while the pages live. */
  readonly troubles: readonly string[];
  /** Addresses of other servers that were asked for. */
  readonly strangers: readonly string[];
}

/**
 * @param pages  one page, or a context with all its pages
 * @param origin  of the server whose requests are no strangers'; undefined: any is
 */
export function watch(pages: Page | BrowserContext, origin?: string): Watched {
  const [troubles, strangers]: [string[], string[]] = [[], []];
  const context = 'context' in pages ? pages.context() : pages;
  const mine = (page: Page | null) => pages === context || page === pages;
  context.on('console', (message) => {
    const asked = message.location().url.endsWith('/favicon.ico');
    if (mine(message.page()) && ['error', 'warning'].includes(message.type()) && !asked)
      troubles.push(`console: ${message.text()}`);
  });
  context.on('weberror', (error) => {
    if (mine(error.page())) troubles.push(`uncaught: ${String(error.error())}`);
  });
  context.on('request', (request) => {
    const url = request.url();
    if (origin === undefined || url === origin || url.startsWith(`${origin}/`) || /^(?:blob|data):/.test(url)) return;
    strangers.push(url);
  });
  return { troubles, strangers };
}
