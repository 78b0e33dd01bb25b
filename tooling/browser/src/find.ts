/** Where a Chromium is. Imports nothing: scripts use it too. */
import { existsSync } from 'node:fs';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];

/** The program that CHROME_PATH names, else one of the usual places; undefined when there is none. */
export function findChromium(): string | undefined {
  return [process.env['CHROME_PATH'], ...PLACES].find((path) => path && existsSync(path));
}

/** Why a test that needs a browser is skipped. */
export const NO_CHROMIUM =
  'no Chrome or Chromium: `npm run browser` installs one where it can, or set CHROME_PATH to the program';
