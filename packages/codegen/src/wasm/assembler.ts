/**
 * Writes WebAssembly modules: one imported memory, functions, exports, nothing else.
 *
 * Instructions are appended one by one and checked at once against a model of the operand stack, so that a mistake in a
 * generator is an error with a name here and not an invalid module later. Code after an unconditional branch is refused:
 * kernels have none, and the checks need no polymorphic stack. Bytes depend on the calls alone.
 * @see WebAssembly core specification 3.0, chapters 3 (validation) and 5 (binary format)
 */
import { invariant } from '@grim/ir';
import { ByteWriter } from './bytes.ts';
import { BasicBlock, pressure } from './liveness.ts';
import { type Entry, LETTERS, type MemoryEntry, SCALAR, SCALAR_MEMORY, TYPE_CODES, type ValueType } from './opcodes.ts';
import { SIMD, SIMD_LANE, SIMD_LANE_MEMORY, SIMD_MEMORY } from './simd.ts';

/** V8 leaves this many of the 16 vector registers of x86-64 to WebAssembly; one more live value halves the speed. */
export const VECTOR_REGISTERS = 15;

/** A quarter of what V8 accepts (`wasm-limits.h`): other engines may accept less. */
export const MODULE_LIMITS = {
  functionBytes: 1_913_580,
  locals: 12_500,
  parameters: 250,
  functions: 250_000,
  branchTargets: 16_380,
} as const;

export interface Local<T extends ValueType = ValueType> {
  readonly index: number;
  readonly type: T;
}

/** Where a branch goes: the end of a block, the start of a loop. Valid inside the callback that received it. */
export interface Label {
  readonly height: number;
  readonly target: BasicBlock;
}

export interface FunctionRef {
  readonly index: number;
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
  /** The most vectors alive at once in it. */
  readonly liveVectors: number;
}

export interface FunctionOptions<P extends Readonly<Record<string, ValueType>>> {
  /** In the order of the call. Plain object: the names are for the generator alone. */
  readonly parameters: P;
  readonly results?: readonly ValueType[];
  /** The name it is exported under; without one it is internal. */
  readonly export?: string;
  /** Vector values that may be alive at once. Default {@link VECTOR_REGISTERS}. */
  readonly registers?: number;
}

type Locals<P> = { readonly [K in keyof P]: Local<P[K] & ValueType> };
type ScalarName = keyof typeof SCALAR;
type VectorName = keyof typeof SIMD;
type LaneName = keyof typeof SIMD_LANE;
type AccessName = keyof typeof SCALAR_MEMORY | keyof typeof SIMD_MEMORY;
type LaneAccessName = keyof typeof SIMD_LANE_MEMORY;

function letterOf(type: ValueType): string {
  const entry = Object.entries(LETTERS).find(([, named]) => named === type);
  invariant(entry, `no letter for ${type}`);
  return entry[0];
}

/** On the operand stack: the value's type and, for a vector that a local still holds, that local. */
interface Operand {
  readonly type: ValueType;
  readonly local: number;
}

/** Appends instructions to one function. Every method returns the builder, so code reads from left to right. */
export class FunctionBuilder {
  readonly #code = new ByteWriter();
  readonly #locals: ValueType[] = [];
  readonly #parameters: readonly ValueType[];
  readonly #results: readonly ValueType[];
  readonly #functions: readonly FunctionRef[];
  readonly #blocks: BasicBlock[] = [new BasicBlock()];
  readonly #labels: Label[] = [];
  /** Vector locals by index, numbered densely. */
  readonly #vectors = new Map<number, number>();
  #stack: Operand[] = [];
  #reachable = true;

  constructor(parameters: readonly ValueType[], results: readonly ValueType[], functions: readonly FunctionRef[]) {
    this.#parameters = parameters;
    this.#results = results;
    this.#functions = functions;
    for (const [index, type] of parameters.entries()) this.#number(index, type);
  }

  /** False after an unconditional branch, until the block ends. */
  get reachable(): boolean {
    return this.#reachable;
  }

