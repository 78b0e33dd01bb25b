/**
 * Activations for pruning from our own compiled model: each piece of the network is compiled for the shapes of a batch and
 * run in this process. A piece with an operator that has no kernels is computed by the reference evaluator, slowly.
 */
import { compile, pack } from '@grim/codegen';
import { type Graph, GrimError, type Tensor } from '@grim/ir';
import { evaluate } from '@grim/ir/reference';
import type { Calibrator, Feeds, Runner } from '@grim/prune';
import { loadModel } from '@grim/runtime';

/**
 * @param batches  inputs of the graph, without labels, all of one shape
 * @param onSlow  is told once, with the operators that have no kernels
 */
export function compiledCalibrator(batches: readonly Feeds[], onSlow?: (operators: string) => void): Calibrator {
  let told = false;
  return {
    batches,
    async prepare(graph) {
      try {
        return await compiledRunner(graph);
      } catch (error) {
        if (!(error instanceof GrimError) || error.code !== 'GRIM_CODEGEN_UNSUPPORTED_OP') throw error;
        const nodes = (error.details['nodes'] as readonly { readonly op: string }[] | undefined) ?? [];
        if (!told) onSlow?.([...new Set(nodes.map(({ op }) => op))].join(', '));
        told = true;
        return { run: (feeds: Feeds) => evaluate(graph, feeds) };
      }
    },
  };
}

async function compiledRunner(graph: Graph): Promise<Runner> {
  // One thread runs it: nothing is cut into pieces.
  const compiled = compile(graph, { threads: 1 });
  const model = await loadModel(pack(compiled));
  const outputs = compiled.manifest.outputs;
  return {
    async run(feeds) {
      const given = Object.fromEntries(Object.entries(feeds).map(([name, { data }]) => [name, data]));
      const found = await model.run(given);
      const results: Record<string, Tensor> = {};
      for (const { name, dtype, shape } of outputs) results[name] = { dtype, shape, data: found[name] } as Tensor;
      return results;
    },
    dispose: () => model.dispose(),
  };
}
