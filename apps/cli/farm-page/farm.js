// The page of `grim farm` on a device. A worker measures; this side tells the server that the device is there, pauses the worker while
// the page is hidden, and shows what goes on.

const WORKER = new URL('work.js', import.meta.url).href;
// The policy of the server lets no other text become a script's address (Trusted Types).
globalThis.trustedTypes?.createPolicy('default', {
  createScriptURL: (address) => (address === WORKER ? WORKER : null),
});

/** A server that hears nothing for five times as long gives the job to another device. */
const BEAT_MS = 3000;

const byId = (id) => document.getElementById(id);
const plain = (text) => String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
const say = (sentence) => {
  byId('status').textContent = plain(sentence);
};

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

/** The smallest step that the clock makes. */
function clockStep() {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    least = Math.min(least, now - start);
  }
  return least;
}

function facts() {
  return {
    agent: navigator.userAgent.slice(0, 400),
    cores: navigator.hardwareConcurrency ?? 1,
    clockMs: clockStep(),
    secure: globalThis.isSecureContext,
    isolated: globalThis.crossOriginIsolated === true,
    webgpu: navigator.gpu !== undefined,
  };
}

let device;
let lease;
let wakeLock;

/** Where there is one: a screen that goes dark hides the page. */
async function stayAwake() {
  try {
    wakeLock = await navigator.wakeLock?.request('screen');
  } catch {
    // Refused, as with an empty battery: the page pauses then.
  }
}

function show({ name, ms, ratio }) {
  byId('found').hidden = false;
  const row = document.createElement('tr');
  for (const text of [name, ms.toPrecision(3), ratio.toPrecision(3)]) {
    const cell = document.createElement('td');
    cell.textContent = plain(text);
    row.append(cell);
  }
  byId('rows').append(row);
}

async function start() {
  byId('start').disabled = true;
  say('Joining…');
  await stayAwake();
  ({ device } = await tell('join', facts()));
  byId('start').hidden = true;
  const worker = new Worker(WORKER, { type: 'module' });
  const end = (sentence) => {
    lease = undefined;
    worker.terminate();
    clearInterval(beating);
    void wakeLock?.release();
    byId('progress').hidden = true;
    say(sentence);
  };
  const beating = setInterval(() => {
    if (lease === undefined) return;
    const beaten = lease;
    tell('beat', { lease: beaten }).then(
      ({ yours }) => {
        if (!yours && lease === beaten) worker.postMessage({ abandon: beaten });
      },
      // The worker tells of a server that is gone, when it needs it.
      () => {},
    );
  }, BEAT_MS);
  const visibility = () => {
    worker.postMessage({ hidden: document.hidden });
    if (!document.hidden) void stayAwake();
  };
  document.addEventListener('visibilitychange', visibility);
  addEventListener('pagehide', () => {
    const gone = new Blob([JSON.stringify({ device })], { type: 'application/json' });
    navigator.sendBeacon('api/leave', gone);
  });
  worker.addEventListener('error', ({ message }) => end(`It failed: ${message || 'the worker did not start'}`));
  worker.addEventListener('message', ({ data }) => {
    if ('lease' in data) lease = data.lease;
    if (data.status) say(data.status);
    if ('progress' in data) {
      byId('progress').hidden = data.progress === null;
      if (data.progress !== null) byId('progress').value = data.progress;
    }
    if (data.found) show(data.found);
    if (data.end) end(data.end);
  });
  worker.postMessage({ device });
  visibility();
}

byId('mode').textContent = globalThis.isSecureContext
  ? 'This address counts as secure: times are those that pages on https have.'
  : 'This is a plain address of your network: browsers give it no threads, no WebGPU and a coarse clock. Times are those of one thread of WebAssembly.';
byId('start').addEventListener('click', () => {
  start().catch((error) => {
    byId('start').hidden = false;
    byId('start').disabled = false;
    say(error.message);
  });
});
byId('start').disabled = false;
say('Keep this page open and in front while it measures.');