  /** A new local. Vector locals must be written before they are read. */
  local<T extends ValueType>(type: T): Local<T> {
    const index = this.#parameters.length + this.#locals.length;
    invariant(this.#locals.length < MODULE_LIMITS.locals, `more than ${MODULE_LIMITS.locals} locals`);
    this.#locals.push(type);
    this.#number(index, type);
    return { index, type };
  }

  locals<T extends ValueType>(type: T, count: number): Local<T>[] {
    return Array.from({ length: count }, () => this.local(type));
  }

  get(local: Local): this {
    this.#known(local);
    this.#emit(0x20).u32(local.index);
    this.#stack.push({ type: local.type, local: local.type === 'v128' ? local.index : -1 });
    return this;
  }

  set(local: Local): this {
    this.#known(local);
    this.#emit(0x21).u32(local.index);
    return this.#assign(local);
  }

  tee(local: Local): this {
    this.#known(local);
    this.#emit(0x22).u32(local.index);
    this.#assign(local);
    this.#stack.push({ type: local.type, local: local.type === 'v128' ? local.index : -1 });
    return this;
  }

  /** i32.const; numbers from 2^31 up stand for the same bits read as unsigned. */
  i32(value: number): this {
    this.#emit(0x41).s32(value);
    return this.#apply('', 'i');
  }

  f32(value: number): this {
    this.#emit(0x43).f32(value);
    return this.#apply('', 'f');
  }

  /** v128.const of zeros, one cheap instruction. Other vectors come from memory or from a splat outside the loop. */
  zero(): this {
    this.#emit(0xfd).u32(12).raw(new Uint8Array(16));
    return this.#apply('', 'v');
  }

  op(name: ScalarName | VectorName): this {
    if (name in SCALAR) {
      const [opcode, operands, result]: Entry = SCALAR[name as ScalarName];
      this.#emit(opcode);
      return this.#apply(operands, result, name);
    }
    const [opcode, operands, result]: Entry = SIMD[name as VectorName];
    this.#emit(0xfd).u32(opcode);
    return this.#apply(operands, result, name);
  }

  lane(name: LaneName, lane: number): this {
    const [opcode, operands, result]: Entry = SIMD_LANE[name];
    invariant(lane >= 0 && lane < 4, `${name} of lane ${lane}`);
    this.#emit(0xfd).u32(opcode).byte(lane);
    return this.#apply(operands, result, name);
  }

  /** A load or store: address, then the value to be stored, come from the stack. No alignment is promised. */
  memory(name: AccessName, offset = 0): this {
    const vector = name in SIMD_MEMORY;
    const [opcode, operands, result]: MemoryEntry = vector
      ? SIMD_MEMORY[name as keyof typeof SIMD_MEMORY]
      : SCALAR_MEMORY[name as keyof typeof SCALAR_MEMORY];
    if (vector) this.#emit(0xfd).u32(opcode);
    else this.#emit(opcode);
    this.#code.u32(0).u32(offset);
    return this.#apply(`i${operands}`, result, name);
  }

  /** Replaces two vectors by one of their float32 lanes: 0 to 3 of the first, 4 to 7 of the second. */
  shuffle(lanes: readonly [number, number, number, number]): this {
    this.#emit(0xfd).u32(0x0d);
    for (const lane of lanes) {
      invariant(lane >= 0 && lane < 8, `lane ${lane} of two vectors`);
      for (let byte = 0; byte < 4; byte++) this.#emit(4 * lane + byte);
    }
    return this.#apply('vv', 'v', 'shuffle');
  }

  storeLane(name: LaneAccessName, lane: number, offset = 0): this {
    const [opcode, operands, result, bytes]: MemoryEntry = SIMD_LANE_MEMORY[name];
    invariant(lane >= 0 && lane < 16 / bytes, `${name} of lane ${lane}`);
    this.#emit(0xfd).u32(opcode).u32(0).u32(offset).byte(lane);
    return this.#apply(`i${operands}`, result, name);
  }

  drop(): this {
    this.#emit(0x1a);
    const type = this.#stack.at(-1)?.type;
    invariant(type, 'drop on an empty stack');
    return this.#apply(letterOf(type), '', 'drop');
  }

  call(callee: FunctionRef): this {
    invariant(this.#functions[callee.index] === callee, 'a call to a function of another module');
    this.#emit(0x10).u32(callee.index);
    const letters = (types: readonly ValueType[]) => types.map(letterOf).join('');
    return this.#apply(letters(callee.parameters), letters(callee.results), 'call', true);
  }

  /** The label is the end. */
  block(body: (end: Label) => void): this {
    const exit = new BasicBlock();
    this.#emit(0x02).byte(0x40);
    this.#nest({ height: this.#labels.length, target: exit }, body);
    this.#code.byte(0x0b);
    return this.#continueAt(exit);
  }

  /** The label is the start: without a branch to it, the body runs once. */
  loop(body: (start: Label) => void): this {
    const header = new BasicBlock();
    const exit = new BasicBlock();
    this.#emit(0x03).byte(0x40);
    this.#jumpTo(header);
    this.#enter(header);
    this.#nest({ height: this.#labels.length, target: header }, body);
    this.#code.byte(0x0b);
    return this.#continueAt(exit);
  }

  /** Consumes an i32. */
  if(then: () => void, otherwise?: () => void): this {
    this.#emit(0x04).byte(0x40);
    this.#apply('i', '', 'if');
    const before = this.#current();
    const exit = new BasicBlock();
    this.#arm(before, exit, then);
    if (otherwise) {
      this.#code.byte(0x05);
      this.#arm(before, exit, otherwise);
    } else before.successors.push(exit);
    this.#code.byte(0x0b);
    this.#enter(exit);
    return this;
  }

  br(label: Label): this {
    this.#emit(0x0c).u32(this.#depth(label));
    this.#jumpTo(label.target);
    return this.#stop();
  }

  /** Consumes an i32. */
  brIf(label: Label): this {
    this.#emit(0x0d).u32(this.#depth(label));
    this.#apply('i', '', 'br_if');
    this.#jumpTo(label.target);
    const next = new BasicBlock();
    this.#jumpTo(next);
    this.#enter(next);
    return this;
  }

  /** Consumes an i32: `labels[i]` for i, `otherwise` beyond. */
  brTable(labels: readonly Label[], otherwise: Label): this {
    invariant(labels.length <= MODULE_LIMITS.branchTargets, `br_table of ${labels.length} labels`);
    this.#emit(0x0e).u32(labels.length);
    for (const label of labels) this.#code.u32(this.#depth(label));
    this.#code.u32(this.#depth(otherwise));
    this.#apply('i', '', 'br_table');
    for (const { target } of new Set([...labels, otherwise])) this.#jumpTo(target);
    return this.#stop();
  }

  /** The body of the function as the code section wants it. @throws {Error} when it would spill or does not balance */
  finish(name: string, registers: number): { readonly bytes: ByteWriter; readonly live: number } {
    invariant(this.#labels.length === 0, `${name}: an open block`);
    const left = this.#stack.map(({ type }) => type).join();
    invariant(left === this.#results.join(), `${name}: leaves [${left}], declared [${this.#results.join()}]`);
    const parameters = this.#parameters.reduce(
      (bits, type, i) => (type === 'v128' ? bits | (1n << BigInt(this.#vectors.get(i) ?? 0)) : bits),
      0n,
    );
    const { live, liveAcrossCall, unset } = pressure(this.#blocks, parameters);
    invariant(unset < 0, `${name}: vector local number ${unset} may be read before it is written`);
    invariant(live <= registers, `${name}: ${live} vectors are alive at once, ${registers} registers are there`);
    invariant(liveAcrossCall === 0, `${name}: ${liveAcrossCall} vectors are alive across a call, which spills them`);
    const body = new ByteWriter();
    const runs: { type: ValueType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    body.u32(runs.length);
    for (const { type, count } of runs) body.u32(count).byte(TYPE_CODES[type]);
    body.raw(this.#code.bytes()).byte(0x0b);
    invariant(body.length <= MODULE_LIMITS.functionBytes, `${name}: a body of ${body.length} bytes`);
    return { bytes: body, live };
  }

  #emit(opcode: number): ByteWriter {
    invariant(this.#reachable, 'code after an unconditional branch');
    return this.#code.byte(opcode);
  }

  #number(index: number, type: ValueType): void {
    if (type === 'v128') this.#vectors.set(index, this.#vectors.size);
  }

  #known(local: Local): void {
    const type = this.#parameters[local.index] ?? this.#locals[local.index - this.#parameters.length];
    invariant(type === local.type, `local ${local.index} of another function`);
  }

  /** Takes operands from the stack and puts results on it; letters as in the opcode tables. */
  #apply(operands: string, results: string, name = 'instruction', call = false): this {
    const before = this.#temporaries();
    const uses: number[] = [];
    for (const letter of Array.from(operands).reverse()) {
      const found = this.#stack.pop();
      const needed = LETTERS[letter];
      invariant(found && found.type === needed, `${name}: ${found?.type ?? 'nothing'} on the stack, ${needed} needed`);
      if (found.local >= 0) uses.push(found.local);
    }
    for (const letter of results) {
      const type = LETTERS[letter];
      invariant(type, `${name}: no type "${letter}"`);
      this.#stack.push({ type, local: -1 });
    }
    this.#record(uses, -1, before, call);
    return this;
  }

  #assign(local: Local): this {
    const before = this.#temporaries();
    const found = this.#stack.pop();
    invariant(found?.type === local.type, `local.set: ${found?.type ?? 'nothing'} on the stack, ${local.type} needed`);
    if (local.type !== 'v128') return this;
    const uses = found.local >= 0 ? [found.local] : [];
    // What the local held and the stack still needs becomes a value of its own.
    if (this.#stack.some((operand) => operand.local === local.index)) uses.push(local.index);
    this.#stack = this.#stack.map((operand) =>
      operand.local === local.index ? { type: operand.type, local: -1 } : operand,
    );
    this.#record(uses, local.index, before, false);
    return this;
  }

  #record(uses: readonly number[], defines: number, before: number, call: boolean): void {
    const after = this.#temporaries();
    if (uses.length === 0 && defines < 0 && before === 0 && after === 0 && !call) return;
    const number = (index: number) => this.#vectors.get(index) ?? -1;
    this.#current().events.push({ uses: uses.map(number), defines: number(defines), before, after, call });
  }

  #temporaries(): number {
    return this.#stack.reduce((n, { type, local }) => n + (type === 'v128' && local < 0 ? 1 : 0), 0);
  }

  #current(): BasicBlock {
    const block = this.#blocks.at(-1);
    invariant(block, 'a function has a block');
    return block;
  }

  #enter(block: BasicBlock): void {
    this.#blocks.push(block);
    this.#reachable = true;
  }

  #jumpTo(block: BasicBlock): void {
    this.#current().successors.push(block);
  }

