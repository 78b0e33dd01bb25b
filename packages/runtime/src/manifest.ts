/**
 * The manifest: strict JSON, then every field, then what fields say of one another. Nothing behind this file meets a
 * number that was not checked.
 *
 * The JSON must be what `JSON.stringify` makes of it again: that leaves one spelling of each manifest, and refuses
 * duplicate keys, white space, -0 and numbers beyond a double. A newer minor version may add keys, which are skipped.
 */
import type { FileManifest, ValueInfo, WeightsSection } from '@grim/ir';
import { bytesPerElement, DTYPES, elementCount } from './dtypes.ts';
import { corrupt, quote } from './errors.ts';

export const HEADER_BYTES = 16;
const ALIGNMENT = 64;
export const PAGE_BYTES = 65536;
/** Of the manifest: nesting, values, sections. */
const MAX_DEPTH = 16;
const MAX_ENTRIES = 1e5;
const MAX_SECTIONS = 4096;
const MAX_NAME = 1024;
const MAX_WASM_BYTES = 2 ** 24;
const MAX_BYTES = 2 ** 32 - PAGE_BYTES;

/** Of instructions, in the order of a file. */
export const FAMILIES: readonly string[] = ['wide', 'relaxed', 'plain'];

const SELF_TEST = 'its self-test is wrong';
const NOT_JSON = 'its manifest is no canonical JSON';

/** Whether a value is what it must be. A record says itself which of its keys is not. */
type Check = (value: unknown) => boolean;

