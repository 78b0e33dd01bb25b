/**
 * A profile as a trace that Perfetto and speedscope open: one run, the median of each call, end to end. Times are
 * microseconds.
 * @see the Trace Event Format, "complete events"
 */
import type { Profile } from './profile.ts';

interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'M';
  readonly pid: 1;
  readonly tid: number;
  readonly cat?: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, unknown>>;
}

export interface Trace {
  readonly displayTimeUnit: 'ms';
  readonly otherData: Readonly<Record<string, unknown>>;
  readonly traceEvents: readonly TraceEvent[];
}

/** Nodes on the outside, the calls that compute them inside. */
export function traceOf(profile: Profile, name: string): Trace {
  const events: TraceEvent[] = [
    { name: 'process_name', ph: 'M', pid: 1, tid: 1, args: { name } },
    { name: 'thread_name', ph: 'M', pid: 1, tid: 1, args: { name: `wasm (${profile.simd} SIMD)` } },
  ];
  let ts = 0;
  for (const row of profile.rows) {
    const { layers, gflops, ofPeak, bytes, limit, density } = row;
    const shapes = layers.map(({ m, k, n, grid }) => ({ m, k, n, ...(grid && { grid }) }));
    const args = { op: row.op, shapes, density, gflops, ofPeak, bytes, limit };
    events.push({ name: row.name, cat: 'node', ph: 'X', pid: 1, tid: 1, ts, dur: row.us, args });
    for (const { kernel, nodes, us } of profile.calls.slice(...row.calls)) {
      events.push({ name: kernel, cat: 'call', ph: 'X', pid: 1, tid: 1, ts, dur: us, args: { nodes } });
      ts += us;
    }
  }
  const { runs, runUs, roofs } = profile;
  return { displayTimeUnit: 'ms', otherData: { runs, runUs, roofs }, traceEvents: events };
}
