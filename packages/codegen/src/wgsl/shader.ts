/**
 * What a WGSL twin of a kernel is made of: the text of a shader, how many work-groups run it, and its arguments.
 *
 * A twin takes the arguments of the WASM kernel, addresses included, and computes the same values. Two buffers stand for the
 * one linear memory: constants, which are only read, and the arena. Numbers reach a shader as 32-bit integers of one uniform
 * binding, so that one text, compiled once, serves all calls of a kernel; only what decides the code stands in its name.
 * docs/webgpu.md says why.
 */
import { invariant } from '@grim/ir';

type Space = 'constants' | 'arena';

/** An address: a byte of one of the two buffers. */
export interface Operand {
  readonly space: Space;
  readonly byte: number;
  /** Elements are float16; only of arguments that a kernel says it reads so. */
  readonly half?: boolean;
}

export type Argument = number | Operand;

export interface Shader {
  /** The whole identity: two shaders of one name have one text. No text of a model is in it. */
  readonly name: string;
  readonly code: () => string;
  /** For devices that have more, the best first. */
  readonly variants?: readonly { readonly needs: 'subgroups' | 'shader-f16'; readonly code: () => string }[];
}

export interface Dispatch {
  readonly shader: Shader;
  readonly groups: readonly [number, number, number];
  /** i32 each. */
  readonly args: readonly number[];
  /** Of products: what follows from the tile and from the table of units. */
  readonly cost?: Cost;
}

/** Arithmetic of a dispatch; `explain` prints it. */
export interface Cost {
  /** Global memory that is read and written: what invocations of a work-group read together counts once. */
  readonly bytes: number;
  /** Multiply-adds by weights that are there. */
  readonly products: number;
  /** Loads of an invocation for each of its multiply-adds. */
  readonly loads: number;
  /** Bytes of work-group memory. */
  readonly memory: number;
  /** Of a work-group. */
  readonly invocations: number;
  /** Float32 that an invocation keeps through all of K. */
  readonly sums: number;
}

/** The calls that stand for one of the kernel; or, as text, what keeps it from having any. */
export type Twin = (args: readonly Argument[]) => readonly Dispatch[] | string;

/** Invocations of a work-group. */
export const GROUP = 64;
/** The most work-groups along an axis that every device allows. */
const MOST_GROUPS = 65535;

export function operandOf(args: readonly Argument[], index: number): Operand {
  const found = args[index];
  invariant(typeof found === 'object', `argument ${index} is an address`);
  return found;
}

export function numberOf(args: readonly Argument[], index: number): number {
  const found = args[index];
  invariant(typeof found === 'number', `argument ${index} is a number`);
  return found;
}

/** The index of a weight. */
export function weightOf({ byte, half }: Operand): number {
  invariant(byte % (half ? 2 : 4) === 0, `address ${byte} of a weight`);
  return byte / (half ? 2 : 4);
}

/** The index of a 4-byte word. */
export function wordOf({ byte }: Operand): number {
  invariant(byte % 4 === 0, `address ${byte} of a word`);
  return byte / 4;
}

/** `c` or `a`: in which of the buffers an operand stands, `h` for float16, for the name of a shader. */
export function spaceName({ space, half }: Operand): string {
  return half ? 'h' : space.charAt(0);
}

/** `_f16` where weights are. */
export function weightName({ half }: Operand): string {
  return half ? '_f16' : '';
}

/** The weight at `index`, as float32; {@link weightFunctions} must be among the globals. */
export function weightText({ space, half }: Operand, index: string): string {
  return half ? `half(${index})` : float(space, index);
}

/** @param native  the device has the type f16 */
export function weightFunctions({ half }: Operand, native = false): string[] {
  const pair = native ? 'bitcast<vec2<f16>>(constants[i >> 1u])' : 'unpack2x16float(constants[i >> 1u])';
  return half ? [`fn half(i: i32) -> f32 { return ${native ? `f32(${pair}[i & 1])` : `${pair}[i & 1]`}; }`] : [];
}

/** The float32 at word `index`. */
export function float(space: Space, index: string): string {
  return `bitcast<f32>(${space}[${index}])`;
}

/** Groups of {@link GROUP} invocations for `count` elements, folded where one axis is too short for them. */
export function groupsFor(count: number): readonly [number, number, number] {
  const groups = Math.max(1, Math.ceil(count / GROUP));
  const rows = Math.ceil(groups / MOST_GROUPS);
  return [Math.ceil(groups / rows), rows, 1];
}

/**
 * The whole text around a body.
 * @param names  of the arguments: `args.name` in the text
 */
export function shaderText(
  name: string,
  names: readonly string[],
  parts: {
    readonly globals?: readonly string[];
    readonly size?: readonly number[];
    readonly body: readonly string[];
    /** Words of the arena are atomic. */
    readonly shared?: boolean;
    readonly enables?: 'f16' | 'subgroups' | undefined;
  },
): string {
  const { globals = [], size = [GROUP], body, shared = false, enables } = parts;
  return [
    `// ${name}`,
    ...(enables ? [`enable ${enables};`] : []),
    // What is asked there is the same for all that stand together, which a compiler cannot know.
    ...(enables === 'subgroups' ? ['diagnostic(off, subgroup_uniformity);'] : []),
    '@group(0) @binding(0) var<storage, read> constants: array<u32>;',
    `@group(0) @binding(1) var<storage, read_write> arena: array<${shared ? 'atomic<u32>' : 'u32'}>;`,
    `struct Args { ${names.map((argument) => `${argument}: i32`).join(', ')} }`,
    '@group(0) @binding(2) var<uniform> args: Args;',
    ...globals,
    `@compute @workgroup_size(${size.join(', ')})`,
    'fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,',
    `        @builtin(local_invocation_index) lane: u32${enables === 'subgroups' ? SUBGROUP : ''}) {`,
    ...body.map((line) => `  ${line}`),
    '}',
    '',
  ].join('\n');
}

const SUBGROUP = ', @builtin(subgroup_size) together: u32, @builtin(subgroup_invocation_id) place: u32';

/** The number of this invocation among those of {@link groupsFor}. */
export const INVOCATION: string = `i32((group.y * groups.x + group.x) * ${GROUP}u + lane)`;
