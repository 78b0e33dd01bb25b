/** What the page knows, and what a person can have done: one job at a time, each with progress and a way to cancel it. */
import { batch, type ReadonlySignal, signal } from '@preact/signals';
import { keepMeasured } from './bench-history.ts';
import { download } from './charts/download.ts';
import type { BenchAnswer, ContenderAsk } from './engine/bench.ts';
import type { Stage, Which } from './engine/messages.ts';
import type { ModelInfo, OpenLength } from './engine/open.ts';
import type { PruneAnswer } from './engine/prune.ts';
import { ask, EngineError, whenRestarted } from './engine-client.ts';
import type { ServedModel } from './runs.ts';
import { type Settings, samplesFor, set, settings } from './settings.ts';

export interface Job {
  readonly title: string;
  readonly stage: Stage;
  readonly cancel: () => void;
}

export interface Problem {
  readonly title: string;
  readonly code: string;
  readonly message: string;
  readonly more: readonly string[];
}

const jobNow = signal<Job | undefined>(undefined);
const problemNow = signal<Problem | undefined>(undefined);
const modelNow = signal<ModelInfo | undefined>(undefined);
const prunedNow = signal<PruneAnswer | undefined>(undefined);
const whichNow = signal<Which>('dense');
const lengthsNow = signal<OpenLengths>({ refused: false, lengths: [] });
const benchNow = signal<BenchAnswer | undefined>(undefined);

export const job: ReadonlySignal<Job | undefined> = jobNow;
export const problem: ReadonlySignal<Problem | undefined> = problemNow;
export const model: ReadonlySignal<ModelInfo | undefined> = modelNow;
export const pruned: ReadonlySignal<PruneAnswer | undefined> = prunedNow;
/** Whose weights and answers are shown. */
export const which: ReadonlySignal<Which> = whichNow;
/** Lengths that the file leaves open, whether it could be opened with them or not. */
export const openLengths: ReadonlySignal<OpenLengths> = lengthsNow;
export const benched: ReadonlySignal<BenchAnswer | undefined> = benchNow;

/** What was opened last, to be opened again when the engine had to be ended. */
let source: Source | undefined;
/** What could not be opened with the lengths that it was given. */
let refused: Source | undefined;

/** @property refused  the file did not open with them */
interface OpenLengths {
  readonly refused: boolean;
  readonly lengths: readonly OpenLength[];
}

interface Source {
  readonly name: string;
  readonly content: Blob;
}

let running: AbortController | undefined;

/**
 * Runs one job; another one that is under way is cancelled. Problems are shown, cancellations are not.
 * @param keepProblem  what went wrong before is still to be read
 */
export async function work<T>(
  title: string,
  what: (options: { readonly signal: AbortSignal; readonly onStage: (stage: Stage) => void }) => Promise<T>,
  keepProblem = false,
): Promise<T | undefined> {
  running?.abort();
  const control = new AbortController();
  running = control;
  const show = (stage: Stage) => {
    if (running === control) jobNow.value = { title, stage, cancel: () => control.abort() };
  };
  if (!keepProblem) problemNow.value = undefined;
  show({ text: title, done: undefined });
  try {
    const result = await what({ signal: control.signal, onStage: show });
    return running === control ? result : undefined;
  } catch (error) {
    if (running === control && !(error instanceof EngineError && error.code === 'AbortError')) complain(title, error);
    return undefined;
  } finally {
    if (running === control) {
      running = undefined;
      jobNow.value = undefined;
    }
  }
}

export function complain(title: string, error: unknown): void {
  const { code = '', message = String(error), more = [] } = error as Partial<EngineError>;
  problemNow.value = { title, code, message, more };
}

export function dismiss(): void {
  problemNow.value = undefined;
}

/** What a link says of lengths holds for the file that it names. */
function startAnew(name: string): void {
  const { file, lengths } = settings.peek();
  lengthsNow.value = { refused: false, lengths: [] };
  set({ layer: -1, lengths: model.peek() === undefined && file === name.slice(0, 200) ? lengths : '' });
}

export async function openFile(file: File): Promise<void> {
  startAnew(file.name);
  if (await openSource({ name: file.name, content: file }, '')) set({ model: '', file: file.name.slice(0, 200) });
}

/** @param fresh  false: what a link says of layers stays */
export async function openBuiltIn(name: Exclude<Settings['model'], ''>, fresh = true): Promise<void> {
  if (fresh) set({ layer: -1, lengths: '' });
  const content = await work(`Opening ${name}`, async ({ signal }) => {
    const response = await fetch(`models/${name}.onnx`, { signal });
    if (!response.ok) throw new Error(`models/${name}.onnx: the server answered ${response.status}.`);
    return response.blob();
  });
  if (content && (await openSource({ name: `${name}.onnx`, content }, name))) set({ model: name, file: '' });
}

