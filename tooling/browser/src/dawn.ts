/** WebGPU in Node, through Dawn: on a GPU, or on the software adapter that a Chromium brings along. */
import { existsSync } from 'node:fs';

export const NO_GPU =
  'no WebGPU adapter: a GPU with Vulkan, Metal or Direct3D is needed, or Chromium for its software one';

const SOFTWARE = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/opt/google/chrome/vk_swiftshader_icd.json'];

/** Kept: what is collected takes its devices along. */
let dawn: GPU | undefined;
let found: Promise<GPUAdapter | undefined> | undefined;
let nothing: GPU | undefined;

/** What a page calls navigator.gpu; the names of its constants become global. */
async function openDawn(): Promise<GPU> {
  if (!dawn) {
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    dawn = create([]);
  }
  return dawn;
}

/** The adapter of this process; undefined where there is none. */
export function nodeAdapter(): Promise<GPUAdapter | undefined> {
  found ??= find();
  return found;
}

/** An adapter that has every feature, checks what it is given as any other, and computes nothing. */
export async function nullAdapter(): Promise<GPUAdapter> {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  nothing ??= create(['backend=null']);
  const adapter = await nothing.requestAdapter();
  if (!adapter) throw new Error('this build of Dawn has no null backend');
  return adapter;
}

async function find(): Promise<GPUAdapter | undefined> {
  const first = await (await openDawn()).requestAdapter();
  const software = SOFTWARE.find((file) => existsSync(file));
  if (first || !software || process.env['VK_ICD_FILENAMES'] !== undefined) return first ?? undefined;
  process.env['VK_ICD_FILENAMES'] = software;
  dawn = undefined;
  return (await (await openDawn()).requestAdapter()) ?? undefined;
}
