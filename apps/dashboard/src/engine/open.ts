/** From the bytes of a file to a network that can be looked at and run. */
import { attachPatterns, type FoundPattern } from '@grim/bcr';
import {
  type Dim,
  formatType,
  type Graph,
  GrimError,
  gemmView,
  inferTypes,
  macs,
  show,
  type TensorType,
} from '@grim/ir';
import { scanOnnx } from '@grim/ir/onnx';
import { prunableLayers } from '@grim/prune';
import { readArtifact } from '@grim/runtime/artifact';
import type { Context } from './messages.ts';
import { drawSamples, type SampleKind } from './samples.ts';
import { type Compiled, compileNetwork, type Network, setSession } from './session.ts';

export interface OpenAsk {
  readonly name: string;
  readonly content: Blob;
  /** Which inputs to draw. */
  readonly samples: SampleKind;
  readonly count: number;
  readonly seed: number;
  /** What lengths that the file leaves open are, in the order of {@link ModelInfo.lengths}; where none is given, 1. */
  readonly lengths: readonly number[];
}

/** A length that a file leaves open. */
export interface OpenLength {
  readonly name: string;
  readonly length: number;
}

export interface LayerRow {
  /** Of the node. */
  readonly name: string;
  readonly op: string;
  readonly m: number;
  readonly k: number;
  readonly n: number | undefined;
  readonly groups: number;
  /** Of the dense layer. */
  readonly macs: number | undefined;
  /** Kept by the pattern, or not zero. */
  readonly density: number;
  /** Rows × columns, where there is a pattern. */
  readonly block: readonly [number, number] | undefined;
  /** Why it stays dense unless it is asked for; `no` where it cannot be pruned. */
  readonly exempt: string | undefined;
  readonly kernel: string;
}

export interface ModelInfo {
  readonly name: string;
  readonly format: 'onnx' | 'grim';
  readonly fileBytes: number;
  readonly grimBytes: number;
  readonly parameters: number | undefined;
  readonly macs: number;
  readonly nodes: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Lengths that the file leaves open, and what they became. */
  readonly lengths: readonly OpenLength[];
  /** Layers whose zeros were found to form blocks: the network came pruned. */
  readonly prunedLayers: number;
  readonly facts: readonly (readonly [string, string])[];
  readonly layers: readonly LayerRow[];
  readonly compileMs: number;
  readonly samples: { readonly kind: SampleKind; readonly count: number };
}

/** The compiler and the runtime hold a few copies: more than this would end the tab. */
const MOST_FILE_BYTES: number = 2 ** 29;

/** @throws {GrimError} GRIM_DASHBOARD_TOO_LARGE, BAD_FILE, and what reading, importing and compiling throw */
export async function open(
  { name, content, samples, count, seed, lengths }: OpenAsk,
  context: Context,
): Promise<ModelInfo> {
  checkSize(name, content.size);
  const bytes = await readAll(content, context);
  const magic = new TextDecoder('latin1').decode(bytes.subarray(0, 64));
  if (magic.startsWith('GRIM')) return openCompiled(name, bytes, seed, count);
  refuseOthers(name, magic);
  await context.stage('Reading the graph');
  const imported = importOnnx(bytes, lengths);
  await context.stage('Looking for blocks among the zeros');
  const { graph, found } = attachPatterns(imported.graph);
  await context.stage('Compiling');
  const dense: Network = { graph, compiled: compileNetwork(graph) };
  // Drawn ones are single examples.
  const single = imported.lengths.every(({ length }) => length === 1);
  const set = drawSamples(graph, single ? samples : 'made-up', count, seed);
  setSession({ name, fileBytes: bytes.length, onnx: bytes, dense, pruned: undefined, samples: set });
  return {
    ...{ name: show(name), format: 'onnx', fileBytes: bytes.length, grimBytes: dense.compiled.file.length },
    ...{ nodes: graph.nodes.length, macs: macs(graph).total },
    ...{ lengths: imported.lengths, facts: [...imported.facts, ...blockFacts(found)], prunedLayers: found.length },
    parameters: Array.from(graph.weights.values(), ({ data }) => data.length).reduce((sum, one) => sum + one, 0),
    ...valuesOf(graph.inputs, outputTypes(graph)),
    layers: layersOf(dense),
    compileMs: dense.compiled.ms,
    samples: { kind: set.kind, count: set.feeds.length },
  };
}

/** Before a byte is read. @throws {GrimError} GRIM_DASHBOARD_TOO_LARGE, BAD_FILE */
function checkSize(name: string, size: number): void {
  const text = show(name);
  if (size === 0) throw new GrimError('GRIM_DASHBOARD_BAD_FILE', `${text} is empty: it has 0 bytes.`);
  if (size > MOST_FILE_BYTES)
    throw new GrimError(
      'GRIM_DASHBOARD_TOO_LARGE',
      `${text} has ${(size / 2 ** 20).toFixed(0)} MiB; this page opens files up to ${MOST_FILE_BYTES / 2 ** 20} MiB. Use the command line for larger ones. Nothing was read.`,
      { size },
    );
}

