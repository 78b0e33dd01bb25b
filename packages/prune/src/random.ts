/**
 * Random numbers that depend on nothing but a key: a stream for each (seed, layer, batch), so that the order of the work,
 * a resume, or another number of batches before this one changes nothing.
 * @see Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014 (the finaliser)
 */

/** Numbers in [0, 1). */
export function randomStream(...key: readonly number[]): () => number {
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

/** `count` different numbers below `n`, ascending (all of them when `count` ≥ `n`). */
export function choose(n: number, count: number, random: () => number): Uint32Array {
  if (count >= n) return Uint32Array.from({ length: n }, (_, i) => i);
  const chosen = new Uint32Array(count);
  for (let i = 0, have = 0; have < count; i++) if (random() * (n - i) < count - have) chosen[have++] = i;
  return chosen;
}
