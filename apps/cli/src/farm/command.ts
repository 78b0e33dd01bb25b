/** `grim farm`: lets phones in by a QR code, hands models out to them, and collects what they measure. */
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { networkInterfaces } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { compile, pack } from '@grim/codegen';
import { HEADERS } from '@grim/dashboard/headers';
import { graph, show } from '@grim/ir';
import { median } from '@grim/measure';
import { renderUnicodeCompact } from 'uqr';
import { compileModel } from '../compile-model.ts';
import { type Asset, type Assets, assetsOf } from '../dashboard/assets.ts';
import { serve } from '../dashboard/server.ts';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { bytes, type Io, styled } from '../output.ts';
import { sha256 } from '../prune/examples.ts';
import { checkReport, sendReport } from '../report.ts';
import { lengthsOf, measured, type RunDevice } from '../results/run.ts';
import { table, wrap } from '../table.ts';
import { farmApi, type Job } from './api.ts';
import type { FarmOptions } from './args.ts';
import { deviceName, type Facts, type Measurement } from './protocol.ts';
import { LeaseQueue } from './queue.ts';

const LEASE_MS = 15_000;
/** How often silence is looked for where no device asks. */
const LOOK_MS = 1000;

interface Device {
  /** As people are told: 1, 2, … */
  readonly number: number;
  readonly facts: Facts;
}

interface Found extends Measurement {
  readonly device: Device;
  readonly job: number;
}

/** @param leaseMs  of silence, until the job of a device is given to another; a page beats every three seconds */
export async function farmCommand(options: FarmOptions, io: Io, leaseMs: number = LEASE_MS): Promise<number> {
  const { models: paths, devices: copies, lan, port } = options;
  if (paths.length === 0) throw new UsageError('a model is missing: grim farm net.grim --lan.');
  checkReport(options, paths);
  const addresses = lan ? lanAddresses() : [];
  const contents = paths.map((path) => about(path, () => readRegularFile(path)));
  const files = new Map<string, Asset>();
  const at = `/${name()}/`;
  const names = namesOf(paths);
  const jobs = paths.map((path, i): Job => {
    const content = contents[i] as Uint8Array;
    const isCompiled = new TextDecoder('latin1').decode(content.subarray(0, 4)) === 'GRIM';
    const file = isCompiled ? content : about(path, () => compileModel(content, importOptions(path, options)).bytes);
    const url = `models/${i}.grim`;
    files.set(at + url, { content: file, type: 'application/octet-stream' });
    return { name: names[i] ?? '', url, bytes: file.length };
  });
  files.set(`${at}reference.grim`, { content: referenceModel(), type: 'application/octet-stream' });
  const queue = new LeaseQueue({ jobs: jobs.length, copies, leaseMs, now: () => performance.now(), name });
  const known = new Map<string, Device>();
  const found: Found[] = [];
  // A report on stdout stands there alone.
  const say = (text: string) => (options.json === '-' ? io.err(text) : io.out(text));
  let finish: () => void = () => {};
  const finished = new Promise<void>((done) => {
    finish = done;
  });
  const numbered = (device: string) => known.get(device) as Device;
  const post = farmApi(queue, jobs, {
    joined(device, facts) {
      known.set(device, { number: known.size + 1, facts });
      const text = `${styled(io, 'bold', `Device ${known.size}`)}: ${factsText(facts)}`;
      say(`${wrap(text, io.columns, '  ').join('\n')}\n`);
    },
    measured(device, job, measurement) {
      const one = { device: numbered(device), job, ...measurement };
      found.push(one);
      const text = `Device ${one.device.number}: ${show(jobs[job]?.name ?? '')} ${timesText(one)}`;
      say(`${wrap(text, io.columns, '  ').join('\n')}\n`);
      if (queue.finished) finish();
    },
    lost(device, job) {
      say(`Device ${numbered(device).number} is gone: ${show(jobs[job]?.name ?? '')} waits for another.\n`);
    },
  });
  const assets = new Map([...pages(at), ...files]);
  // Browsers complain of headers that isolate a page where its address is plain http in a network.
  const { 'Cross-Origin-Opener-Policy': _, 'Cross-Origin-Embedder-Policy': __, ...plain } = HEADERS;
  const headers = lan ? plain : HEADERS;
  await using served = await serve({ port, addresses, at, assets, headers, post, api: async () => undefined });
  const look = setInterval(() => {
    for (const { device, job } of queue.expire())
      say(`Device ${numbered(device).number} fell silent: ${show(jobs[job]?.name ?? '')} waits for another.\n`);
  }, LOOK_MS);
  const stopped = io.untilStopped?.();
  const urls = (addresses.length > 0 ? addresses : ['127.0.0.1']).map((host) => `http://${host}:${served.port}${at}`);
  say(welcome(urls, lan, options, io));
  await Promise.race([finished, ...(stopped ? [stopped] : [])]);
  clearInterval(look);
  // The last device asks once more, and is told that all is done.
  if (queue.finished && stopped) await Promise.race([stopped, new Promise((done) => setTimeout(done, LOOK_MS))]);
  const report = {
    schema: 'grim.farm/1',
    complete: queue.finished,
    wanted: copies,
    models: jobs.map(({ name: file, bytes: size }) => ({ file, bytes: size })),
    results: found.map(({ device, job, ...one }) => ({
      ...{ device: device.number, facts: device.facts, model: jobs[job]?.name },
      ...{ medianMs: median(one.ms), ratioToReference: median(one.ms) / median(one.referenceMs) },
      ...one,
    })),
  };
  if (options.record)
    for (const [i, one] of found.entries())
      io.record?.({
        ...{ kind: 'bench', model: paths[one.job] ?? '', modelSha256: sha256(contents[one.job] as Uint8Array) },
        setting: { farm: true, ...lengthsOf(options) },
        report: report.results[i] as object,
        values: [measured('ms of grim', one.ms, 'less'), measured('ms of the reference', one.referenceMs, 'less')],
        device: runDevice(one.device.facts),
      });
  if (sendReport(report, options, paths, io)) io.out(summary(found, jobs, copies, queue.finished, io));
  return EXIT.done;
}

