/** Public names of `@grim/browser`, and nothing else. */
export type { Browser, Page } from 'playwright-core';
export { type BundleOptions, bundle } from './bundle.ts';
export { launchChromium } from './chromium.ts';
export { findChromium, NO_CHROMIUM } from './find.ts';
export { HEADERS, type Route, serve, type TestServer } from './server.ts';
export { watchTroubles } from './watch.ts';
