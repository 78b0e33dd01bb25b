/**
 * Runs the shaders of compiled models in the test process, through Dawn. Without a GPU a software one will do: that of
 * Chromium, when it is installed.
 */
import { nodeAdapter } from '@grim/browser';
import {
  type CompiledModel,
  invariant,
  type ShaderVariant,
  type Tensor,
  type TensorArray,
  toFloat16,
  viewAs,
  type WebGpuProgram,
} from '@grim/ir';

let opened: Promise<GPUDevice | undefined> | undefined;

/** One for all tests of a process, with what shaders can use; undefined when there is none. */
export function openGpu(): Promise<GPUDevice | undefined> {
  opened ??= nodeAdapter().then((adapter) => {
    const features = (['subgroups', 'shader-f16'] as const).filter((feature) => adapter?.features.has(feature));
    return adapter?.requestDevice({ requiredFeatures: features });
  });
  return opened;
}

interface Layouts {
  readonly layout: GPUBindGroupLayout;
  readonly pipelineLayout: GPUPipelineLayout;
}

const layouts = new WeakMap<GPUDevice, Layouts[]>();

/** @param segments  bindings of constants */
export function layoutsOf(device: GPUDevice, segments: number): Layouts {
  const known = layouts.get(device) ?? [];
  layouts.set(device, known);
  let found = known[segments];
  if (!found) {
    const visibility = GPUShaderStage.COMPUTE;
    const layout = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility, buffer: { type: 'read-only-storage' } },
        { binding: 1, visibility, buffer: { type: 'storage' } },
        { binding: 2, visibility, buffer: { type: 'uniform', hasDynamicOffset: true } },
        ...Array.from({ length: segments - 1 }, (_, i) => ({
          ...{ binding: 3 + i, visibility },
          buffer: { type: 'read-only-storage' as const },
        })),
      ],
    });
    found = { layout, pipelineLayout: device.createPipelineLayout({ bindGroupLayouts: [layout] }) };
    known[segments] = found;
  }
  return found;
}

/** By layout and text: a software adapter takes up to a second for each. */
const pipelines = new WeakMap<GPUPipelineLayout, Map<string, Promise<GPUComputePipeline>>>();

export function pipelineOf(device: GPUDevice, layout: GPUPipelineLayout, code: string): Promise<GPUComputePipeline> {
  const known = pipelines.get(layout) ?? new Map<string, Promise<GPUComputePipeline>>();
  pipelines.set(layout, known);
  let pipeline = known.get(code);
  if (!pipeline) {
    pipeline = build();
    known.set(code, pipeline);
  }
  return pipeline;

  async function build() {
    const module = device.createShaderModule({ code });
    const { messages } = await module.getCompilationInfo();
    const errors = messages.filter(({ type }) => type === 'error');
    const found = errors.map(({ lineNum, message }) => `${lineNum}: ${message}`);
    if (errors.length > 0) throw new Error(`${found.join('\n')}\n${code}`);
    return device.createComputePipelineAsync({ layout, compute: { module } });
  }
}

/** The program for a GPU that stands among the constants. */
export function programOf({ manifest, constants }: CompiledModel): WebGpuProgram {
  invariant(manifest.webgpu, 'the model is compiled for WebGPU');
  const { offset, bytes } = manifest.webgpu;
  return JSON.parse(new TextDecoder().decode(constants.subarray(offset, offset + bytes)));
}

/** What a device holds of the constants, written out plainly. */
function ownConstants({ constantBytes, copies }: WebGpuProgram, constants: Uint8Array): Uint8Array {
  const own = new Uint8Array(constantBytes);
  for (let i = 0; i < copies.length; i += 4) {
    const [from = 0, to = 0, bytes = 0, half] = copies.slice(i, i + 4);
    const source = constants.slice(from, from + bytes);
    const values = new Float32Array(source.buffer, 0, source.length >> 2);
    own.set(half === 1 ? new Uint8Array(Uint16Array.from(values, (value) => toFloat16(value)).buffer) : source, to);
  }
  return own;
}

export interface GpuRun {
  /** Fills the arena before the run. */
  readonly poison?: number;
  /** Takes variants that need it. Default: none of them. */
  readonly needs?: ShaderVariant['needs'];
}

/**
 * @param constants  as the setup leaves them
 * @returns the outputs by name
 */
