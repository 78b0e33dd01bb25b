/** What models on one device share: the layout of bindings, and pipelines by their text. */

const COMPUTE = 4;

interface Shared {
  readonly layout: GPUBindGroupLayout;
  readonly pipelineOf: (code: string) => Promise<GPUComputePipeline>;
}

const known = new WeakMap<GPUDevice, Shared>();

export function shared(device: GPUDevice): Shared {
  let found = known.get(device);
  if (!found) {
    const entry = (binding: number, buffer: GPUBufferBindingLayout) => ({ binding, visibility: COMPUTE, buffer });
    const layout = device.createBindGroupLayout({
      entries: [
        entry(0, { type: 'read-only-storage' }),
        entry(1, { type: 'storage' }),
        entry(2, { type: 'uniform', hasDynamicOffset: true }),
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
    known.set(device, found);
  }
  return found;
}
