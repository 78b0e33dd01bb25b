/**
 * `grim diff`: what two networks differ in: structure, weights and their zeros, what they compute on the same inputs, layer by
 * layer, bytes, speed. Identical ones differ in nothing; `--fail-if` makes a gate of it.
 */
import { isDeepStrictEqual } from 'node:util';
import { attachPatterns } from '@grim/bcr';
import { formatType, type Graph, isStatic, type Node, show, type Tensor, toReals, type Weight } from '@grim/ir';
import { prunableLayers } from '@grim/prune';
import { compileGraph } from '../compile-model.ts';
import { about, describeFailure, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { madeUpInputs } from '../made-up-inputs.ts';
import { bytes, type Io, percent, styled } from '../output.ts';
import type { Condition, DiffOptions } from '../prune/args.ts';
import { compiledCalibrator } from '../prune/calibrator.ts';
import { readExamples, sha256 } from '../prune/examples.ts';
import { stopwatch } from '../prune/latency.ts';
import { withLengths } from '../prune/lengths.ts';
import { readGraph } from '../prune/read-graph.ts';
import { checkReport, sendReport } from '../report.ts';
import { table, wrap } from '../table.ts';

export async function diffCommand(options: DiffOptions, io: Io): Promise<number> {
  const [a, b] = [options.before, options.after].map((path) => {
    const content = about(path, () => readRegularFile(path));
    return { path, content, graph: about(path, () => readGraph(content, importOptions(path, options))) };
  }) as [Side, Side];
  checkReport(options, [a.path, b.path]);
  const structure = structureOf(a.graph, b.graph);
  const comparable = inputsText(a.graph) === inputsText(b.graph);
  if (!comparable && options.failIf.length > 0)
    throw new UsageError('--fail-if needs networks with the same inputs: what they compute cannot be compared.');
  const weights = weightsOf(a.graph, b.graph);
  const same = sha256(a.content) === sha256(b.content) || (structure.length === 0 && weights.length === 0);
  let notRun: string | undefined = comparable ? undefined : 'their inputs differ';
  let computed: Computed | undefined;
  let speed: Awaited<ReturnType<typeof speedOf>>;
  try {
    computed = !same && comparable ? await computedBy(a, b, options) : undefined;
    speed = !same && comparable ? await speedOf(a, b, options) : undefined;
  } catch (error) {
    // Where the structure differs, that may be why; it is worth showing all the same, unless there is a gate to judge.
    if (structure.length === 0 || options.failIf.length > 0) throw error;
    notRun = describeFailure(error, false).text.trim();
  }
  const values: Values = {
    speed: speed?.speedup ?? 1,
    error: computed?.outputs.reduce((most, { error }) => Math.max(most, error), 0) ?? 0,
    top1: computed?.top1 ?? 0,
    bytes: speed ? speed.after / speed.before : 1,
  };
  const failed = options.failIf.filter((condition) => holds(condition, values));
  const report = {
    schema: 'grim.diff/1',
    ...{ before: a.path, after: b.path, identical: same },
    ...{ structure, weights },
    ...(notRun !== undefined && { notRun }),
    ...(computed && { inputs: options.data.length > 0 ? 'given' : 'made up', ...computed }),
    ...(speed && { speed: { times: speed.speedup }, compiledBytes: { before: speed.before, after: speed.after } }),
    fileBytes: { before: a.content.length, after: b.content.length },
    failed: failed.map(({ text }) => text),
  };
  if (sendReport(report, options, [a.path, b.path], io)) io.out(textOf(report, values, io));
  return failed.length > 0 ? EXIT.gate : EXIT.done;
}

interface Side {
  readonly path: string;
  readonly content: Uint8Array;
  readonly graph: Graph;
}

type Values = Readonly<Record<Condition['what'], number>>;

function holds({ what, less, than }: Condition, values: Values): boolean {
  return less ? values[what] < than : values[what] > than;
}

function inputsText({ inputs }: Graph): string {
  return [...inputs].map(([name, type]) => `${name} ${formatType(type)}`).join();
}

interface Difference {
  readonly node: string;
  readonly what: string;
}

/** Nodes by name; inputs and outputs. */
function structureOf(a: Graph, b: Graph): readonly Difference[] {
  const list: Difference[] = [];
  const [before, after] = [inputsText(a), inputsText(b)];
  if (before !== after) list.push({ node: '', what: `inputs were ${before}, are ${after}` });
  const outputs = ({ outputs: own }: Graph) => [...own.keys()].join();
  if (outputs(a) !== outputs(b)) list.push({ node: '', what: `outputs were ${outputs(a)}, are ${outputs(b)}` });
  const byName = (graph: Graph) => new Map<string, Node>(graph.nodes.map((node) => [node.name, node]));
  const [old, now] = [byName(a), byName(b)];
  for (const [name, node] of old) {
    const other = now.get(name);
    if (!other) list.push({ node: name, what: `${node.op} is gone` });
    else if (node.op !== other.op) list.push({ node: name, what: `${node.op} became ${other.op}` });
    else if (!isDeepStrictEqual(node.attributes, other.attributes)) list.push({ node: name, what: 'other attributes' });
    else if (node.inputs.length !== other.inputs.length)
      list.push({ node: name, what: `${node.inputs.length} inputs became ${other.inputs.length}` });
  }
  for (const [name, node] of now) if (!old.has(name)) list.push({ node: name, what: `${node.op} is new` });
  return list;
}

interface WeightDifference {
  readonly weight: string;
  readonly node: string;
  readonly zerosBefore: number;
  readonly zerosAfter: number;
  /** ‖a − b‖ / ‖a‖; absent where shapes differ. */
  readonly change?: number;
}

/** Weights whose values differ, by the node and the input that they are of. */
function weightsOf(a: Graph, b: Graph): readonly WeightDifference[] {
  const list: WeightDifference[] = [];
  const nodes = new Map(b.nodes.map((node) => [node.name, node]));
  for (const node of a.nodes) {
    const other = nodes.get(node.name);
    node.inputs.forEach((name, i) => {
      const [before, after] = [a.weights.get(name), b.weights.get(other?.inputs[i] ?? '')];
      if (!before || !after) return;
      const bits = ({ data }: Weight) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const [was, is] = [bits(before), bits(after)];
      if (before.dtype === after.dtype && was.length === is.length && Buffer.compare(was, is) === 0) return;
      const fits = before.shape.join() === after.shape.join();
      const [x, y] = [toReals(before), toReals(after)];
      list.push({
        ...{ weight: name, node: node.name, zerosBefore: zeros(x), zerosAfter: zeros(y) },
        ...(fits && { change: relative(x, y) }),
      });
    });
  }
  return list;
}

function zeros(values: ArrayLike<number>): number {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] === 0) count++;
  return values.length > 0 ? count / values.length : 0;
}

