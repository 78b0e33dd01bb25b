/** Figures as people read them. */

const NONE = '–';

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 1e6) return `${(count / 1000).toFixed(count < 1e5 ? 1 : 0)} kB`;
  return `${(count / 1e6).toFixed(count < 1e7 ? 2 : 1)} MB`;
}

/** 1,234 · 56.7 k · 8.90 M · 1.23 G */
export function short(count: number | undefined): string {
  if (count === undefined || !Number.isFinite(count)) return NONE;
  const [factor, unit] = ([
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ].find(([least]) => count >= (least as number)) ?? [1, '']) as [number, string];
  if (factor === 1) return Number.isInteger(count) ? String(count) : count.toPrecision(3);
  return `${(count / factor).toPrecision(3)} ${unit}`;
}

export function whole(count: number | undefined): string {
  return count === undefined ? NONE : count.toLocaleString('en');
}

export function percent(share: number | undefined, digits = 0): string {
  return share === undefined || !Number.isFinite(share) ? NONE : `${(100 * share).toFixed(digits)} %`;
}

export function milliseconds(ms: number): string {
  if (!Number.isFinite(ms)) return NONE;
  if (ms >= 1000) return `${(ms / 1000).toPrecision(3)} s`;
  return ms < 0.1 ? `${(1000 * ms).toPrecision(3)} µs` : `${ms.toPrecision(3)} ms`;
}

export function times(ratio: number): string {
  return Number.isFinite(ratio) ? `${ratio.toFixed(ratio < 10 ? 2 : 1)}×` : NONE;
}
