/** A profile as lines of text: the roofs, one line for each node, and what the words under "limit" mean. */
import { show } from '@grim/ir';
import { table, wrap } from '../table.ts';
import type { Limit, Profile, ProfileRow } from './profile.ts';

const MEANING: Readonly<Record<Limit, string>> = {
  arithmetic: 'over 60 % of the multiply-adds this machine can do',
  memory: 'over half of the bytes it can move',
  calls: 'a few microseconds: calling costs more than computing',
  layout: 'most of the time brings values into another layout',
  'weight loads': 'one vector: every multiply-add waits for its weight',
  'few products': 'few multiply-adds for each element read',
  'small tiles': 'few rows or columns: tiles are not full',
  'short units': 'few weights of a block share their inputs',
  'no products': 'copies, functions, sums',
  kernel: 'none of these: the kernel itself',
};

/** @param top  rows shown, by time; all by default */
export function profileLines(profile: Profile, width: number, top: number = Number.POSITIVE_INFINITY): string[] {
  const { rows, roofs, runUs, simd } = profile;
  const slowest = new Set(rows.toSorted((a, b) => b.us - a.us).slice(0, top));
  const shown = rows.filter((row) => slowest.has(row));
  const rest = rows.filter((row) => !slowest.has(row));
  const columns = [
    { title: 'node', flexible: true },
    { title: 'M×K×N', flexible: true },
    { title: 'kept', align: 'right' },
    { title: 'ms', align: 'right' },
    { title: 'time', align: 'right' },
    { title: 'GF/s', align: 'right' },
    { title: 'of peak', align: 'right' },
    { title: 'MB', align: 'right' },
    { title: 'limit' },
  ] as const;
  const cells = shown.map((row) => [show(row.name), shapeOf(row), ...numbers(row), row.limit]);
  const restUs = rest.reduce((sum, { us }) => sum + us, 0);
  if (rest.length > 0)
    cells.push([`${rest.length} more`, '', '', ms(restUs), share(restUs / profile.sumUs), '', '', '', '']);
  const limits = [...new Set(shown.map(({ limit }) => limit))].map((limit) => `${limit}: ${MEANING[limit]}`);
  const bandwidth = roofs.bandwidth.map(([, gbps]) => gbps.toFixed(0)).join(' / ');
  return [
    `${ms(runUs)} ms a run on one core (${simd} SIMD); this machine, in the same minute:`,
    `${roofs.gflops.toFixed(1)} GFLOP/s, reads ${bandwidth} GB/s of 0.26 / 4.2 / 67 MB`,
    ...table(columns, cells, width),
    ...wrap(`  limit: ${limits.join('; ')}.`, width, '  '),
    ...wrap('  GF/s counts multiply-adds on non-zeros. MB: all that the calls touch, once.', width, '  '),
  ];
}

function shapeOf({ layers, op, kernel }: ProfileRow): string {
  if (layers.length === 0) return op || (kernel.split(/[(_\s]/)[0] ?? '');
  return layers.map(({ m, k, n }) => `${m}×${k}×${n}`).join(' ');
}

function numbers({ layers, us, share: part, density, gflops, ofPeak, bytes }: ProfileRow): string[] {
  const work = layers.length === 0 ? ['', ''] : [gflops.toFixed(1), share(ofPeak)];
  const kept = layers.length === 0 ? '' : share(density);
  return [kept, ms(us), share(part), ...work, bytes === undefined ? '' : (bytes / 1e6).toFixed(2)];
}

function ms(us: number): string {
  const value = us / 1000;
  return value < 0.1 ? value.toFixed(4) : value < 10 ? value.toFixed(3) : value.toFixed(1);
}

function share(part: number): string {
  const percent = 100 * part;
  return `${percent < 9.95 && percent !== 0 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}
