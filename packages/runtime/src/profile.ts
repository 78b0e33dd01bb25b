/**
 * The third entry, `@grim/runtime/profile`: runs a model call by call and takes the time of each. The very engine that
 * `loadModel` gives out does the work, so what is timed is what a run does.
 */
import type { FileManifest, WasmFamily, WeightsSection } from '@grim/ir';
import { pagesOf } from './artifact.ts';
import { fail } from './errors.ts';
import { supports } from './features.ts';
import { createEngine, type Kernel } from './model.ts';
import { readArtifact } from './read.ts';
import { SYSTEM } from './system.ts';
import { expandWeights } from './weights.ts';

/** A model that can be run call by call. */
export interface Profiler {
  readonly manifest: FileManifest;
  readonly simd: WasmFamily;
  /** How many calls stand in `manifest.steps`, branches counted one after the other. */
  readonly calls: number;
  /**
   * Runs the model once on the inputs of its self-test, as a whole.
   * @param now  a clock; default `performance.now`
   * @returns the time it took, in the clock's unit
   */
  run(now?: () => number): number;
  /** The same call by call: the time of each; 0 for those that a branch leaves out. */
  runByCall(now?: () => number): Float64Array;
}

/**
 * @param bytes  of a whole `.grim` file with its code in it
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_ARTIFACT and what else `readArtifact` throws; GRIM_RUNTIME_MISSING_FEATURE;
 *   GRIM_RUNTIME_SELF_TEST when the results are wrong
 */
export async function openProfiler(bytes: Uint8Array, options: { readonly simd?: WasmFamily } = {}): Promise<Profiler> {
  const { manifest, sections } = readArtifact(bytes);
  const memory = SYSTEM.memory(pagesOf(manifest));
  let address = 0;
  let code: { readonly family: WasmFamily; readonly bytes: Uint8Array } | undefined;
  for (const [i, section] of manifest.sections.entries()) {
    const content = sections[i] as Uint8Array;
    if (section.kind === 'wasm') {
      const { family } = section;
      if ((options.simd ? options.simd === family : family !== 'wide') && supports(family, SYSTEM.validate))
        code ??= { family, bytes: content };
    } else if (section.kind === 'weights') {
      // A copy: its place in the file fits no array of wider elements.
      expand(section, content.slice(), new Float32Array(memory.buffer, address, section.elements));
      address += 4 * section.elements;
    } else {
      new Uint8Array(memory.buffer, address).set(content);
      address += content.length;
    }
  }
  if (!code) fail('MISSING_FEATURE', 'openProfiler: no code in the file that this engine could run.');
  const { exports } = await SYSTEM.instantiate(await SYSTEM.compile(new Uint8Array(code.bytes)), { env: { memory } });
  const kernels = manifest.kernels.map(({ name }) => exports[name] as Kernel);
  const engine = createEngine(manifest, memory, kernels, code.family);
  const failure = engine.selfTest();
  if (failure) fail('SELF_TEST', 'openProfiler: this engine computes wrong results (self-test).', { failure });
  const ordinals = ordinalsOf(manifest);
  const calls = ordinals.reduce((most, ordinal) => Math.max(most, ordinal + 1), 0);
  const oneStep = () => true;
  return {
    manifest,
    simd: code.family,
    calls,
    run(now = SYSTEM.now) {
      engine.seed();
      const start = now();
      engine.walk(0);
      return now() - start;
    },
    runByCall(now = SYSTEM.now) {
      engine.seed();
      const times = new Float64Array(calls);
      for (let at = 0; at >= 0 && at < ordinals.length; ) {
        const ordinal = ordinals[at] as number;
        const start = now();
        at = engine.walk(at, oneStep);
        const end = now();
        if (ordinal >= 0) times[ordinal] = end - start;
      }
      return times;
    },
  };
}

function expand(section: WeightsSection, stored: Uint8Array, target: Float32Array): void {
  if (section.encoding === 'f32') new Uint8Array(target.buffer, target.byteOffset, stored.length).set(stored);
  else expandWeights(section, stored, target);
}

/** For each instruction of the engine's list: which call it is, -1 for a jump. */
function ordinalsOf({ steps, kernels }: FileManifest): number[] {
  const found: number[] = [];
  let calls = 0;
  const walk = (from: number, end: number) => {
    for (let at = from; at < end; ) {
      const kernel = steps[at] as number;
      if (kernel >= 0) {
        found.push(calls++);
        at += 1 + (kernels[kernel]?.parameters ?? 0);
      } else if (kernel === -2) at += 2;
      else {
        const [then = 0, otherwise = 0] = steps.slice(at + 2, at + 4);
        at += 4;
        found.push(-1);
        walk(at, at + then);
        found.push(-1);
        walk(at + then, at + then + otherwise);
        at += then + otherwise;
      }
    }
  };
  walk(0, steps.length);
  return found;
}
