/** The browser's side of browser-webgpu.test.ts. */
import { stage } from '@grim/browser/stage';
import { loadModel } from '@grim/runtime/webgpu';

stage(
  {
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
