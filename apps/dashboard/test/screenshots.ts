/**
 * Writes docs/screenshots: the page as people see it, wide and on a phone, light and dark. `npm run screenshots`, after a build;
 * names of pictures behind it: these alone.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { idle, openModel, openPage, openSite } from './page.ts';

const FOLDER = join(import.meta.dirname, '../../../docs/screenshots');
const KEYWORDS = join(import.meta.dirname, '../../../../shared/data/models/kws_gru_l/model.onnx');

interface Shot {
  readonly name: string;
  readonly hash: string;
  readonly alsoDark?: true;
  act?(page: Page): Promise<void>;
}

const press = async (page: Page, name: string) => {
  await page.getByRole('button', { name, exact: true }).first().click();
  await page.waitForTimeout(300);
  await idle(page);
};

const SHOTS: readonly Shot[] = [
  { name: 'start', hash: '' },
  { name: 'model', hash: '#model=small-cnn', alsoDark: true, act: (page) => press(page, 'Run once') },
  {
    name: 'prune',
    alsoDark: true,
    hash: '#tab=prune&rows=32&cols=128&samples=16',
    async act(page) {
      await openModel(
        page,
        process.env['GRIM_DATA'] ? join(process.env['GRIM_DATA'], 'models/kws_gru_l/model.onnx') : KEYWORDS,
      );
      await page.waitForSelector('#choices');
      await idle(page);
      await press(page, 'Prune');
    },
  },
  {
    name: 'bench',
    hash: '#model=small-cnn&tab=prune&density=0.4&rows=4&threads=1&ort=true',
    async act(page) {
      await press(page, 'Prune');
      await page.click('#tab-bench');
      await press(page, 'Measure');
    },
  },
  {
    name: 'crossbar',
    hash: '#model=small-cnn&tab=crossbar',
    async act(page) {
      await page.waitForSelector('[data-testid=crossbar]');
      await press(page, 'Find them');
      await press(page, 'Prove and solve');
    },
  },
];

const only = process.argv.slice(2);
await using site = await openSite();
if (!site) throw new Error('no Chromium');
mkdirSync(FOLDER, { recursive: true });
for (const [width, dark] of [
  [1440, false],
  [1440, true],
  [390, false],
] as const)
  for (const { name, hash, act, alsoDark } of SHOTS) {
    if ((dark && !alsoDark) || (only.length > 0 && !only.includes(name))) continue;
    const { page } = await openPage(site, { hash, width, dark });
    if (hash.includes('model=')) await page.waitForSelector('.opened');
    await idle(page);
    await act?.(page);
    // Charts are drawn in tasks of their own.
    await page.waitForTimeout(800);
    await page.mouse.move(0, 0);
    await page.screenshot({ path: join(FOLDER, `${name}-${width}${dark ? '-dark' : ''}.png`), fullPage: true });
    await page.context().close();
  }
