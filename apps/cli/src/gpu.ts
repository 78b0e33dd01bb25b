/**
 * WebGPU for the command: that of the engine, or of the npm package `webgpu` (Dawn), where somebody has installed it. It is
 * looked for where the command runs, then beside this program.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GrimError } from '@grim/ir';

/** The part of the package that is used. */
interface Dawn {
  create(options: readonly string[]): GPU;
}

const PLACES = [join(process.cwd(), 'package.json'), import.meta.filename];
/** Kept: what is collected takes its devices along. */
let opened: GPU | undefined;

/** Where devices come from; undefined where nothing offers them. */
async function findGpu(): Promise<GPU | undefined> {
  if (opened) return opened;
  opened = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  for (const from of opened ? [] : PLACES)
    try {
      const path = createRequire(from).resolve('webgpu');
      const module = (await import(pathToFileURL(path).href)) as Partial<Dawn> & { default?: Dawn };
      opened = (module.create ?? module.default?.create)?.([]);
      if (opened) break;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'MODULE_NOT_FOUND' && code !== 'ERR_MODULE_NOT_FOUND') throw error;
    }
  return opened;
}

export interface AdapterInfo {
  /** Vendor, architecture and driver, as far as they are told. */
  readonly name: string;
  /** It computes on the CPU. */
  readonly software: boolean;
  readonly features: readonly string[];
  /** Those that decide what fits. */
  readonly limits: Readonly<Record<string, number>>;
}

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
] as const;

function infoOf({ info, features, limits }: GPUAdapter): AdapterInfo {
  const { vendor, architecture, description } = info;
  return {
    name: [vendor, architecture, description].filter((part) => part !== '').join(', ') || 'an adapter without a name',
    software: info.isFallbackAdapter === true || architecture === 'swiftshader',
    features: [...features].sort(),
    limits: Object.fromEntries(LIMITS.map((name) => [name, limits[name]])),
  };
}

/** What this machine has: an adapter, or why there is none. */
export async function probeGpu(): Promise<AdapterInfo | 'no WebGPU' | 'no adapter'> {
  const gpu = await findGpu();
  if (!gpu) return 'no WebGPU';
  const adapter = await gpu.requestAdapter();
  return adapter ? infoOf(adapter) : 'no adapter';
}

/** @throws {GrimError} GRIM_CLI_PEER with what is missing and what to do */
export async function openGpu(): Promise<{ readonly device: GPUDevice; readonly info: AdapterInfo }> {
  const gpu = await findGpu();
  if (!gpu)
    throw new GrimError(
      'GRIM_CLI_PEER',
      'webgpu: not offered by Node itself. Run: npm install webgpu; or --device wasm.',
    );
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw new GrimError(
      'GRIM_CLI_PEER',
      'webgpu: no adapter. A GPU with Vulkan, Metal or Direct3D is needed; or --device wasm.',
    );
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const requiredLimits = { maxBufferSize, maxStorageBufferBindingSize };
  const requiredFeatures = (['timestamp-query', 'subgroups', 'shader-f16'] as const).filter((feature) =>
    adapter.features.has(feature),
  );
  const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
  return { device, info: infoOf(adapter) };
}
