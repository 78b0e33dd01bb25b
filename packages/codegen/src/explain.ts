/** What a graph becomes, as text: every step with the nodes it computes, its kernel and why, and where memory goes. */
import { type Graph, requireStatic, show } from '@grim/ir';
import { lowerGraph } from './lower/session.ts';
import { packStreams } from './passes/pack-streams.ts';
import { settle } from './passes/settle.ts';
import { simplify } from './passes/simplify.ts';
import { planMemory } from './plan-memory.ts';
import { callsOf, kernelsOf } from './program.ts';

/** @throws {GrimError} what `compile` throws */
export function explain(graph: Graph): string {
  requireStatic(graph);
  const program = packStreams(lowerGraph(simplify(settle(graph))));
  const plan = planMemory(program);
  const calls = callsOf(program.steps);
  const lines = [
    `${show(graph.name)}: ${graph.nodes.length} nodes, ${calls.length} steps, ${kernelsOf(program.steps).size} kernels`,
    `constants ${plan.constantBytes} B, activations ${plan.arenaBytes} B`,
  ];
  calls.forEach(({ kernel, nodes }, i) => {
    lines.push(`${i}. ${nodes.map(show).join(' + ') || 'output'}: ${kernel.name}`);
    // Said once, at the first of a node's steps.
    const first = nodes[0];
    if (first === undefined || calls[i - 1]?.nodes[0] === first) return;
    for (const note of program.notes.get(first) ?? []) lines.push(`   ${note}`);
  });
  return lines.join('\n');
}
