/**
 * Writes `.grim` files of version 1 (docs/formats.md). The reader is another package; both meet at the types of
 * `@grim/ir`. The same model and options give the same bytes.
 */
import {
  type ArtifactMagic,
  type ArtifactMajor,
  type ArtifactMinor,
  type CompiledModel,
  type ExpectedValues,
  type FileManifest,
  fromBfloat16,
  fromFloat16,
  GrimError,
  type InputInfo,
  invariant,
  type OutputInfo,
  quote,
  type Section,
  type SectionAlignment,
  type SelfTest,
  toBfloat16,
  toFloat16,
  type ValueInfo,
  type WasmFamily,
  type WasmModules,
  type WeightEncoding,
} from '@grim/ir';
import { runOnce } from './self-test.ts';
import { ByteWriter } from './wasm/bytes.ts';

const MAGIC: ArtifactMagic = 'GRIM';
const MAJOR: ArtifactMajor = 1;
const MINOR: ArtifactMinor = 0;
/** With a program for a GPU, or with how sounds become inputs: older readers skip those keys and run the rest. */
const NEWEST_MINOR = 1;
const ALIGNMENT: SectionAlignment = 64;
const HEADER_BYTES = 16;
/** Elements of int8 weights that share a scale. */
const GROUP = 64;
/** What a reader accepts. */
const LIMITS = { manifestBytes: 2 ** 24, entries: 1e5, sections: 4096, nameCharacters: 1024 } as const;
/** Values of each output that the self-test compares. */
const EXPECTED_VALUES = 24;
const TOLERANCE = 1e-3;

export interface PackOptions {
  /** How weights are stored; they are computed with as float32 all the same. Default: what `compile` was told, else `f32`. */
  readonly weights?: WeightEncoding;
  /** Of the inputs of the self-test, 1 to 2^32 - 1. Default 1. */
  readonly seed?: number;
  /** Keeps the modules beside the file, for platforms that do not compile WebAssembly from bytes. Default false. */
  readonly split?: boolean;
}

/** A file without code, and the modules that go with it and with no other. */
export interface SplitModel {
  readonly grim: Uint8Array;
  readonly modules: WasmModules;
}

/**
 * The bytes of a `.grim` file. The self-test's expected values come from a run of the plain module here, on the weights as
 * they are stored.
 * @throws {GrimError} GRIM_CODEGEN_WEIGHT_RANGE when a weight does not fit the encoding, GRIM_CODEGEN_LIMIT
 */
export function pack(model: CompiledModel, options: PackOptions & { readonly split: true }): SplitModel;
export function pack(model: CompiledModel, options?: PackOptions & { readonly split?: false }): Uint8Array;
export function pack(model: CompiledModel, options: PackOptions = {}): Uint8Array | SplitModel {
  const { weights = model.weights ?? 'f32', seed = 1, split = false } = options;
  requireHalves(model, weights);
  const { wide, relaxed, plain } = model.wasm;
  const constants = encodeConstants(model, weights);
  const modules: readonly (readonly [WasmFamily, Uint8Array])[] = [
    ...(wide ? [['wide', wide] as const] : []),
    ['relaxed', relaxed],
    ['plain', plain],
  ];
  const parts: Part[] = split ? [] : modules.map(([family, bytes]) => ({ head: { kind: 'wasm', family }, bytes }));
  for (const { head, bytes } of constants) parts.push({ head, bytes });
  const grim = writeArtifact(
    {
      ...model.manifest,
      selfTest: selfTest(model, constants, seed),
      ...(split && { modules: modules.map(([family, bytes]) => ({ family, crc32: crc32(bytes) })) }),
    },
    parts,
  );
  if (!split) return grim;
  return {
    grim,
    modules: {
      ...(wide && { wide: marked('wide', wide) }),
      relaxed: marked('relaxed', relaxed),
      plain: marked('plain', plain),
    },
  };
}

/** A program for a GPU may read weights as float16, which only those of such a file are. */
function requireHalves(model: CompiledModel, weights: WeightEncoding): void {
  if (model.weights !== 'f16' || weights === 'f16' || !model.manifest.webgpu) return;
  throw new GrimError(
    'GRIM_CODEGEN_BAD_OPTION',
    `pack: weights ${quote(weights)}, but the model was compiled for a GPU that reads them as f16. Compile it with weights ${quote(weights)}.`,
    { weights },
  );
}

