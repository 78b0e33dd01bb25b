/**
 * The page in Chromium, used as a person uses it, on the networks of the repository and on real ones: opened, pruned, run,
 * measured, exported, shared; with files that mean harm; by keyboard; checked by axe.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NO_CHROMIUM } from '@grim/browser';
import { graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { idle, type Opened, openModel, openPage, openSite, type Site } from './page.ts';
import { type Tasks, traceTasks } from './tasks.ts';

const MODELS = join(process.env['GRIM_DATA'] ?? '', 'models');

let site: Site | undefined;
let folder: string;
beforeAll(async () => {
  site = await openSite();
  folder = mkdtempSync(join(tmpdir(), 'grim-dashboard-'));
});
afterAll(async () => {
  await site?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function opened(context: TestContext, options: Parameters<typeof openPage>[1] = {}): Promise<Opened> {
  return openPage(site ?? context.skip(NO_CHROMIUM), options);
}

async function press(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name, exact: true }).first().click();
}

const poll = <T>(what: () => Promise<T>) => expect.poll(what, { timeout: 60_000 });
const texts = (page: Page, selector: string) => page.locator(selector).allTextContents();

/** Findings that keep people out. */
async function seriousFindings(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const found = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as {
    readonly violations: readonly {
      readonly id: string;
      readonly impact: string;
      readonly nodes: readonly { readonly html: string }[];
    }[];
  };
  return found.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
}

/**
 * The page could answer all but a five-hundredth of the time, and the trace did see it work. To compile or to prune on its thread
 * would take more than that of any visit here.
 */
function stayedFree({ count, longest, blocked }: Tasks): void {
  expect(count).toBeGreaterThan(100);
  expect(blocked, `longest tasks: ${longest.map((ms) => ms.toFixed(1)).join(', ')} ms`).toBeLessThan(1 / 500);
}

async function downloaded(
  page: Page,
  act: () => Promise<void>,
): Promise<{ readonly name: string; readonly content: Buffer }> {
  const [download] = await Promise.all([page.waitForEvent('download'), act()]);
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
}

