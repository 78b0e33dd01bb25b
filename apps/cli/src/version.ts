import { readFileSync } from 'node:fs';

/** Of the package: its manifest stands one folder above this file, built or not. */
export function version(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return manifest.version;
}
