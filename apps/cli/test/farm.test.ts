/** `grim farm`: who measures what, who is believed, and what happens when a device goes. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type Browser, findChromium, launchChromium, NO_CHROMIUM, watch } from '@grim/browser';
import { compile, pack } from '@grim/codegen';
import { graph } from '@grim/ir';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { serve } from '../src/dashboard/server.ts';
import { farmApi } from '../src/farm/api.ts';
import type { FarmOptions } from '../src/farm/args.ts';
import { farmCommand } from '../src/farm/command.ts';
import { deviceName, measurementOf } from '../src/farm/protocol.ts';
import { LeaseQueue } from '../src/farm/queue.ts';
import type { Io } from '../src/output.ts';
import type { Finished } from '../src/results/run.ts';
import { grim, start, TINY, temporaryFolder } from './grim.ts';

function queueOf(jobs: number, copies: number) {
  const clock = { now: 0 };
  let count = 0;
  const queue = new LeaseQueue({ jobs, copies, leaseMs: 100, now: () => clock.now, name: () => `n${count++}` });
  const lease = (device: string) => {
    const turn = queue.ask(device);
    if (turn?.kind !== 'job') throw new Error(`no job but ${turn?.kind}`);
    return turn.lease;
  };
  return { queue, clock, lease };
}

describe('leases', () => {
  it('each job to one device, until it is done', () => {
    const { queue, lease } = queueOf(2, 1);
    const [a, b, c] = [queue.join(), queue.join(), queue.join()];
    expect([lease(a).job, lease(b).job]).toEqual([0, 1]);
    expect(queue.ask(c)).toEqual({ kind: 'wait' });
    expect(queue.tell(lease(a).id)).toMatchObject({ job: 0, device: a });
    expect(queue.tell(lease(b).id)).toMatchObject({ job: 1 });
    expect([queue.ask(a), queue.ask(c), queue.finished]).toEqual([{ kind: 'done' }, { kind: 'done' }, true]);
  });
  it('a device that asks again has the same lease, and one that is unknown none', () => {
    const { queue, lease } = queueOf(3, 1);
    const a = queue.join();
    expect(lease(a)).toEqual(lease(a));
    expect(queue.ask('nobody')).toBeUndefined();
  });
  it('silence passes a job on, a beat keeps it', () => {
    const { queue, clock, lease } = queueOf(1, 1);
    const [a, b] = [queue.join(), queue.join()];
    const first = lease(a);
    clock.now = 99;
    expect([queue.expire(), queue.beat(first.id)]).toEqual([[], true]);
    clock.now = 198;
    expect(queue.expire()).toEqual([]);
    clock.now = 199;
    expect(queue.expire()).toMatchObject([{ device: a, job: 0 }]);
    expect(queue.expire()).toEqual([]);
    expect(queue.beat(first.id)).toBe(false);
    const second = lease(b);
    expect(second).toMatchObject({ job: 0, device: b });
    // Both end: one of them counts.
    expect(queue.tell(first.id)).toMatchObject({ device: a });
    expect(queue.tell(second.id)).toBeUndefined();
    expect(queue.tell(first.id)).toBeUndefined();
  });
  it('results of a job are of different devices', () => {
    const { queue, lease } = queueOf(1, 2);
    const [a, b] = [queue.join(), queue.join()];
    queue.tell(lease(a).id);
    expect([queue.finished, queue.ask(a)]).toEqual([false, { kind: 'done' }]);
    queue.tell(lease(b).id);
    expect(queue.finished).toBe(true);
  });
  it('a device that leaves gives back what it had', () => {
    const { queue, lease } = queueOf(1, 1);
    const [a, b] = [queue.join(), queue.join()];
    const { id } = lease(a);
    expect(queue.leave(a)).toMatchObject([{ id }]);
    expect(lease(b)).toMatchObject({ job: 0 });
  });
  it('whatever devices do, each job ends with as many results as are wanted, of different devices', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.record({ device: fc.nat(4), act: fc.constantFrom('ask', 'beat', 'tell', 'leave', 'sleep') })),
        (jobs, copies, steps) => {
          const { queue, clock } = queueOf(jobs, copies);
          const devices = Array.from({ length: 5 }, () => queue.join());
          const counted: string[] = [];
          const held = new Map<string, string>();
          const act = (device: string, what: string) => {
            clock.now += 10;
            const id = held.get(device) ?? 'none';
            if (what === 'ask') {
              const turn = queue.ask(device);
              if (turn?.kind === 'job') held.set(device, turn.lease.id);
            } else if (what === 'beat') queue.beat(id);
            else if (what === 'leave') queue.leave(device);
            else if (what === 'sleep') clock.now += 100;
            else {
              const lease = queue.tell(id);
              if (lease) counted.push(`${lease.job} ${lease.device}`);
            }
            queue.expire();
          };
          for (const { device, act: what } of steps) act(devices[device] as string, what);
          for (let round = 0; !queue.finished && round < 200; round++)
            for (const device of devices) for (const what of ['ask', 'tell']) act(device, what);
          expect(queue.finished).toBe(true);
          expect(new Set(counted).size).toBe(counted.length);
          expect(counted).toHaveLength(jobs * copies);
        },
      ),
    );
  });
});

describe('what devices send', () => {
  const good = {
    ...{ ms: [1, 2, 3, 4, 5], referenceMs: [1, 1, 1, 1, 1], interrupted: 0, drift: 1, simd: 'relaxed' },
    stages: { downloadMs: 1, loadMs: 2, firstMs: 3 },
  };
  it('is taken field by field', () => {
    expect(measurementOf({ ...good, more: 'x' })).toEqual(good);
  });
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['a list', []],
    ['too few samples', { ...good, ms: [1, 2] }],
    ['too many samples', { ...good, ms: new Array(10_000).fill(1) }],
    ['samples of text', { ...good, ms: ['1', '2', '3', '4', '5'] }],
    ['a time of zero', { ...good, ms: [0, 1, 1, 1, 1] }],
    ['a time without end', { ...good, referenceMs: [1e300, 1, 1, 1, 1] }],
    ['no stages', { ...good, stages: null }],
    ['a negative count', { ...good, interrupted: -1 }],
    ['other instructions', { ...good, simd: '<b>' }],
  ])('%s is refused, and nothing of it repeated', (_, body) => {
    expect(() => measurementOf(body)).toThrowError(/^\w+: .* is needed\.$/);
  });
  it('a browser has a name of its own, of whatever text', () => {
    const chrome = 'Mozilla/5.0 (Linux; Android 16; Pixel 8) AppleWebKit/537.36 Chrome/156.0.0.0 Mobile Safari/537.36';
    expect(deviceName(chrome)).toBe('Chrome 156 on Android');
    const safari = 'Mozilla/5.0 (iPhone; CPU iPhone OS 19_1) AppleWebKit/605.1 Version/19.1 Mobile Safari/604.1';
    expect(deviceName(safari)).toBe('Safari 19 on iPhone');
    expect(deviceName('Chrome/\u{1b}[2J')).toBe('a browser on an unknown system');
  });
});

describe('the server of a farm', () => {
  const facts = { agent: 'a', cores: 2, clockMs: 0.1, secure: true, isolated: false, webgpu: false };
  const open = async () => {
    const { queue } = queueOf(1, 1);
    const post = farmApi(queue, [{ name: 'a', url: 'models/0.grim', bytes: 1 }], {
      ...{ joined: () => {}, measured: () => {}, lost: () => {} },
    });
    const served = await serve({ port: 0, at: '/secret/', assets: new Map(), api: async () => undefined, post });
    const origin = served.url.slice(0, -1);
    const send = (path: string, body: unknown, headers: Record<string, string> = {}) =>
      fetch(`${origin}${path}`, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { 'content-type': 'application/json', origin, ...headers },
      });
    return { served, send };
  };
  it('takes JSON of its own pages, below its name', async () => {
    const { served, send } = await open();
    await using _ = served;
    const joined = await send('/secret/api/join', facts);
    expect([joined.status, await joined.json()]).toEqual([200, { device: expect.stringMatching(/^n\d+$/) }]);
  });
  it('S: nobody else, nothing large, nothing that is no JSON, no other path', async () => {
    const { served, send } = await open();
    await using _ = served;
    const statuses = [
      await send('/api/join', facts),
      await send('/wrong/api/join', facts),
      await send('/secret/api/join', facts, { origin: 'http://evil.example' }),
      await send('/secret/api/join', facts, { 'content-type': 'text/plain' }),
      await send('/secret/api/join', '{"agent":'),
      await send('/secret/api/join', { ...facts, agent: 'x'.repeat(70_000) }),
      await send('/secret/api/join', { ...facts, cores: 'many' }),
      await send('/secret/api/ask', { device: '../../etc' }),
      await send('/secret/api/ask', { device: 'unknown' }),
      await send('/secret/api/__proto__', facts),
      await send('/secret/api/tell', { lease: 'n0' }),
    ].map(({ status }) => status);
    expect(statuses).toEqual([405, 405, 403, 415, 400, 413, 400, 400, 400, 404, 400]);
  });
});

describe('in browsers', () => {
  const program = findChromium();
  let browser: Browser;
  beforeAll(async () => {
    if (program) browser = await launchChromium(program);
  });
  afterAll(() => browser?.close());
  beforeEach((ctx) => {
    if (!program) ctx.skip(NO_CHROMIUM);
  });

  it('two devices measure three models; one goes in the middle, the other is hidden for a while', async () => {
    const folder = temporaryFolder();
    const net = graph('net', (b) => {
      const data = Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i));
      b.output(
        'y',
        b.add('MatMul', [b.input('x', 'float32', [1, 64]), b.weight('w', { dtype: 'float32', shape: [64, 64], data })]),
      );
    });
    const { writeFileSync } = await import('node:fs');
    const models = ['a.grim', 'b.grim', '<img src=x>.grim'].map((name) => join(folder, name));
    for (const path of models) writeFileSync(path, pack(compile(net)));
    // As a phone has it, where this machine is in a network: no secure context, a clock of a tenth of a millisecond.
    const inNetwork = Object.values(networkInterfaces())
      .flat()
      .some((one) => one !== undefined && !one.internal && one.family === 'IPv4');
    let said = '';
    const [runs, files]: [Finished[], string[]] = [[], []];
    const io: Io = {
      ...{ color: false, columns: 80 },
      out: (text) => {
        said += text;
      },
      err: (text) => {
        said += text;
      },
      write: ({ content }) => files.push(String(content)),
      record: (run) => runs.push(run),
      // Nobody interrupts it.
      untilStopped: () => new Promise<void>(() => {}),
    };
    const options: FarmOptions = {
      ...{ models, devices: 1, lan: inNetwork, port: 0, record: true, force: false, json: join(folder, 'report.json') },
      ...{ dims: new Map(), shapes: new Map(), constants: new Map() },
    };
    const ended = farmCommand(options, io, 8000);
    const url = await until(() => /http:\/\/\S+/.exec(said)?.[0]);
    const device = async () => {
      const context = await browser.newContext({ viewport: { width: 390, height: 844 } });
      const page = await context.newPage();
      const { troubles, strangers } = watch(page, new URL(url).origin);
      await page.goto(url);
      await page.locator('#start:not([disabled])').click();
      await page.locator('#status', { hasText: /Measuring|Done/ }).waitFor();
      return { context, page, troubles, strangers };
    };
    const first = await device();
    // What a phone does that is taken away: nothing more.
    await first.context.close();
    const second = await device();
    const visible = (hidden: boolean) =>
      second.page.evaluate(
        `Object.defineProperty(document, 'hidden', { configurable: true, get: () => ${hidden} }); document.dispatchEvent(new Event('visibilitychange'))`,
      );
    await visible(true);
    await second.page.locator('#status', { hasText: /Paused|Done/ }).waitFor();
    await visible(false);
    expect(await ended).toBe(0);
    await second.page.locator('#status', { hasText: /Done/ }).waitFor();
    expect(await second.page.locator('#rows tr').count()).toBeGreaterThanOrEqual(1);
    expect(await second.page.locator('#rows img').count()).toBe(0);
    expect([second.troubles, second.strangers]).toEqual([[], []]);
    await second.context.close();
    const report = JSON.parse(files[0] ?? '');
    expect(report).toMatchObject({ schema: 'grim.farm/1', complete: true, wanted: 1 });
    expect(report.results).toHaveLength(3);
    expect(new Set(report.results.map(({ model }: { model: string }) => model)).size).toBe(3);
    for (const { medianMs, ratioToReference, facts } of report.results) {
      expect(medianMs).toBeGreaterThan(0);
      expect(ratioToReference).toBeGreaterThan(0);
      expect(facts).toMatchObject({ secure: !inNetwork, isolated: !inNetwork });
      if (inNetwork) expect(facts.clockMs).toBeCloseTo(0.1, 2);
    }
    expect(said).toMatch(/Device 1 (fell silent|is gone): .* waits for another/);
    for (const line of said.split('\n')) if (!line.startsWith('http')) expect(line.length).toBeLessThanOrEqual(80);
    expect(runs.map(({ device: where }) => where)).toEqual(
      new Array(3).fill(
        expect.objectContaining({ platform: 'web', cpu: expect.stringMatching(/^Chrome \d+ on Linux$/) }),
      ),
    );
  });
});

/** Polls: what it waits for is a line of another program. */
async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    await new Promise((done) => setTimeout(done, 20));
  }
}

