/** The order in which the nodes of a graph can run, and the cycles that prevent one (Kahn 1962; no recursion). */

interface Order {
  /** Positions, each after all it depends on. Without those that a cycle keeps from running. */
  readonly order: readonly number[];
  /** Positions of the nodes of a cycle, one for each knot of nodes that wait for each other. */
  readonly cycles: readonly (readonly number[])[];
}

/** @param dependencies  for each node, the positions of the nodes whose outputs it needs; repeats are allowed */
export function orderOf(dependencies: readonly (readonly number[])[]): Order {
  const count = dependencies.length;
  const users: number[][] = Array.from({ length: count }, () => []);
  const waiting = new Int32Array(count);
  dependencies.forEach((needed, node) => {
    waiting[node] = needed.length;
    for (const other of needed) users[other]?.push(node);
  });
  const order = peel(waiting, users);
  if (order.length === count) return { order, cycles: [] };

  const left = new Uint8Array(count).fill(1);
  for (const node of order) left[node] = 0;
  return { order, cycles: cyclesAmong(dependencies, left) };
}

/** Takes nodes whose count is 0, one after the other, lowering the count of their `next`. */
function peel(counts: Int32Array, next: readonly (readonly number[])[]): number[] {
  const taken: number[] = [];
  counts.forEach((waiting, node) => {
    if (waiting === 0) taken.push(node);
  });
  for (let i = 0; i < taken.length; i++)
    for (const node of next[taken[i] ?? 0] ?? []) {
      const waiting = (counts[node] ?? 0) - 1;
      counts[node] = waiting;
      if (waiting === 0) taken.push(node);
    }
  return taken;
}

/** One cycle of each strongly connected component of the nodes `left` (Tarjan 1972, with a stack of its own). */
function cyclesAmong(dependencies: readonly (readonly number[])[], left: Uint8Array): number[][] {
  const count = dependencies.length;
  const index = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const nextEdge = new Int32Array(count);
  const component = new Int32Array(count).fill(-1);
  const open: number[] = [];
  const cycles: number[][] = [];
  let reached = 0;
  for (let start = 0; start < count; start++) {
    if (!left[start] || index[start] !== -1) continue;
    const path = [start];
    while (path.length > 0) {
      const node = path.at(-1) as number;
      if (index[node] === -1) {
        index[node] = reached;
        low[node] = reached++;
        open.push(node);
      }
      const edge = nextEdge[node] as number;
      nextEdge[node] = edge + 1;
      const other = dependencies[node]?.[edge];
      if (other !== undefined) {
        if (!left[other] || component[other] !== -1) continue;
        if (index[other] === -1) path.push(other);
        else low[node] = Math.min(low[node] as number, index[other] as number);
        continue;
      }
      path.pop();
      const before = path.at(-1);
      if (before !== undefined) low[before] = Math.min(low[before] as number, low[node] as number);
      if (low[node] !== index[node]) continue;
      for (let member = -1; member !== node; ) {
        member = open.pop() as number;
        component[member] = node;
      }
      const cycle = cycleThrough(node, dependencies, component);
      if (cycle.length > 0) cycles.push(cycle);
    }
  }
  return cycles;
}

/** A cycle of the component that `root` is in, in the order of data, its smallest position first. */
function cycleThrough(root: number, dependencies: readonly (readonly number[])[], component: Int32Array): number[] {
  const place = new Map<number, number>();
  const path: number[] = [];
  let node: number | undefined = root;
  while (node !== undefined && !place.has(node)) {
    place.set(node, path.length);
    path.push(node);
    node = dependencies[node]?.find((other) => component[other] === root);
  }
  if (node === undefined) return [];
  // The walk went from user to maker; turned round it reads in the order of data.
  const cycle = path.slice(place.get(node)).reverse();
  const first = cycle.indexOf(cycle.reduce((a, b) => Math.min(a, b)));
  return [...cycle.slice(first), ...cycle.slice(0, first)];
}