const integer =
  (from: number, to: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= from && (value as number) <= to;
const size: Check = integer(0, MAX_BYTES);
const length: Check = integer(1, MAX_BYTES);
const count: Check = integer(0, Number.MAX_SAFE_INTEGER);
const u32: Check = integer(0, 2 ** 32 - 1);
const real: Check = (value) => typeof value === 'number';
const text: Check = (value) => typeof value === 'string' && value.length <= MAX_NAME && !/\p{Cs}/u.test(value);
const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
const list =
  (item: Check, most: number = MAX_ENTRIES): Check =>
  (value) =>
    Array.isArray(value) && value.length <= most && value.every((entry) => item(entry));
const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const options: Check = (value) =>
  isObject(value) &&
  Object.entries(value).every(
    ([key, option]) =>
      key !== '__proto__' && text(key) && (text(option) || typeof option === 'number' || typeof option === 'boolean'),
  );

type Fields = Readonly<Record<string, Check>>;

/** @param lenient  skips keys that are not known, and minds no order */
function schemaOf(lenient: boolean): Check {
  /** Keys stand in the order of `fields`; those that end in "?" may be missing. */
  const record =
    (fields: Fields): Check =>
    (value) => {
      if (!isObject(value)) return false;
      const keys = Object.keys(value);
      let next = 0;
      for (const [field, check] of Object.entries(fields)) {
        const key = field.replace('?', '');
        if (lenient ? Object.hasOwn(value, key) : keys[next] === key) {
          next++;
          if (!check((value as Record<string, unknown>)[key])) wrong(key);
        } else if (key === field) wrong(key);
      }
      if (!lenient && next < keys.length) wrong(keys[next]);
      return true;
    };
  const steps = list(integer(-(2 ** 31), 2 ** 32 - 1));
  const value = { name: text, dtype: oneOf(...DTYPES), shape: list(integer(0, 2 ** 31 - 1), 8), offset: size };
  const preprocess = record({
    layout: oneOf('NCHW', 'NHWC'),
    channels: oneOf('rgb', 'bgr', 'gray'),
    mean: list(real),
    std: list(real),
  });
  const family = oneOf(...FAMILIES);
  const placed = { offset: size, bytes: length, crc32: u32 };
  const sections = new Map<unknown, Check>([
    ['wasm', record({ kind: text, family, ...placed, bytes: integer(1, MAX_WASM_BYTES) })],
    [
      'weights',
      record({
        kind: text,
        encoding: oneOf('f32', 'f16', 'bf16', 'int8'),
        elements: length,
        'group?': integer(1, 65536),
        ...placed,
      }),
    ],
    ['tables', record({ kind: text, ...placed })],
  ]);
  return record({
    name: text,
    producer: record({ name: text, version: text, options }),
    inputs: list(record({ ...value, 'preprocess?': preprocess })),
    outputs: list(record({ ...value, 'postprocess?': oneOf('softmax', 'sigmoid'), 'labels?': list(text) })),
    states: list(record({ input: text, output: text })),
    constantBytes: size,
    arenaBytes: size,
    'setup?': record({ bytes: length, steps }),
    kernels: list(record({ name: text, parameters: integer(0, 250) })),
    steps,
    layers: list(
      record({
        node: text,
        op: text,
        m: count,
        k: count,
        n: count,
        'grid?': record({ rows: count, cols: count, blockRows: count, blockCols: count }),
        density: real,
        kernel: text,
        macs: count,
        'calls?': list(count, 2),
      }),
    ),
    selfTest: record({
      seed: integer(1, 2 ** 32 - 1),
      expected: list(record({ output: text, indices: list(count), values: list(real) })),
      absoluteTolerance: real,
      relativeTolerance: real,
    }),
    'modules?': list(record({ family, crc32: u32 }), 3),
    sections: list((entry) => sections.get((entry as { kind?: unknown } | null)?.kind)?.(entry) ?? false, MAX_SECTIONS),
    totalBytes: size,
  });
}

function wrong(key: string | undefined): never {
  corrupt(`${quote(key)} of its manifest is missing, wrong, misplaced or twice`, { key });
}

/**
 * The manifest that the bytes hold, every field checked.
 * @param lenient  the file is of a newer minor version
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_ARTIFACT
 */
export function parseManifest(bytes: Uint8Array, lenient: boolean): FileManifest {
  checkNesting(bytes);
  let parsed: unknown;
  let json = '';
  try {
    json = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    parsed = JSON.parse(json);
  } catch {
    corrupt(NOT_JSON);
  }
  if (JSON.stringify(parsed) !== json) corrupt(NOT_JSON);
  if (!schemaOf(lenient)(parsed)) corrupt(NOT_JSON);
  const checked = parsed as FileManifest;
  checkValues(checked);
  checkSteps(checked, checked.steps);
  checkSteps(checked, checked.setup?.steps);
  checkSections(checked, bytes.length);
  return checked;
}

/** Before the parser, which has no limits of its own: depth, and the number of values. */
function checkNesting(bytes: Uint8Array): void {
  let depth = 0;
  let entries = 0;
  let quoted = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    // " then \\ then [ and {, ] and }: the brackets differ in one bit. Numbers, as strings would take milliseconds.
    if (byte === 34) quoted = !quoted;
    else if (quoted) i += Number(byte === 92);
    else if ((byte | 32) === 123) depth++;
    else if ((byte | 32) === 125) depth--;
    else if (byte === 44) entries++;
    if (depth > MAX_DEPTH || entries > MAX_ENTRIES) corrupt('its manifest is too deep or too long');
  }
}

