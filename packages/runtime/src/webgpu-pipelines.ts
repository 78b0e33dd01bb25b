/** What models on one device share: the layout of bindings, and pipelines by their text. */

const COMPUTE = 4;

interface Shared {
  readonly layout: GPUBindGroupLayout;
  readonly pipelineOf: (code: string) => Promise<GPUComputePipeline>;
}

const known = new WeakMap<GPUDevice, Shared[]>();

/** @param segments  bindings of constants: the first is 0, the others stand behind arena and arguments */
export function shared(device: GPUDevice, segments: number): Shared {
  const all = known.get(device) ?? [];
  known.set(device, all);
  let found = all[segments];
  if (!found) {
    const entry = (binding: number, buffer: GPUBufferBindingLayout) => ({ binding, visibility: COMPUTE, buffer });
    const layout = device.createBindGroupLayout({
      entries: [
        entry(0, { type: 'read-only-storage' }),
        entry(1, { type: 'storage' }),
        entry(2, { type: 'uniform', hasDynamicOffset: true }),
        ...Array.from({ length: segments - 1 }, (_, i) => entry(3 + i, { type: 'read-only-storage' })),
      ],
    });
    const pipelineLayout = device.createPipelineLayout({ bindGroupLayouts: [layout] });
    const pipelines = new Map<string, Promise<GPUComputePipeline>>();
    const pipelineOf = (code: string) => {
      let pipeline = pipelines.get(code);
      if (!pipeline) {
        pipeline = device.createComputePipelineAsync({
          layout: pipelineLayout,
          compute: { module: device.createShaderModule({ code }), entryPoint: 'main' },
        });
        pipeline.catch(() => pipelines.delete(code));
        pipelines.set(code, pipeline);
      }
      return pipeline;
    };
    found = { layout, pipelineOf };
    all[segments] = found;
  }
  return found;
}
