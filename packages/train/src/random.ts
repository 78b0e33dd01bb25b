/**
 * Random numbers that depend on nothing but a key: a stream for each (seed, purpose, step), so that a run can be continued
 * anywhere without having kept the state of a generator.
 * @see Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014 (the finaliser)
 */

export type Random = () => number;

/** Numbers in [0, 1). */
export function randomStream(...key: readonly number[]): Random {
  let state = 0x9e3779b9;
  for (const part of key) state = mix((state ^ part) + 0x9e3779b9);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return (mix(state) >>> 0) / 2 ** 32;
  };
}

function mix(value: number): number {
  let z = value | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) | 0;
}

/** The numbers below `n` in random order. */
export function shuffled(n: number, random: Random): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const other = order[j] as number;
    order[j] = order[i] as number;
    order[i] = other;
  }
  return order;
}

/** Of the normal distribution, mean 0, deviation 1 (Box–Muller). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Of the beta distribution with both parameters `alpha`, 0 to 1 (Jöhnk). */
export function beta(alpha: number, random: Random): number {
  for (;;) {
    const [x, y] = [random() ** (1 / alpha), random() ** (1 / alpha)];
    if (x + y <= 1 && x + y > 0) return x / (x + y);
  }
}