/** Names, and where values lie. */
function checkValues({ inputs, outputs, states, constantBytes, arenaBytes, selfTest }: FileManifest): void {
  const memory = constantBytes + arenaBytes;
  if (memory > MAX_BYTES) corrupt('its memory is too large');
  const named = (values: readonly ValueInfo[], from: number) => {
    const found = new Map<string, ValueInfo>();
    for (const value of values) {
      const { name, dtype, shape, offset } = value;
      if (found.has(name)) wrong(name);
      found.set(name, value);
      const width = bytesPerElement(dtype);
      // At most 2^248: exact in a double, or far beyond any memory.
      if (offset % width || offset < from || offset + elementCount(shape) * width > memory) wrong(name);
    }
    return found;
  };
  const ins = named(inputs, constantBytes);
  const outs = named(outputs, 0);
  const ranges = inputs
    .map(({ offset, dtype, shape }) => [offset, offset + elementCount(shape) * bytesPerElement(dtype)] as const)
    .filter(([start, end]) => end > start)
    .sort(([a], [b]) => a - b);
  if (ranges.some(([start], i) => start < (ranges[i - 1]?.[1] ?? 0))) corrupt('two inputs share memory');
  const fed = new Set<string>();
  for (const { input, output } of states) {
    const [into, from] = [ins.get(input), outs.get(output)];
    if (!into || !from || fed.has(input) || into.dtype !== from.dtype || into.shape.join() !== from.shape.join())
      wrong(input);
    fed.add(input);
  }
  if (selfTest.absoluteTolerance < 0 || selfTest.relativeTolerance < 0) corrupt(SELF_TEST);
  for (const { output, indices, values } of selfTest.expected) {
    const of = outs.get(output);
    const end = of ? elementCount(of.shape) : 0;
    if (indices.length !== values.length || indices.some((at, i) => at >= end || at <= (indices[i - 1] ?? -1)))
      corrupt(SELF_TEST);
  }
}

function checkSteps({ kernels, constantBytes, arenaBytes }: FileManifest, steps: readonly number[] = []): void {
  const wrong = (): never => corrupt('its steps are damaged');
  if (new Set(kernels.map(({ name }) => name)).size < kernels.length) wrong();
  const walk = (from: number, end: number, depth: number): void => {
    let at = from;
    while (at < end) {
      const kernel = steps[at++] as number;
      // A group is checked like a branch of one arm in which no other may be.
      const group = kernel === -2;
      if (group || kernel === -1) {
        const [condition = -1, then = -1, otherwise = -1] = group ? [0, steps[at], 0] : steps.slice(at, at + 3);
        at += group ? 1 : 3;
        const middle = at + then;
        const next = middle + otherwise;
        if (condition < 0 || condition >= constantBytes + arenaBytes || then < 0 || otherwise < 0) wrong();
        if (next > end || depth > MAX_DEPTH) wrong();
        walk(at, middle, group ? MAX_DEPTH + 1 : depth + 1);
        walk(middle, next, depth + 1);
        at = next;
      } else at += (kernels[kernel] ?? wrong()).parameters;
    }
    if (at !== end) wrong();
  };
  walk(0, steps.length, 0);
}

/** Offsets follow from the lengths: no hole, no overlap, nothing behind the last. */
function checkSections(manifest: FileManifest, manifestBytes: number): void {
  const { sections, modules, setup, constantBytes, totalBytes } = manifest;
  const wrong = (): never => corrupt('its sections are misplaced');
  let end = HEADER_BYTES + manifestBytes;
  let address = 0;
  const families: string[] = modules?.map(({ family }) => family) ?? [];
  for (const section of sections) {
    if (section.offset !== aligned(end)) wrong();
    end = section.offset + section.bytes;
    if (section.kind === 'wasm') {
      if (address > 0 || modules) wrong();
      families.push(section.family);
    } else if (section.kind === 'weights') {
      if (section.bytes !== storedBytes(section) || address % 4) wrong();
      address += section.elements * 4;
    } else address += section.bytes;
  }
  if (!/^(wide,)?(relaxed|(relaxed,)?plain)$/.test(families.join())) wrong();
  if (address + (setup?.bytes ?? 0) !== constantBytes || totalBytes !== end) wrong();
}

export function aligned(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}

/** -1, which no section has, when int8 has no groups or another encoding has. */
function storedBytes({ encoding, elements, group }: WeightsSection): number {
  if ((encoding === 'int8') !== (group !== undefined)) return -1;
  if (group !== undefined) return 4 * Math.ceil(elements / group) + elements;
  return elements * (encoding === 'f32' ? 4 : 2);
}
