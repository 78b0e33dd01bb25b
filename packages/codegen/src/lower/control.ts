/** `If`: the steps of both branches, of which a run takes one. */
import type { LowerContext, Lowerings } from '../lower.ts';
import { load } from '../map/expression.ts';
import type { Placement } from '../program.ts';

export const controlLowerings: Lowerings = {
  If: {
    lower: (node, c) => {
      const [condition = ''] = node.inputs;
      const { then_branch: then, else_branch: otherwise } = node.attributes;
      const known = c.constant(condition);
      if (known) {
        c.inline(known.data[0] ? then : otherwise, (values) => {
          node.outputs.forEach((output, i) => {
            if (output !== '') c.view(output, c.read(values[i] ?? ''));
          });
        });
        return;
      }
      const at = c.contiguous(condition);
      const targets = node.outputs.map((output) => (output === '' ? undefined : c.writeContiguous(output)));
      c.branch(
        at,
        () => c.inline(then, (values) => copyAll(c, values, targets)),
        () => c.inline(otherwise, (values) => copyAll(c, values, targets)),
      );
    },
  },
};

function copyAll(c: LowerContext, values: readonly string[], targets: readonly (Placement | undefined)[]): void {
  targets.forEach((target, i) => {
    if (target) c.store(load(c.read(values[i] ?? '')), target);
  });
}
