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

/** For WebGPU on machines without a GPU: the adapter that Chromium brings along, which computes on the CPU. */
export const SOFTWARE_WEBGPU: readonly string[] = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
];

/**
 * @param executablePath  of {@link findChromium}
 * @param flags  besides the usual ones
 */
export function launchChromium(executablePath: string, flags: readonly string[] = []): Promise<Browser> {
  const own = flags.includes('--enable-unsafe-webgpu') ? FLAGS.filter((flag) => flag !== '--disable-gpu') : FLAGS;
  return chromium.launch({ executablePath, args: [...own, ...flags] });
}
