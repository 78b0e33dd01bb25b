/**
 * What the server of `grim dashboard` has: recorded runs, and models that were named. It listens on this machine alone, so
 * a page from elsewhere does not ask. Answers are looked at before they are believed.
 */
import { type ReadonlySignal, signal } from '@preact/signals';

interface RunValue {
  readonly what: string;
  readonly value: number;
  readonly better: 'less' | 'more';
  readonly low: number | undefined;
  readonly high: number | undefined;
}

export interface RecordedRun {
  readonly id: number;
  readonly at: Date;
  readonly kind: string;
  readonly model: string;
  /** Runs with the same one, on one device, make a line over time. */
  readonly subject: string;
  readonly deviceKey: string;
  readonly cpu: string;
  readonly commit: string;
  readonly command: string;
  readonly values: readonly RunValue[];
}

export interface ServedModel {
  readonly name: string;
  readonly url: string;
  readonly bytes: number;
}

const runsNow = signal<readonly RecordedRun[] | undefined>(undefined);
const modelsNow = signal<readonly ServedModel[]>([]);
/** Undefined: nobody keeps runs here. */
export const runs: ReadonlySignal<readonly RecordedRun[] | undefined> = runsNow;
export const servedModels: ReadonlySignal<readonly ServedModel[]> = modelsNow;

export async function askServer(): Promise<void> {
  if (!['127.0.0.1', 'localhost', '[::1]'].includes(location.hostname)) return;
  const [results, models] = await Promise.all([get('api/results'), get('api/models')]);
  const list = results?.['runs'];
  if (Array.isArray(list)) runsNow.value = list.flatMap((one) => runOf(one) ?? []);
  const served = models?.['models'];
  if (Array.isArray(served)) modelsNow.value = served.flatMap((one) => modelOf(one) ?? []);
}

type Loose = Readonly<Record<string, unknown>>;

async function get(path: string): Promise<Loose | undefined> {
  try {
    const response = await fetch(path);
    if (!response.ok || !response.headers.get('content-type')?.startsWith('application/json')) return undefined;
    return objectOf(await response.json());
  } catch {
    return undefined;
  }
}

const objectOf = (value: unknown): Loose => (typeof value === 'object' && value !== null ? (value as Loose) : {});
const textOf = (value: unknown): string => (typeof value === 'string' ? visible(value.slice(0, 300)) : '');
const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** Names come from files: what cannot be seen is left out. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, '\u{fffd}');
}

function runOf(given: unknown): RecordedRun | undefined {
  const run = objectOf(given);
  const [id, at] = [numberOf(run['id']), new Date(textOf(run['at']))];
  if (id === undefined || Number.isNaN(at.getTime())) return undefined;
  const values = Array.isArray(run['values']) ? run['values'] : [];
  return {
    ...{ id, at, kind: textOf(run['kind']), model: textOf(run['model']), subject: textOf(run['subject']) },
    ...{
      deviceKey: textOf(run['deviceKey']),
      cpu: textOf(objectOf(run['device'])['cpu']),
      commit: textOf(run['commit']),
    },
    command: (Array.isArray(run['argv']) ? run['argv'] : []).map(textOf).join(' ').slice(0, 500),
    values: values.flatMap((one): RunValue[] => {
      const { what, value, better, low, high } = objectOf(one);
      const found = numberOf(value);
      if (found === undefined) return [];
      const interval = { low: numberOf(low), high: numberOf(high) };
      return [{ what: textOf(what), value: found, better: better === 'more' ? 'more' : 'less', ...interval }];
    }),
  };
}

function modelOf(given: unknown): ServedModel | undefined {
  const { name, url, bytes } = objectOf(given);
  const address = typeof url === 'string' ? new URL(url, location.href) : undefined;
  if (address?.origin !== location.origin) return undefined;
  return { name: textOf(name), url: address.href, bytes: numberOf(bytes) ?? 0 };
}