export async function executeOnGpu(
  device: GPUDevice,
  model: CompiledModel,
  inputs: Readonly<Record<string, Tensor | TensorArray>>,
  whole: Uint8Array,
  { poison = 0xff, needs }: GpuRun = {},
): Promise<Record<string, Tensor>> {
  const { manifest } = model;
  const webgpu = programOf(model);
  const { constantBytes } = webgpu;
  const constants = ownConstants(webgpu, whole);
  const each = needs === 'segments' ? webgpu.segmentBytes : Math.max(16, constantBytes);
  const segments = Math.max(1, Math.ceil(constantBytes / each));
  device.pushErrorScope('validation');
  const buffer = (bytes: Uint8Array, usage: number) => {
    const made = device.createBuffer({
      size: Math.max(16, Math.ceil(bytes.length / 16) * 16),
      usage,
      mappedAtCreation: true,
    });
    new Uint8Array(made.getMappedRange()).set(bytes);
    made.unmap();
    return made;
  };
  const arena = new Uint8Array(webgpu.arenaBytes).fill(poison);
  for (const [i, { name }] of manifest.inputs.entries()) {
    const given = inputs[name];
    invariant(given, `input ${name}`);
    const data = ArrayBuffer.isView(given) ? given : given.data;
    arena.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), (webgpu.inputs[i] ?? 0) - constantBytes);
  }
  const SLOT = 1024;
  const calls: { shader: number; groups: readonly number[]; args: readonly number[] }[] = [];
  for (let at = 0; at < webgpu.steps.length; ) {
    const [shader = 0, x = 0, y = 0, z = 0, count = 0] = webgpu.steps.slice(at, at + 5);
    at += 5;
    calls.push({ shader, groups: [x, y, z], args: webgpu.steps.slice(at, at + count) });
    at += count;
  }
  const uniforms = new Int32Array(((calls.length + 1) * SLOT) / 4);
  for (const [i, { args }] of calls.entries()) uniforms.set(args, (i * SLOT) / 4);
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const buffers: Record<string, GPUBuffer> & Record<'arena' | 'args', GPUBuffer> = {
    ...Object.fromEntries(
      Array.from({ length: segments }, (_, i) => [i, buffer(constants.subarray(i * each, (i + 1) * each), STORAGE)]),
    ),
    arena: buffer(arena, STORAGE | COPY_SRC),
    args: buffer(new Uint8Array(uniforms.buffer), UNIFORM),
  };
  const { layout, pipelineLayout } = layoutsOf(device, segments);
  const group = device.createBindGroup({
    layout,
    entries: [
      { binding: 1, resource: { buffer: buffers.arena } },
      { binding: 2, resource: { buffer: buffers.args, size: SLOT } },
      ...Array.from({ length: segments }, (_, i) => ({
        binding: i === 0 ? 0 : 2 + i,
        resource: { buffer: buffers[`${i}`] as GPUBuffer },
      })),
    ],
  });
  const built = await Promise.all(
    webgpu.shaders.map((code, i) => {
      const variant = webgpu.variants.find((one) => one.shader === i && one.needs === needs);
      return pipelineOf(device, pipelineLayout, variant?.code ?? code);
    }),
  );
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  calls.forEach(({ shader, groups: [x = 1, y = 1, z = 1] }, i) => {
    pass.setPipeline(built[shader] as GPUComputePipeline);
    pass.setBindGroup(0, group, [i * SLOT]);
    pass.dispatchWorkgroups(x, y, z);
  });
  pass.end();
  const staging = device.createBuffer({ size: Math.max(16, webgpu.arenaBytes), usage: COPY_DST | MAP_READ });
  encoder.copyBufferToBuffer(buffers.arena, 0, staging, 0, webgpu.arenaBytes);
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  if (error) throw new Error(error.message);
  await staging.mapAsync(GPUMapMode.READ);
  const result = new Uint8Array(staging.getMappedRange()).slice();
  const outputs: Record<string, Tensor> = Object.create(null);
  for (const [i, { name, dtype, shape }] of manifest.outputs.entries()) {
    const at = webgpu.outputs[i] ?? 0;
    const from = at < constantBytes ? constants : result;
    const start = at < constantBytes ? at : at - constantBytes;
    const length = shape.reduce((product, dim) => product * dim, 1);
    outputs[name] = { dtype, shape, data: viewAs(dtype, from.slice(start).buffer as ArrayBuffer, 0, length) } as Tensor;
  }
  staging.destroy();
  for (const one of Object.values(buffers)) one.destroy();
  return outputs;
}