describe('a built-in network', () => {
  it('is opened, run, pruned, measured, exported and shared; the page stays free meanwhile', async (context) => {
    const { page, troubles, strangers } = await opened(context);
    let trace = await traceTasks(page);
    await page.getByRole('button', { name: 'Small CNN' }).click();
    await page.waitForSelector('#layers');
    await idle(page);
    await poll(() => texts(page, 'tbody th')).toEqual([
      'layer0',
      'layer1',
      'layer2.depthwise',
      'layer2.pointwise',
      'layer4',
    ]);
    // A picture that nobody trained on, and what the network says it is.
    await press(page, 'Run once');
    await page.waitForSelector('[data-testid=output]');
    await idle(page);
    const [wanted] = await texts(page, '.output + p');
    expect(wanted).toMatch(/^The input was: \d$/);
    expect((await texts(page, '.output li:first-child span:first-child'))[0]).toBe(wanted?.at(-1));
    stayedFree(await trace.stop());
    expect(await seriousFindings(page)).toEqual([]);

    trace = await traceTasks(page);
    await page.click('#tab-prune');
    await page.selectOption('select >> nth=0', { label: '4 × all' });
    await page.getByRole('slider').fill('0.5');
    await press(page, 'Prune');
    await page.waitForSelector('[data-testid=outcome]');
    await idle(page);
    const outcome = (await texts(page, '[data-testid=outcome]')).join();
    expect(outcome).toMatch(/of 16 inputs/);
    expect(Number(/right: (\d+) %/.exec(outcome)?.[1])).toBeGreaterThan(60);
    expect(await page.getByRole('radio', { name: 'pruned' }).isChecked()).toBe(true);
    expect(await seriousFindings(page)).toEqual([]);

    const file = await downloaded(page, () => press(page, 'Save as .grim'));
    expect(file.name).toBe('small-cnn-pruned.grim');
    expect(file.content.subarray(0, 4).toString()).toBe('GRIM');
    const chart = 'Weights that stay, layer by layer';
    const csv = await downloaded(page, () => press(page, `Save the data of "${chart}" as CSV`));
    expect(csv.name).toBe('Weights-that-stay--layer-by-layer.csv');
    expect(csv.content.toString().split('\r\n')).toHaveLength(7);
    const svg = await downloaded(page, () => press(page, `Save "${chart}" as SVG`));
    expect(svg.content.toString()).toMatch(/^<svg[^>]* xmlns="http:\/\/www.w3.org\/2000\/svg"[\s\S]*<\/svg>\n$/);

    await page.click('#tab-bench');
    await page.getByLabel('Rounds').fill('5');
    await page.getByLabel('onnxruntime-web beside it').check();
    await press(page, 'Measure');
    await page.waitForSelector('[data-testid=contenders]');
    await idle(page);
    const contenders = await texts(page, '[data-testid=contenders] tbody tr');
    expect(contenders.length).toBeGreaterThanOrEqual(3);
    // Isolated, so threads are refused for want of work alone, and all that runs was found to agree.
    expect(contenders.filter((row) => row.includes('did not run'))).toEqual([]);
    expect(contenders.at(-1)).toMatch(/^onnxruntime-web, 1 threadversion 1\./);
    await page.waitForSelector('.figure:nth-of-type(1) svg');
    await poll(() => page.locator('.plot svg').count()).toBe(3);
    stayedFree(await trace.stop());
    expect(await seriousFindings(page)).toEqual([]);

    // The same link on another page sets the same.
    await press(page, 'Copy link');
    const link = page.url();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(link);
    const second = await opened(context, { hash: new URL(link).hash });
    await second.page.waitForSelector('#contenders');
    await idle(second.page);
    expect(second.page.url()).toBe(link);
    expect(await second.page.getByLabel('Rounds').inputValue()).toBe('5');
    await second.page.click('#tab-prune');
    expect(await second.page.getByRole('slider').inputValue()).toBe('0.5');
    expect([...troubles, ...second.troubles, ...strangers, ...second.strangers]).toEqual([]);
    await Promise.all([page.context().close(), second.page.context().close()]);
  });

  it('a compiled file is opened again, run and measured; it says why it cannot be pruned', async (context) => {
    const { page, troubles } = await opened(context, { hash: '#model=tiny-gru' });
    await page.waitForSelector('#layers');
    await idle(page);
    const file = await downloaded(page, () => press(page, 'Save as .grim'));
    const path = join(folder, file.name);
    writeFileSync(path, file.content);
    await openModel(page, path);
    await page.getByRole('heading', { name: 'Compiled network' }).waitFor();
    await idle(page);
    await poll(() => texts(page, 'tbody th')).toEqual(['layer0', 'layer0', 'layer1']);
    await press(page, 'Run once');
    await page.waitForSelector('[data-testid=output]');
    await page.click('#tab-prune');
    expect(await texts(page, '.note')).toEqual([expect.stringContaining('Open the ONNX file')]);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('D6: work is cancelled, and the page works on', async (context) => {
    const { page, troubles } = await opened(context, { hash: '#model=small-cnn&tab=prune&samples=512' });
    await page.waitForSelector('#choices');
    await idle(page);
    await press(page, 'Prune');
    await press(page, 'Cancel');
    await idle(page);
    expect(await page.locator('[data-testid=outcome], .trouble').count()).toBe(0);
    // Another network while one is being pruned: no mixture of both.
    await press(page, 'Prune');
    await openModel(page, join(import.meta.dirname, '../../cli/demo/tiny-gru/model.onnx'));
    await poll(() => texts(page, '.opened .name')).toEqual(['model.onnx']);
    await idle(page);
    expect(await page.locator('[data-testid=outcome], .trouble').count()).toBe(0);
    await page.click('#tab-model');
    await poll(() => texts(page, 'tbody th')).toEqual(['layer0/W', 'layer0/R', 'layer1']);
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});

describe('files as they come', () => {
  it('lengths that a file leaves open are asked for, where it opens without them and where not', async (context) => {
    const { page, troubles } = await opened(context);
    await openModel(page, join(import.meta.dirname, '../../cli/demo/tiny-cnn/model.onnx'));
    await page.waitForSelector('#layers');
    await idle(page);
    const length = page.getByRole('spinbutton', { name: 'N =' });
    expect(await length.inputValue()).toBe('1');
    await length.fill('4');
    await press(page, 'Open with these');
    await poll(() => texts(page, '.facts dd')).toContainEqual(expect.stringContaining('[4, '));
    await idle(page);
    expect(await length.inputValue()).toBe('4');
    expect(new URL(page.url()).hash).toContain('lengths=4');
    const net = graph('halves', (b) => {
      const x = b.input('x', 'float32', ['rows', 3]);
      const shape = b.weight('shape', { dtype: 'int64', shape: [2], data: new BigInt64Array([2n, -1n]) });
      b.output('y', b.add('Relu', [b.add('Reshape', [x, shape])]));
    });
    const path = join(folder, 'halves.onnx');
    writeFileSync(path, toOnnx(net));
    await openModel(page, path);
    await page.waitForSelector('.trouble');
    await page.getByText('does not open with these').waitFor();
    expect(await texts(page, '.opened .name')).toEqual(['model.onnx']);
    await page.getByRole('spinbutton', { name: 'rows =' }).fill('6');
    await press(page, 'Open with these');
    await poll(() => texts(page, '.opened .name')).toEqual(['halves.onnx']);
    await idle(page);
    expect(await texts(page, '.facts dd')).toContainEqual(expect.stringContaining('[6, 3]'));
    expect(await page.locator('.trouble').count()).toBe(0);
    expect(await seriousFindings(page)).toEqual([]);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('a network that comes pruned is known by its zeros, and compiled by its blocks', async (context) => {
    const { page, troubles } = await opened(context, {
      hash: '#model=small-cnn&tab=prune&density=0.3&rows=4&method=wanda',
    });
    await page.waitForSelector('#choices');
    await idle(page);
    await press(page, 'Prune');
    await page.waitForSelector('[data-testid=outcome]');
    await idle(page);
    const file = await downloaded(page, () => press(page, 'Save as ONNX'));
    const path = join(folder, file.name);
    writeFileSync(path, file.content);
    await openModel(page, path);
    await poll(() => texts(page, '.opened .name')).toEqual([file.name]);
    await idle(page);
    await page.click('#tab-model');
    await poll(() => texts(page, '.facts dd')).toContainEqual(expect.stringMatching(/zeros of .* form blocks/));
    await poll(() => texts(page, 'tbody td:nth-child(8)')).toContainEqual(expect.stringMatching(/^4×\d+$/));
    await page.click('#tab-bench');
    await page.getByLabel('Rounds').fill('5');
    await press(page, 'Measure');
    await page.waitForSelector('[data-testid=contenders]');
    expect((await texts(page, '[data-testid=contenders] tbody th'))[0]).toMatch(/^as opened, WebAssembly/);
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});

describe('crossbars', () => {
  it('sliders say at once what columns, converters and cells are worth; designs, proof and wires follow', async (context) => {
    const { page, troubles } = await opened(context, { hash: '#model=small-cnn&tab=crossbar' });
    await page.waitForSelector('[data-testid=crossbar]');
    await idle(page);
    const heading = page.locator('#worth');
    const bits = async () => Number(/of (\d+) bits/.exec((await heading.textContent()) ?? '')?.[1]);
    const all = await bits();
    expect(await heading.textContent()).toContain('exact for every input');
    // Two non-zeros of 2-bit cells need three bits, and one for the sign.
    await page.getByRole('slider', { name: 'Non-zeros in a column' }).fill('1');
    await poll(bits).toBe(4);
    expect(all).toBeGreaterThan(4);
    await idle(page);
    await press(page, 'Find them');
    await page.getByRole('heading', { name: 'Energy and agreement' }).waitFor();
    await idle(page);
    const csv = await downloaded(page, () => press(page, 'Save the data of "Energy and agreement" as CSV'));
    expect(csv.content.toString().split('\r\n').length).toBeGreaterThan(40);
    await press(page, 'Prove and solve');
    await page.waitForSelector('[data-testid=certificate]');
    await idle(page);
    expect(await page.locator('[data-testid=certificate]').textContent()).toMatch(/exact for every input.*agrees/);
    expect(await seriousFindings(page)).toEqual([]);
    expect(new URL(page.url()).hash).toContain('cp=2');
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});

describe('what is around', () => {
  it('a camera and a microphone are answered, and let go', async (context) => {
    const { page, troubles } = await opened(context, { hash: '#model=small-cnn&tab=try' });
    await page.waitForSelector('#sources');
    await idle(page);
    for (const [name, first] of [
      ['Digits, by camera', /^\d$/],
      ['Sounds, by microphone', /^(falling|long|rising|twice)$/],
    ] as const) {
      await press(page, name);
      await page.waitForSelector('[data-testid=shares] li');
      await poll(async () => (await texts(page, '[data-testid=shares] li:first-child span:first-child'))[0]).toMatch(
        first,
      );
    }
    expect(await seriousFindings(page)).toEqual([]);
    await press(page, 'Stop');
    expect(await page.locator('[data-testid=shares] li').count()).toBe(0);
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});

describe('a server that keeps runs', () => {
  it('its runs are a tab, with what got worse; its models can be opened', async (context) => {
    const { page, troubles } = await opened(context);
    await press(page, 'Recorded runs of this machine');
    await page.waitForSelector('[data-testid=runs]');
    expect(await texts(page, '[data-testid=runs] tbody th')).toEqual(['kws.onnx', 'kws.onnx', '<b>\ufffdevil']);
    await page.getByText('The last one is worse than the one before by 20.0 %.').first().waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    await page.click('#tab-model');
    await page.getByRole('button', { name: 'served.onnx' }).click();
    await page.waitForSelector('#layers');
    await idle(page);
    expect(await texts(page, '.opened .name')).toEqual(['served.onnx']);
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});

describe('real networks', () => {
  it.for([
    ['kws_gru_l', 'tab=prune&rows=32&cols=128&method=wanda&samples=4', '1200 × 400 = 480,000 weights'],
    ['mobilenet_v2_imagenet', 'tab=prune&rows=8&cols=128&method=magnitude&samples=1', 'blocks of 8 × 128'],
  ] as const)('%s is dropped, pruned, run and measured', async ([name, hash, map], context) => {
    const path = join(MODELS, name, 'model.onnx');
    if (!existsSync(path)) context.skip(`no ${name} in the data folder (GRIM_DATA)`);
    const { page, troubles, strangers } = await opened(context, { hash: `#${hash}&rounds=5&threads=1` });
    const trace = await traceTasks(page);
    await openModel(page, path);
    await page.waitForSelector('#choices');
    await idle(page);
    // A real input, as its test data has it.
    await page.setInputFiles('[data-testid=sample-files]', join(MODELS, name, 'test_data_set_0/input_0.pb'));
    await poll(() => texts(page, '#choices ~ p.muted')).toContain('Inputs: the files that were given.');
    await idle(page);
    await press(page, 'Prune');
    await page.waitForSelector('[data-testid=outcome]', { timeout: 110_000 });
    await idle(page);
    await expect
      .poll(() => texts(page, '#weights ~ .summary, .card .summary'))
      .toContainEqual(expect.stringContaining(map));
    const outcome = (await texts(page, '[data-testid=outcome]')).join();
    expect(outcome).toMatch(/25 % of the weights|2[0-9] % of the weights/);
    await page.click('#tab-bench');
    await press(page, 'Measure');
    await page.waitForSelector('[data-testid=contenders]', { timeout: 110_000 });
    await idle(page);
    expect(await page.locator('[data-testid=contenders] tbody tr').count()).toBe(2);
    await page.click('#tab-model');
    await press(page, 'Run once');
    await page.waitForSelector('[data-testid=output]');
    await idle(page);
    stayedFree(await trace.stop());
    await page.click('#tab-crossbar');
    await page.waitForSelector('[data-testid=crossbar]', { timeout: 110_000 });
    await idle(page);
    const chart = 'Bits that each layer needs';
    const svg = await downloaded(page, () => press(page, `Save "${chart}" as SVG`));
    expect(svg.content.toString()).toMatch(/^<svg/);
    const csv = await downloaded(page, () => press(page, `Save the data of "${chart}" as CSV`));
    expect(csv.content.toString().split('\r\n').length).toBeGreaterThan(4);
    expect([...troubles, ...strangers]).toEqual([]);
    await page.context().close();
  });
});

describe('files that mean harm, or nothing', () => {
  it('D1: names with HTML, bidirectional and control characters are text', async (context) => {
    const evil = '<img src=x onerror="globalThis.hacked=1">\u202egnp\u0007</td><script>hacked=1</script>';
    const net = graph(evil, (b) => {
      const x = b.input(evil, 'float32', [1, 8]);
      const w = b.weight(`${evil} w`, { dtype: 'float32', shape: [8, 8], data: new Float32Array(64).fill(0.5) });
      b.output(`${evil} y`, b.add('MatMul', [x, w], {}, { name: `${evil} node`, output: `${evil} z` }));
    });
    const path = join(folder, '<b>name.onnx');
    writeFileSync(path, toOnnx(net));
    const { page, troubles } = await opened(context);
    await openModel(page, path);
    await page.waitForSelector('#layers');
    await idle(page);
    await press(page, 'Run once');
    await page.waitForSelector('[data-testid=output]');
    expect(await page.evaluate('globalThis.hacked')).toBeUndefined();
    expect(await page.locator('#app img, #app script, #app b').count()).toBe(0);
    const all = (await page.locator('#app').textContent()) ?? '';
    expect(all).toContain('<b>name.onnx');
    expect(all).toContain('<img src=x onerror="globalThis.hacked=1">\\u{202e}gnp\\u{7}</td>');
    expect(['\u202e', '\u0007'].filter((one) => all.includes(one))).toEqual([]);
    expect(troubles).toEqual([]);
    // And where a script would make markup of text, the browser refuses: only the page's policy makes scripts' addresses.
    const refused = (code: string) =>
      page.evaluate(`(() => { try { ${code} } catch (error) { return error.name } return 'done' })()`);
    expect(await refused("document.createElement('p').innerHTML = '<b>'")).toBe('TypeError');
    expect(await refused("new Worker('https://example.com/x.js')")).toBe('TypeError');
    await page.context().close();
  });

  it('D4: a file of 2 GB is refused before it is read; empty ones, pictures and others say what they are', async (context) => {
    const huge = join(folder, 'huge.onnx');
    const handle = openSync(huge, 'w');
    ftruncateSync(handle, 2 ** 31);
    closeSync(handle);
    writeFileSync(join(folder, 'empty.onnx'), '');
    writeFileSync(join(folder, 'page.onnx'), '<!doctype html>not found');
    writeFileSync(join(folder, 'cut.grim'), 'GRIM\u0001');
    writeFileSync(
      join(folder, 'noise.onnx'),
      Uint8Array.from({ length: 999 }, (_, i) => (i * 89) % 251),
    );
    const { page, troubles } = await opened(context, {
      before: `
        globalThis.reads = 0;
        for (const name of ['arrayBuffer', 'stream', 'text', 'slice']) {
          const own = Blob.prototype[name];
          Blob.prototype[name] = function (...given) { reads++; return own.apply(this, given); };
        }`,
    });
    for (const [file, said] of [
      [huge, /2048 MiB; this page opens files up to 512 MiB.*Nothing was read/],
      [join(folder, 'empty.onnx'), /is empty/],
      [join(folder, 'page.onnx'), /is a web page/],
      [join(folder, 'cut.grim'), /GRIM_RUNTIME_/],
      [join(folder, 'noise.onnx'), /GRIM_ONNX_/],
      [join(import.meta.dirname, '../../cli/demo/../../../docs/ablation.svg'), /GRIM_|XML/],
    ] as const) {
      await openModel(page, file);
      await page.waitForSelector('.trouble');
      await idle(page);
      expect(await page.locator('.trouble').textContent()).toMatch(said);
      await page.getByRole('button', { name: 'Dismiss' }).click();
      expect(await page.locator('.trouble').count()).toBe(0);
    }
    expect(await page.evaluate('reads')).toBe(0);
    // And it still works.
    await page.getByRole('button', { name: 'Sound GRU' }).click();
    await page.waitForSelector('#layers');
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('D4, D8: what is dropped on the page is opened; a crash of the engine is said, and survived', async (context) => {
    const bytes = readFileSync(join(import.meta.dirname, '../../cli/demo/small-cnn/model.onnx')).toString('base64');
    const { page, troubles } = await opened(context, {
      // The engine as it starts, so that it can be ended from outside.
      before: `
        globalThis.Worker = class extends Worker {
          constructor(...given) { super(...given); globalThis.engine = this; }
        };`,
    });
    const drop = `
      const bytes = Uint8Array.from(atob(${JSON.stringify(bytes)}), (c) => c.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], 'dropped.onnx'));
      for (const type of ['dragenter', 'dragover', 'drop'])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));`;
    await page.waitForSelector('.start');
    await page.evaluate(drop);
    await page.waitForSelector('#layers');
    await idle(page);
    expect(await texts(page, '.opened .name')).toEqual(['dropped.onnx']);
    await page.click('#tab-prune');
    await press(page, 'Prune');
    await page.evaluate(
      "engine.dispatchEvent(new ErrorEvent('error', { message: 'out of memory', cancelable: true }))",
    );
    await page.waitForSelector('.trouble');
    expect(await page.locator('.trouble').textContent()).toContain('The engine stopped: out of memory');
    await idle(page);
    await press(page, 'Prune');
    await page.waitForSelector('[data-testid=outcome]');
    await idle(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('D5: a graph of twenty thousand nodes is a list that scrolls', async (context) => {
    const net = graph('long', (b) => {
      let value = b.input('x', 'float32', [1, 4]);
      for (let i = 0; i < 20_000; i++) value = b.add(i % 2 ? 'Relu' : 'Neg', [value]);
      b.output('y', value);
    });
    const path = join(folder, 'long.onnx');
    writeFileSync(path, toOnnx(net));
    const { page, troubles } = await opened(context);
    await openModel(page, path);
    await page.waitForSelector('.nodes li', { timeout: 110_000 });
    await idle(page);
    expect(await page.locator('.nodes li').count()).toBeLessThan(100);
    await page.locator('.nodes').evaluate((list) => list.scrollTo(0, list.scrollHeight));
    await poll(() => page.locator('.nodes li').last().getAttribute('aria-posinset')).toBe('20000');
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});

describe('without a mouse, and on a phone', () => {
  it('tabs, tables and pictures of weights are used by keyboard', async (context) => {
    const { page, troubles } = await opened(context, { hash: '#model=small-cnn' });
    await page.waitForSelector('.map canvas');
    await idle(page);
    await page.locator('#tab-model').focus();
    await page.keyboard.press('ArrowRight');
    expect(await page.evaluate('document.activeElement.id')).toBe('tab-prune');
    await page.keyboard.press('Home');
    await page.waitForSelector('#layers');
    const map = page.locator('.map');
    await map.focus();
    const before = await map.getAttribute('aria-label');
    await page.keyboard.press('+');
    await poll(() => map.getAttribute('aria-label')).not.toBe(before);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('nothing is wider than a phone, light and dark, and axe has nothing serious to say', async (context) => {
    const { page, troubles } = await opened(context, { hash: '#model=small-cnn', width: 390, dark: true });
    await page.waitForSelector('#layers');
    await idle(page);
    for (const tab of await page.getByRole('tab').all()) {
      await tab.click();
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
      expect(await seriousFindings(page)).toEqual([]);
    }
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});
