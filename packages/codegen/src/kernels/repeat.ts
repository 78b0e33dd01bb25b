/**
 * A loop over a list of kernel calls, inside the module: what a recurrent layer does once for each step of its sequence.
 *
 * The kernels are generated once more as internal functions (unless another loop has them already), so that the list of
 * steps does not grow with the sequence. Addresses may move on by a fixed number of bytes after each round.
 */
import type { Address, Kernel } from '../program.ts';
import type { Local } from '../wasm/assembler.ts';
import { repeatTwin } from '../wgsl/repeat.ts';
import { advance, countDown } from './family.ts';

export interface RepeatedCall {
  readonly kernel: Kernel;
  readonly args: readonly (number | Address)[];
  /** By argument: bytes it moves on after a round. What is not there stays. */
  readonly moves: ReadonlyMap<number, number>;
}

/** Whether it is a loop as {@link repeated} makes them; its first argument is the number of rounds. */
export function isRepeated({ name }: Kernel): boolean {
  return name.startsWith('repeat(');
}

/** @param rounds  at least one */
export function repeated(
  rounds: number,
  calls: readonly RepeatedCall[],
): { readonly kernel: Kernel; readonly args: readonly (number | Address)[] } {
  const argument = (call: number, index: number) => `a${call}_${index}`;
  const move = (call: number, index: number) => `m${call}_${index}`;
  const parameters: Record<string, 'i32'> = { rounds: 'i32' };
  const args: (number | Address)[] = [rounds];
  const halves: number[] = [];
  calls.forEach((call, i) => {
    for (const j of call.kernel.halves ?? []) halves.push(args.length + j);
    call.args.forEach((arg, j) => {
      parameters[argument(i, j)] = 'i32';
      args.push(arg);
    });
    for (const [j, bytes] of call.moves) {
      parameters[move(i, j)] = 'i32';
      args.push(bytes);
    }
  });
  const names = calls.map(({ kernel, moves }) => `${kernel.name}.${Array.from(moves.keys()).join('.')}`);
  const kernel: Kernel = {
    name: `repeat(${names.join('; ')})`,
    twin: repeatTwin(
      calls.map(({ kernel: { twin, name, tables = [] }, args, moves }) => ({
        ...{ twin, name, moves },
        args: args.length,
        tables: tables.length,
      })),
    ),
    tables: calls.flatMap(({ kernel: { tables = [] } }) => tables),
    halves,
    emit: (module, family, exported) => {
      const functions = calls.map((call) =>
        module.internal(call.kernel.name, (name) => call.kernel.emit(module, family, name)),
      );
      module.function({ parameters, export: exported }, (f, p) => {
        const local = (name: string) => p[name] as Local<'i32'>;
        countDown(f, local('rounds'), () => {
          calls.forEach((call, i) => {
            call.args.forEach((_, j) => {
              f.get(local(argument(i, j)));
            });
            const callee = functions[i];
            if (callee) f.call(callee);
          });
          calls.forEach((call, i) => {
            for (const j of call.moves.keys()) advance(f, local(argument(i, j)), local(move(i, j)));
          });
        });
      });
    },
  };
  return { kernel, args };
}

/** The same call in round `t`. */
export function inRound<C extends RepeatedCall>(call: C, t: number): C {
  const args = call.args.map((arg, i) => {
    const by = t * (call.moves.get(i) ?? 0);
    return typeof arg === 'number' ? arg + by : { buffer: arg.buffer, offset: arg.offset + by };
  });
  return { ...call, args };
}

/** Two rounds as one: `even` is called in the first of them, `odd` in the second. Their moves are those of one round. */
export function pairOfRounds<C extends RepeatedCall>(even: readonly C[], odd: readonly C[]): readonly C[] {
  const both = [...even, ...odd.map((call) => inRound(call, 1))];
  return both.map((call) => ({ ...call, moves: new Map(Array.from(call.moves, ([i, bytes]) => [i, 2 * bytes])) }));
}
