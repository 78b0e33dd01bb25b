/**
 * What the functions of this folder are written in: vectors on the operand stack and a pool of constants.
 *
 * Engines rebuild a `v128.const` wherever it is used, loops included, and there are too few registers to keep a dozen
 * coefficients in. So constants lie in memory, four bytes each, and are splat where they are used: one load.
 */
import { invariant } from '@grim/ir';
import type { Family } from '../kernels/family.ts';
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';

/** Constants that generated code finds at an address it is given. */
export class ConstantPool {
  readonly #offsets = new Map<number, number>();

  /** Byte offset of a number rounded to float32. */
  float(value: number): number {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, value, true);
    return this.bits(view.getUint32(0, true));
  }

  /** Byte offset of 32 bits, given as an integer in [0, 2^32). */
  bits(word: number): number {
    const known = this.#offsets.get(word);
    if (known !== undefined) return known;
    const offset = 4 * this.#offsets.size;
    this.#offsets.set(word, offset);
    return offset;
  }

  /** What must lie at the address. */
  words(): Int32Array<ArrayBuffer> {
    return Int32Array.from(this.#offsets.keys(), (word) => word | 0);
  }
}

/** A function under construction together with its constants. */
export class VectorMath {
  readonly f: FunctionBuilder;
  readonly #family: Family;
  readonly #pool: ConstantPool;
  readonly #base: Local<'i32'>;

  /** @param base address of the pool's words at run time */
  constructor(f: FunctionBuilder, family: Family, pool: ConstantPool, base: Local<'i32'>) {
    this.f = f;
    this.#family = family;
    this.#pool = pool;
    this.#base = base;
  }

  /** Pushes a constant, rounded to float32, in all lanes. */
  constant(value: number): this {
    this.f.get(this.#base).memory('v128.load32_splat', this.#pool.float(value));
    return this;
  }

  /** Pushes 32 bits in all lanes. */
  bits(word: number): this {
    this.f.get(this.#base).memory('v128.load32_splat', this.#pool.bits(word));
    return this;
  }

  /** Pops b and a; pushes a · b + c, rounded once or twice, where `addend` pushes c. */
  multiplyAdd(addend: () => void): this {
    if (!this.#family.relaxed) this.f.op('f32x4.mul');
    addend();
    this.f.op(this.#family.relaxed ? 'f32x4.relaxed_madd' : 'f32x4.add');
    return this;
  }

  /** Pushes the polynomial in `x`, the constant term first (Horner). */
  polynomial(x: Local<'v128'>, coefficients: readonly number[]): this {
    const [leading, ...rest] = coefficients.toReversed();
    invariant(leading !== undefined, 'a polynomial has coefficients');
    this.constant(leading);
    for (const coefficient of rest) {
      this.f.get(x);
      this.multiplyAdd(() => this.constant(coefficient));
    }
    return this;
  }

  /** Pops the vector into a new local. */
  keep(): Local<'v128'> {
    const local = this.f.local('v128');
    this.f.set(local);
    return local;
  }
}

/** Replaces the vector on the stack by the function of it. */
export type VectorFunction = (m: VectorMath) => void;
