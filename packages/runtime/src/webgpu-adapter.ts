/** The device of a model that is given none. */
import { fail } from './errors.ts';

export const TIMESTAMPS = 'timestamp-query';

/** @param bytes  of the largest buffer */
export async function requestDevice(bytes: number, profile: boolean): Promise<GPUDevice> {
  const { gpu } = (globalThis.navigator ?? {}) as { gpu?: GPU };
  if (!gpu) fail('NO_DEVICE', 'webgpu: there is no navigator.gpu here. In Node, pass a device as { gpu }.');
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (error) {
    return fail('NO_DEVICE', `webgpu: no adapter (${String(error)}).`, {}, error);
  }
  if (!adapter) fail('NO_DEVICE', 'webgpu: no adapter.');
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  const within = (limit: number) => Math.min(bytes, limit);
  // Every device allows so much.
  const requiredLimits =
    bytes > 2 ** 27
      ? {
          maxStorageBufferBindingSize: within(maxStorageBufferBindingSize),
          maxBufferSize: Math.max(within(maxBufferSize), 2 ** 28),
        }
      : {};
  const wanted: GPUFeatureName[] = ['shader-f16', 'subgroups', ...(profile ? ([TIMESTAMPS] as const) : [])];
  try {
    const requiredFeatures = wanted.filter((feature) => adapter.features.has(feature));
    return await adapter.requestDevice({ requiredLimits, requiredFeatures });
  } catch (error) {
    return fail('NO_DEVICE', `webgpu: the adapter gives no device (${String(error)}).`, {}, error);
  }
}
