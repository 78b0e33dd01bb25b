/** Public names of `@grim/browser`, and nothing else. */
export type { Browser } from 'playwright-core';
export { bundle } from './bundle.ts';
export { launchChromium, SOFTWARE_WEBGPU } from './chromium.ts';
export { NO_GPU, nodeAdapter, nullAdapter } from './dawn.ts';
export { findChromium, NO_CHROMIUM } from './find.ts';
export { type Opened, openPage, type Place } from './open.ts';
export { HEADERS, type Mode, type Route, serve } from './server.ts';
export { watch } from './troubles.ts';
