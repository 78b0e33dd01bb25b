/**
 * A compiled model, and the `.grim` file of version 1: types only. The writer and the reader are two packages that meet
 * here; magic and version are literal types, so that a disagreement does not compile. Byte offsets: docs/formats.md.
 *
 * A model owns one linear memory, [constants][arena], that never grows. Every address below counts from its start.
 * Little-endian throughout. A reader trusts no length, offset or address of a file.
 */
import type { BlockGrid } from './pattern.ts';
import type { DType } from './types.ts';

export type ArtifactMagic = 'GRIM';
/** A reader refuses other majors and loads other minors. */
export type ArtifactMajor = 1;
export type ArtifactMinor = 0;
/** Sections begin at multiples of this many bytes. */
export type SectionAlignment = 64;

/** The first 16 bytes; the manifest follows. */
export interface Header {
  readonly magic: ArtifactMagic;
  /** u16 */
  readonly major: ArtifactMajor;
  /** u16 */
  readonly minor: number;
  /** u32: length of the manifest's JSON in bytes. */
  readonly manifestBytes: number;
  /** u32: CRC-32 of the 12 bytes before it and of the manifest. */
  readonly crc32: number;
}

/** What `compile` returns and `pack` writes. */
export interface CompiledModel {
  readonly manifest: Manifest;
  /**
   * One module per instruction family, both called by the same steps. Each imports exactly one thing, `env.memory`, and
   * exports exactly the functions of `manifest.kernels`, in that order, with i32 parameters and no result. No start
   * function, table, own memory, global, data or custom section.
   */
  readonly wasm: WasmModules;
  /** What the memory holds from address 0; `manifest.constantBytes` long, less what the setup makes. */
  readonly constants: Uint8Array;
  /** What the constants are, in order, without gaps. Without it all of them are kept bit by bit. */
  readonly segments?: readonly Segment[];
  /** One for each call of `manifest.steps`, branches in the order of the list. For a profile; not part of a file. */
  readonly calls?: readonly CallInfo[];
  /** The same of the dispatches of a {@link WebGpuProgram}: the product that each computes, by its key. */
  readonly dispatches?: readonly (string | undefined)[];
  /** How a file stores the weights, where the compiler was told; the program for a GPU may rely on it. */
  readonly weights?: WeightEncoding;
}

/**
 * The same model for a GPU, as JSON among the constants. It has constants and an arena of its own: an address from
 * `constantBytes` on is one of that arena.
 */
export interface WebGpuProgram {
  readonly constantBytes: number;
  /**
   * Where its constants come from, flat: address in the model's memory, address among its own, bytes in the model's memory,
   * and 1 where float32 become float16 (all of them are float16 already), else 0.
   */
  readonly copies: readonly number[];
  readonly arenaBytes: number;
  /** Addresses of the values, in the order of the manifest. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** WGSL, one module each with the entry point `main`; bindings as docs/formats.md says. */
  readonly shaders: readonly string[];
  /** Other texts for some of the shaders; the first whose need a device meets is taken. */
  readonly variants: readonly ShaderVariant[];
  /** Bytes of a binding of constants, for variants that need `segments`. */
  readonly segmentBytes: number;
  /** Flat: shader, work-groups along x, y and z, number of arguments, arguments (i32). One after the other. */
  readonly steps: readonly number[];
}

/** The same computation for devices that have a feature, or, with `segments`, whose bindings do not hold all constants. */
export interface ShaderVariant {
  readonly shader: number;
  readonly needs: 'subgroups' | 'shader-f16' | 'segments';
  readonly code: string;
}

/** What a call is there for. */
export interface CallInfo {
  /** Nodes of the graph that it computes, or helps to; none when it brings an output into its form. */
  readonly nodes: readonly string[];
  /** The whole identity of its kernel. */
  readonly kernel: string;
  /**
   * Bytes of the buffers that it may read or write, each at the first call of a node that touches it; constants as often
   * as a loop inside the kernel goes through them.
   */
  readonly bytes: number;
  /** Key of the product of a constant matrix that it computes, by which schedules are found. */
  readonly product?: string;
}

export interface WasmModules {
  /** Only when asked for. */
  readonly wide?: Uint8Array;
  readonly relaxed: Uint8Array;
  readonly plain: Uint8Array;
}

/** `weights` are float32 and may be stored narrower; `tables` (descriptors, column lists, biases) are kept bit by bit. */
export interface Segment {
  readonly kind: 'weights' | 'tables';
  /** A multiple of 4 for weights. */
  readonly bytes: number;
}

export interface Manifest {
  readonly name: string;
  readonly producer: Producer;
  readonly inputs: readonly InputInfo[];
  readonly outputs: readonly OutputInfo[];
  /** Outputs that are fed back as inputs of the next run, by public names. */
  readonly states: readonly StatePair[];
  /** What the setup makes included. */
  readonly constantBytes: number;
  /** Follows the constants at once; constants and arena together are the memory, rounded up to pages of 64 KiB. */
  readonly arenaBytes: number;
  /** What is done once, before the first run. */
  readonly setup?: Setup;
  /** Exported functions; a step names one by its index here. */
  readonly kernels: readonly KernelInfo[];
  /**
   * Flat: `kernel, ...arguments` for a call, each in [-2^31, 2^32); `-1, condition, length of then, length of else` and
   * both lists of steps for a branch, which takes `then` when the byte at the address `condition` is not 0; `-2, length` and
   * calls alone for a group, whose calls write nothing that another of them reads or writes: they may run at the same time.
   */
  readonly steps: readonly number[];
  /** One entry for each weight that is multiplied as a matrix, in the order of the steps. */
  readonly layers: readonly LayerInfo[];
  /** Where a {@link WebGpuProgram} stands among the constants, in UTF-8. */
  readonly webgpu?: { readonly offset: number; readonly bytes: number };
}

