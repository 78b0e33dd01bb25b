/** The twin of `kernels/stages.ts`: each invocation computes all stages of one element, in order. */
import type { Expression, Shape } from '../map/expression.ts';
import { unspellable, writeExpression } from './expression.ts';
import {
  float,
  groupsFor,
  INVOCATION,
  numberOf,
  operandOf,
  shaderText,
  spaceName,
  type Twin,
  wordOf,
} from './shader.ts';

interface Stages {
  readonly stages: readonly {
    readonly root: Expression;
    readonly shape: Shape;
    /** Numbers of the operands that the expression loads. */
    readonly from: readonly number[];
    readonly to: readonly number[];
  }[];
  /** By operand: one element for all. */
  readonly fixed: readonly boolean[];
  readonly name: string;
}

/** Arguments of the kernel: the length, then the operands. */
export function stagesTwin({ stages, fixed, name: stem }: Stages): Twin {
  return (args) => {
    if (stages.some(({ shape }) => unspellable(shape).length > 0)) return 'infinities in a cell';
    const length = numberOf(args, 0);
    const places = fixed.map((_, i) => operandOf(args, 1 + i));
    const name = `${stem}__${places.map(spaceName).join('')}`;
    const at = (operand: number) => `args.p${operand}${fixed[operand] ? '' : ' + i'}`;
    const code = () => {
      const functions = new Set<string>();
      const body = stages.flatMap(({ root, shape, from, to }, s) => {
        const load = (i: number) => float(places[from[i] ?? 0]?.space ?? 'arena', at(from[i] ?? 0));
        const written = writeExpression(root, shape, load, () => '0', `s${s}_`);
        for (const one of written.functions) functions.add(one);
        return [...written.lines, ...to.map((operand) => `arena[${at(operand)}] = bitcast<u32>(${written.value});`)];
      });
      return shaderText(name, ['n', ...places.map((_, i) => `p${i}`)], {
        globals: [...functions],
        body: [`let i = ${INVOCATION};`, `if (i >= args.n) { return; }`, ...body],
      });
    };
    return [{ shader: { name, code }, groups: groupsFor(length), args: [length, ...places.map(wordOf)] }];
  };
}