/** A model that the server of the page has. */
export async function openServed({ name, url }: ServedModel): Promise<void> {
  startAnew(name);
  const content = await work(`Opening ${name}`, async ({ signal }) => {
    const response = await fetch(url, { signal });
    if (!response.ok) throw new Error(`${name}: the server answered ${response.status}.`);
    return response.blob();
  });
  if (content && (await openSource({ name, content }, ''))) set({ model: '', file: name.slice(0, 200) });
}

async function openSource(next: Source, kind: Settings['model'], again = false): Promise<boolean> {
  const { seed, lengths } = settings.peek();
  const info = await work(
    again ? 'Opening again' : 'Opening',
    async (options) => {
      refused = undefined;
      try {
        const given = lengths === '' ? [] : lengths.split(',').map(Number);
        return await ask('open', { ...next, samples: samplesFor(kind), count: SAMPLES, seed, lengths: given }, options);
      } catch (error) {
        if (error instanceof EngineError && error.lengths.length > 0) {
          refused = next;
          lengthsNow.value = { refused: true, lengths: error.lengths };
        }
        throw error;
      }
    },
    again,
  );
  if (!info) return false;
  source = next;
  batch(() => {
    lengthsNow.value = { refused: false, lengths: info.lengths };
    modelNow.value = info;
    prunedNow.value = undefined;
    benchNow.value = undefined;
    const sizes = info.layers.map(({ exempt, m, k }) => (exempt === undefined ? m * k : 0));
    const largest = sizes.indexOf(Math.max(0, ...sizes));
    const wanted = settings.peek().layer;
    whichNow.value = 'dense';
    set({ layer: wanted >= 0 && wanted < info.layers.length ? wanted : Math.max(0, largest) });
  });
  return true;
}

/** Opens the file again, with other lengths where it leaves them open. */
export async function openWithLengths(lengths: readonly number[]): Promise<void> {
  const next = refused ?? source;
  if (!next) return;
  set({ lengths: lengths.every((length) => length === 1) ? '' : lengths.join() });
  const fresh = refused !== undefined;
  if ((await openSource(next, fresh ? '' : settings.peek().model)) && fresh)
    set({ model: '', file: next.name.slice(0, 200) });
}

/** To look at and to run; pruning draws its own. */
const SAMPLES = 8;

// An engine that was ended has forgotten the network.
whenRestarted(() => {
  const last = source;
  prunedNow.value = undefined;
  whichNow.value = 'dense';
  if (last) setTimeout(() => void openSource(last, settings.peek().model, true), 0);
});

/** Inputs from files, for the network that is open. */
export async function giveSamples(files: readonly File[]): Promise<void> {
  const { pixels } = settings.peek();
  const answer = await work('Reading the inputs', (options) => ask('samples', { files, pixels }, options));
  const info = modelNow.peek();
  if (answer && info) modelNow.value = { ...info, samples: answer };
}

export async function prune(): Promise<void> {
  const { density, rows, cols, method, seed, samples } = settings.peek();
  const answer = await work('Pruning', (options) =>
    ask('prune', { density, block: [rows, cols], method, seed, samples }, options),
  );
  if (!answer) return;
  batch(() => {
    prunedNow.value = answer;
    whichNow.value = 'pruned';
  });
}

export async function bench(contenders: readonly ContenderAsk[]): Promise<void> {
  const { ortUrl, rounds } = settings.peek();
  const url = new URL(ortUrl, location.href).href;
  const answer = await work('Measuring', (options) => ask('bench', { contenders, ortUrl: url, rounds }, options));
  if (!answer) return;
  keepMeasured(modelNow.peek()?.name ?? '', answer.rows);
  benchNow.value = answer;
}

export function showWeights(of: Which): void {
  whichNow.value = of;
}

export async function saveModel(of: Which, format: 'grim' | 'onnx'): Promise<void> {
  const answer = await work('Writing the file', (options) => ask('save', { which: of, format }, options));
  if (!answer) return;
  const name = `${(modelNow.peek()?.name ?? 'model').replace(/\.(onnx|grim)$/, '')}${of === 'pruned' ? '-pruned' : ''}`;
  download(name, format, new Blob([answer.bytes], { type: 'application/octet-stream' }));
}

/** What the network as it was opened is called: a file may come pruned. */
export function denseName(): 'dense' | 'as opened' {
  return (modelNow.value?.prunedLayers ?? 0) > 0 ? 'as opened' : 'dense';
}
