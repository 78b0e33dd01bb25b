/** `If`: the steps of both branches, of which a run takes one. `Loop` and `Scan` that `passes/unroll.ts` had to leave. */
import type { NodeOf } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { load } from '../map/expression.ts';
import { obstacle } from '../passes/unroll.ts';
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
  Loop: { lower: refuse, anyShape: true },
  Scan: { lower: refuse, anyShape: true },
};

function refuse(node: NodeOf<'Loop'> | NodeOf<'Scan'>, c: LowerContext): void {
  const { found, supported } = obstacle(node, c) ?? {
    found: 'more iterations than there is room for with the other loops',
    supported: 'fewer of them',
  };
  c.unsupported(found, supported);
}

function copyAll(c: LowerContext, values: readonly string[], targets: readonly (Placement | undefined)[]): void {
  targets.forEach((target, i) => {
    if (target) c.store(load(c.read(values[i] ?? '')), target);
  });
}
