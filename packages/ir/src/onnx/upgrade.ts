/**
 * Older opsets → the newest form of every operator, one node at a time.
 *
 * A rule states what its operator meant in older opsets; where the newest form has no word for it, several nodes say the
 * same. What only became wider (more element types, an attribute with the old meaning as default) needs no rule.
 * @see https://github.com/onnx/onnx/blob/main/docs/Changelog.md
 */
import { elementwiseRules } from './upgrade/elementwise.ts';
import { networkRules } from './upgrade/network.ts';
import { resampleRules } from './upgrade/resample.ts';
import type { Rewrite, Rule } from './upgrade/rewrite.ts';
import { shapeRules } from './upgrade/shape.ts';

const RULES: ReadonlyMap<string, Rule> = new Map(
  Object.entries({ ...elementwiseRules, ...shapeRules, ...resampleRules, ...networkRules }),
);

/** Operators of older opsets under another name than the newest form has. */
const RENAMED: ReadonlyMap<string, string> = new Map([
  ['Upsample', 'Resize'],
  ['Scatter', 'ScatterElements'],
]);

/** The operator of the table that a node's operator becomes. */
export function newestName(op: string): string {
  return RENAMED.get(op) ?? op;
}

/** Brings a node to the newest form; nodes that must stand before it have been emitted then. */
export function upgrade(u: Rewrite): void {
  // A hint to reuse memory, in almost every operator of opset 1.
  if (u.opset < 6) u.drop('consumed_inputs');
  RULES.get(u.op)?.(u);
  if (!u.done) u.emitSelf();
}
