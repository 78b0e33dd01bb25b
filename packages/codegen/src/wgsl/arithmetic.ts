/**
 * What the products of a program ask of a GPU, counted from the tiles of the shaders and from the tables they walk: nothing of
 * it is measured.
 */
import { show } from '@grim/ir';
import { LEAST_LIMITS } from '../gpu-schedule.ts';
import { type Address, callsOf, type Program } from '../program.ts';
import { halvesOf, operandAt } from './constants.ts';
import type { Argument, Cost, Dispatch, Operand } from './shader.ts';

/** Work-group memory that most devices have for the groups that run at the same time on one of their units. */
const UNIT_MEMORY = 32_768;

/** For inputs, weights, addresses and counters, besides the sums. */
const OTHER_REGISTERS = 24;

export interface LayerArithmetic {
  readonly node: string;
  readonly shaders: readonly string[];
  /** Of global memory for each floating-point operation that the dense layer has. */
  readonly bytesPerFlop: number;
  /** Loads of an invocation for each multiply-add. */
  readonly loadsPerFma: number;
  readonly workGroups: number;
  /** Of a work-group. */
  readonly invocations: number;
  /** Of an invocation, estimated: its sums, and {@link OTHER_REGISTERS}. */
  readonly registers: number;
  /** Bytes of work-group memory, and how many groups share {@link UNIT_MEMORY}. */
  readonly memory: number;
  readonly together: number | undefined;
}

/**
 * Layers with a weight that is multiplied as a matrix, in order.
 * @param gpu  lowered for a GPU
 * @param halves  weights are float16
 */
export function arithmeticOf(gpu: Program, halves = false): readonly LayerArithmetic[] {
  const narrow = halves ? halvesOf(gpu) : undefined;
  // Where buffers lie decides nothing of what is counted.
  const operand = ({ buffer, offset }: Address): Operand =>
    buffer.constant
      ? operandAt({ byte: 0, half: narrow?.has(buffer) ?? false }, offset)
      : { space: 'arena', byte: offset };
  const byNode = new Map<string, (Dispatch & { readonly cost: Cost })[]>();
  for (const { kernel, args, nodes } of callsOf(gpu.steps)) {
    const [node] = nodes;
    const resolved = [...args, ...(kernel.tables ?? [])].map(
      (argument): Argument => (typeof argument === 'number' ? argument : operand(argument)),
    );
    const found = kernel.twin?.(resolved);
    if (node === undefined || !found || typeof found === 'string') continue;
    for (const dispatch of found) {
      const { cost } = dispatch;
      if (cost) byNode.set(node, [...(byNode.get(node) ?? []), { ...dispatch, cost }]);
    }
  }
  return gpu.layers.flatMap(({ node, macs }): LayerArithmetic[] => {
    const dispatches = byNode.get(node) ?? [];
    const [first] = dispatches;
    if (!first) return [];
    const sum = (of: (one: Dispatch & { readonly cost: Cost }) => number) =>
      dispatches.reduce((total, one) => total + of(one), 0);
    const { memory, loads, invocations, sums } = first.cost;
    return [
      {
        node,
        shaders: [...new Set(dispatches.map(({ shader }) => shader.name))],
        bytesPerFlop: sum(({ cost }) => cost.bytes) / (2 * macs),
        loadsPerFma: loads,
        workGroups: sum(({ groups: [x, y, z] }) => x * y * z),
        invocations,
        registers: sums + OTHER_REGISTERS,
        memory,
        together: memory > 0 ? Math.floor(UNIT_MEMORY / memory) : undefined,
      },
    ];
  });
}

/** A line for each. */
export function arithmeticText(layers: readonly LayerArithmetic[]): string[] {
  const most = LEAST_LIMITS.maxComputeWorkgroupStorageSize;
  return layers.map((layer) => {
    const { memory, together } = layer;
    const share = `${memory} B of work-group memory (${Math.round((100 * memory) / most)} % of ${most})`;
    const room = together === undefined ? 'no work-group memory' : `${share}, ${together} together in 32 KiB`;
    return [
      `  ${show(layer.node)}: ${layer.shaders.join(' + ')}: ${layer.bytesPerFlop.toFixed(4)} B/FLOP of the dense layer`,
      `${layer.loadsPerFma.toFixed(2)} loads/FMA`,
      `${layer.workGroups} work-groups of ${layer.invocations} invocations`,
      `about ${layer.registers} registers each`,
      room,
    ].join(', ');
  });
}