/** Makes constants of others, which a file holds in fewer bytes. */
export interface Setup {
  /** The last ones of the constants: no section holds them, the steps write all of them. */
  readonly bytes: number;
  /** As `Manifest.steps`. */
  readonly steps: readonly number[];
}

export interface Producer {
  readonly name: string;
  readonly version: string;
  /** What was asked of the compiler, as far as it decides the bytes of the file. No paths, no dates. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
}

/** Shapes of a compiled model are static; elements lie contiguous, row-major. */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Address of the first byte, in the arena (of an output: or in the constants); a multiple of the element's size. */
  readonly offset: number;
}

export interface InputInfo extends ValueInfo {
  readonly preprocess?: ImagePreprocess;
  /** Of version 1.1; `@grim/runtime/sound` checks it when it is used. */
  readonly sound?: SoundPreprocess;
}

export interface OutputInfo extends ValueInfo {
  readonly postprocess?: 'softmax' | 'sigmoid';
  /** Class labels, index by index. */
  readonly labels?: readonly string[];
}

/** From 8-bit pixels: out[c] = (pixel[c] / 255 - mean[c]) / std[c]. */
export interface ImagePreprocess {
  readonly layout: 'NCHW' | 'NHWC';
  readonly channels: 'rgb' | 'bgr' | 'gray';
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * From samples of one channel, −1 to 1, to [frames, features]: frames under a periodic Hann window, magnitudes of a Fourier
 * transform, bands evenly spaced in mel, natural logarithm, DCT-II; then out = (feature − mean) / std.
 */
export interface SoundPreprocess {
  /** Samples per second. */
  readonly rate: number;
  /** Samples of a frame. */
  readonly window: number;
  /** Samples from frame to frame. */
  readonly step: number;
  /** Length of the transform, a power of two. */
  readonly fft: number;
  readonly bands: number;
  /** Hertz, of all bands. */
  readonly lowest: number;
  readonly highest: number;
  /** That the DCT leaves; 0: there is none, the features are the logarithms of the bands. */
  readonly coefficients: number;
  /** One, or one for each feature. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Starts as zeros. Both have one dtype and one shape. */
export interface StatePair {
  readonly input: string;
  readonly output: string;
}

/** A function that every module exports under this name. */
export interface KernelInfo {
  readonly name: string;
  /** How many i32 it takes. */
  readonly parameters: number;
}

export interface LayerInfo {
  readonly node: string;
  readonly op: string;
  /** GEMM view of the weight. */
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly grid?: BlockGrid;
  /** What the pattern keeps / (m · k); 1 without a pattern. */
  readonly density: number;
  /** That walks the weights. */
  readonly kernel: string;
  /** Multiply-accumulates of the dense layer in one run: m · k · n. */
  readonly macs: number;
  /** The calls that compute the node, `[first, end)`, counted as they stand in `steps`; absent where others lie between. */
  readonly calls?: readonly [first: number, end: number];
}

/** What stands in a file: the compiler's manifest and what the file itself adds. */
export interface FileManifest extends Manifest {
  readonly selfTest: SelfTest;
  /** Modules kept beside the file, where WebAssembly may not be compiled from bytes; then the file has no `wasm` section. */
  readonly modules?: readonly ModuleInfo[];
  readonly sections: readonly Section[];
  /** Length of the whole file, header and padding included: progress is counted against it. */
  readonly totalBytes: number;
}

/** Of a module kept beside: its custom section "grim" holds the same as text, `family crc32` (decimal). */
export interface ModuleInfo {
  readonly family: WasmFamily;
  /** Of the module's bytes without that custom section. */
  readonly crc32: number;
}

/** A device on which this fails is not used. Inputs follow from the seed (docs/formats.md); states are zeros. */
export interface SelfTest {
  /** 1 to 2^32 - 1. */
  readonly seed: number;
  /** Finite values that some elements of the outputs must have, within the tolerances. */
  readonly expected: readonly ExpectedValues[];
  readonly absoluteTolerance: number;
  readonly relativeTolerance: number;
}

export interface ExpectedValues {
  readonly output: string;
  /** Flat, ascending. */
  readonly indices: readonly number[];
  readonly values: readonly number[];
}

interface SectionBase {
  /** From the start of the file; a multiple of {@link SectionAlignment}. */
  readonly offset: number;
  /** Without padding; not 0. */
  readonly bytes: number;
  /** CRC-32 of the section's bytes (ISO 3309, as in PNG). */
  readonly crc32: number;
}

/**
 * Instruction families of WebAssembly; a loader takes the first one that the engine can compile. `wide` has the instructions
 * of `relaxed` in an order that an engine may join to 256-bit ones; where it does not it is slow, so it is taken on request.
 */
export type WasmFamily = 'wide' | 'relaxed' | 'plain';

export interface WasmSection extends SectionBase {
  readonly kind: 'wasm';
  readonly family: WasmFamily;
}

/** How the elements are stored; all become float32 when they are loaded. */
export type WeightEncoding = 'f32' | 'f16' | 'bf16' | 'int8';

/** `int8`: float32 scales, one for each `group` elements, then the elements; value = scale · element. */
export interface WeightsSection extends SectionBase {
  readonly kind: 'weights';
  readonly encoding: WeightEncoding;
  readonly elements: number;
  /** Of `int8` alone. */
  readonly group?: number;
}

export interface TablesSection extends SectionBase {
  readonly kind: 'tables';
}

/** Modules first, then the constants in the order of their addresses, which the lengths alone decide. */
export type Section = WasmSection | WeightsSection | TablesSection;
export type SectionKind = Section['kind'];
