/** A nest of loops over strided operands whose body is scalar code: lengths and advances are parameters. */
import { invariant } from '@grim/ir';
import { advanceOf, planLoops } from '../map/loops.ts';
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import { advance } from './family.ts';

/** How a call walks; the kernel is generated for the number of levels. */
interface NestCall {
  readonly levels: number;
  /** For the end of the call: the length of each level, then the advance of each pointer there. */
  readonly args: readonly number[];
}

/**
 * @param lengths  none of them 0
 * @param operands  element size and byte strides of each pointer
 */
export function nestCall(
  lengths: readonly number[],
  operands: readonly { readonly bytes: number; readonly strides: readonly number[] }[],
): NestCall {
  const loops = planLoops(lengths, operands);
  const args = loops.lengths.flatMap((length, level) => [
    length,
    ...loops.operands.map((walked) => advanceOf(loops, walked, level)),
  ]);
  return { levels: loops.lengths.length, args };
}

/** Parameters of a kernel with a nest: its own names, then those of {@link nestCall}. */
export function nestParameters(
  names: readonly string[],
  pointers: readonly string[],
  levels: number,
): Readonly<Record<string, 'i32'>> {
  const all = [...names];
  for (let level = 0; level < levels; level++)
    all.push(`length ${level}`, ...pointers.map((pointer) => `${pointer} ${level}`));
  return Object.fromEntries(all.map((name) => [name, 'i32']));
}

/** Runs `body` at every place; the parameters named by `pointers` stand there. */
export function emitNest(
  f: FunctionBuilder,
  parameters: Readonly<Record<string, Local<'i32'>>>,
  pointers: readonly string[],
  levels: number,
  body: () => void,
): void {
  const walk = (level: number): void => {
    if (level === levels) {
      body();
      return;
    }
    const left = f.local('i32');
    f.get(parameter(parameters, `length ${level}`)).set(left);
    f.loop((again) => {
      walk(level + 1);
      for (const pointer of pointers)
        advance(f, parameter(parameters, pointer), parameter(parameters, `${pointer} ${level}`));
      f.get(left).i32(1).op('i32.sub').tee(left).brIf(again);
    });
  };
  walk(0);
}

export function parameter(parameters: Readonly<Record<string, Local<'i32'>>>, name: string): Local<'i32'> {
  const found = parameters[name];
  invariant(found, `parameter ${name}`);
  return found;
}