describe('the command line', () => {
  it('needs a model, prints help within 80 columns, and says where it listens', async () => {
    expect(await grim(['farm'])).toMatchObject({ code: 2, err: expect.stringContaining('a model is missing') });
    const { out } = await grim(['farm', '--help']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(out).toContain('--lan');
  });
  it('ends by itself when all is measured, with a summary', async () => {
    const { child, ended } = start(['farm', TINY, '--dim', 'N=1', '--no-record']);
    const origin = await new Promise<string>((done) => {
      let text = '';
      child.stdout?.on('data', (more) => {
        text += more;
        const [url] = /http:\S+\/(?=\s)/.exec(text) ?? [];
        if (url) done(url);
      });
    });
    const send = async (path: string, body: object) => {
      const headers = { 'content-type': 'application/json', origin: new URL(origin).origin };
      const answer = await fetch(`${origin}api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
      return (await answer.json()) as Record<string, never>;
    };
    const agent = 'Chrome/1 on Android \u001b[31m';
    const facts = { agent, cores: 8, clockMs: 0.1, secure: false, isolated: false, webgpu: false };
    const { device } = await send('join', facts);
    const { job } = (await send('ask', { device })) as { readonly job?: { readonly lease: string } };
    const [ms, referenceMs] = [new Array(9).fill(3), new Array(9).fill(2)];
    const stages = { downloadMs: 1, loadMs: 2, firstMs: 3 };
    const result = { ms, referenceMs, stages, interrupted: 2, drift: 1.2, simd: 'plain' };
    expect(await send('tell', { lease: job?.lease, result })).toEqual({ counts: true });
    expect(await send('ask', { device })).toEqual({ done: true });
    const { code, out, err } = await ended;
    expect([code, err, out.includes('\u001b')]).toEqual([0, '', false]);
    expect(out.replace(/\s+/g, ' ')).toContain(
      'Device 1: model.onnx 3.00 ms (3.00 to 3.00), 1.50× the reference, no relaxed SIMD, got 20 % slower, 2 samples hidden',
    );
    expect(out).toMatch(/model\.onnx {2}1: Chrome 1 on Android {2}3\.00 +1\.50 /);
  });
  it('the page asks nobody else', () => {
    for (const name of ['index.html', 'farm.js', 'work.js', 'farm.css'])
      expect(readFileSync(join(import.meta.dirname, '../farm-page', name), 'utf8')).not.toMatch(/https?:\/\//);
  });
});
