/** The browser's side of browser-webgpu.test.ts. */
import { stage } from '@grim/browser/stage';
import { loadModel, type WebGpuModel } from '@grim/runtime/webgpu';

/** A model that stays for the scenes after the one that loads it. */
let kept: WebGpuModel | undefined;

stage(
  {
    async keep({ path, device }: { path: string; device: 'webgpu' | 'wasm' }) {
      kept?.dispose();
      kept = await loadModel(path, { device });
    },

    /** Runs the model that was kept, and counts what is created on the way. */
    async again({ runs }: { runs: number }) {
      const given = Object.fromEntries(
        Object.values(kept?.inputs ?? {}).map(({ name, shape }) => [
          name,
          new Float32Array(shape.reduce((product, dim) => product * dim, 1)).fill(0.5),
        ]),
      );
      let created = 0;
      const prototype = GPUDevice.prototype as unknown as Record<string, (descriptor: never) => unknown>;
      const names = ['createBuffer', 'createBindGroup', 'createShaderModule', 'createComputePipelineAsync'];
      const methods = names.map((name) => [name, prototype[name]] as const);
      for (const [name, method] of methods)
        prototype[name] = function (this: GPUDevice, descriptor: never) {
          created++;
          return method?.call(this as never, descriptor);
        };
      const answers = new Set<string>();
      for (let run = 0; run < runs; run++) {
        const found = Object.values((await kept?.run(given)) ?? {}) as Float32Array[];
        answers.add(found.map((data) => Array.from(new Uint32Array(data.buffer)).join()).join());
      }
      Object.assign(GPUDevice.prototype, Object.fromEntries(methods));
      return { created, answers: answers.size, gpuBytes: kept?.gpuBytes };
    },

    /** A device that is lost while a run is on its way, its own; then other runs. */
    async lostInRun({
      path,
      inputs,
      device,
    }: {
      path: string;
      inputs: Record<string, number[]>;
      device: 'auto' | 'webgpu';
    }) {
      const request = GPUAdapter.prototype.requestDevice;
      const devices: GPUDevice[] = [];
      GPUAdapter.prototype.requestDevice = async function (descriptor) {
        const made = await request.call(this, descriptor);
        devices.push(made);
        return made;
      };
      using model = await loadModel(path, { device });
      const given = Object.fromEntries(Object.entries(inputs).map(([name, list]) => [name, Float32Array.from(list)]));
      const running = model.run(given).then(
        () => 'answered',
        (error) => error.code as string,
      );
      await new Promise<void>((resolve) => setTimeout(resolve));
      devices[0]?.destroy();
      const first = await running;
      const found = (await model.run(given).catch(() => model.run(given))) as Record<string, Float32Array>;
      GPUAdapter.prototype.requestDevice = request;
      const outputs = Object.fromEntries(Object.entries(found).map(([name, data]) => [name, Array.from(data)]));
      return { first, device: model.device, reasons: model.reasons, outputs, devices: devices.length };
    },

    /** A device that gets other inputs than the self-test has: what it computes is wrong. */
    async corrupted({ path, inputs }: { path: string; inputs: Record<string, number[]> }) {
      const write = GPUQueue.prototype.writeBuffer;
      const bytes = 4 * (Object.values(inputs)[0]?.length ?? 0);
      GPUQueue.prototype.writeBuffer = function (buffer, at, data, ...rest) {
        const damaged = data instanceof Uint8Array && data.length === bytes ? data.map((byte) => byte ^ 1) : data;
        return write.call(this, buffer, at, damaged as Uint8Array<ArrayBuffer>, ...rest);
      };
      try {
        using model = await loadModel(path);
        const given = Object.fromEntries(Object.entries(inputs).map(([name, list]) => [name, Float32Array.from(list)]));
        const found = await model.run(given);
        const outputs = Object.fromEntries(
          Object.entries(found).map(([name, data]) => [name, Array.from(data as Float32Array)]),
        );
        return { device: model.device, reasons: model.reasons, outputs };
      } finally {
        GPUQueue.prototype.writeBuffer = write;
      }
    },

    /** Two models on one device: one goes, the other stays. */
    async together({ path, inputs }: { path: string; inputs: Record<string, number[]> }) {
      const adapter = await navigator.gpu.requestAdapter();
      const gpu = (await adapter?.requestDevice()) as GPUDevice;
      const first = await loadModel(path, { device: 'webgpu', gpu });
      using second = await loadModel(path, { device: 'webgpu', gpu });
      first.dispose();
      const given = Object.fromEntries(Object.entries(inputs).map(([name, list]) => [name, Float32Array.from(list)]));
      const found = await second.run(given);
      const outputs = Object.fromEntries(
        Object.entries(found).map(([name, data]) => [name, Array.from(data as Float32Array)]),
      );
      return { device: second.device, reasons: second.reasons, outputs };
    },

    /** What a model is and gives, for inputs by name. */
    async run({ path, inputs }: { path: string; inputs: Record<string, number[]> }) {
      using model = await loadModel(path);
      const given = Object.fromEntries(Object.entries(inputs).map(([name, list]) => [name, Float32Array.from(list)]));
      const found = await model.run(given);
      const outputs = Object.fromEntries(
        Object.entries(found).map(([name, data]) => [name, Array.from(data as Float32Array)]),
      );
      return { device: model.device, reasons: model.reasons, outputs };
    },

    /** A device that is destroyed under a model of which it is not. */
    async destroyed({ path, inputs }: { path: string; inputs: Record<string, number[]> }) {
      const adapter = await navigator.gpu.requestAdapter();
      const gpu = (await adapter?.requestDevice()) as GPUDevice;
      using model = await loadModel(path, { gpu });
      const before = model.device;
      gpu.destroy();
      const given = Object.fromEntries(Object.entries(inputs).map(([name, list]) => [name, Float32Array.from(list)]));
      const found = await model.run(given);
      const outputs = Object.fromEntries(
        Object.entries(found).map(([name, data]) => [name, Array.from(data as Float32Array)]),
      );
      return { before, device: model.device, reasons: model.reasons, outputs };
    },
  },
  { module: '/webgpu.js' },
);