function name(): string {
  return randomBytes(16).toString('base64url');
}

/** The files' own names, with their folders where two are alike. */
function namesOf(paths: readonly string[]): readonly string[] {
  const own = paths.map((path) => basename(path));
  return own.map((file, i) =>
    own.indexOf(file) === own.lastIndexOf(file) ? file : join(basename(dirname(resolve(paths[i] ?? ''))), file),
  );
}

/** IPv4 addresses by which other devices of the network reach this machine. */
function lanAddresses(): readonly string[] {
  const found = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter(({ internal, family }) => !internal && family === 'IPv4')
    .map(({ address }) => address);
  if (found.length === 0)
    throw new UsageError('--lan: this machine is in no network. Join one, or leave --lan out and use adb reverse.');
  return found;
}

/** The page of the farm and what it runs models with, below a path that nobody guesses. */
function pages(at: string): Assets {
  const folder = import.meta.filename.endsWith('.ts') ? '../../farm-page' : 'farm-page';
  const manifest = createRequire(import.meta.url).resolve('@grim/runtime/package.json');
  const runtime = [...assetsOf(join(dirname(manifest), 'dist'), `${at}runtime/`)];
  return new Map([
    ...assetsOf(join(import.meta.dirname, folder), at),
    ...runtime.filter(([path]) => path.endsWith('.js')),
  ]);
}

/** A small matrix product, run in turn with each model: when it gets slower, the device got hot. */
function referenceModel(): Uint8Array {
  const [m, k, n] = [64, 128, 128];
  const data = Float32Array.from({ length: k * n }, (_, i) => Math.sin(i));
  return pack(
    compile(
      graph('reference', (b) => {
        const w = b.weight('w', { dtype: 'float32', shape: [k, n], data });
        b.output('y', b.add('MatMul', [b.input('x', 'float32', [m, k]), w]));
      }),
    ),
  );
}

function welcome(urls: readonly string[], lan: boolean, { devices, models }: FarmOptions, io: Io): string {
  const [first = ''] = urls;
  const mode = lan
    ? 'Plain http in a network is no secure context to a browser: no threads, no WebGPU, a clock of 0.1 ms, no wake lock. Times are those of one thread of WebAssembly. Anybody who has this address can take part.'
    : 'For this machine alone; a phone at a cable reaches it after `adb reverse`. With --lan: the network that this machine is in.';
  return [
    ...(lan ? [renderUnicodeCompact(first), ''] : []),
    ...urls.map((url) => styled(io, 'bold', url)),
    ...wrap(mode, io.columns),
    ...wrap(
      `${models.length === 1 ? 'One model' : `${models.length} models`}, from ${devices === 1 ? 'one device' : `${devices} devices`} each. Ctrl-C ends it and keeps what is there.`,
      io.columns,
    ),
    '',
  ].join('\n');
}

function factsText({ agent, cores, clockMs, secure, isolated, webgpu }: Facts): string {
  const clock = clockMs >= 0.01 ? `${Number(clockMs.toPrecision(2))} ms` : `${Math.round(clockMs * 1000)} µs`;
  const context = secure ? (isolated ? 'isolated' : 'secure') : 'plain http';
  return `${deviceName(agent)}, ${cores} cores, clock ${clock}, ${context}${webgpu ? ', WebGPU' : ''}`;
}

function timesText({ ms, referenceMs, drift, interrupted, simd }: Measurement): string {
  const { value, low = value, high = value } = measured('', ms, 'less');
  const [middle, from, to] = [value, low, high].map((one) => one.toPrecision(3));
  const notes = [
    `${(value / median(referenceMs)).toPrecision(3)}× the reference`,
    ...(simd === 'plain' ? ['no relaxed SIMD'] : []),
    ...(drift > 1.1 ? [`got ${((drift - 1) * 100).toFixed(0)} % slower`] : []),
    ...(interrupted > 0 ? [`${interrupted} samples hidden`] : []),
  ];
  return `${middle} ms (${from} to ${to}), ${notes.join(', ')}`;
}

function runDevice({ agent, cores }: Facts): RunDevice {
  return { cpu: deviceName(agent), arch: 'wasm32', platform: 'web', cores };
}

function summary(found: readonly Found[], jobs: readonly Job[], copies: number, complete: boolean, io: Io): string {
  const rows = found
    .toSorted((a, b) => a.job - b.job || a.device.number - b.device.number)
    .map(({ job, device, ms, referenceMs }) => [
      ...[show(jobs[job]?.name ?? ''), `${device.number}: ${deviceName(device.facts.agent)}`],
      ...[median(ms).toPrecision(3), (median(ms) / median(referenceMs)).toPrecision(3), bytes(jobs[job]?.bytes ?? 0)],
    ]);
  const missing = jobs.length * copies - found.length;
  return [
    '',
    ...(rows.length === 0
      ? ['Nothing was measured.']
      : table(
          [
            { title: 'model', flexible: true },
            { title: 'device', flexible: true },
            { title: 'ms', align: 'right' },
            { title: '× reference', align: 'right' },
            { title: 'file', align: 'right' },
          ],
          rows,
          io.columns,
        )),
    ...(complete ? [] : [`${missing} of ${jobs.length * copies} results are missing.`]),
    '',
  ].join('\n');
}
