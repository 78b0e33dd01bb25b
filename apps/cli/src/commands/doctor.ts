/**
 * `grim doctor`: what this machine offers and what is missing, with the command that mends it. Made to be pasted into a
 * report of a problem: nothing in it names the user or the machine.
 */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import type { DoctorOptions } from '../args.ts';
import { EXIT } from '../exit-codes.ts';
import { probeGpu } from '../gpu.ts';
import { bytes, type Io, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { wrap } from '../table.ts';
import { version } from '../version.ts';

interface Finding {
  readonly name: string;
  /** `missing`: something does less without it. `absent`: it is not here, and nothing can or need be done. */
  readonly state: 'ok' | 'missing' | 'absent';
  readonly value: string;
  /** What it is for, and the command that mends it. */
  readonly remedy?: string;
}

export async function doctor(options: DoctorOptions, io: Io): Promise<number> {
  checkReport(options, []);
  const findings = examine(await webgpu());
  const report = { schema: 'grim.doctor/1', version: version(), findings };
  if (sendReport(report, options, [], io)) io.out(text(findings, io));
  return EXIT.done;
}

function text(findings: readonly Finding[], io: Io): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const marks = { ok: styled(io, 'green', 'ok'), missing: styled(io, 'yellow', '!!'), absent: ' -' } as const;
  const indent = ' '.repeat(width + 7);
  const lines = [`grim ${version()}`];
  for (const { name, state, value, remedy } of findings) {
    const [first = '', ...rest] = wrap(value, io.columns - indent.length);
    lines.push(`  ${marks[state]} ${name.padEnd(width)}  ${first}`, ...rest.map((line) => indent + line));
    if (remedy !== undefined) lines.push(...wrap(remedy, io.columns - indent.length).map((line) => indent + line));
  }
  const missing = findings.filter(({ state }) => state === 'missing').length;
  lines.push(missing === 0 ? 'Nothing is missing.' : `${missing} missing: see the lines marked !!.`);
  return `${lines.join('\n')}\n`;
}

function examine(gpu: readonly Finding[]): readonly Finding[] {
  return [
    node(),
    {
      name: 'processor',
      state: 'ok',
      value: `${cpus()[0]?.model.trim() || process.arch}, ${availableParallelism()} usable`,
    },
    { name: 'memory', state: 'ok', value: `${bytes(totalmem())}, ${bytes(freemem())} free` },
    wasm('WASM SIMD', SIMD),
    wasm('WASM relaxed SIMD', RELAXED_SIMD),
    wasm('WASM threads', THREADS),
    ...gpu,
    chromium(),
    vulkan(),
    data(),
    build(),
  ];
}

function node(): Finding {
  const { versions, platform, arch } = process;
  const [major = 0, minor = 0] = versions.node.split('.').map(Number);
  const value = `${versions.node} (V8 ${versions.v8}), ${platform} ${arch}`;
  if (major > 22 || (major === 22 && minor >= 18)) return { name: 'Node', state: 'ok', value };
  return { name: 'Node', state: 'missing', value, remedy: '22.18 or newer is needed: npm install --global n && n 24' };
}

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
/** () → v128: i32.const 0, i8x16.splat. */
const SIMD = module([0x41, 0x00, 0xfd, 0x0f]);
/** () → v128: two splats, i8x16.relaxed_swizzle (0xfd 0x100). */
const RELAXED_SIMD = module([0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x80, 0x02]);
/** A shared memory, which only the threads proposal allows. */
const THREADS = Uint8Array.from([...HEADER, 0x05, 0x04, 0x01, 0x03, 0x01, 0x01]);

/** A module with one function of type () → v128. */
function module(code: readonly number[]): Uint8Array {
  const body = [0x00, ...code, 0x0b];
  const section = (id: number, content: readonly number[]): number[] => [id, content.length, ...content];
  const type = section(1, [1, 0x60, 0, 1, 0x7b]);
  return Uint8Array.from([...HEADER, ...type, ...section(3, [1, 0]), ...section(10, [1, body.length, ...body])]);
}

declare const WebAssembly: { validate(bytes: Uint8Array): boolean };

function wasm(name: string, probe: Uint8Array): Finding {
  return WebAssembly.validate(probe)
    ? { name, state: 'ok', value: 'yes' }
    : { name, state: 'missing', value: 'no', remedy: 'Compiled models run slower without it: use Node 24 or newer.' };
}

async function webgpu(): Promise<readonly Finding[]> {
  const name = 'WebGPU';
  const found = await probeGpu();
  if (found === 'no WebGPU')
    return [
      { name, state: 'absent', value: 'not in Node; browsers have it, and the package webgpu: npm install webgpu' },
    ];
  if (found === 'no adapter') return [{ name, state: 'absent', value: 'no adapter: no GPU with a driver for it' }];
  const { name: adapter, software, features, limits } = found;
  const said = Object.entries(limits).map(([limit, value]) => `${limit} ${value}`);
  return [
    { name, state: 'ok', value: software ? `${adapter} (computes on the CPU)` : adapter },
    { name: 'WebGPU features', state: 'ok', value: features.join(', ') || 'none' },
    { name: 'WebGPU limits', state: 'ok', value: said.join(', ') },
  ];
}

function chromium(): Finding {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome.exe'];
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/opt/google/chrome'];
  const apps = ['/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];
  const chosen = process.env['CHROME_PATH'];
  const candidates = [...(chosen ? [chosen] : []), ...folders.flatMap((f) => names.map((n) => join(f, n))), ...apps];
  const found = candidates.find(isExecutable);
  if (found !== undefined) return { name: 'Chromium', state: 'ok', value: found };
  const remedy =
    process.platform === 'linux'
      ? 'For tests in a browser. As root: apt-get install chromium. Or set CHROME_PATH to the program.'
      : 'For tests in a browser. Install Chrome, or set CHROME_PATH to the program.';
  return { name: 'Chromium', state: 'missing', value: 'not found', remedy };
}

function vulkan(): Finding {
  if (process.platform !== 'linux')
    return { name: 'Vulkan', state: 'absent', value: `not looked for on ${process.platform}` };
  const machine = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const folders = [
    ...(process.env['LD_LIBRARY_PATH'] ?? '').split(':'),
    `/usr/lib/${machine}`,
    '/usr/lib64',
    '/usr/lib',
    '/lib64',
  ];
  const found = folders
    .filter(Boolean)
    .map((folder) => join(folder, 'libvulkan.so.1'))
    .find((path) => existsSync(path));
  if (found !== undefined) return { name: 'Vulkan', state: 'ok', value: found };
  const remedy = 'For WebGPU outside a browser. As root: apt-get install libvulkan1.';
  return { name: 'Vulkan', state: 'missing', value: 'libvulkan.so.1 not found', remedy };
}

function data(): Finding {
  const folder = process.env['GRIM_DATA'] || resolve('../shared/data');
  const name = 'test data';
  try {
    const entries = readdirSync(folder);
    const parts = ['onnx-node-tests', 'models'].filter((part) => entries.includes(part));
    if (parts.length > 0) return { name, state: 'ok', value: parts.join(', ') };
  } catch {
    // Told below.
  }
  const remedy =
    'Only the tests of GRIM itself need them: set GRIM_DATA to the folder that holds onnx-node-tests and models.';
  return { name, state: 'absent', value: 'not found', remedy };
}

function build(): Finding {
  const fromSource = import.meta.filename.endsWith('.ts');
  if (!fromSource) return { name: 'program', state: 'ok', value: 'built' };
  return { name: 'program', state: 'ok', value: 'runs from its sources; npm run build makes node_modules/.bin/grim' };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