function relative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [error, energy] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    error += ((a[i] as number) - (b[i] as number)) ** 2;
    energy += (a[i] as number) ** 2;
  }
  return energy > 0 ? Math.sqrt(error / energy) : Math.sqrt(error);
}

interface Computed {
  readonly examples: number;
  /** What layers put out, in their order: how far off it is by then. */
  readonly layers: readonly { readonly layer: string; readonly error: number }[];
  readonly outputs: readonly { readonly output: string; readonly error: number; readonly largest: number }[];
  /** Percent of the examples whose top answer is another. */
  readonly top1: number;
}

async function computedBy(a: Side, b: Side, options: DiffOptions): Promise<Computed> {
  const batches =
    options.data.length > 0
      ? (await readExamples(a.graph, options)).batches
      : [about(a.path, () => madeUpInputs(withLengths(a.graph).inputs))];
  const names = prunableLayers(a.graph).map(({ name }) => name.replace(/\/[WR]$/, ''));
  const outputOf = ({ graph }: Side, name: string) => graph.nodes.find((node) => node.name === name)?.outputs[0] ?? '';
  const layers = [...new Set(names)].filter((name) => outputOf(a, name) !== '' && outputOf(b, name) !== '');
  const run = async (side: Side): Promise<readonly (readonly Tensor[])[]> => {
    const inputs = new Map(side.graph.inputs);
    for (const [name, { dtype, shape }] of Object.entries(batches[0] ?? {})) inputs.set(name, { dtype, shape });
    const wanted = [...layers.map((name) => outputOf(side, name)), ...side.graph.outputs.values()];
    const outputs = new Map(wanted.map((name) => [name, name]));
    const runner = await compiledCalibrator(batches).prepare({ ...side.graph, inputs, outputs });
    const found: (readonly Tensor[])[] = [];
    for (const batch of batches) {
      const own = await runner.run(batch);
      found.push(wanted.map((name) => own[name] as Tensor));
    }
    await runner.dispose?.();
    return found;
  };
  const [x, y] = [await about(a.path, () => run(a)), await about(b.path, () => run(b))];
  const errorAt = (i: number) =>
    relative(
      x.flatMap((tensors) => Array.from(toReals(tensors[i] as Tensor))),
      y.flatMap((tensors) => Array.from(toReals(tensors[i] as Tensor))),
    );
  const outputs = [...a.graph.outputs.keys()].map((output, o) => {
    const at = layers.length + o;
    let largest = 0;
    x.forEach((tensors, batch) => {
      const [p, q] = [toReals(tensors[at] as Tensor), toReals(y[batch]?.[at] as Tensor)];
      for (let i = 0; i < p.length; i++) largest = Math.max(largest, Math.abs((p[i] as number) - (q[i] as number)));
    });
    return { output, error: errorAt(at), largest };
  });
  let [changed, examples] = [0, 0];
  x.forEach((tensors, batch) => {
    const [p, q] = [tensors[layers.length] as Tensor, y[batch]?.[layers.length] as Tensor];
    const classes = p.shape.at(-1) ?? 1;
    for (let first = 0; first < p.data.length; first += classes, examples++)
      if (top(p, first, classes) !== top(q, first, classes)) changed++;
  });
  return {
    examples,
    layers: layers.map((layer, i) => ({ layer, error: errorAt(i) })),
    outputs,
    top1: examples > 0 ? (100 * changed) / examples : 0,
  };
}

