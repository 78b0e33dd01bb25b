/**
 * One start of one engine in a fresh process: from the first import to the first result, in milliseconds, and the most
 * memory it took: `node bench/startup/child.ts grim|ort-web|ort-node MODEL SHAPE`. Prints one line of JSON.
 */
import { readFileSync } from 'node:fs';

const [, , engine = '', file = '', shapeText = ''] = process.argv;
const shape = shapeText.split(',').map(Number);
const input = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5);
const start = performance.now();
let marks: readonly number[];
if (engine === 'grim') {
  const { loadModel } = await import('@grim/runtime');
  const imported = performance.now();
  const model = await loadModel(readFileSync(file));
  const opened = performance.now();
  const [name = ''] = Object.keys(model.inputs);
  await model.run({ [name]: input });
  marks = [imported, opened, performance.now()];
} else {
  const web = engine === 'ort-web';
  const ort = web ? await import('onnxruntime-web') : (await import('onnxruntime-node')).default;
  const imported = performance.now();
  if (web) Object.assign(ort.env.wasm, { numThreads: 1, proxy: false });
  const session = await ort.InferenceSession.create(readFileSync(file), {
    executionProviders: [web ? 'wasm' : 'cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  const opened = performance.now();
  const [name = ''] = session.inputNames;
  await session.run({ [name]: new ort.Tensor('float32', input, shape) });
  marks = [imported, opened, performance.now()];
}
const [imported = 0, opened = 0, ran = 0] = marks;
const { user, system } = process.cpuUsage();
const report = {
  importMs: imported - start,
  openMs: opened - imported,
  firstMs: ran - opened,
  totalMs: ran - start,
  processCpuMs: (user + system) / 1000,
  peakRssMb: process.resourceUsage().maxRSS / 1000,
};
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