  #stop(): this {
    this.#reachable = false;
    return this;
  }

  #depth(label: Label): number {
    invariant(this.#labels[label.height] === label, 'a branch to a label that is not open');
    return this.#labels.length - 1 - label.height;
  }

  #arm(before: BasicBlock, exit: BasicBlock, body: () => void): void {
    const start = new BasicBlock();
    before.successors.push(start);
    this.#enter(start);
    this.#nest({ height: this.#labels.length, target: exit }, body);
    if (this.#reachable) this.#jumpTo(exit);
    this.#reachable = true;
  }

  #nest(label: Label, body: (label: Label) => void): void {
    const height = this.#stack.length;
    this.#labels.push(label);
    body(label);
    this.#labels.pop();
    invariant(this.#stack.length === height, `a block changes the stack by ${this.#stack.length - height} values`);
  }

  #continueAt(exit: BasicBlock): this {
    if (this.#reachable) this.#jumpTo(exit);
    this.#enter(exit);
    return this;
  }
}

export interface MemoryOptions {
  /** Pages of 64 KiB the module asks for at least. */
  readonly minPages: number;
  /** The limit it must have at most; a shared memory, for threads, has one. */
  readonly maxPages?: number;
  readonly shared?: boolean;
}

/** A module under construction; it imports `env.memory` and nothing else. */
export class ModuleBuilder {
  readonly #functions: FunctionRef[] = [];
  readonly #bodies: ByteWriter[] = [];
  readonly #exports = new Map<string, number>();
  readonly #internals = new Map<string, FunctionRef>();
  readonly #memory: MemoryOptions;