/** The oldest version that has what the manifest says: most files can be read by every reader. */
function minorOf({ webgpu, inputs }: Pick<FileManifest, 'webgpu' | 'inputs'>): number {
  return webgpu || inputs.some(({ sound }) => sound) ? NEWEST_MINOR : MINOR;
}

/** A section as the manifest lists it, less what follows from its bytes and its place. */
type Head = Section extends infer S ? (S extends Section ? Omit<S, 'offset' | 'bytes' | 'crc32'> : never) : never;

export interface Part {
  readonly head: Head;
  readonly bytes: Uint8Array;
}

/**
 * Header, manifest and sections from parts that are encoded already.
 * @throws {GrimError} GRIM_CODEGEN_LIMIT
 */
export function writeArtifact(
  manifest: Omit<FileManifest, 'sections' | 'totalBytes'>,
  parts: readonly Part[],
  minor: number = minorOf(manifest),
): Uint8Array {
  const sums = parts.map(({ bytes }) => crc32(bytes));
  // Offsets stand in the manifest, whose length moves them: from 0 up, lengths only grow, so this ends.
  let json = new Uint8Array();
  let sections: Section[] = [];
  for (let before = -1; json.length !== before; ) {
    before = json.length;
    let end = HEADER_BYTES + json.length;
    sections = parts.map(({ head, bytes }, i) => {
      const offset = align(end);
      end = offset + bytes.length;
      return { ...head, offset, bytes: bytes.length, crc32: sums[i] ?? 0 };
    });
    json = new TextEncoder().encode(canonical({ ...manifest, sections, totalBytes: end }));
  }
  limit('bytes of manifest', json.length, LIMITS.manifestBytes);
  limit('sections', sections.length, LIMITS.sections);
  const last = sections.at(-1);
  const file = new Uint8Array(last ? last.offset + last.bytes : HEADER_BYTES + json.length);
  const view = new DataView(file.buffer);
  for (let i = 0; i < MAGIC.length; i++) file[i] = MAGIC.charCodeAt(i);
  view.setUint16(4, MAJOR, true);
  view.setUint16(6, minor, true);
  view.setUint32(8, json.length, true);
  file.set(json, HEADER_BYTES);
  view.setUint32(12, crc32(json, crc32(file.subarray(0, 12))), true);
  for (const [i, { offset }] of sections.entries()) file.set(parts[i]?.bytes ?? [], offset);
  return file;
}

function align(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}

