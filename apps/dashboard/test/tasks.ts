/**
 * For how much of a visit a page's main thread could not answer: from Chromium's own trace, in processor time of that thread, which
 * does not grow while other programs hold the cores as the durations of a PerformanceObserver do. A slower machine is a slower
 * clock: times are scaled by a fixed piece of work that is timed beside them. What a hypervisor takes away in the midst of a task
 * still counts as that task's, which is why single tasks cannot be held to a limit, only their sum against the length of the visit.
 */
import type { Page } from 'playwright-core';

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds. */
  readonly ts: number;
  readonly dur?: number;
  /** Processor time of the thread. */
  readonly tdur?: number;
  readonly args?: {
    readonly name?: string;
    readonly chrome_mojo_event_info?: { readonly mojo_interface_tag?: string };
  };
}

export interface Tasks {
  /** How many there were. */
  readonly count: number;
  /** The longest ones first, milliseconds of the processor on which {@link REFERENCE_MS} was found. */
  readonly longest: readonly number[];
  /** Share of the visit that tasks took beyond their first 50 ms: the "total blocking time" of the web's own measures. */
  readonly blocked: number;
}

interface TaskTrace {
  /** Tasks of the main thread since the trace began, but for those in which the driver of the browser looks into the page. */
  stop(): Promise<Tasks>;
}

export async function traceTasks(page: Page): Promise<TaskTrace> {
  const session = await page.context().newCDPSession(page);
  const events: TraceEvent[] = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['toplevel', '__metadata'], recordMode: 'recordAsMuchAsPossible' },
  });
  return {
    async stop() {
      const complete = new Promise((done) => session.once('Tracing.tracingComplete', done));
      await session.send('Tracing.end');
      await complete;
      await session.detach();
      const scale = REFERENCE_MS / (await workMs(page));
      const longest = tasksOf(events).map((ms) => ms * scale);
      const blocking = longest.reduce((sum, ms) => sum + Math.max(0, ms - LONG_MS), 0);
      return {
        count: longest.length,
        longest: longest.toSorted((a, b) => b - a).slice(0, 5),
        blocked: blocking / visitMs(events),
      };
    },
  };
}

/** Where the web draws the line between a task that nobody notices and one that somebody may. */
const LONG_MS = 50;

function visitMs(events: readonly TraceEvent[]): number {
  // The names of threads carry no time.
  const times = events.map(({ ts }) => ts).filter((ts) => ts > 0);
  return (
    times.reduce((last, ts) => Math.max(last, ts), 0) / 1000 - times.reduce((first, ts) => Math.min(first, ts)) / 1000
  );
}

/** {@link workMs} where the tasks of this page were first looked at. */
const REFERENCE_MS = 1.4;

/** The least time of a piece of work that is always the same: what no other program has interrupted. */
function workMs(page: Page): Promise<number> {
  return page.evaluate(() => {
    let least = Number.POSITIVE_INFINITY;
    for (let turn = 0; turn < 30; turn++) {
      const start = performance.now();
      const words: Record<string, number> = {};
      for (let i = 0; i < 20_000; i++) words[`w${(i * 7919) % 4096}`] = i;
      if (Object.keys(words).length !== 4096) throw new Error('the work was left out');
      least = Math.min(least, performance.now() - start);
    }
    return least;
  });
}

function tasksOf(events: readonly TraceEvent[]): readonly number[] {
  const threadOf = ({ pid, tid }: TraceEvent) => `${pid}.${tid}`;
  const mains = new Set(
    events.filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain').map(threadOf),
  );
  return [...mains].flatMap((main) => {
    const own = events.filter((event) => threadOf(event) === main);
    const driven = own.filter(({ args }) => /DevTools/.test(args?.chrome_mojo_event_info?.mojo_interface_tag ?? ''));
    return own
      .filter(
        ({ name, ts, dur = 0 }) => name.endsWith('RunTask') && !driven.some((one) => one.ts >= ts && one.ts < ts + dur),
      )
      .map(({ tdur = 0 }) => tdur / 1000);
  });
}
