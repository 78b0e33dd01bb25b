/**
 * A GPU that computes nothing and fails where it is told to: enough of the interface for the runtime, every call counted by
 * name. `compute` stands for all dispatches of a run.
 */

export interface MockOptions {
  /** The n-th call of this name loses the device (`lose`), throws (`throw`), or leaves a complaint of the open scope. */
  readonly at?: { readonly call: string; readonly count: number; readonly what: 'lose' | 'throw' | 'complain' };
  /** Of pipelines that are never built. */
  readonly hangs?: boolean;
  readonly limits?: Partial<Record<string, number>>;
  /** Of the adapter; the device has those that were asked for, and all of them when it is the caller's. */
  readonly features?: readonly string[];
  /** Changes the arena when work is submitted. */
  readonly compute?: (arena: Uint8Array) => void;
}

interface MockBuffer {
  readonly size: number;
  readonly usage: number;
  readonly bytes: Uint8Array;
}

export interface Mock {
  readonly device: GPUDevice;
  readonly calls: ReadonlyMap<string, number>;
  /** Of shader modules, in the order of their making; and the bytes of what is bound, by binding. */
  readonly shaders: readonly string[];
  readonly bound: ReadonlyMap<number, Uint8Array>;
  /** Bytes of buffers that were not destroyed. */
  readonly alive: () => number;
  readonly destroyed: () => boolean;
  lose(reason: GPUDeviceLostReason): void;
}

export function mockDevice({ at, hangs, limits, features = [], compute }: MockOptions = {}): Mock {
  const calls = new Map<string, number>();
  const buffers = new Set<MockBuffer>();
  const scopes: { filter: string; error: { message: string } | null }[] = [];
  let gone = false;
  let lose: Mock['lose'] = () => {};
  const lost = new Promise<GPUDeviceLostInfo>((resolve) => {
    lose = (reason) => {
      gone = true;
      resolve({ reason, message: 'mock' } as GPUDeviceLostInfo);
    };
  });
  const never = new Promise<never>(() => {});
  const note = (name: string) => {
    const count = (calls.get(name) ?? 0) + 1;
    calls.set(name, count);
    if (at?.call !== name || at.count !== count) return;
    if (at.what === 'lose') lose('unknown');
    else if (at.what === 'throw') throw new Error(`${name} failed`);
    else for (const scope of scopes.slice(-2)) if (scope.filter === 'out-of-memory') scope.error = { message: 'mock' };
  };
  let arena: MockBuffer | undefined;
  const copies: (() => void)[] = [];
  const shaders: string[] = [];
  const bound = new Map<number, Uint8Array>();
  const encoder = {
    copyBufferToBuffer: (from: MockBuffer, start: number, to: MockBuffer, end: number, bytes: number) => {
      note('copyBufferToBuffer');
      copies.push(() => to.bytes.set(from.bytes.subarray(start, start + bytes), end));
    },
    beginComputePass: () => ({
      setPipeline: () => note('setPipeline'),
      setBindGroup: () => note('setBindGroup'),
      dispatchWorkgroups: () => note('dispatchWorkgroups'),
      end: () => copies.push(() => arena && compute?.(arena.bytes)),
    }),
    finish: () => ({}),
  };
  const device = {
    lost,
    features: new Set(features),
    limits: {
      maxStorageBufferBindingSize: 2 ** 27,
      maxBufferSize: 2 ** 28,
      minUniformBufferOffsetAlignment: 256,
      maxStorageBuffersPerShaderStage: 8,
      ...limits,
    },
    createBuffer: ({ size, usage }: { size: number; usage: number }) => {
      note('createBuffer');
      const buffer = {
        ...{ size, usage, bytes: new Uint8Array(size) },
        mapAsync: async () => {
          note('mapAsync');
          if (gone) throw new Error('mapAsync failed');
        },
        getMappedRange: (from: number, bytes: number) => buffer.bytes.slice(from, from + bytes).buffer,
        unmap: () => note('unmap'),
        destroy: () => buffers.delete(buffer),
      };
      buffers.add(buffer);
      return buffer;
    },
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createBindGroup: ({ entries }: { entries: { binding: number; resource: { buffer: MockBuffer } }[] }) => {
      note('createBindGroup');
      for (const { binding, resource } of entries) bound.set(binding, resource.buffer.bytes);
      arena = entries.find(({ binding }) => binding === 1)?.resource.buffer;
      return {};
    },
    createShaderModule: ({ code }: { code: string }) => {
      shaders.push(code);
      return {};
    },
    createComputePipelineAsync: async () => {
      note('createComputePipelineAsync');
      return hangs ? never : {};
    },
    createCommandEncoder: () => {
      note('createCommandEncoder');
      return encoder;
    },
    pushErrorScope: (filter: string) => scopes.push({ filter, error: null }),
    popErrorScope: async () => (gone ? never : (scopes.pop()?.error ?? null)),
    queue: {
      writeBuffer: (to: MockBuffer, start: number, data: ArrayBufferView) => {
        note('writeBuffer');
        to.bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
      },
      submit: () => {
        note('submit');
        for (const copy of copies.splice(0)) copy();
      },
      onSubmittedWorkDone: async () => {},
    },
    destroy: () => lose('destroyed'),
  };
  return {
    device: device as unknown as GPUDevice,
    ...{ calls, shaders, bound },
    alive: () => [...buffers].reduce((sum, { size }) => sum + size, 0),
    destroyed: () => gone,
    lose: (reason) => lose(reason),
  };
}

/** Makes `navigator.gpu` give these devices, one after the other, then none. @returns what puts the old one back */
export function installGpu(mocks: readonly (Mock | undefined)[]): () => void {
  const left = [...mocks];
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  const adapter = (mock: Mock) => ({
    limits: mock.device.limits,
    features: mock.device.features,
    requestDevice: async () => mock.device,
  });
  const gpu = {
    requestAdapter: async () => {
      const mock = left.shift();
      return mock ? adapter(mock) : null;
    },
  };
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { gpu } });
  return () => {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else Reflect.deleteProperty(globalThis, 'navigator');
  };
}
