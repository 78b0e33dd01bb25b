/** Functions that no single instruction computes: the vector code of `math/`, and the table of constants it reads. */
import { invariant } from '@grim/ir';
import type { Family } from '../kernels/family.ts';
import { UNARY, type UnaryName } from '../math/unary.ts';
import { ConstantPool, VectorMath } from '../math/vector.ts';
import { type FunctionBuilder, type Local, ModuleBuilder } from '../wasm/assembler.ts';

/** Replaces the vector on the stack by the function of it. */
export type MathCode = (name: UnaryName) => void;

/** Vectors that the code of a function keeps besides its argument. */
const REGISTERS: Readonly<Record<UnaryName, number>> = { exp: 4, log: 7, sigmoid: 5, tanh: 6, erf: 6 };

export function isFunction(name: string): name is UnaryName {
  return Object.hasOwn(UNARY, name);
}

export function registersOf(name: string): number {
  return isFunction(name) ? REGISTERS[name] : 0;
}

let pool: ConstantPool | undefined;

/** One pool for all functions, filled in a fixed order, so that every model has the same table. */
function sharedPool(): ConstantPool {
  if (!pool) {
    const filled = new ConstantPool();
    new ModuleBuilder().function({ parameters: { base: 'i32' } }, (f, { base }) => {
      const m = new VectorMath(f, { relaxed: false }, filled, base);
      for (const write of Object.values(UNARY)) {
        f.zero();
        write(m);
        f.drop();
      }
    });
    pool = filled;
  }
  return pool;
}

/** What must lie at the address that kernels with functions are given last. */
export function functionTable(): Int32Array {
  return sharedPool().words();
}

export function mathCode(f: FunctionBuilder, family: Family, table: Local<'i32'> | undefined): MathCode {
  return (name) => {
    invariant(table, `a kernel with ${name} has a table`);
    UNARY[name](new VectorMath(f, family, sharedPool(), table));
  };
}
