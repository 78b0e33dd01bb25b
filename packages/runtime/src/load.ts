/**
 * From a source to a model: header, manifest, modules, then the constants straight into the model's memory, each section
 * checked as it arrives. Nothing runs before all of the file was seen and found whole.
 */
import type { FileManifest, Section, WasmFamily } from '@grim/ir';
import { checkPadding, checkSum, openManifest, pagesOf, parseHeader } from './artifact.ts';
import { corrupt, didYouMean, fail, quote, RuntimeError } from './errors.ts';
import { supports } from './features.ts';
import { FAMILIES, HEADER_BYTES, PAGE_BYTES } from './manifest.ts';
import { createEngine, createModel, type Engine, type Kernel, type Model, type Tensors } from './model.ts';
import { abortable, type ByteReader, type ModelSource, openSource, type SourceOptions } from './source.ts';
import type { System } from './system.ts';
import { checkModule } from './wasm.ts';
import { expandWeights } from './weights.ts';

/** `loaded` never falls, and equals `total` once: at the end, when the model can run. Both count bytes of the file. */
export interface LoadProgress {
  /** `download` from a response, `verify` from bytes that are there already. */
  readonly stage: 'download' | 'verify' | 'compile' | 'warmup';
  readonly loaded: number;
  readonly total: number;
  /** Always false: this version keeps no cache of its own. */
  readonly fromCache: boolean;
}

export interface LoadOptions extends SourceOptions {
  readonly device?: 'wasm' | undefined;
  /**
   * Insists on one family of instructions; by default relaxed SIMD where the engine has it, else plain. `wide` is for
   * engines that join pairs of 128-bit instructions, which `@grim/runtime/node` can switch on; elsewhere it is slow.
   */
  readonly simd?: WasmFamily | undefined;
  /** What it throws, `loadModel` rejects with. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Compiled already, for platforms that forbid compiling from bytes; made by `grim compile --split`. */
  readonly module?: WebAssembly.Module | undefined;
  /** The most bytes a file or a memory may take. Default 2 GiB. */
  readonly maxBytes?: number | undefined;
}

const INVALID = 'its module is not valid';
const OPTIONS = ['device', 'simd', 'signal', 'onProgress', 'module', 'fetch', 'maxBytes'];

/**
 * Every call of the platform goes through `system`.
 * @param start  what runs the steps: in order, unless an entry with threads says otherwise
 */
export async function load<I extends Partial<Tensors>, O extends Partial<Tensors>>(
  source: ModelSource,
  options: LoadOptions,
  system: System,
  start: typeof createEngine = createEngine,
): Promise<Model<I, O>> {
  const { signal } = options;
  checkOptions(options);
  signal?.throwIfAborted();
  const reader = await openSource(source, options, system);
  try {
    return await loadFrom(reader, options, system, start);
  } catch (error) {
    reader.cancel(error);
    throw error;
  }
}

export function checkOptions(options: LoadOptions): void {
  for (const key of Object.keys(options))
    if (!OPTIONS.includes(key))
      fail('BAD_OPTION', `loadModel: no option ${quote(key)}.${didYouMean(key, OPTIONS)}`, { option: key });
  const { device = 'wasm', simd = 'plain', module } = options;
  if (device !== 'wasm') fail('NO_DEVICE', `loadModel: no device ${quote(device)}, only "wasm".`);
  if (!FAMILIES.includes(simd))
    fail('BAD_OPTION', `loadModel: simd is ${quote(simd)}, none of ${FAMILIES.join(', ')}.`);
  if (module && !(module instanceof WebAssembly.Module))
    fail('BAD_OPTION', 'loadModel: module is no WebAssembly.Module.');
}

