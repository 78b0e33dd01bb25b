/**
 * Two copies of straight-line code, instruction by instruction in turn.
 *
 * A long chain of operations waits for itself: a processor looks a few hundred instructions ahead and finds only the ends of a
 * few chains there. With two copies side by side each instruction has a neighbour that does not wait for it. What is the same
 * in both, as a constant from a table, is computed once.
 */
import { invariant } from '@grim/ir';
import { FunctionBuilder, type Local } from './assembler.ts';
import { LETTERS, SCALAR, SCALAR_MEMORY, type ValueType } from './opcodes.ts';
import { SIMD, SIMD_MEMORY } from './simd.ts';

const COPIES = 2;

/** On the model of the operand stack: a number, or where the value of each copy is kept. */
type Value = number | readonly [Local] | readonly [Local, Local];

type Operation = Parameters<FunctionBuilder['op']>[0];
type Access = Parameters<FunctionBuilder['memory']>[0];

/**
 * Writes `body` twice. It may read and write vectors through the builder it is given; branches and calls are refused.
 * What it leaves in a local is not seen outside.
 * @param moving  addresses which in the second copy are `bytes` further
 */
export function inLockstep(
  f: FunctionBuilder,
  moving: ReadonlySet<Local>,
  bytes: number,
  body: (f: FunctionBuilder) => void,
): void {
  body(new Lockstep(f, new Set(Array.from(moving, ({ index }) => index)), bytes));
}

class Lockstep extends FunctionBuilder {
  readonly #f: FunctionBuilder;
  readonly #moving: ReadonlySet<number>;
  readonly #bytes: number;
  /** What the locals of the body hold by now. */
  readonly #held = new Map<number, Value>();
  readonly #values: Value[] = [];

  constructor(f: FunctionBuilder, moving: ReadonlySet<number>, bytes: number) {
    super([], [], []);
    this.#f = f;
    this.#moving = moving;
    this.#bytes = bytes;
  }

  override local<T extends ValueType>(type: T): Local<T> {
    return this.#f.local(type);
  }

  override get(local: Local): this {
    this.#values.push(this.#held.get(local.index) ?? [local]);
    return this;
  }

  override set(local: Local): this {
    this.#held.set(local.index, this.#pop());
    return this;
  }

  override tee(local: Local): this {
    return this.set(local).get(local);
  }

  override i32(value: number): this {
    this.#values.push(value);
    return this;
  }

  override f32(value: number): this {
    return this.#keep('f32', 1, () => this.#f.f32(value));
  }

  override zero(): this {
    return this.#keep('v128', 1, () => this.#f.zero());
  }

  override op(name: Operation): this {
    const [, operands, result] = name in SCALAR ? SCALAR[name as keyof typeof SCALAR] : SIMD[name as keyof typeof SIMD];
    const taken = this.#take(operands.length);
    return this.#keep(LETTERS[result], copiesOf(taken), (copy) => {
      for (const value of taken) this.#push(value, copy);
      this.#f.op(name);
    });
  }

  override memory(name: Access, offset = 0): this {
    const [, operands, result] =
      name in SIMD_MEMORY
        ? SIMD_MEMORY[name as keyof typeof SIMD_MEMORY]
        : SCALAR_MEMORY[name as keyof typeof SCALAR_MEMORY];
    const [address, ...values] = this.#take(1 + operands.length);
    invariant(typeof address === 'object' && address.length === 1, `${name} at an address of one copy`);
    const moves = this.#moving.has(address[0].index);
    return this.#keep(LETTERS[result], moves ? COPIES : copiesOf(values), (copy) => {
      this.#f.get(address[0]);
      for (const value of values) this.#push(value, copy);
      this.#f.memory(name, offset + (moves ? copy * this.#bytes : 0));
    });
  }

  override lane(): never {
    return refused('lane');
  }
  override shuffle(): never {
    return refused('shuffle');
  }
  override storeLane(): never {
    return refused('storeLane');
  }
  override drop(): never {
    return refused('drop');
  }
  override call(): never {
    return refused('call');
  }
  override block(): never {
    return refused('block');
  }
  override loop(): never {
    return refused('loop');
  }
  override if(): never {
    return refused('if');
  }
  override br(): never {
    return refused('br');
  }
  override brIf(): never {
    return refused('brIf');
  }
  override brTable(): never {
    return refused('brTable');
  }

  #pop(): Value {
    const value = this.#values.pop();
    invariant(value !== undefined, 'lockstep: an empty stack');
    return value;
  }

  #take(count: number): readonly Value[] {
    return Array.from({ length: count }, () => this.#pop()).reverse();
  }

  #push(value: Value, copy: number): void {
    if (typeof value === 'number') this.#f.i32(value);
    else this.#f.get(value[copy] ?? value[0]);
  }

  #keep(type: ValueType | undefined, copies: number, compute: (copy: number) => void): this {
    const one = (copy: number) => {
      compute(copy);
      const local = type && this.#f.local(type);
      if (local) this.#f.set(local);
      return local;
    };
    const [first, second] = Array.from({ length: copies }, (_, copy) => one(copy));
    if (first) this.#values.push(second ? [first, second] : [first]);
    return this;
  }
}

function copiesOf(values: readonly Value[]): number {
  return values.some((value) => typeof value === 'object' && value.length === COPIES) ? COPIES : 1;
}

function refused(what: string): never {
  throw new Error(`internal: ${what} in lockstep`);
}