  constructor(memory: MemoryOptions = { minPages: 1 }) {
    const { minPages, maxPages = memory.shared ? -1 : 65536 } = memory;
    invariant(
      minPages >= 0 && minPages <= maxPages && maxPages <= 65536,
      `a memory of ${minPages} to ${maxPages} pages`,
    );
    this.#memory = memory;
  }

  /** Adds a function; `body` writes it at once. @throws {Error} `internal: …` on any mistake of the generator */
  function<const P extends Readonly<Record<string, ValueType>>>(
    options: FunctionOptions<P>,
    body: (f: FunctionBuilder, parameters: Locals<P>) => void,
  ): FunctionRef {
    const { results = [], registers = VECTOR_REGISTERS } = options;
    const types = Object.values(options.parameters);
    invariant(types.length <= MODULE_LIMITS.parameters, `${types.length} parameters`);
    invariant(this.#functions.length < MODULE_LIMITS.functions, 'too many functions');
    const name = options.export ?? `function ${this.#functions.length}`;
    const builder = new FunctionBuilder(types, results, this.#functions);
    const entries = Object.entries(options.parameters).map(([key, type], index) => [key, { index, type }]);
    body(builder, Object.fromEntries(entries) as Locals<P>);
    const { bytes, live } = builder.finish(name, registers);
    const ref: FunctionRef = { index: this.#functions.length, parameters: types, results, liveVectors: live };
    this.#functions.push(ref);
    this.#bodies.push(bytes);
    if (options.export !== undefined) {
      invariant(!this.#exports.has(options.export), `${options.export} is exported twice`);
      this.#exports.set(options.export, ref.index);
    }
    return ref;
  }

  /**
   * The function that `add` exports under the name it is given, kept inside the module instead. Of several of one name
   * the first is added and serves all.
   */
  internal(name: string, add: (exported: string) => void): FunctionRef {
    const known = this.#internals.get(name);
    if (known) return known;
    const exported = `internal ${name}`;
    add(exported);
    const ref = this.#functions[this.#exports.get(exported) ?? -1];
    invariant(ref, `${name} has been exported`);
    this.#exports.delete(exported);
    this.#internals.set(name, ref);
    return ref;
  }

  build(): Uint8Array<ArrayBuffer> {
    const types = new Map<string, number>();
    const typeOf = ({ parameters, results }: FunctionRef) => {
      const codes = (list: readonly ValueType[]) => [list.length, ...list.map((type) => TYPE_CODES[type])];
      const key = [0x60, ...codes(parameters), ...codes(results)].join();
      if (!types.has(key)) types.set(key, types.size);
      return types.get(key) ?? 0;
    };
    const used = this.#functions.map(typeOf);
    const typeSection = new ByteWriter().u32(types.size);
    for (const key of types.keys()) {
      const [form = 0, ...rest] = key.split(',').map(Number);
      typeSection.byte(form);
      let at = 0;
      while (at < rest.length) {
        const length = rest[at++] ?? 0;
        typeSection.u32(length).raw(rest.slice(at, at + length));
        at += length;
      }
    }
    const { minPages, maxPages, shared } = this.#memory;
    const imports = new ByteWriter().u32(1).ascii('env').ascii('memory').byte(2);
    imports.byte((shared ? 2 : 0) | (maxPages === undefined ? 0 : 1)).u32(minPages);
    if (maxPages !== undefined) imports.u32(maxPages);
    const functions = new ByteWriter().u32(used.length);
    for (const type of used) functions.u32(type);
    const exports = new ByteWriter().u32(this.#exports.size);
    for (const [name, index] of this.#exports) exports.ascii(name).byte(0).u32(index);
    const code = new ByteWriter().u32(this.#bodies.length);
    for (const body of this.#bodies) code.sized(body);
    const module = new ByteWriter().raw([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const sections = [
      [1, typeSection],
      [2, imports],
      [3, functions],
      [7, exports],
      [10, code],
    ] as const;
    for (const [id, content] of sections) module.byte(id).sized(content);
    return module.bytes();
  }
}
