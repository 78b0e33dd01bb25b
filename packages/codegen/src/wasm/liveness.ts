/**
 * How many 128-bit values a function needs at once.
 *
 * A kernel with more live vectors than the machine has registers is still correct and half as fast, so the assembler
 * counts them: a backward data-flow analysis over the v128 locals (Aho et al., "Compilers", §9.2.5), to which the vectors
 * on the operand stack are added. `local.get` counts for nothing by itself: it names a register that is already counted.
 */
import { invariant } from '@grim/ir';

/** One instruction as far as vectors are concerned. Locals are numbered densely from 0, v128 ones only. */
export interface VectorEvent {
  readonly uses: readonly number[];
  /** The local it writes, or -1. */
  readonly defines: number;
  /** Vectors on the stack that belong to no local, before and after. */
  readonly before: number;
  readonly after: number;
  /** A call: nothing survives it in a register. */
  readonly call?: boolean;
}

/** A stretch of code without jumps inside. */
export class BasicBlock {
  readonly events: VectorEvent[] = [];
  readonly successors: BasicBlock[] = [];
  /** Locals live on entry, a bit each. */
  liveIn = 0n;
}

export interface Pressure {
  /** The largest number of vectors alive at one point. */
  readonly live: number;
  /** The largest number of vectors alive across a call. */
  readonly liveAcrossCall: number;
  /** A local that may be read before it is written, or -1. */
  readonly unset: number;
}

/** @param blocks all blocks, the entry first; @param parameters bits of the locals that hold a value on entry */
export function pressure(blocks: readonly BasicBlock[], parameters: bigint): Pressure {
  for (let changed = true; changed; ) {
    changed = false;
    for (const block of blocks.toReversed()) {
      const live = walk(block);
      if (live !== block.liveIn) changed = true;
      block.liveIn = live;
    }
  }
  const found = { live: 0, liveAcrossCall: 0 };
  for (const block of blocks) {
    walk(block, (event, before, after) => {
      found.live = Math.max(found.live, count(before) + event.before, count(after) + event.after);
      if (event.call) found.liveAcrossCall = Math.max(found.liveAcrossCall, count(after) + event.after);
    });
  }
  const entry = blocks[0];
  invariant(entry, 'a function has an entry');
  const unset = entry.liveIn & ~parameters;
  return { ...found, unset: unset === 0n ? -1 : unset.toString(2).length - 1 };
}

/** Backwards through a block; the visitor sees the locals live before an event, and after it with the one it writes. */
function walk(block: BasicBlock, visit?: (event: VectorEvent, before: bigint, after: bigint) => void): bigint {
  let live = block.successors.reduce((bits, next) => bits | next.liveIn, 0n);
  for (const event of block.events.toReversed()) {
    const defined = event.defines < 0 ? 0n : 1n << BigInt(event.defines);
    const after = live | defined;
    live &= ~defined;
    for (const local of event.uses) live |= 1n << BigInt(local);
    visit?.(event, live, after);
  }
  return live;
}

function count(bits: bigint): number {
  let n = 0;
  for (let rest = bits; rest !== 0n; rest &= rest - 1n) n++;
  return n;
}