async function readAll(content: Blob, { stage }: Context): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(content.size);
  const reader = content.stream().getReader();
  let at = 0;
  for (;;) {
    let piece: Awaited<ReturnType<typeof reader.read>>;
    try {
      piece = await reader.read();
    } catch {
      throw new GrimError(
        'GRIM_DASHBOARD_BAD_FILE',
        'The file cannot be read: a folder, or it is gone. Drop it again.',
      );
    }
    if (piece.done) return bytes;
    bytes.set(piece.value, at);
    at += piece.value.length;
    await stage('Reading the file', at / bytes.length);
  }
}

/** What people drop by mistake, said by its name. */
function refuseOthers(name: string, magic: string): void {
  const kinds: readonly (readonly [string, string])[] = [
    ['\u0089PNG', 'a picture (PNG)'],
    ['ÿØÿ', 'a picture (JPEG)'],
    ['PK\u0003\u0004', 'a zip archive; PyTorch files are such archives, export them to ONNX first'],
    ['version https://git-lfs', 'a pointer of Git LFS, not the file it stands for; run git lfs pull'],
    ['<!', 'a web page; the download may have failed'],
    ['{', 'JSON text'],
    ['\u0089HDF', 'an HDF5 file; export the network to ONNX first'],
    ['TFL3', 'a TensorFlow Lite file; export the network to ONNX first'],
  ];
  const found = kinds.find(([start]) => magic.startsWith(start) || magic.slice(4).startsWith(start));
  if (!found) return;
  throw new GrimError('GRIM_DASHBOARD_BAD_FILE', `${show(name)} is ${found[1]}. An ONNX or a .grim file is needed.`);
}

interface Imported {
  readonly graph: Graph;
  readonly lengths: readonly OpenLength[];
  readonly facts: ModelInfo['facts'];
}

/** @throws {GrimError} what importing throws; where lengths were open, with `lengths` among its details */
function importOnnx(bytes: Uint8Array, given: readonly number[]): Imported {
  const first = scanOnnx(bytes);
  const open = new Map<string, number>();
  const types: readonly (TensorType | undefined)[] = [...(first.graph?.inputs.values() ?? [])];
  for (const { shape } of types.filter((type) => type !== undefined))
    for (const dim of shape ?? []) if (typeof dim === 'string' && !open.has(dim)) open.set(dim, given[open.size] ?? 1);
  for (const { dims } of first.inputs)
    for (const dim of dims ?? []) if (typeof dim === 'string' && !open.has(dim)) open.set(dim, given[open.size] ?? 1);
  const lengths = Array.from(open, ([name, length]): OpenLength => ({ name: show(name), length }));
  const found = open.size > 0 ? scanOnnx(bytes, { dims: Object.fromEntries(open) }) : first;
  const [problem, ...more] = found.problems;
  if (problem)
    throw new GrimError(problem.code, problem.message, {
      problems: more.map(({ message }) => message).slice(0, 50),
      lengths,
    });
  if (!found.graph) throw new GrimError('GRIM_DASHBOARD_BAD_FILE', 'The file holds no graph.');
  const { producer, producerVersion, irVersion, opsets, docString, metadata } = found;
  const facts: [string, string][] = [
    ['made by', show([producer, producerVersion].filter(Boolean).join(' ') || 'unknown')],
    [
      'ONNX',
      `IR ${irVersion}, ${opsets.map(({ domain, version }) => show(`${domain || 'opset'} ${version}`)).join(', ')}`,
    ],
    ...(docString ? [['note', show(docString)] as [string, string]] : []),
    ...metadata.slice(0, 20).map(({ key, value }): [string, string] => [show(key), show(value)]),
  ];
  return { graph: found.graph, lengths, facts };
}

/** What a network that came pruned says of itself. */
function blockFacts(found: readonly FoundPattern[]): ModelInfo['facts'] {
  if (found.length === 0) return [];
  const weights = found.reduce((sum, { m, k }) => sum + m * k, 0);
  const kept = found.reduce((sum, { m, k, density }) => sum + m * k * density, 0) / weights;
  const layers = found.length === 1 ? 'one layer' : `${found.length} layers`;
  return [
    ['came pruned', `the zeros of ${layers} form blocks, which keep ${(100 * kept).toFixed(0)} % of the weights`],
  ];
}

function outputTypes(graph: Graph): ReadonlyMap<string, TensorType> {
  const types = inferTypes(graph);
  return new Map(
    Array.from(graph.outputs, ([name, value]) => [name, types.get(value) ?? { dtype: 'float32', shape: null }]),
  );
}