function top({ data }: Tensor, first: number, classes: number): number {
  let best = 0;
  for (let c = 1; c < classes; c++) if (Number(data[first + c]) > Number(data[first + best])) best = c;
  return best;
}

async function speedOf(a: Side, b: Side, { seconds }: DiffOptions) {
  const graphs = [a, b].map(({ path, graph }) => about(path, () => attachPatterns(withLengths(graph)).graph));
  const [before, after] = graphs as [Graph, Graph];
  if (![...before.inputs.values()].every(({ shape }) => isStatic(shape))) return undefined;
  const watch = await stopwatch(before, { seconds: seconds / 2 });
  const { speedup } = await watch.timeGraph(after);
  return {
    speedup,
    before: compileGraph(before, { sparse: false }).bytes.length,
    after: compileGraph(after, { sparse: false }).bytes.length,
  };
}

interface Report {
  readonly before: string;
  readonly after: string;
  readonly identical: boolean;
  readonly structure: readonly Difference[];
  readonly weights: readonly WeightDifference[];
  readonly layers?: Computed['layers'];
  readonly fileBytes: { readonly before: number; readonly after: number };
  readonly compiledBytes?: { readonly before: number; readonly after: number };
  readonly failed: readonly string[];
  readonly notRun?: string;
}

function textOf(report: Report, values: Values, io: Io): string {
  const { before, after, identical, structure, weights, layers, fileBytes, compiledBytes, failed, notRun } = report;
  const title = styled(io, 'bold', `${show(before)} → ${show(after)}`);
  if (identical) return `${title}\n  no difference\n`;
  const right = (name: string) => ({ title: name, align: 'right' as const });
  const errors = new Map(layers?.map(({ layer, error }) => [layer, error]));
  const rows = weights.map(({ node, weight, zerosBefore, zerosAfter, change }) => [
    show(node),
    show(weight),
    percent(zerosBefore, 1),
    percent(zerosAfter, 1),
    change === undefined ? 'shape' : change.toPrecision(2),
    errors.get(node)?.toPrecision(2) ?? '',
  ]);
  return [
    title,
    ...structure.flatMap(({ node, what }) => wrap(`  ${show(node)} ${what}`, io.columns, '    ')),
    ...(rows.length > 0
      ? table(
          [
            { title: 'layer', flexible: true },
            { title: 'weight', flexible: true },
            right('zeros'),
            right('now'),
            right('change'),
            right('output off'),
          ],
          rows,
          io.columns,
        )
      : []),
    '',
    ...wrap(
      notRun !== undefined
        ? `  Not run side by side: ${notRun}`
        : `  Outputs are ${values.error.toPrecision(2)} off (of their norm), ${values.top1.toFixed(2)} % of the top answers are others. ${values.speed.toFixed(2)} times as fast; ${bytes(fileBytes.before)} became ${bytes(fileBytes.after)}${compiledBytes ? `, compiled ${bytes(compiledBytes.before)} became ${bytes(compiledBytes.after)}` : ''}.`,
      io.columns,
      '  ',
    ),
    ...failed.map((text) => styled(io, 'red', `  failed: ${text}`)),
    '',
  ].join('\n');
}
