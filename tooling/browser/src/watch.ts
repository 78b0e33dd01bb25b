/** What goes wrong in a page without failing a test by itself: words on its console, exceptions that nobody caught. */
import type { BrowserContext } from 'playwright-core';

/** @returns a list that grows; take out what has been seen */
export function watchTroubles(context: BrowserContext): string[] {
  const troubles: string[] = [];
  context.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) troubles.push(`console: ${message.text()}`);
  });
  context.on('weberror', (error) => troubles.push(`uncaught: ${String(error.error())}`));
  return troubles;
}
