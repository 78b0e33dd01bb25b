/** The program for a GPU among the constants of a file (docs/formats.md): read, and every number of it checked. */
import type { FileManifest, ShaderVariant, WebGpuProgram } from '@grim/ir';
import { corrupt, fail } from './errors.ts';
import type { Engine, Port } from './model.ts';

const MOST_GROUPS = 65535;
/** Of a dispatch. */
const MOST_ARGUMENTS = 1024;

interface Dispatch {
  readonly shader: number;
  readonly groups: readonly [number, number, number];
  readonly args: readonly number[];
}

export interface CheckedProgram extends Omit<WebGpuProgram, 'steps'> {
  readonly dispatches: readonly Dispatch[];
}

/** Inputs and outputs of a model, in the order of its manifest. */
export type Ports = Pick<Engine, 'inputs' | 'outputs'>;

/**
 * @param constants  of the model, as its setup leaves them
 * @throws {RuntimeError} GRIM_RUNTIME_MISSING_FEATURE when the file has none, BAD_ARTIFACT
 */
export function readProgram(manifest: FileManifest, ports: Ports, constants: Uint8Array): CheckedProgram {
  const wrong = (): never => corrupt('its program for a GPU is damaged');
  const { webgpu, constantBytes } = manifest;
  if (!webgpu) fail('MISSING_FEATURE', 'webgpu: the file has no shaders. Compile it with targets ["wasm", "webgpu"].');
  const whole = (value: unknown, from: number, to: number): value is number =>
    Number.isInteger(value) && (value as number) >= from && (value as number) <= to;
  const { offset, bytes } = webgpu;
  if (!whole(offset, 0, constantBytes) || !whole(bytes, 1, constantBytes - offset)) wrong();
  let program: Partial<Record<keyof WebGpuProgram, unknown>> | null = null;
  try {
    // A copy: a decoder takes no shared memory.
    program = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(constants.slice(offset, offset + bytes)));
  } catch {
    wrong();
  }
  const {
    constantBytes: own,
    copies,
    arenaBytes,
    inputs,
    outputs,
    shaders,
    variants,
    segmentBytes,
    steps,
  } = program ?? {};
  const size = (value: unknown): value is number => whole(value, 0, 2 ** 32) && value % 64 === 0;
  if (!size(own) || !size(segmentBytes) || !segmentBytes || !size(arenaBytes)) return wrong();
  if (!Array.isArray(shaders) || !shaders.every((text) => typeof text === 'string')) return wrong();
  const known = (list: unknown): list is ShaderVariant[] =>
    Array.isArray(list) &&
    list.every((one) => whole(one?.shader, 0, shaders.length - 1) && typeof one.code === 'string');
  if (!known(variants) || !Array.isArray(copies) || copies.length % 4 !== 0) return wrong();
  for (let i = 0; i < copies.length; i += 4) {
    const [from, to, length, half] = copies.slice(i, i + 4);
    if (![from, length].every((value) => size(value)) || !whole(half, 0, 1) || from + length > constantBytes) wrong();
    if (!whole(to, 0, own) || to % 64 !== 0 || to + length / (1 + half) > own) wrong();
  }
  const end = own + arenaBytes;
  const placed = (list: unknown, values: readonly Port[], from: number): list is number[] =>
    Array.isArray(list) &&
    list.length === values.length &&
    values.every(({ data }, i) => {
      const at: unknown = list[i];
      return whole(at, from, end) && at % 4 === 0 && at + padded(data.byteLength) <= end;
    });
  if (!placed(inputs, ports.inputs, own) || !placed(outputs, ports.outputs, 0)) return wrong();
  if (!Array.isArray(steps) || !steps.every((word) => whole(word, -(2 ** 31), 2 ** 31 - 1))) return wrong();
  const dispatches: Dispatch[] = [];
  for (let at = 0; at < steps.length; ) {
    const [shader, x, y, z, count] = steps.slice(at, at + 5) as [number, number, number, number, number];
    if (!whole(shader, 0, shaders.length - 1) || !whole(count, 0, MOST_ARGUMENTS)) return wrong();
    if (![x, y, z].every((groups) => whole(groups, 1, MOST_GROUPS)) || at + 5 + count > steps.length) return wrong();
    dispatches.push({ shader, groups: [x, y, z], args: steps.slice(at + 5, at + 5 + count) });
    at += 5 + count;
  }
  return { constantBytes: own, copies, arenaBytes, inputs, outputs, shaders, variants, segmentBytes, dispatches };
}

/** Whole words: copies between buffers know nothing smaller. */
export function padded(bytes: number): number {
  return 4 * Math.ceil(bytes / 4);
}