/** The one text of a manifest: keys in the order of the format, no white space, nothing that JSON cannot say. */
function canonical(m: FileManifest): string {
  const value = ({ name, dtype, shape, offset }: ValueInfo) => ({ name: text(name), dtype, shape, offset });
  const input = (info: InputInfo) => {
    const { preprocess: p, sound: s } = info;
    const preprocess = p && { layout: p.layout, channels: p.channels, mean: p.mean, std: p.std };
    const sound = s && {
      ...{ rate: s.rate, window: s.window, step: s.step, fft: s.fft, bands: s.bands },
      ...{ lowest: s.lowest, highest: s.highest, coefficients: s.coefficients, mean: s.mean, std: s.std },
    };
    return { ...value(info), ...(preprocess && { preprocess }), ...(sound && { sound }) };
  };
  const output = (info: OutputInfo) => {
    const { postprocess, labels } = info;
    return { ...value(info), ...(postprocess && { postprocess }), ...(labels && { labels: labels.map(text) }) };
  };
  const ordered: FileManifest = {
    name: text(m.name),
    producer: { name: text(m.producer.name), version: text(m.producer.version), options: m.producer.options },
    inputs: m.inputs.map(input),
    outputs: m.outputs.map(output),
    states: m.states.map(({ input, output }) => ({ input, output })),
    constantBytes: m.constantBytes,
    arenaBytes: m.arenaBytes,
    ...(m.setup && { setup: { bytes: m.setup.bytes, steps: m.setup.steps } }),
    kernels: m.kernels.map(({ name, parameters }) => ({ name: text(name), parameters })),
    steps: m.steps,
    layers: m.layers.map(({ node, op, m, k, n, grid, density, kernel, macs, calls }) => ({
      node: text(node),
      op: text(op),
      m,
      k,
      n,
      ...(grid && {
        grid: { rows: grid.rows, cols: grid.cols, blockRows: grid.blockRows, blockCols: grid.blockCols },
      }),
      density,
      kernel: text(kernel),
      macs,
      ...(calls && { calls }),
    })),
    ...(m.webgpu && { webgpu: { offset: m.webgpu.offset, bytes: m.webgpu.bytes } }),
    selfTest: m.selfTest,
    ...(m.modules && { modules: m.modules }),
    sections: m.sections.map(section),
    totalBytes: m.totalBytes,
  };
  const json = JSON.stringify(ordered, (key, entry: unknown) => {
    invariant(typeof entry !== 'number' || Number.isFinite(entry), `${key} of the manifest is ${String(entry)}`);
    return entry;
  });
  limit('entries in the manifest', json.match(/[[{,]/g)?.length ?? 0, LIMITS.entries);
  return json;
}

function section(of: Section): Section {
  const { offset, bytes, crc32: sum } = of;
  const place = { offset, bytes, crc32: sum };
  if (of.kind === 'wasm') return { kind: of.kind, family: of.family, ...place };
  if (of.kind === 'tables') return { kind: of.kind, ...place };
  const { kind, encoding, elements, group } = of;
  return { kind, encoding, elements, ...(group !== undefined && { group }), ...place };
}

function text(name: string): string {
  if (/\p{Cs}/u.test(name))
    throw new GrimError('GRIM_CODEGEN_LIMIT', `pack: the name ${quote(name)} is no valid Unicode. Rename it.`, {
      name,
    });
  limit(`characters in the name ${quote(name)}`, name.length, LIMITS.nameCharacters);
  return name;
}

function limit(what: string, found: number, most: number): void {
  if (found > most)
    throw new GrimError('GRIM_CODEGEN_LIMIT', `pack: ${found} ${what}, a reader accepts ${most}.`, { found, most });
}

interface EncodedConstants extends Part {
  /** What a reader makes of the bytes. */
  readonly expanded: Uint8Array;
}

function encodeConstants(
  { constants, segments, manifest }: CompiledModel,
  weights: WeightEncoding,
): EncodedConstants[] {
  const constantBytes = manifest.constantBytes - (manifest.setup?.bytes ?? 0);
  invariant(constants.length === constantBytes, `${constants.length} bytes of constants, ${constantBytes} declared`);
  const found: EncodedConstants[] = [];
  let at = 0;
  for (const { kind, bytes } of segments ?? [{ kind: 'tables' as const, bytes: constantBytes }]) {
    // A copy: the place of the constants in their buffer may be odd.
    const own = constants.slice(at, at + bytes);
    if (kind === 'weights' && bytes > 0) {
      invariant(bytes % 4 === 0 && at % 4 === 0, `weights of ${bytes} bytes at ${at}`);
      found.push(encodeWeights(new Float32Array(own.buffer), weights));
    } else if (bytes > 0) found.push({ head: { kind: 'tables' }, bytes: own, expanded: own });
    at += bytes;
  }
  invariant(at === constantBytes, `segments of ${at} bytes, ${constantBytes} bytes of constants`);
  return found;
}

function encodeWeights(values: Float32Array<ArrayBuffer>, encoding: WeightEncoding): EncodedConstants {
  const elements = values.length;
  const bytesOf = (array: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>) => new Uint8Array(array.buffer);
  if (encoding === 'f32') {
    const bytes = bytesOf(values);
    return { head: { kind: 'weights', encoding, elements }, bytes, expanded: bytes };
  }
  if (encoding !== 'int8') {
    const [narrow, widen] = encoding === 'f16' ? [toFloat16, fromFloat16] : [toBfloat16, fromBfloat16];
    const halves = new Uint16Array(elements);
    const expanded = new Float32Array(elements);
    for (let i = 0; i < elements; i++) {
      const value = values[i] ?? 0;
      const half = narrow(value);
      halves[i] = half;
      expanded[i] = widen(half);
      if (!Number.isFinite(expanded[i]) && Number.isFinite(value)) outOfRange(value, encoding);
    }
    return { head: { kind: 'weights', encoding, elements }, bytes: bytesOf(halves), expanded: bytesOf(expanded) };
  }
  const scales = new Float32Array(Math.ceil(elements / GROUP));
  const bytes = new Uint8Array(scales.byteLength + elements);
  const stored = new Int8Array(bytes.buffer, scales.byteLength);
  const expanded = new Float32Array(elements);
  for (let group = 0; group < scales.length; group++) {
    const end = Math.min(elements, (group + 1) * GROUP);
    let largest = 0;
    for (let i = group * GROUP; i < end; i++) {
      const value = values[i] ?? 0;
      if (!Number.isFinite(value)) outOfRange(value, encoding);
      largest = Math.max(largest, Math.abs(value));
    }
    scales[group] = largest / 127;
    const scale = scales[group] ?? 0;
    for (let i = group * GROUP; i < end && scale > 0; i++) {
      stored[i] = Math.max(-127, Math.min(127, Math.round((values[i] ?? 0) / scale)));
      expanded[i] = scale * (stored[i] ?? 0);
    }
  }
  bytes.set(bytesOf(scales));
  return { head: { kind: 'weights', encoding, elements, group: GROUP }, bytes, expanded: bytesOf(expanded) };
}

function outOfRange(value: number, encoding: WeightEncoding): never {
  throw new GrimError(
    'GRIM_CODEGEN_WEIGHT_RANGE',
    `pack: a weight is ${value}, which ${encoding} cannot hold. Store the weights as f32.`,
    { value, encoding },
  );
}

/** Some values of each output, evenly spaced; of real outputs alone when there are any, as whole numbers may flip. */
function selfTest(model: CompiledModel, constants: readonly EncodedConstants[], seed: number): SelfTest {
  invariant(Number.isInteger(seed) && seed >= 1 && seed < 2 ** 32, `a seed of ${seed}`);
  const outputs = runOnce(
    model,
    constants.map(({ expanded }) => expanded),
    seed,
  );
  const isReal = (data: unknown) => data instanceof Float32Array || data instanceof Float64Array;
  const anyReal = Array.from(outputs.values()).some(isReal);
  const expected: ExpectedValues[] = [];
  let largest = 0;
  for (const [output, data] of outputs) {
    if (anyReal && !isReal(data)) continue;
    const count = Math.min(EXPECTED_VALUES, data.length);
    const indices: number[] = [];
    const values: number[] = [];
    for (let i = 0; i < count; i++) {
      const index = count > 1 ? Math.floor((i * (data.length - 1)) / (count - 1)) : 0;
      const value = Number(data[index]);
      if (!Number.isFinite(value)) continue;
      indices.push(index);
      values.push(anyReal ? Number(value.toPrecision(6)) : value);
      largest = Math.max(largest, Math.abs(value));
    }
    if (indices.length > 0) expected.push({ output, indices, values });
  }
  return {
    seed,
    expected,
    absoluteTolerance: anyReal ? Number((TOLERANCE * largest).toPrecision(3)) : 0,
    relativeTolerance: anyReal ? TOLERANCE : 0,
  };
}

/** The module with a custom section that says which file it belongs to. */
function marked(family: WasmFamily, module: Uint8Array): Uint8Array {
  const content = new ByteWriter().ascii('grim');
  const mark = `${family} ${crc32(module)}`;
  content.raw(new TextEncoder().encode(mark));
  return new ByteWriter().raw(module).byte(0).sized(content).bytes();
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 (ISO 3309) of `bytes`, or of more bytes behind those that gave `before`. */
function crc32(bytes: Uint8Array, before = 0): number {
  let value = ~before;
  for (let i = 0; i < bytes.length; i++) value = (value >>> 8) ^ (TABLE[(value ^ (bytes[i] ?? 0)) & 255] ?? 0);
  return ~value >>> 0;
}
