// Measures the models that the farm hands out, one after the other, each in turn with a small reference model. Samples that were taken
// while the page was hidden are thrown away: browsers slow such pages down.
import { loadModel } from './runtime/index.js';

const SAMPLES = 41;
/** Clocks step by up to a tenth of a millisecond, or a whole one. */
const SAMPLE_MS = 20;
const REFERENCE_MS = 5;
/** What a clock can tell from nothing. */
const TELLING_MS = 2;
const WARM_UP_MS = 500;
const LEAST_WARM_UP = 10;
/** The reference this much slower at the end than at the beginning: the device got hot, and everything is measured again, once. */
const HOT = 1.1;
const COOL_MS = 5000;

let hidden = false;
/** Changes whenever the page is hidden or comes back. */
let weather = 0;
let abandoned;
let wake = () => {};

/** Lets messages in: a loop of promises alone would never. */
const breathe = () => new Promise((resolve) => setTimeout(resolve));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

class Abandoned extends Error {}

async function tell(path, body) {
  const response = await fetch(`api/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message ?? `The farm answers ${response.status}.`);
  return answer;
}

async function bytesOf(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the farm answers ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}

/** The same values everywhere; whole numbers where the input holds such. */
function inputsOf(model) {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return Object.fromEntries(
    Object.entries(model.inputs).map(([name, { dtype, shape }]) => {
      const length = shape.reduce((a, b) => a * b, 1);
      if (dtype !== 'float32') throw new Error(`The input ${name} is ${dtype}; a farm makes up float32 only.`);
      return [name, Float32Array.from({ length }, next)];
    }),
  );
}

async function subject(model, sampleMs) {
  const inputs = inputsOf(model);
  const start = performance.now();
  await model.run(inputs);
  const firstMs = performance.now() - start;
  return { model, inputs, firstMs, sampleMs, runs: 1 };
}

async function warmUp(one) {
  let fastest = Number.POSITIVE_INFINITY;
  const end = performance.now() + WARM_UP_MS;
  // As many runs at once as a coarse clock can tell.
  let batch = 1;
  for (let i = 0; i < LEAST_WARM_UP || performance.now() < end; i++) {
    const start = performance.now();
    for (let run = 0; run < batch; run++) await one.model.run(one.inputs);
    const took = performance.now() - start;
    if (took < TELLING_MS) batch *= 2;
    else fastest = Math.min(fastest, took / batch);
    await breathe();
  }
  one.runs = Math.max(1, Math.min(100_000, Math.ceil(one.sampleMs / Math.min(fastest, one.sampleMs))));
}

async function sample({ model, inputs, runs }) {
  const start = performance.now();
  for (let i = 0; i < runs; i++) await model.run(inputs);
  return (performance.now() - start) / runs;
}

async function visible() {
  if (!hidden) return;
  postMessage({ status: 'Paused: this page is hidden. Bring it back to go on.' });
  while (hidden)
    await new Promise((resolve) => {
      wake = resolve;
    });
}

async function samples(lease, name, both) {
  const [ms, referenceMs] = [[], []];
  let interrupted = 0;
  await visible();
  for (const one of both) await warmUp(one);
  while (ms.length < SAMPLES) {
    const before = weather;
    const [own, reference] = [await sample(both[0]), await sample(both[1])];
    await breathe();
    if (abandoned === lease) throw new Abandoned();
    if (weather !== before || hidden) {
      interrupted++;
      await visible();
      for (const one of both) await warmUp(one);
      continue;
    }
    // A clock that did not step says nothing.
    if (own > 0 && reference > 0) {
      ms.push(own);
      referenceMs.push(reference);
    }
    postMessage({ status: `Measuring ${name}`, progress: ms.length / SAMPLES });
  }
  const third = Math.floor(SAMPLES / 3);
  const drift = median(referenceMs.slice(-third)) / median(referenceMs.slice(0, third));
  return { ms, referenceMs, interrupted, drift };
}

async function measure({ lease, name, url }, reference) {
  postMessage({ lease, status: `Loading ${name}`, progress: 0 });
  const start = performance.now();
  const bytes = await bytesOf(url);
  const downloadMs = performance.now() - start;
  const loading = performance.now();
  const model = await loadModel(bytes);
  try {
    const loadMs = performance.now() - loading;
    const one = await subject(model, SAMPLE_MS);
    const both = [one, reference];
    let found = await samples(lease, name, both);
    if (found.drift > HOT) {
      postMessage({ status: `${name}: this device got hot, and cools down for a moment` });
      await pause(COOL_MS);
      const again = await samples(lease, name, both);
      found = { ...again, interrupted: found.interrupted + again.interrupted };
    }
    return { ...found, simd: model.simd, stages: { downloadMs, loadMs, firstMs: one.firstMs } };
  } finally {
    model.dispose();
  }
}

async function work(device) {
  const reference = await subject(await loadModel(await bytesOf('reference.grim')), REFERENCE_MS);
  for (;;) {
    const { job, wait, done } = await tell('ask', { device });
    if (done) return 'Done: this device has measured all that is wanted of it. Thank you!';
    if (wait) {
      postMessage({ status: 'Waiting: another device has the rest.', progress: null });
      await pause(wait);
      continue;
    }
    try {
      const result = await measure(job, reference);
      const { counts } = await tell('tell', { lease: job.lease, result });
      const ms = median(result.ms);
      if (counts) postMessage({ found: { name: job.name, ms, ratio: ms / median(result.referenceMs) } });
    } catch (error) {
      if (!(error instanceof Abandoned)) throw error;
    }
    postMessage({ lease: undefined });
  }
}

addEventListener('message', ({ data }) => {
  if (data.abandon) abandoned = data.abandon;
  if ('hidden' in data && data.hidden !== hidden) {
    hidden = data.hidden;
    weather++;
    if (!hidden) wake();
  }
  if (data.device)
    work(data.device).then(
      (end) => postMessage({ end }),
      (error) => postMessage({ end: `It ended: ${error.message}` }),
    );
});
