/** Pruning by blocks: three choices, one button, and the three figures that it is about. */
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { Figure } from '../charts/figure.tsx';
import type { PruneAnswer } from '../engine/prune.ts';
import { type Settings, set, settings } from '../settings.ts';
import { giveSamples, job, model, prune, pruned, saveModel } from '../store.ts';
import { bytes, milliseconds, percent, times } from '../text.ts';
import { SAMPLES } from './model.tsx';
import { Picker } from './picker.tsx';
import { Soon } from './soon.tsx';
import { WeightMap } from './weight-map.tsx';

/** Rows × columns; 0: the whole side. */
const BLOCKS: readonly (readonly [rows: number, cols: number, text: string])[] = [
  [2, 0, '2 × all: kindest to accuracy'],
  [4, 0, '4 × all'],
  [6, 0, '6 × all: a whole tile'],
  [2, 128, '2 × 128'],
  [8, 128, '8 × 128'],
  [16, 64, '16 × 64'],
  [32, 128, '32 × 128: for recurrent layers'],
  [0, 0, 'one block: rows and columns'],
  [1, 0, '1 × all: unstructured'],
];

const METHODS: readonly (readonly [Settings['method'], string])[] = [
  ['admm', 'Masks and weights solved for (ADMM)'],
  ['wanda', 'Largest weights × inputs'],
  ['magnitude', 'Largest weights'],
];

export function PruneView(): VNode | null {
  const info = model.value;
  if (!info) return null;
  if (info.format === 'grim')
    return (
      <p class="card note">
        This file is compiled: its weights are packed for the kernels. Open the ONNX file it was made from to prune it.
      </p>
    );
  const answer = pruned.value;
  return (
    <div class="grid two">
      <div class="stack">
        <Choices />
        {answer && <Outcome answer={answer} />}
      </div>
      <div class="stack">
        <Soon>
          <WeightMap />
        </Soon>
      </div>
      {answer && (
        <Soon>
          <Densities answer={answer} />
        </Soon>
      )}
    </div>
  );
}

