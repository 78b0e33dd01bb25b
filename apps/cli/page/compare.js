// Times models in turn, in a worker, on made-up inputs that are the same for all. What they compute is compared first.
import { loadModel } from '/runtime/index.js';

/** Runs at once, and how long. */
const WARM_UP = 20;
const WARM_UP_MS = 300;
const ROUNDS = 101;
/**
 * Short runs are repeated until a sample takes so long: a clock counts in steps of 5 µs where a page is isolated, of 100 µs else. No longer:
 * where other programs want the cores, most samples have to end before one of them is let in, or medians are those of the others.
 */
const SAMPLE_MS = globalThis.crossOriginIsolated ? 1 : 5;

const at = (sorted, share) => sorted[Math.round(share * (sorted.length - 1))];

/** Between -1 and 1, always the same; whole numbers where the input holds such. */
function made(inputs) {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { dtype, shape }]) => {
      const length = shape.reduce((a, b) => a * b, 1);
      if (dtype !== 'float32') throw new Error(`The input ${name} is ${dtype}; this page makes up float32 only.`);
      return [name, Float32Array.from({ length }, next)];
    }),
  );
}

function difference(a, b) {
  let [most, largest] = [0, 0];
  for (const name of Object.keys(a)) {
    if (a[name]?.length !== b[name]?.length) throw new Error(`The models have different outputs: ${name}.`);
    for (let i = 0; i < a[name].length; i++) {
      most = Math.max(most, Math.abs(a[name][i] - b[name][i]));
      largest = Math.max(largest, Math.abs(a[name][i]));
    }
  }
  return most / (largest || 1);
}

async function compare(urls) {
  const models = [];
  for (const url of urls) models.push(await loadModel(url));
  const inputs = made(models[0].inputs);
  const outputs = [];
  for (const model of models) {
    outputs.push(
      Object.fromEntries(Object.entries(await model.run(inputs)).map(([name, data]) => [name, data.slice()])),
    );
  }
  const repeats = [];
  for (const model of models) {
    // Of the fastest run: one that another program interrupts says nothing, and samples of unequal length are not interrupted alike.
    let fastest = Number.POSITIVE_INFINITY;
    for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) {
      const start = performance.now();
      for (let i = 0; i < WARM_UP; i++) await model.run(inputs);
      fastest = Math.min(fastest, (performance.now() - start) / WARM_UP);
    }
    repeats.push(Math.max(1, Math.min(2 ** 16, Math.ceil(SAMPLE_MS / Math.max(fastest, 1e-4)))));
  }
  const samples = models.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? [...models.keys()] : [...models.keys()].reverse();
    for (const i of order) {
      const start = performance.now();
      for (let repeat = 0; repeat < repeats[i]; repeat++) await models[i].run(inputs);
      samples[i].push((performance.now() - start) / repeats[i]);
    }
    if (round % 10 === 0) postMessage({ progress: `Round ${round} of ${ROUNDS}` });
  }
  const timed = samples.map((times, i) => {
    const sorted = times.toSorted((a, b) => a - b);
    return {
      ms: at(sorted, 0.5),
      low: at(sorted, 0.25),
      high: at(sorted, 0.75),
      difference: difference(outputs[0], outputs[i]),
    };
  });
  const [{ simd }] = models;
  for (const model of models) model.dispose();
  return { timed, rounds: ROUNDS, simd };
}

addEventListener('message', ({ data }) => {
  compare(data).then(
    (found) => postMessage({ found }),
    (error) => postMessage({ error: `It failed: ${error.message}` }),
  );
});
