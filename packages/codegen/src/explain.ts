/** What a graph becomes, as text: every step with the nodes it computes, its kernel and why, and where memory goes. */
import { type Graph, requireStatic, show } from '@grim/ir';
import type { CompileOptions } from './compile.ts';
import { lowerGraph } from './lower/session.ts';
import { packStreams } from './passes/pack-streams.ts';
import { settle } from './passes/settle.ts';
import { simplify } from './passes/simplify.ts';
import { planMemory } from './plan-memory.ts';
import { callsOf, kernelsOf, momentsOf, type Program } from './program.ts';
import { arithmeticOf, arithmeticText } from './wgsl/arithmetic.ts';

/**
 * What `compile` makes of the graph with these options. Calls that threads may share are one step, "in 8 pieces". With
 * "webgpu" among the targets: loads, bytes and work-groups of its products.
 * @throws {GrimError} what `compile` throws
 */
export function explain(
  graph: Graph,
  {
    threads = 4,
    pieceCycles,
    schedules,
    gpuSchedules,
    targets = [],
    weights,
  }: Pick<CompileOptions, 'threads' | 'pieceCycles' | 'schedules' | 'gpuSchedules' | 'targets' | 'weights'> = {},
): string {
  requireStatic(graph);
  const lowered = lowerGraph(simplify(settle(graph)), undefined, { threads, pieceCycles, schedules });
  const program = packStreams(lowered);
  const plan = planMemory(program);
  const moments = momentsOf(program.steps);
  const reasons = reasonsOf(program);
  const shared = moments.filter(({ length }) => length > 1).length;
  const lines = [
    `${show(graph.name)}: ${graph.nodes.length} nodes, ${moments.length} steps, ${kernelsOf(program.steps).size} kernels`,
    `constants ${plan.constantBytes} B, activations ${plan.arenaBytes} B`,
    ...(shared > 0 ? [`${shared} of ${moments.length} steps are cut into pieces for up to ${threads} threads`] : []),
  ];
  moments.forEach((calls, i) => {
    const nodes = calls[0]?.nodes ?? [];
    const kernels = [...new Set(calls.map(({ kernel }) => kernel.name))].join(' + ');
    const pieces = calls.length > 1 ? `, in ${calls.length} pieces` : '';
    lines.push(`${i}. ${nodes.map(show).join(' + ') || 'output'}: ${kernels}${pieces}`);
    // Said once, at the first of a node's steps.
    const first = nodes[0];
    if (first === undefined || moments[i - 1]?.[0]?.nodes[0] === first) return;
    const said = [...(program.notes.get(first) ?? []), ...reasons(first)];
    for (const note of said) lines.push(`   ${note}`);
  });
  if (targets.includes('webgpu')) {
    const gpu = lowerGraph(simplify(settle(graph)), undefined, { threads, schedules, gpuSchedules, gpu: true });
    lines.push('on webgpu, counted from the shaders:', ...arithmeticText(arithmeticOf(gpu, weights === 'f16')));
  }
  return lines.join('\n');
}

/** Of a node: a choice and a reason for each of its products; layers that are none of these are named. */
function reasonsOf({ steps, products, layers, notes }: Program): (node: string) => readonly string[] {
  const known = new Map<string, readonly string[]>();
  const keys = new Map<string, Set<string>>();
  const add = (node: string | undefined, key: string | undefined) => {
    if (node !== undefined && key !== undefined) keys.set(node, (keys.get(node) ?? new Set()).add(key));
  };
  for (const { node, key } of products) add(node, key);
  for (const { nodes, product } of callsOf(steps)) add(nodes[0], product);
  const sites = new Map(products.map((site) => [site.key, site]));
  return (node) => {
    const own = [...(keys.get(node) ?? [])].flatMap((key) => {
      const found = known.get(key) ?? sites.get(key)?.reason() ?? [];
      known.set(key, found);
      return found;
    });
    if (own.length > 0 || notes.has(node)) return own;
    return layers
      .filter((layer) => layer.node === node)
      .map(
        ({ op, m, k, n, kernel }) =>
          `${m}×${k}×${n}: dense, by ${kernel}: this ${op} is no product of a constant float32 matrix, which alone has sparse forms`,
      );
  };
}
