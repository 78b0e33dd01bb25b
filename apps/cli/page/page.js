// The plain page of `grim dashboard`: recorded runs, and the models of the command line run in turn. All that comes from files or from the
// database is put into text nodes, invisible characters shown as numbers.

const WORKER = '/plain/compare.js';
// The policy of the server lets no other text become a script's address (Trusted Types).
globalThis.trustedTypes?.createPolicy('default', {
  createScriptURL: (address) => (address === WORKER ? WORKER : null),
});

const byId = (id) => document.getElementById(id);
const plain = (text) => String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
const number = (value) =>
  Number.isSafeInteger(value) ? String(value) : Number.isFinite(value) ? String(Number(value.toPrecision(4))) : '';
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...[content].flat().map((one) => (typeof one === 'string' ? plain(one) : one)));
  return made;
}

const row = (cells) =>
  element(
    'tr',
    cells.map((cell) =>
      element('td', cell, typeof cell === 'string' && /^[<\d]/.test(cell) ? { class: 'number' } : {}),
    ),
  );

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok)
    throw new Error((await response.json().catch(() => undefined))?.error?.message ?? `${path}: ${response.status}`);
  return response.json();
}

function showModels(named) {
  const models = named.flatMap(({ name, compiled }) => (compiled ? [{ name, ...compiled }] : []));
  if (models.length === 0) return;
  byId('models').hidden = false;
  const show = (rows) => byId('timed').replaceChildren(...rows.map(row));
  show(models.map(({ name, bytes }) => [name, kilobytes(bytes), '', '', '', '']));
  let worker;
  const end = (sentence) => {
    worker?.terminate();
    worker = undefined;
    byId('start').disabled = false;
    byId('cancel').hidden = true;
    byId('status').textContent = plain(sentence);
  };
  byId('cancel').addEventListener('click', () => end('Cancelled.'));
  byId('start').addEventListener('click', () => {
    byId('start').disabled = true;
    byId('cancel').hidden = false;
    worker = new Worker(WORKER, { type: 'module' });
    worker.addEventListener('error', ({ message }) => end(`It failed: ${message ?? 'the worker did not start'}`));
    worker.addEventListener('message', ({ data: { progress, error, found } }) => {
      if (progress) byId('status').textContent = plain(progress);
      if (error) end(error);
      if (!found) return;
      const [first] = found.timed;
      show(
        found.timed.map(({ ms, low, high, difference }, i) => [
          ...[models[i].name, kilobytes(models[i].bytes), number(ms), `${number(low)} to ${number(high)}`],
          `${(first.ms / ms).toFixed(2)}×`,
          i === 0 ? '' : number(difference),
        ]),
      );
      const factors = found.timed
        .slice(1)
        .map(
          ({ ms }, i) => `${models[i + 1].name} is ${(first.ms / ms).toFixed(2)} times as fast as ${models[0].name}`,
        );
      // Middle halves that overlap: the same speed, or other programs on the cores.
      const unclear = found.timed.slice(1).some(({ low, high }) => low < first.high && first.low < high);
      const verdict = unclear ? ' The middle halves of their rounds overlap: unclear.' : '';
      end(
        `${factors.join('; ') || 'Done'}. Medians of ${found.rounds} rounds in turn, one thread, ${found.simd} SIMD, this browser, now.${verdict}`,
      );
    });
    worker.postMessage(models.map(({ url }) => url));
  });
}

let runs = [];

function showRuns() {
  const wanted = byId('filter').value;
  const shown = runs.filter(({ model }) => model.includes(wanted)).slice(0, 200);
  byId('none').hidden = runs.length > 0;
  byId('runs').replaceChildren(
    ...shown.map((run) => {
      const [first] = run.values;
      const open = element('button', String(run.id), { type: 'button', 'aria-label': `run ${run.id}` });
      open.addEventListener('click', () => showRun(run));
      const found = first ? `${number(first.value)} ${first.what}` : '';
      return row([
        open,
        run.at.slice(0, 16).replace('T', ' '),
        run.kind,
        run.model.split(/[/\\]/).slice(-2).join('/'),
        [found],
      ]);
    }),
  );
}

function showRun(run) {
  byId('one').hidden = false;
  byId('one-title').textContent = `Run ${run.id}`;
  const facts = {
    command: `grim ${run.argv.join(' ')}`,
    model: run.model,
    device: `${run.device.cpu}, ${run.device.cores} cores, ${run.device.platform} ${run.device.arch}`,
    versions: `grim ${run.versions.grim}, Node ${run.versions.node}, V8 ${run.versions.v8}`,
    commit: run.commit ?? 'not under version control',
    ...Object.fromEntries(
      run.values.map(({ what, value, low, high }) => [
        what,
        number(value) + (low === undefined ? '' : ` (${number(low)} to ${number(high)})`),
      ]),
    ),
  };
  byId('facts').replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element('dt', name), element('dd', value)]),
  );
  byId('what').replaceChildren(...run.values.map(({ what }) => element('option', what, { value: what })));
  const draw = () => drawTrend(run, byId('what').value);
  byId('what').onchange = draw;
  draw();
  byId('one').scrollIntoView();
}

/** Points of one measurement with their intervals, oldest first, an equal step from each to the next. */
function drawTrend({ subject, deviceKey }, what) {
  const points = runs
    .filter((run) => run.subject === subject && run.deviceKey === deviceKey)
    .flatMap((run) =>
      run.values
        .filter((value) => value.what === what)
        .map((value) => ({ id: run.id, low: value.value, high: value.value, ...value })),
    )
    .reverse();
  const lowest = Math.min(...points.map(({ low }) => low));
  const span = Math.max(...points.map(({ high }) => high)) - lowest || 1;
  const x = (i) => 70 + (points.length > 1 ? (540 * i) / (points.length - 1) : 270);
  const y = (value) => 180 - (150 * (value - lowest)) / span;
  const svg = (name, attributes, text = '') => {
    const made = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = plain(text);
    return made;
  };
  byId('trend').replaceChildren(
    svg('polyline', { class: 'mark', points: points.map(({ value }, i) => `${x(i)},${y(value)}`).join(' ') }),
    ...points.flatMap(({ id, value, low, high }, i) => [
      svg('line', { class: 'mark', x1: x(i), x2: x(i), y1: y(low), y2: y(high) }),
      svg('circle', { class: 'dot', cx: x(i), cy: y(value), r: 4 }),
      ...(points.length <= 20 ? [svg('text', { x: x(i), y: 210, 'text-anchor': 'middle' }, String(id))] : []),
    ]),
    ...[lowest, lowest + span].map((value) =>
      svg('text', { x: 60, y: y(value) + 4, 'text-anchor': 'end' }, number(value)),
    ),
  );
  const [first, last] = [points[0], points.at(-1)];
  byId('trend-text').textContent = plain(
    `${what} in ${points.length} ${points.length === 1 ? 'run' : 'runs'}: ${number(first.value)} in run ${first.id}, ${number(last.value)} in run ${last.id}.`,
  );
}

byId('isolated').textContent = globalThis.crossOriginIsolated
  ? 'This page is cross-origin isolated: threads and exact clocks.'
  : 'This page is not cross-origin isolated.';
byId('filter').addEventListener('input', showRuns);
try {
  showModels((await ask('/api/models')).models);
  ({ runs } = await ask('/api/results'));
  showRuns();
} catch (error) {
  byId('none').hidden = false;
  byId('none').textContent = plain(error.message);
}
