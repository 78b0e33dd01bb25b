/** What all kernels share: the two instruction families, the arithmetic step, and what happens to a finished sum. */
import { invariant } from '@grim/ir';
import { type FunctionBuilder, type Label, type Local, VECTOR_REGISTERS } from '../wasm/assembler.ts';

/** Relaxed SIMD has a fused (or not: the engine decides) multiply-add; plain SIMD multiplies, then adds. */
export interface Family {
  readonly relaxed: boolean;
  /**
   * For engines that join two instructions on neighbouring vectors into one of 256 bits (V8's
   * `--experimental-wasm-revectorize`): tiles of 16 columns, registers counted in pairs. Without such an engine the same code
   * is right, and slow. Default false.
   */
  readonly wide?: boolean;
}

/** Columns of a full tile of the wide family: 6 rows take 12 pairs of sums + 2 pairs of inputs + 1 weight = 15 registers. */
export const WIDE_COLUMNS = 16;

/** Vectors that may be alive at once. */
export function vectorRegisters({ wide = false }: Family): number {
  return wide ? 2 * VECTOR_REGISTERS : VECTOR_REGISTERS;
}

/**
 * What is done with a sum before it is stored: `activation(sum + residual)`. NaN passes through every activation. `bounds`
 * clips to two parameters of the kernel, so that one kernel serves all activations; see {@link boundsOf}.
 */
export interface Epilogue {
  readonly activation: 'none' | 'relu' | 'bounds' | { readonly min: number; readonly max: number };
  /** Adds an element of a second buffer, laid out as the output; `optional`: unless the call has {@link NO_RESIDUAL}. */
  readonly residual: boolean | 'optional';
}

/** The address of a residual that is not there: no float32 is at an odd one. */
export const NO_RESIDUAL = 1;

/** Rows of the tallest tile in any stream or panel: one file serves both families. */
export const TALLEST = 6;

/**
 * Rows of the register tile of 8 columns. Six rows take 12 sums + 2 inputs + 1 weight = 15 registers; without the
 * multiply-add each product needs one more, so five rows.
 */
export function maxTileRows({ relaxed }: Family): number {
  return relaxed ? 6 : 5;
}

/** Vectors alive in a tile: sums, then inputs and one weight or weights and one input, then the product. */
function tileRegisters({ relaxed, wide }: Family, sums: number, inputs: number, weights: number): number {
  const joined = wide ? 2 : 1;
  return Math.ceil(sums / joined) + Math.min(Math.ceil(inputs / joined), weights) + 1 + (relaxed ? 0 : 1);
}

/** Whether a tile of that many columns, a multiple of 4, runs in the registers there are. */
export function fitsRegisters(family: Family, rows: number, columns: number): boolean {
  const vectors = Math.ceil(columns / 4);
  return tileRegisters(family, rows * vectors, vectors, rows) <= VECTOR_REGISTERS;
}

/**
 * Into how many independent partial sums the columns of K are dealt, so that a short tile has eight chains: a
 * multiply-add takes 4 cycles and two start in each, so fewer chains wait for one another (25 instead of 50 GFLOP/s with 4).
 */
export function chainsOf(family: Family, rows: number, vectors: number): number {
  let chains = 1;
  while (
    chains < 4 &&
    rows * vectors * chains < (family.wide ? 16 : 8) &&
    tileRegisters(family, rows * vectors * chains * 2, vectors, rows) <= VECTOR_REGISTERS
  )
    chains *= 2;
  return chains;
}

/** sum += a · b */
export function multiplyAdd(f: FunctionBuilder, { relaxed }: Family, sum: Local, a: Local, b: Local): void {
  if (relaxed) f.get(a).get(b).get(sum).op('f32x4.relaxed_madd').set(sum);
  else f.get(sum).get(a).get(b).op('f32x4.mul').op('f32x4.add').set(sum);
}

/** The vectors between which `bounds` clips. */
export interface Bounds {
  readonly low: Local<'v128'>;
  readonly high: Local<'v128'>;
}

/** Activates the vector on the stack. `pmax(a, b)` is `a < b ? b : a`, so a NaN in `a` stays. */
export function activate(f: FunctionBuilder, { activation }: Epilogue, bounds?: Bounds): void {
  if (activation === 'relu') f.zero().op('f32x4.pmax');
  else if (activation === 'bounds') {
    invariant(bounds, 'a kernel with bounds has loaded them');
    f.get(bounds.low).op('f32x4.pmax').get(bounds.high).op('f32x4.pmin');
  } else if (activation !== 'none') {
    invariant(activation.min <= activation.max, `clip to [${activation.min}, ${activation.max}]`);
    f.f32(activation.min).op('f32x4.splat').op('f32x4.pmax');
    f.f32(activation.max).op('f32x4.splat').op('f32x4.pmin');
  }
}

/** The arguments `low`, `high` of a kernel with `bounds`: the bits of two float32. */
export function boundsOf(activation: Exclude<Epilogue['activation'], 'bounds'>): readonly [low: number, high: number] {
  const { min, max } =
    typeof activation === 'object' ? activation : { min: activation === 'relu' ? 0 : -Infinity, max: Infinity };
  invariant(min <= max, `clip to [${min}, ${max}]`);
  const [low = 0, high = 0] = new Uint32Array(Float32Array.of(min, max).buffer);
  return [low, high];
}

/** Whether a finished sum needs a second step at all. */
export function hasEpilogue({ activation, residual }: Epilogue): boolean {
  return residual !== false || activation !== 'none';
}

/** How an epilogue is written in the name of a kernel. */
export function epilogueName({ activation, residual }: Epilogue): string {
  const name = typeof activation === 'string' ? activation : `clip${activation.min}:${activation.max}`;
  return `${residual === true ? '_residual' : ''}${name === 'none' ? '' : `_${name}`}`;
}

/** Runs `body` as often as `counter` says, at least once; the counter ends at 0. */
export function countDown(f: FunctionBuilder, counter: Local<'i32'>, body: () => void): void {
  f.loop((again) => {
    body();
    f.get(counter).i32(1).op('i32.sub').tee(counter).brIf(again);
  });
}

/** Like {@link countDown}, and not at all when the counter is 0. */
export function countDownIfAny(f: FunctionBuilder, counter: Local<'i32'>, body: () => void): void {
  f.get(counter).if(() => countDown(f, counter, body));
}

/** local += amount */
export function advance(f: FunctionBuilder, local: Local<'i32'>, amount: number | Local<'i32'>): void {
  f.get(local);
  if (typeof amount === 'number') f.i32(amount);
  else f.get(amount);
  f.op('i32.add').set(local);
}

/** Runs `cases[selector]`; the selector is left on the stack by `select` and lies in [0, cases.length). */
export function dispatch(f: FunctionBuilder, select: () => void, cases: readonly (() => void)[]): void {
  f.block((done) => {
    const nest = (index: number, labels: readonly Label[]): void => {
      if (index < 0) {
        select();
        const [first] = labels;
        invariant(first, 'a dispatch has cases');
        f.brTable(labels, first);
        return;
      }
      f.block((label) => nest(index - 1, [label, ...labels]));
      cases[index]?.();
      if (f.reachable) f.br(done);
    };
    nest(cases.length - 1, []);
  });
}