function valuesOf(
  inputs: ReadonlyMap<string, TensorType>,
  outputs: ReadonlyMap<string, TensorType>,
): Pick<ModelInfo, 'inputs' | 'outputs'> {
  const said = (values: ReadonlyMap<string, TensorType>) =>
    Array.from(values, ([name, type]) => `${show(name)}: ${formatType(type)}`);
  return { inputs: said(inputs), outputs: said(outputs) };
}

function openCompiled(name: string, bytes: Uint8Array<ArrayBuffer>, seed: number, count: number): ModelInfo {
  const { manifest, minor } = readArtifact(bytes);
  const compiled: Compiled = { file: bytes, manifest, calls: undefined, ms: 0 };
  const dense: Network = { graph: undefined, compiled };
  const fed = new Set(manifest.states.map(({ input }) => input));
  const types = (list: typeof manifest.inputs) =>
    new Map(
      list
        .filter((one) => !fed.has(one.name))
        .map(({ name: key, dtype, shape }) => [key, { dtype, shape: shape as readonly Dim[] }]),
    );
  const inputs = types(manifest.inputs);
  const set = drawSamples({ inputs }, 'made-up', count, seed);
  setSession({ name, fileBytes: bytes.length, onnx: undefined, dense, pruned: undefined, samples: set });
  const { producer, layers } = manifest;
  return {
    ...{ name: show(name), format: 'grim', fileBytes: bytes.length, grimBytes: bytes.length, parameters: undefined },
    ...{
      lengths: [],
      prunedLayers: 0,
      nodes: 0,
      compileMs: 0,
      macs: layers.reduce((sum, layer) => sum + layer.macs, 0),
    },
    facts: [
      ['made by', show(`${producer.name} ${producer.version}`)],
      ['format', `.grim 1.${minor}`],
      ...Object.entries(producer.options).map(([key, value]): [string, string] => [show(key), show(String(value))]),
    ],
    ...valuesOf(inputs, types(manifest.outputs)),
    layers: layersOf(dense),
    samples: { kind: set.kind, count: set.feeds.length },
  };
}

/** A weight that is a matrix, and where it stands. */
export interface Site {
  readonly node: number;
  readonly input: number;
}

/** Every weight that a node multiplies with activations, in order. */
export function sitesOf(graph: Graph): readonly Site[] {
  const types = inferTypes(graph);
  const sites: Site[] = [];
  graph.nodes.forEach((node, index) => {
    node.inputs.forEach((name, input) => {
      if (graph.weights.has(name) && gemmView(node, input, types)) sites.push({ node: index, input });
    });
  });
  return sites;
}

/** One row for each weight; of a compiled file, what its manifest says. */
export function layersOf({ graph, compiled }: Network): readonly LayerRow[] {
  const { layers } = compiled.manifest;
  if (!graph)
    return layers.map(({ node, op, m, k, n, macs: own, density, grid, kernel }) => ({
      ...{ name: show(node), op: show(op), m, k, n, groups: 1, macs: own, density, exempt: 'no' },
      kernel: show(kernel),
      block: grid && [grid.blockRows, grid.blockCols],
    }));
  const types = inferTypes(graph);
  const prunable = new Map(prunableLayers(graph).map((layer) => [layer.weight, layer]));
  const used = new Map<string, number>();
  return sitesOf(graph).map(({ node: index, input }) => {
    const node = graph.nodes[index] as Graph['nodes'][number];
    const name = node.inputs[input] as string;
    const weight = graph.weights.get(name);
    const view = gemmView(node, input, types);
    if (!weight || !view) throw new Error('internal: a site has a weight');
    const { m, k, n, groups } = view;
    const own = prunable.get(name);
    // Several layers of one node come in the order of its inputs.
    const seen = used.get(node.name) ?? 0;
    used.set(node.name, seen + 1);
    const compiledLayer = layers.filter((layer) => layer.node === node.name)[seen];
    const grid = weight.pattern?.grid;
    return {
      ...{ name: show(own?.name ?? node.name), op: node.op, m, k, n, groups },
      macs: n === undefined ? undefined : m * k * n,
      density: densityOf(weight),
      block: grid && [Math.min(grid.blockRows, m), Math.min(grid.blockCols, k)],
      exempt: own ? own.exempt : 'no',
      kernel: compiledLayer?.kernel ?? '',
    };
  });
}

function densityOf({ data, pattern }: { data: ArrayLike<number | bigint>; pattern?: unknown }): number {
  let kept = 0;
  for (let i = 0; i < data.length; i++) if (data[i]) kept++;
  return pattern === undefined && kept > 0.98 * data.length ? 1 : kept / Math.max(1, data.length);
}
