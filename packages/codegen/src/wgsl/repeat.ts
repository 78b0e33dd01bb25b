/** The twin of `kernels/repeat.ts`: the rounds one after the other in one list of calls; nothing returns to the host. */
import { type Argument, type Dispatch, numberOf, type Twin } from './shader.ts';

interface Repeated {
  readonly twin: Twin | undefined;
  readonly name: string;
  readonly args: number;
  /** By argument: bytes that it moves on by. */
  readonly moves: ReadonlyMap<number, number>;
  readonly tables: number;
}

/** Arguments of the kernel: rounds; for each call its own, then its moves. The tables of all calls follow. */
export function repeatTwin(calls: readonly Repeated[]): Twin {
  return (args) => {
    const rounds = numberOf(args, 0);
    const found: Dispatch[] = [];
    let tables = args.length - calls.reduce((sum, call) => sum + call.tables, 0);
    const given: { readonly call: Repeated; readonly own: readonly Argument[]; readonly more: readonly Argument[] }[] =
      [];
    let at = 1;
    for (const call of calls) {
      given.push({ call, own: args.slice(at, at + call.args), more: args.slice(tables, tables + call.tables) });
      at += call.args + call.moves.size;
      tables += call.tables;
    }
    for (let round = 0; round < rounds; round++)
      for (const { call, own, more } of given) {
        const moved = own.map((argument, i): Argument => {
          const bytes = round * (call.moves.get(i) ?? 0);
          return typeof argument === 'number' ? argument + bytes : { ...argument, byte: argument.byte + bytes };
        });
        const dispatches = call.twin?.([...moved, ...more]) ?? `${call.name} has no shader`;
        if (typeof dispatches === 'string') return dispatches;
        found.push(...dispatches);
      }
    return found;
  };
}
