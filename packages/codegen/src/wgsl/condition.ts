/**
 * Branches. A list of dispatches has none, so those of both branches are there, and each begins by looking whether it is to do
 * anything: the host learns nothing of a condition, and nothing waits for it.
 */
import { type Dispatch, type Operand, spaceName } from './shader.ts';

/** What must hold: the byte is 0, or it is not. */
export interface Condition {
  readonly at: Operand;
  readonly wanted: 0 | 1;
}

/** The dispatch as one of the branches that `conditions` lead to, the outermost first. */
export function conditional(dispatch: Dispatch, conditions: readonly Condition[]): Dispatch {
  const { shader, args } = dispatch;
  if (conditions.length === 0) return dispatch;
  const name = `${shader.name}_if_${conditions.map(({ at }) => spaceName(at)).join('')}`;
  const guarded = (text: string) => {
    const atomic = text.includes('array<atomic<u32>>');
    const tests = conditions.map(({ at: { space } }, i) => {
      const index = `args.when${i} >> 2u`;
      const word = atomic && space === 'arena' ? `atomicLoad(&arena[${index}])` : `${space}[${index}]`;
      return `(((${word} >> (u32(args.when${i} & 3) * 8u)) & 0xffu) != 0u) == (args.wanted${i} == 1)`;
    });
    const fields = conditions.map((_, i) => `when${i}: i32, wanted${i}: i32`).join(', ');
    // All invocations of a group must see the same: barriers may follow.
    return text
      .replace('struct Args { ', `struct Args { ${fields}, `)
      .replace('@compute ', 'var<workgroup> runs: bool;\n@compute ')
      .replace(
        /fn main\([^{]*\{\n/,
        (head) =>
          `${head}  if (lane == 0u) { runs = ${tests.join(' && ')}; }\n  if (!workgroupUniformLoad(&runs)) { return; }\n`,
      );
  };
  const code = () => guarded(shader.code());
  const variants = shader.variants?.map((variant) => ({ ...variant, code: () => guarded(variant.code()) }));
  return {
    ...dispatch,
    shader: { name, code, ...(variants && { variants }) },
    args: [...conditions.flatMap(({ at, wanted }) => [at.byte, wanted]), ...args],
  };
}
