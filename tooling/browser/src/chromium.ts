/** A Chromium that is started for tests: headless, with a profile of its own, quiet on the network. */
import { type Browser, chromium } from 'playwright-core';

const FLAGS = [
  // Debian's has no set-uid helper, and root must not use the sandbox.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * @param executablePath  of {@link findChromium}
 * @param flags  besides the usual ones
 */
export function launchChromium(executablePath: string, flags: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags] });
}
