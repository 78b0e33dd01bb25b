/** The examples that are pages, in Chromium: served as they are, or built by Vite first. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Browser, findChromium, HEADERS, launchChromium, NO_CHROMIUM, serve, watch } from '@grim/browser';
import { afterAll, beforeAll, expect, inject, it, type TestContext } from 'vitest';
import { copyExample, ROOT, viteBuild } from './consumer.ts';
import { KEYWORD_TYPES } from './keyword-types.ts';
import { speech } from './speech.ts';

const consumer = inject('consumer');
const SEVEN = join(ROOT, 'apps/cli/demo/digits/7.png');

const chromium = findChromium();
let browser: Browser | undefined;
beforeAll(async () => {
  if (chromium) browser = await launchChromium(chromium);
});
afterAll(() => browser?.close());

function running(context: TestContext): Browser {
  return browser ?? context.skip(NO_CHROMIUM);
}

/** A page, and what went wrong in it. */
async function open(one: Browser, url: string) {
  const page = await (await one.newContext({ permissions: ['microphone'] })).newPage();
  const { troubles } = watch(page);
  await page.goto(url);
  return { page, troubles };
}

it('vanilla: a picture chosen in a page without a bundler is read', async (context) => {
  const one = running(context);
  const folder = copyExample(consumer, 'vanilla', 'digits.grim');
  const routes = { '/node_modules/': { folder: join(consumer, 'node_modules') }, '/': { folder } };
  await using server = await serve(routes, HEADERS.open);
  const { page, troubles } = await open(one, `${server.origin}/index.html`);
  await page.waitForFunction("document.querySelector('output').value === 'choose a picture'");
  await page.setInputFiles('input', SEVEN);
  await page.waitForFunction("/%\\)/.test(document.querySelector('output').value)");
  expect(await page.locator('output').textContent()).toMatch(/^7 \(\d+\.\d %\)$/);
  expect(troubles).toEqual([]);
});

it('react: a picture is read; development mode mounts twice and downloads once', async (context) => {
  const one = running(context);
  const folder = copyExample(consumer, 'react', 'digits.grim');
  // React mounts twice only as its development build.
  viteBuild(consumer, folder, 'development');
  await using server = await serve({ '/': { folder: join(folder, 'dist') } }, HEADERS.open);
  const { page, troubles } = await open(one, 'about:blank');
  const loads: string[] = [];
  page.on('request', (request) => request.url().endsWith('.grim') && loads.push(request.url()));
  await page.goto(`${server.origin}/index.html`);
  await page.waitForSelector('input');
  // React's development build, which mounts twice: only that one warns.
  const assets = join(folder, 'dist/assets');
  const scripts = readdirSync(assets).filter((name) => name.endsWith('.js'));
  expect(scripts.map((name) => readFileSync(join(assets, name), 'utf8')).join()).toContain('unique "key" prop');
  expect(loads).toHaveLength(1);
  await page.setInputFiles('input', SEVEN);
  await page.waitForSelector('output');
  expect(await page.locator('output').textContent()).toBe('7');
  expect(await page.locator('small').textContent()).toMatch(/^(relaxed|plain) SIMD, 1 thread$/);
  expect(troubles).toEqual([]);
});

it('offline: the page and its model work without the server', async (context) => {
  const one = running(context);
  const folder = copyExample(consumer, 'offline', 'digits.grim');
  const routes = { '/node_modules/': { folder: join(consumer, 'node_modules') }, '/': { folder } };
  const server = await serve(routes, HEADERS.open);
  const url = `${server.origin}/index.html`;
  const { page, troubles } = await open(one, url);
  const ready = () => page.waitForFunction("document.querySelector('output').value !== 'loading'");
  await ready();
  const before = await page.locator('output').textContent();
  expect(before?.split(' ')).toHaveLength(10);
  expect(troubles).toEqual([]);
  await server[Symbol.asyncDispose]();
  await page.reload();
  await ready();
  expect(await page.locator('output').textContent()).toBe(before);
});

it('keywords: a word said to the microphone is written down', async (context) => {
  if (!chromium) context.skip(NO_CHROMIUM);
  const data = process.env['GRIM_DATA'] ?? '';
  const network = resolve(data, 'models/kws_gru_l/model.onnx');
  const clip = (word: string) => resolve(data, `audio/${word}_1000ms.wav`);
  if (!existsSync(network) || !existsSync(clip('yes'))) context.skip(`no keyword network and clips in ${data}`);
  const folder = copyExample(consumer, 'keywords');
  execFileSync(process.execPath, ['model.ts', network], { cwd: folder, stdio: 'pipe' });
  viteBuild(consumer, folder);
  const types = execFileSync(process.execPath, ['--input-type=module', '--eval', KEYWORD_TYPES], { cwd: folder });
  expect(readFileSync(join(folder, 'keywords.grim.d.ts'), 'utf8')).toBe(types.toString());
  const sound = join(folder, 'microphone.wav');
  writeFileSync(
    sound,
    speech(['silence', 'yes', 'silence', 'no', 'silence', 'silence'].map((word) => readFileSync(clip(word)))),
  );
  const flags = [
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
    `--use-file-for-fake-audio-capture=${sound}%noloop`,
  ];
  await using hearing = await launchChromium(chromium as string, flags);
  await using server = await serve({ '/': { folder: join(folder, 'dist') } }, HEADERS.open);
  const { page, troubles } = await open(hearing, `${server.origin}/index.html`);
  await page.click('button');
  await page.waitForFunction("document.querySelectorAll('li').length === 2");
  expect(await page.locator('li').allTextContents()).toEqual(['yes', 'no']);
  expect(troubles).toEqual([]);
});