function Choices(): VNode {
  const { density, rows, cols, method, samples, seed, pixels } = settings.value;
  const kind = model.value?.samples.kind ?? 'made-up';
  const known = BLOCKS.findIndex(([r, c]) => r === rows && c === cols);
  return (
    <section class="card" aria-labelledby="choices">
      <h2 id="choices">Prune by blocks</h2>
      <label class="field">
        <span>
          Weights that stay <strong class="value">{percent(density)}</strong>
        </span>
        <input
          type="range"
          min="0.05"
          max="1"
          step="0.05"
          value={density}
          onInput={({ currentTarget }) => set({ density: Number(currentTarget.value) })}
        />
      </label>
      <label class="field">
        <span>Block, rows × columns</span>
        <select
          value={known}
          onChange={({ currentTarget }) => {
            const [r, c] = BLOCKS[Number(currentTarget.value)] ?? [rows, cols];
            set({ rows: r, cols: c });
          }}
        >
          {known < 0 && (
            <option value={-1}>
              {rows || 'all'} × {cols || 'all'}
            </option>
          )}
          {BLOCKS.map(([, , text], i) => (
            <option key={text} value={i}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>What stays</span>
        <select
          value={method}
          onChange={({ currentTarget }) => set({ method: currentTarget.value as Settings['method'] })}
        >
          {METHODS.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <div class="pair">
        <label class="field">
          <span>Inputs to prune on</span>
          <input
            type="number"
            min="1"
            max="512"
            value={samples}
            onChange={({ currentTarget }) =>
              set({ samples: Math.min(512, Math.max(1, Math.round(+currentTarget.value) || 1)) })
            }
          />
        </label>
        <label class="field">
          <span>Seed</span>
          <input
            type="number"
            min="1"
            max="1000000"
            value={seed}
            onChange={({ currentTarget }) =>
              set({ seed: Math.min(1e6, Math.max(1, Math.round(+currentTarget.value) || 1)) })
            }
          />
        </label>
      </div>
      <p class="muted">{SAMPLES[kind]}</p>
      <details>
        <summary>Give inputs of your own</summary>
        <div class="stack inner">
          <p class="muted">Pictures, or tensors as ONNX test data has them (.pb). They stay on this device.</p>
          <label class="field">
            <span>Pixels become</span>
            <select
              value={pixels}
              onChange={({ currentTarget }) => set({ pixels: currentTarget.value as Settings['pixels'] })}
            >
              <option value="unit">0 to 1</option>
              <option value="signed">−1 to 1</option>
              <option value="imagenet">by ImageNet's mean and spread</option>
            </select>
          </label>
          <p>
            <Picker label="Choose files" testId="sample-files" many onFiles={(files) => void giveSamples(files)} />
          </p>
        </div>
      </details>
      <p class="actions">
        <button type="button" class="main" disabled={job.value !== undefined} onClick={() => void prune()}>
          Prune
        </button>
      </p>
    </section>
  );
}

function Outcome({ answer }: { readonly answer: PruneAnswer }): VNode {
  const { quality, speed } = answer;
  const known = quality.prunedRight !== undefined;
  return (
    <section class="card" aria-labelledby="outcome" data-testid="outcome">
      <h2 id="outcome">What it is worth</h2>
      <dl class="figures">
        <div>
          <dt>Time of a run</dt>
          <dd>
            {milliseconds(answer.prunedMs)} <small>was {milliseconds(answer.denseMs)}</small>
          </dd>
          <dd class={`verdict ${speed.verdict}`}>
            {times(speed.ratio)} {speed.verdict === 'unclear' ? 'as fast, unclear' : speed.verdict}
            <small>
              {' '}
              {times(speed.low)} to {times(speed.high)}
            </small>
          </dd>
        </div>
        <div>
          <dt>Size as .grim</dt>
          <dd>
            {bytes(answer.prunedBytes)} <small>was {bytes(answer.denseBytes)}</small>
          </dd>
          <dd class="verdict">{percent(answer.prunedBytes / answer.denseBytes)} of the bytes</dd>
        </div>
        <div>
          <dt>Same answer as dense</dt>
          <dd>
            {percent(quality.agreement)} <small>of {quality.examples} inputs</small>
          </dd>
          <dd class="verdict">
            {known
              ? `right: ${percent(quality.prunedRight)}, dense ${percent(quality.denseRight)}`
              : `values differ by ${percent(quality.difference)}`}
          </dd>
        </div>
      </dl>
      <p class="muted">
        {quality.kind === 'made-up'
          ? 'The inputs are made up: speed and size are real, agreement on real inputs is another figure.'
          : `Judged on ${quality.examples} other inputs than it was pruned on.`}{' '}
        Of the pruned layers {percent(answer.weightDensity)} of the weights and {percent(answer.macDensity)} of the
        multiply-adds are left. It took {milliseconds(1000 * answer.seconds)}.
      </p>
      <p class="actions">
        <button type="button" onClick={() => void saveModel('pruned', 'grim')}>
          Save as .grim
        </button>
        <button type="button" onClick={() => void saveModel('pruned', 'onnx')}>
          Save as ONNX
        </button>
        <button type="button" class="quiet" onClick={() => set({ tab: 'bench' })}>
          Measure it against others
        </button>
      </p>
    </section>
  );
}

function Densities({ answer }: { readonly answer: PruneAnswer }): VNode {
  const rows = useMemo(
    () =>
      answer.layers.map(({ name, op, m, k, density }, i) => ({
        ...{ layer: i + 1, name, op, weights: m * k, kept: Math.round(m * k * density), density },
      })),
    [answer],
  );
  const draw = useMemo(
    () =>
      ((plot, palette, width) => ({
        height: 260,
        marginLeft: 56,
        x: { label: 'layer', tickFormat: 'd', type: 'band', ticks: ticks(rows.length, width) },
        y: { label: 'weights', grid: true, tickFormat: 's' },
        marks: [
          plot.barY(rows, { x: 'layer', y: 'weights', fill: palette.dense, fillOpacity: 0.35 }),
          plot.barY(rows, {
            x: 'layer',
            y: 'kept',
            fill: palette.pruned,
            tip: true,
            title: (row) => `${row.name}\n${percent(row.density)} of ${row.weights} weights`,
          }),
          plot.ruleY([0], { stroke: palette.line }),
        ],
      })) satisfies Parameters<typeof Figure>[0]['draw'],
    [rows],
  );
  return (
    <div class="wide">
      <Figure
        title="Weights that stay, layer by layer"
        summary={`${rows.length} layers; the first, the last and depthwise ones stay dense unless they are named.`}
        rows={rows}
        draw={draw}
      />
    </div>
  );
}

/** As many as fit. */
export function ticks(count: number, width: number): number[] {
  const step = Math.max(1, Math.ceil(count / Math.max(4, width / 36)));
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => 1 + i * step);
}
