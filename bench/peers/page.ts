/** The side of the page: opens a network in every engine, compares what they compute, and times them in turn. */
import { stage } from '@grim/browser/stage';
import { median, peak } from '@grim/measure';
import { loadModel } from '@grim/runtime';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { loadAndCompile, loadLiteRt, Tensor } from './litert.mjs';
import { restored } from './plan.ts';
import { tfjsModel } from './tfjs.ts';

export type Engine = 'grim' | 'onnxruntime-web' | 'tfjs' | 'litert';

export interface ContenderFile {
  readonly name: string;
  readonly engine: Engine;
  /** Of the routes. */
  readonly file: string;
  /** The ONNX file of the same network with the same weights. */
  readonly reference: string;
}

export interface Scene {
  readonly contenders: readonly ContenderFile[];
  /** NCHW. */
  readonly shape: readonly number[];
  readonly samples: number;
}

export interface Measured {
  readonly peakGflops: number;
  readonly contenders: readonly {
    readonly name: string;
    /** Largest, over the largest value of the reference. */
    readonly difference: number;
    readonly runsPerSample: number;
    /** Milliseconds of a run. */
    readonly samplesMs: readonly number[];
  }[];
}

type Ort = typeof import('onnxruntime-web');
type Run = () => Promise<Float32Array> | Float32Array;

/** A variable, so that a bundler leaves it to the browser. */
const ORT: string = '/ort/ort.wasm.bundle.min.mjs';
/** Clocks of a page that is not isolated tick every tenth of a millisecond. */
const SAMPLE_MS = 20;
const WARM_UP_MS = 1000;
const LEAST_WARM_UP = 5;
/** Of the largest value of an output. */
const TOLERANCE = 1e-3;

async function file(name: string): Promise<Uint8Array> {
  const response = await fetch(`/file?name=${encodeURIComponent(name)}`);
  if (!response.ok) throw new Error(`no ${name}`);
  return new Uint8Array(await response.arrayBuffer());
}

let ortOnce: Promise<Ort> | undefined;
async function ortEngine(): Promise<Ort> {
  ortOnce ??= (import(ORT) as Promise<Ort>).then((ort) => {
    ort.env.wasm.numThreads = 1;
    return ort;
  });
  return ortOnce;
}

let tfjsOnce: Promise<unknown> | undefined;
async function tfjsEngine(): Promise<void> {
  setWasmPaths('/tfjs/');
  tfjsOnce ??= tf.setBackend('wasm').then(() => tf.ready());
  await tfjsOnce;
  if (tf.getBackend() !== 'wasm') throw new Error(`tfjs runs on ${tf.getBackend()}`);
}

let litertOnce: Promise<unknown> | undefined;

async function ortSession(bytes: Uint8Array, nchw: Float32Array, shape: readonly number[]) {
  const ort = await ortEngine();
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const feeds = { [session.inputNames[0] ?? '']: new ort.Tensor('float32', nchw, shape) };
  const output = session.outputNames[0] ?? '';
  const run = async () => (await session.run(feeds))[output]?.data as Float32Array;
  return { run, close: () => session.release() };
}

async function open(
  { engine, file: name }: ContenderFile,
  { nchw, nhwc, shape }: { nchw: Float32Array; nhwc: Float32Array; shape: readonly number[] },
): Promise<Run> {
  const bytes = await file(name);
  switch (engine) {
    case 'grim': {
      const model = await loadModel(bytes, { device: 'wasm' });
      const inputs = { [model.manifest.inputs[0]?.name ?? '']: nchw };
      const output = model.manifest.outputs[0]?.name ?? '';
      return async () => (await model.run(inputs))[output] as Float32Array;
    }
    case 'onnxruntime-web':
      return (await ortSession(bytes, nchw, shape)).run;
    case 'tfjs': {
      await tfjsEngine();
      const model = tfjsModel(
        tf,
        restored(new TextDecoder().decode(await file(`${name}.json`)), new Float32Array(bytes.buffer)),
      );
      return () => model.run(nhwc);
    }
    case 'litert': {
      litertOnce ??= loadLiteRt('/litert/');
      await litertOnce;
      const model = await loadAndCompile(bytes, { accelerator: 'wasm' });
      const [n = 1, c = 1, h = 1, w = 1] = shape;
      return async () => {
        const input = new Tensor(nhwc, [n, h, w, c]);
        const [output] = await model.run(input);
        if (!output) throw new Error('no output');
        const result = Float32Array.from(output.toTypedArray());
        output.delete();
        input.delete();
        return result;
      };
    }
  }
}

function difference(name: string, wanted: Float32Array, found: Float32Array): number {
  const largest = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  const most = wanted.reduce((all, x, i) => Math.max(all, Math.abs(x - (found[i] ?? Number.NaN)) / largest), 0);
  if (!(most <= TOLERANCE)) throw new Error(`${name}: the output is ${most} of its largest value off`);
  return most;
}

stage(
  {
    async measure({ contenders, shape, samples }: Scene): Promise<Measured> {
      const length = shape.reduce((product, dim) => product * dim, 1);
      const nchw = Float32Array.from({ length }, (_, i) => Math.sin(i * 0.7) * Math.cos(i * 0.013));
      const [, c = 1, h = 1, w = 1] = shape;
      const nhwc = Float32Array.from({ length }, (_, i) => nchw[(i % c) * h * w + Math.floor(i / c)] ?? 0);
      const wanted = new Map<string, Float32Array>();
      for (const name of new Set(contenders.map(({ reference }) => reference))) {
        const { run, close } = await ortSession(await file(name), nchw, shape);
        wanted.set(name, Float32Array.from(await run()));
        await close();
      }
      const prepared = [];
      for (const contender of contenders) {
        const run = await open(contender, { nchw, nhwc, shape });
        const off = difference(contender.name, wanted.get(contender.reference) as Float32Array, await run());
        let fastest = Number.POSITIVE_INFINITY;
        const end = performance.now() + WARM_UP_MS;
        for (let i = 0; i < LEAST_WARM_UP || performance.now() < end; i++) {
          const start = performance.now();
          await run();
          fastest = Math.min(fastest, performance.now() - start);
        }
        const runsPerSample = Math.max(1, Math.round(SAMPLE_MS / Math.max(0.1, fastest)));
        prepared.push({ name: contender.name, run, difference: off, runsPerSample, samplesMs: [] as number[] });
      }
      const roof = peak({ relaxed: true });
      const rates: number[] = [];
      const sampleRoof = () => {
        const start = performance.now();
        let runs = 0;
        for (; performance.now() - start < SAMPLE_MS; runs++) roof.run();
        rates.push((runs * roof.work) / (performance.now() - start) / 1e6);
      };
      for (let i = 0; i < LEAST_WARM_UP; i++) sampleRoof();
      rates.length = 0;
      for (let round = 0; round < samples; round++) {
        sampleRoof();
        for (const { run, runsPerSample, samplesMs } of round % 2 ? prepared.toReversed() : prepared) {
          const start = performance.now();
          for (let i = 0; i < runsPerSample; i++) await run();
          samplesMs.push((performance.now() - start) / runsPerSample);
        }
      }
      return {
        peakGflops: median(rates),
        contenders: prepared.map(({ run, ...rest }) => rest),
      };
    },
  },
  { module: '/page.js' },
);
