/** The table of gradients: one rule for each operator that has one, gathered from one file per family in `gradients/`. */
import type { OpName } from '@grim/ir';
import { arrangeRules } from './gradients/arrange.ts';
import { convRules } from './gradients/conv.ts';
import { elementwiseRules } from './gradients/elementwise.ts';
import { linearRules } from './gradients/linear.ts';
import { normRules } from './gradients/norm.ts';
import { poolRules } from './gradients/pool.ts';
import { recurrentRules } from './gradients/recurrent.ts';
import { FLAT, reduceRules } from './gradients/reduce.ts';
import type { Rule } from './rule.ts';

const RULES = {
  ...elementwiseRules,
  ...reduceRules,
  ...arrangeRules,
  ...linearRules,
  ...convRules,
  ...poolRules,
  ...normRules,
  ...recurrentRules,
};

/** Operators with a gradient that is not zero everywhere. */
export const DIFFERENTIABLE: readonly OpName[] = Object.keys(RULES) as (keyof typeof RULES)[];

/** A rule; `flat` where the gradient is zero; undefined where none is known. */
export function ruleOf(op: OpName): Rule<OpName> | 'flat' | undefined {
  if (Object.hasOwn(RULES, op)) return RULES[op as keyof typeof RULES] as unknown as Rule<OpName>;
  return FLAT.includes(op) ? 'flat' : undefined;
}
