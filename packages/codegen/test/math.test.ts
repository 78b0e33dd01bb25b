/** Accuracy of exp, log, sigmoid, tanh and erf. GRIM_EXHAUSTIVE=exp,tanh (or =all) sweeps all 2^32 arguments. */
import { describe, expect, it } from 'vitest';
import { addUnary, ConstantPool, UNARY_ULP, type UnaryName, unaryName } from '../src/index.ts';
import { arena, compile, FAMILIES, type Kernel } from './arena.ts';
import { REFERENCE, ulps } from './functions.ts';
import { random } from './matrices.ts';

const NAMES: readonly UnaryName[] = ['exp', 'log', 'sigmoid', 'tanh', 'erf'];
const SPECIAL = [
  ...[0, -0, 1, -1, Infinity, -Infinity, NaN, 2 ** -149, -(2 ** -149), 2 ** -126, -(2 ** -126), 3.4028234663852886e38],
  ...[88.72283, 88.72284, -87.33655, -103.97208, -103.9721, 0.625, 0.6249999, 0.9, 0.8999999, 3.9192059, 4, 104, -104],
  ...[Math.SQRT1_2, Math.SQRT2, 0.99999994, 1.0000001, 9.01, -9.01, 44, -44],
];
const CHUNK = 1 << 20;

function sweeper(name: UnaryName, family: { readonly relaxed: boolean }) {
  const pool = new ConstantPool();
  const module = compile((builder) => addUnary(builder, name, family, pool));
  const memory = new WebAssembly.Memory({ initial: 1 + (2 * 4 * CHUNK) / 65536 });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  new Int32Array(memory.buffer, 0, pool.words().length).set(pool.words());
  const x = new Float32Array(memory.buffer, 65536, CHUNK);
  const y = new Float32Array(memory.buffer, 65536 + 4 * CHUNK, CHUNK);
  const bits = new Uint32Array(memory.buffer, 65536, CHUNK);
  const kernel = exports[unaryName(name, family)] as Kernel;
  const exact = REFERENCE[name];
  const worst = { ulp: 0, x: 0, y: 0 };
  const check = () => {
    kernel(CHUNK, 65536, 65536 + 4 * CHUNK, 0);
    for (let i = 0; i < CHUNK; i++) {
      const error = ulps(y[i] as number, exact(x[i] as number));
      if (error > worst.ulp) Object.assign(worst, { ulp: error, x: x[i], y: y[i] });
    }
  };
  return { x, bits, worst, check };
}

describe('the vector functions', () => {
  for (const name of NAMES)
    for (const family of FAMILIES) {
      const label = unaryName(name, family);
      it(`${label} is within ${UNARY_ULP[name]} ULP on two million arguments of all magnitudes and at every special one`, () => {
        const { x, bits, worst, check } = sweeper(name, family);
        const next = random(5);
        // Bit patterns spread over all floats, then the range where the function is not saturated.
        for (let i = 0; i < CHUNK; i++) bits[i] = (i * 4096 + Math.floor(next() * 4096)) >>> 0;
        check();
        for (let i = 0; i < CHUNK; i++) x[i] = (next() - 0.5) * 2 ** Math.floor(next() * 12 - 3);
        x.set(SPECIAL);
        check();
        expect(worst.ulp, `at x = ${worst.x}: ${worst.y}`).toBeLessThanOrEqual(UNARY_ULP[name]);
      });

      it(`${label} sweeps all 2^32 arguments`, { timeout: 3_600_000 }, (ctx) => {
        const asked = process.env['GRIM_EXHAUSTIVE'] ?? '';
        if (asked !== 'all' && !asked.split(',').includes(name)) ctx.skip('GRIM_EXHAUSTIVE does not name it');
        const { bits, worst, check } = sweeper(name, family);
        for (let start = 0; start < 2 ** 32; start += CHUNK) {
          for (let i = 0; i < CHUNK; i++) bits[i] = start + i;
          check();
        }
        console.log(`${label}: ${worst.ulp.toFixed(3)} ULP at ${worst.x}`);
        expect(worst.ulp).toBeLessThanOrEqual(UNARY_ULP[name]);
      });
    }

  it('C4, C7: any length is computed, nothing else is touched, in place as well', () => {
    const pool = new ConstantPool();
    const family = { relaxed: true };
    const module = compile((builder) => addUnary(builder, 'tanh', family, pool));
    for (let n = 0; n <= 21; n++) {
      const x = Float32Array.from({ length: n }, (_, i) => i / 4 - 2);
      const y = new Float32Array(n).fill(Number.NaN);
      for (const last of ['x', 'y', 'constants'] as const) {
        const t = arena(module, { x, y, constants: pool.words() }, last);
        t.call(unaryName('tanh', family), n, t.at.x, t.at.y, t.at.constants);
        expect(t.damage(['x', 'constants'])).toEqual([]);
        t.call(unaryName('tanh', family), n, t.at.x, t.at.x, t.at.constants);
        expect(t.read('x')).toEqual(t.read('y'));
        expect(Array.from(t.read('y')).every((value, i) => ulps(value, Math.tanh(x[i] ?? 0)) < 3)).toBe(true);
      }
    }
  });

  it('odd functions keep the sign of zero', () => {
    for (const name of ['tanh', 'erf'] as const) {
      const pool = new ConstantPool();
      const module = compile((builder) => addUnary(builder, name, { relaxed: false }, pool));
      const t = arena(module, { x: Float32Array.of(-0, 0), y: new Float32Array(2), constants: pool.words() }, 'y');
      t.call(unaryName(name, { relaxed: false }), 2, t.at.x, t.at.y, t.at.constants);
      expect(Array.from(t.read('y'))).toEqual([-0, 0]);
    }
  });
});
