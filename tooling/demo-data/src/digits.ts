/**
 * Pictures of digits as a pocket calculator shows them, [1, 20, 20], drawn with random place, size, slant, thickness,
 * contrast and noise. Seeded: the same seed gives the same pictures everywhere.
 */

export const SIDE = 20;

/** Uniform in [0, 1); mulberry32 (public domain). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Ends of the seven strokes in a box of 1 × 2: top, upper right, lower right, bottom, lower left, upper left, middle. */
const STROKES: readonly (readonly [x0: number, y0: number, x1: number, y1: number])[] = [
  [0, 0, 1, 0],
  [1, 0, 1, 1],
  [1, 1, 1, 2],
  [0, 2, 1, 2],
  [0, 1, 0, 2],
  [0, 0, 0, 1],
  [0, 1, 1, 1],
];
/** Strokes of each digit, stroke i at bit i. */
const DIGITS = [0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f];

/** Row-major brightness, about 0 to 1. */
export function drawDigit(digit: number, random: () => number): Float32Array {
  const between = (low: number, high: number): number => low + (high - low) * random();
  const width = between(5, 8);
  const height = between(5, 7);
  const left = between(3, SIDE - 4 - width);
  const top = between(2, SIDE - 3 - 2 * height);
  const slant = between(-0.15, 0.15);
  const thickness = between(0.7, 1.5);
  const contrast = between(0.6, 1);
  const noise = between(0.05, 0.25);
  const pixels = new Float32Array(SIDE * SIDE);
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++) {
      const v = (y - top) / height;
      const u = (x - left - slant * (top + height - y)) / width;
      let nearest = Infinity;
      STROKES.forEach(([x0, y0, x1, y1], i) => {
        if (((DIGITS[digit] ?? 0) >> i) % 2 === 0) return;
        const dx = (u - Math.min(Math.max(u, x0), x1)) * width;
        const dy = (v - Math.min(Math.max(v, y0), y1)) * height;
        nearest = Math.min(nearest, Math.sqrt(dx * dx + dy * dy));
      });
      const ink = Math.min(1, Math.max(0, thickness + 0.5 - nearest));
      pixels[y * SIDE + x] = contrast * ink + noise * (random() - 0.5);
    }
  return pixels;
}
