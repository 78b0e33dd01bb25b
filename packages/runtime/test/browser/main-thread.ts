/**
 * What the main thread of a page did: the processor time of every piece of work that nothing can come between, from a trace.
 * Processor time, not wall time: a machine that is busy with something else makes work late, not longer.
 */
import type { Browser, Opened } from '@grim/browser';

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds on a core. */
  readonly tdur?: number;
}

/** Tasks, and rows of continuations of promises, which run to their end before the next task. */
const WORK = ['ThreadControllerImpl::RunTask', 'RunMicrotasks'];
const MARK = 'main thread of the page';

/** Milliseconds of each piece of work while `scene` is played, longest first. */
export async function workOfPage(
  browser: Browser,
  page: Opened,
  scene: () => Promise<unknown>,
): Promise<readonly number[]> {
  const session = await browser.newBrowserCDPSession();
  const events: TraceEvent[] = [];
  session.on('Tracing.dataCollected', ({ value }) => {
    for (const event of value as unknown as TraceEvent[]) events.push(event);
  });
  const complete = new Promise<void>((resolve) => session.on('Tracing.tracingComplete', () => resolve()));
  await session.send('Tracing.start', {
    traceConfig: { includedCategories: ['toplevel', 'v8.execute', 'devtools.timeline', 'blink.user_timing'] },
  });
  try {
    await page.evaluate(`performance.mark(${JSON.stringify(MARK)}), 0`);
    await scene();
  } finally {
    await session.send('Tracing.end');
    await complete;
    await session.detach();
  }
  const here = events.find(({ name }) => name === MARK);
  return events
    .filter(({ name, pid, tid }) => WORK.includes(name) && pid === here?.pid && tid === here.tid)
    .map(({ tdur = 0 }) => tdur / 1000)
    .sort((a, b) => b - a);
}
