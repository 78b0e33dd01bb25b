/** The side of Node: gives a page cases and tasks, and takes what came of them. The page is page.ts. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type Browser, bundle, type Mode, type Opened, openPage, type Place, type Route } from '@grim/browser';
import {
  answerTask,
  type Case,
  type CaseResult,
  compileTask,
  findCases,
  runCase,
  type TASKS,
  taskData,
  wasmBackend,
} from '../../src/index.ts';
import type { PatternResult } from '../webgpu/patterns.ts';

/** How many cases a page gets at a time. */
const BATCH = 40;

type Task = (typeof TASKS)[number];

export interface Answers {
  readonly right: number;
  readonly of: number;
  /** Of the answers. */
  readonly bits: Uint32Array;
  /** SHA-256 of the compiled file. */
  readonly file: string;
}

/** The cases of the shared data; none where there are no data. */
export function sharedCases(data: string): readonly Case[] {
  return ['onnx-node-tests', 'models']
    .map((folder) => join(data, folder))
    .filter(existsSync)
    .flatMap((folder) => findCases(folder));
}

type BackendName = 'wasm' | 'webgpu';

export interface Suite extends AsyncDisposable {
  where(): Promise<unknown>;
  cases(cases: readonly Case[], backend?: BackendName): Promise<readonly CaseResult[]>;
  task(task: Task): Promise<Answers>;
  /** Layers with random patterns on the GPU. */
  patterns(first: number, count: number): Promise<readonly PatternResult[]>;
  troubles(): Promise<readonly string[]>;
}

/** The script of the page, from the built packages. */
export function pageScript(): Promise<string> {
  return bundle(fileURLToPath(new URL('./page.ts', import.meta.url)));
}

export async function openSuite(
  browser: Browser,
  data: string,
  script: string,
  { mode, place }: { readonly mode: Mode; readonly place: Place },
): Promise<Suite> {
  /** Path → bytes: what the page may ask for. */
  const offered = new Map<string, () => Uint8Array>();
  const routes: Record<string, Route> = {
    '/': '<!doctype html><script type="module" src="/page.js"></script>',
    '/page.js': script,
    '/files': (request, response) => {
      answerFiles(request, offered).then(
        (bytes) => response.end(bytes),
        (error) => response.writeHead(500).end(String(error)),
      );
    },
  };
  const opened: Opened = await openPage(browser, { mode, place, routes });
  return {
    where: () => opened.call('where'),
    troubles: () => opened.troubles(),
    async cases(cases, backend = 'wasm') {
      const results: CaseResult[] = [];
      for (let at = 0; at < cases.length; at += BATCH) {
        const batch = cases.slice(at, at + BATCH);
        offered.clear();
        for (const { path, dataSets } of batch)
          for (const file of [path, ...dataSets.flatMap(({ inputs, outputs }) => [...inputs, ...outputs])])
            if (file !== undefined) offered.set(file, () => readFileSync(file));
        results.push(...((await opened.call('cases', [batch, backend])) as CaseResult[]));
      }
      return results;
    },
    async patterns(first, count) {
      const results: PatternResult[] = [];
      for (let done = 0; done < count; done += BATCH) {
        const batch = [first + done, Math.min(BATCH, count - done)];
        results.push(...((await opened.call('patterns', batch)) as PatternResult[]));
      }
      return results;
    },
    async task(task) {
      const { count, inputs, score } = taskData(task, data);
      const model = modelOf(task, data);
      offered.clear();
      offered.set(model, () => readFileSync(model));
      offered.set('inputs', () => new Uint8Array(inputs.buffer));
      const found = (await opened.call('task', [task.name, model, 'inputs', count])) as {
        bits: number[];
        file: string;
      };
      const bits = Uint32Array.from(found.bits);
      return { right: score(new Float32Array(bits.buffer)), of: count, bits, file: found.file };
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

async function answerFiles(
  request: IncomingMessage,
  offered: ReadonlyMap<string, () => Uint8Array>,
): Promise<Uint8Array> {
  const paths = JSON.parse(await text(request)) as string[];
  const files = paths.map((path) => {
    const read = offered.get(path);
    if (!read) throw new Error(`${path} was not offered`);
    return read();
  });
  const list = Buffer.from(JSON.stringify(paths.map((path, i) => [path, files[i]?.length])));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(list.length);
  return Buffer.concat([length, list, ...files]);
}

const modelOf = ({ name }: Task, data: string): string => join(data, 'models', name, 'model.onnx');

/** The same in this process. */
export async function casesHere(cases: readonly Case[]): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = [];
  for (const one of cases) results.push(await runCase(one, wasmBackend, { read: (path) => readFileSync(path) }));
  return results;
}

export async function taskHere(task: Task, data: string): Promise<Answers> {
  const { count, inputs, score } = taskData(task, data);
  const grim = compileTask(task, readFileSync(modelOf(task, data)));
  const answers = await answerTask(task, grim, { count, inputs });
  const file = createHash('sha256').update(grim).digest('hex');
  return { right: score(answers), of: count, bits: new Uint32Array(answers.buffer), file };
}
