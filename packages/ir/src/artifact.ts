/**
 * The `.grim` file, version 1: types only. The writer and the reader are two packages that meet here; magic and version
 * are literal types, so that a disagreement does not compile.
 *
 * Little-endian: {@link Header}, the manifest (UTF-8 JSON), then the sections, each at the next multiple of 64 bytes, in
 * the order of the manifest, zeros between them, nothing behind them. A reader trusts no length or offset of the file.
 */
import type { BlockGrid } from './pattern.ts';
import type { DType } from './types.ts';

export type ArtifactMagic = 'GRIM';
/** A reader refuses other majors and loads other minors. */
export type ArtifactMajor = 1;
export type ArtifactMinor = 0;
/** Sections begin at multiples of this many bytes. */
export type SectionAlignment = 64;

/** The first 12 bytes: magic (4), major (u16), minor (u16), manifestBytes (u32). The manifest follows. */
export interface Header {
  readonly magic: ArtifactMagic;
  readonly major: ArtifactMajor;
  readonly minor: number;
  /** Length of the manifest's JSON in bytes. */
  readonly manifestBytes: number;
}

/** A compiled model in memory: what the writer packs, and what a reader has after its checks. */
export interface CompiledModel {
  readonly manifest: Manifest;
  /** Same order and lengths as `manifest.sections`. */
  readonly sections: readonly Uint8Array[];
}

export interface Manifest {
  readonly name: string;
  readonly producer: Producer;
  readonly inputs: readonly InputInfo[];
  readonly outputs: readonly OutputInfo[];
  /** Outputs that are fed back as inputs of the next run, by public names. */
  readonly states: readonly StatePair[];
  readonly selfTest: SelfTest;
  readonly sections: readonly Section[];
  /** Length of the whole file, header and padding included: progress is counted against it. */
  readonly totalBytes: number;
  /** Bytes of the one buffer that all activations share; offsets of {@link BufferRange} count from its start. */
  readonly arenaBytes: number;
  /** In the order in which they run. */
  readonly steps: readonly Step[];
  /** For `explain`; one entry per layer with weights. */
  readonly layers: readonly LayerInfo[];
}

export interface Producer {
  readonly name: string;
  readonly version: string;
  /** What was asked of the compiler, as far as it decides the bytes of the file. No paths, no dates. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
}

/** Shapes of a compiled model are static. */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly range: BufferRange;
}

export interface InputInfo extends ValueInfo {
  readonly preprocess?: ImagePreprocess;
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

/** Starts as zeros. */
export interface StatePair {
  readonly input: string;
  readonly output: string;
}

/** A device on which this fails is not used. */
export interface SelfTest {
  /** Seed of the inputs; how numbers follow from it is fixed by the format's version. */
  readonly seed: number;
  /** Expected values at some positions of some outputs. */
  readonly expected: readonly { readonly output: string; readonly index: number; readonly value: number }[];
  readonly absoluteTolerance: number;
  readonly relativeTolerance: number;
}

/** Bytes of the arena. */
export interface BufferRange {
  readonly offset: number;
  readonly bytes: number;
}

interface SectionBase {
  /** From the start of the file; a multiple of {@link SectionAlignment}. */
  readonly offset: number;
  /** Without padding. */
  readonly bytes: number;
  /** CRC-32 of the section's bytes (ISO 3309, as in PNG). */
  readonly crc32: number;
}

/** Instruction families of WebAssembly; a loader takes the first one that the engine can compile. */
export type WasmFamily = 'relaxed-simd' | 'simd128';

/** `bytes` is 0 when the module is kept beside the file. */
export interface WasmSection extends SectionBase {
  readonly kind: 'wasm';
  readonly family: WasmFamily;
}

export interface WgslSection extends SectionBase {
  readonly kind: 'wgsl';
}

/** How the elements are stored; all become float32 when they are loaded. */
export type WeightEncoding = 'f32' | 'f16' | 'bf16' | 'int8';

export interface WeightsSection extends SectionBase {
  readonly kind: 'weights';
  readonly weights: readonly StoredWeight[];
}

export interface StoredWeight {
  readonly name: string;
  readonly encoding: WeightEncoding;
  /** Bytes from the start of the section. */
  readonly offset: number;
  readonly elements: number;
  /** Of `int8`: value = scale · element; one for all, or one per row of the GEMM view. */
  readonly scales?: readonly number[];
}

/** Unit descriptors and column lists. */
export interface TablesSection extends SectionBase {
  readonly kind: 'tables';
}

export type Section = WasmSection | WgslSection | WeightsSection | TablesSection;
export type SectionKind = Section['kind'];

/** One call of a kernel. */
export interface Step {
  /** Carries the whole identity: `f32_bcrc_spmm_relu_4x8__wasmsimd128_u2`. */
  readonly kernel: string;
  /** Nodes of the source graph that this step computes. */
  readonly nodes: readonly string[];
  readonly reads: readonly BufferRange[];
  readonly writes: readonly BufferRange[];
  /** Index into the sections, and the bytes there. */
  readonly weights?: { readonly section: number } & BufferRange;
  readonly tables?: { readonly section: number } & BufferRange;
  /** Workgroups along x, y and z; of WebGPU steps. */
  readonly dispatch?: readonly [x: number, y: number, z: number];
}

export interface LayerInfo {
  readonly node: string;
  readonly op: string;
  /** GEMM view of the weight. */
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly grid?: BlockGrid;
  /** Non-zeros / (m · k). */
  readonly density: number;
  readonly kernel: string;
  /** Multiply-accumulates of the dense layer. */
  readonly macs: number;
}
