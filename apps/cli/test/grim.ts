/** Runs the command for tests: in this process where that will do, as a program where the process is the point. */
import { type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import type { OutputFile } from '../src/output.ts';
import { runSession, type Setting } from '../src/session.ts';

export const ROOT: string = resolve(import.meta.dirname, '../../..');
export const DEMO: string = join(ROOT, 'apps/cli/demo');
export const TINY: string = join(DEMO, 'tiny-cnn/model.onnx');
const MAIN = join(ROOT, 'apps/cli/src/main.ts');
/** What makes Node run the program from its sources, unbuilt. */
export const FROM_SOURCE: readonly string[] = ['--conditions=@grim/source', MAIN];

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly files: readonly OutputFile[];
  readonly signal?: NodeJS.Signals | null;
}

/** In this process; files are collected, not written. */
export async function grim(argv: readonly string[], setting: Partial<Setting> = {}): Promise<Ended> {
  let [out, err, code] = ['', '', -1];
  const files: OutputFile[] = [];
  await runSession({ argv, color: false, columns: 80, verbose: argv.includes('--verbose'), ...setting }, (message) => {
    switch (message.kind) {
      case 'out':
        out += message.text;
        break;
      case 'err':
        err += message.text;
        break;
      case 'file':
        files.push(message.file);
        break;
      case 'end':
        code = message.exitCode;
    }
  });
  return { code, out, err, files };
}

export interface Started {
  readonly child: ReturnType<typeof spawn>;
  readonly ended: Promise<Ended>;
}

/** As a program, from its sources; `node` are options of Node itself. */
export function start(
  argv: readonly string[],
  options: SpawnOptions & { readonly node?: readonly string[] } = {},
): Started {
  const { node = [], ...rest } = options;
  const child = spawn(process.execPath, [...node, ...FROM_SOURCE, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...rest,
  });
  let [out, err] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    err += text;
  });
  const ended = new Promise<Ended>((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => done({ code, signal, out, err, files: [] }));
  });
  return { child, ended };
}

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'grim-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