async function loadFrom<I extends Partial<Tensors>, O extends Partial<Tensors>>(
  reader: ByteReader,
  { signal, simd, onProgress, module: precompiled, maxBytes = 2 ** 31 }: LoadOptions,
  system: System,
  start: typeof createEngine,
): Promise<Model<I, O>> {
  const reasons: string[] = [];
  const newBytes = (bytes: number) => allocate(system.allocate, bytes, bytes);
  const first = new Uint8Array(HEADER_BYTES);
  const header = parseHeader(first.subarray(0, await reader.fill(first)));
  const json = await reader.read(newBytes(header.manifestBytes));
  const manifest = openManifest(first, header, json);
  const { sections, totalBytes: total, kernels } = manifest;
  const pages = pagesOf(manifest);
  const needed = Math.max(total, pages * PAGE_BYTES);
  if (needed > maxBytes) outOfMemory(needed);

  const report = (stage: LoadProgress['stage'], loaded: number) => {
    // The last byte is not the end: what is full is said once, when the model can run.
    if (stage === 'warmup' || loaded < total) onProgress?.({ stage, loaded, total, fromCache: false });
  };
  reader.onChunk = () => report(reader.stage, reader.taken);
  reader.onChunk();

  /** Zeros up to the section, then its bytes. */
  const readSection = async <T extends Uint8Array>(section: Section, target: T): Promise<T> => {
    checkPadding(await reader.read(new Uint8Array(section.offset - reader.taken)));
    return checkSum(section, await reader.read(target));
  };

  const validate = (bytes: Uint8Array<ArrayBuffer>) => allocate(system.validate, bytes, bytes.length);
  const compile = async (bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> => {
    try {
      return await abortable(system.compile(bytes), signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof RangeError) outOfMemory(needed, error);
      if (!validate(bytes)) corrupt(INVALID);
      return fail(
        'MISSING_FEATURE',
        "loadModel: WebAssembly may not be compiled here: allow 'wasm-unsafe-eval' (CSP), or use `grim compile --split`.",
        {},
        error,
      );
    }
  };
  /** What may run the model, best first. */
  const candidates: { readonly family: WasmFamily; readonly module: () => Promise<WebAssembly.Module> }[] = [];
  for (const section of sections)
    if (section.kind === 'wasm') {
      const { family } = section;
      const bytes = await readSection(section, newBytes(section.bytes));
      checkModule(bytes, manifest, pages);
      // Wide modules are slow where the engine does not join their instructions: never taken unless asked for.
      if (precompiled || (simd ? simd !== family : family === 'wide')) continue;
      if (!supports(family, validate)) reasons.push(`simd: this engine has no ${family} SIMD`);
      else if (candidates.length > 0) candidates.push({ family, module: () => compile(bytes) });
      else {
        // The engine compiles while the weights arrive. A failure is looked at below, not reported as unhandled.
        const module = compile(bytes);
        module.catch(() => {});
        candidates.push({ family, module: () => module });
      }
    }
  if (precompiled) candidates.push({ family: familyOf(precompiled, manifest), module: async () => precompiled });
  else if (manifest.modules) fail('MISSING_FEATURE', 'model file: its code is beside it. Pass that as { module }.');
  if (candidates.length === 0)
    fail('MISSING_FEATURE', `loadModel: this engine lacks ${simd ?? 'plain'} SIMD. Update it.`);

  const memory = allocate(system.memory, pages, needed);
  let address = 0;
  for (const section of sections) {
    if (section.kind === 'wasm') continue;
    if (section.kind === 'weights' && section.encoding !== 'f32') {
      const stored = await readSection(section, newBytes(section.bytes));
      expandWeights(section, stored, new Float32Array(memory.buffer, address, section.elements));
      address += section.elements * 4;
    } else {
      await readSection(section, new Uint8Array(memory.buffer, address, section.bytes));
      address += section.bytes;
    }
  }
  if (!(await reader.ended())) corrupt(`it goes on after ${total} bytes`);
  report('compile', total - 1);

  const instantiate = async (module: WebAssembly.Module): Promise<Kernel[]> => {
    try {
      const { exports } = await abortable(system.instantiate(module, { env: { memory } }), signal);
      return kernels.map(({ name, parameters }) => {
        const kernel = exports[name];
        if (typeof kernel !== 'function' || kernel.length !== parameters) corrupt(INVALID);
        return kernel as Kernel;
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof RuntimeError) throw error;
      if (error instanceof WebAssembly.LinkError) corrupt(INVALID);
      return outOfMemory(needed, error);
    }
  };
  let engine: Engine | undefined;
  let failure: unknown;
  for (const { family, module } of candidates) {
    const kernels = await instantiate(await abortable(module(), signal));
    engine = start(manifest, memory, kernels, family);
    failure = await engine.selfTest();
    if (!failure) break;
    engine = undefined;
    reasons.push(`simd: ${family} failed the self-test`);
  }
  if (!engine) fail('SELF_TEST', 'loadModel: this engine computes wrong results (self-test).', { failure });
  const model = createModel<I, O>(manifest, reasons, engine, pages * PAGE_BYTES, system);
  report('warmup', total);
  return model;
}

/** The mark binds a module to its file; what it exports is looked at when it is instantiated. */
function familyOf(module: WebAssembly.Module, { modules = [] }: FileManifest): WasmFamily {
  const mark = new TextDecoder().decode(WebAssembly.Module.customSections(module, 'grim')[0]);
  const match = modules.find(({ family, crc32: sum }) => mark === `${family} ${sum}`);
  return match?.family ?? fail('BAD_OPTION', 'loadModel: the module belongs to another model file.', { mark });
}

/** What an engine refuses outright, it has no memory for. */
function allocate<T, A>(make: (argument: A) => T, argument: A, bytes: number): T {
  try {
    return make(argument);
  } catch (error) {
    return outOfMemory(bytes, error);
  }
}

function outOfMemory(bytes: number, cause?: unknown): never {
  const why = cause ? 'the engine refused' : 'more than maxBytes';
  fail('OUT_OF_MEMORY', `loadModel: ${Math.ceil(bytes / 2 ** 20)} MiB are needed, ${why}.`, { bytes }, cause);
}
