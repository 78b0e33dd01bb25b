/** The network taken apart: its nodes, its layers as matrices, the weights of one of them, and a run. */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { LayerRow, ModelInfo } from '../engine/open.ts';
import type { RunAnswer } from '../engine/run.ts';
import { ask } from '../engine-client.ts';
import { set, settings } from '../settings.ts';
import { job, model, pruned, saveModel, which, work } from '../store.ts';
import { bytes, milliseconds, percent, short, whole } from '../text.ts';
import { GraphList } from './graph-list.tsx';
import { Scroll } from './scroll.tsx';
import { Soon } from './soon.tsx';
import { WeightMap } from './weight-map.tsx';

export function ModelView(): VNode | null {
  const info = model.value;
  if (!info) return null;
  return (
    <div class="grid two">
      <div class="stack">
        <Facts info={info} />
        {info.nodes > 0 && (
          <Soon>
            <GraphList key={info.name} total={info.nodes} />
          </Soon>
        )}
      </div>
      <div class="stack">
        {info.format === 'onnx' && info.layers.length > 0 && (
          <Soon>
            <WeightMap />
          </Soon>
        )}
        <RunPanel info={info} />
      </div>
      <Soon>
        <LayerTable layers={pruned.value && which.value === 'pruned' ? pruned.value.layers : info.layers} />
      </Soon>
    </div>
  );
}

function Facts({ info }: { readonly info: ModelInfo }): VNode {
  return (
    <section class="card" aria-labelledby="facts">
      <h2 id="facts">{info.format === 'onnx' ? 'ONNX network' : 'Compiled network'}</h2>
      <dl class="facts">
        {info.inputs.map((text) => (
          <Fact key={text} name="takes" text={text} />
        ))}
        {info.outputs.slice(0, 8).map((text) => (
          <Fact key={text} name="gives" text={text} />
        ))}
        <Fact name="weights" text={whole(info.parameters)} />
        <Fact name="work" text={`${short(info.macs)} multiply-adds`} />
        <Fact
          name="as .grim"
          text={`${bytes(info.grimBytes)}${info.compileMs > 0 ? `, compiled here in ${milliseconds(info.compileMs)}` : ''}`}
        />
        {info.facts.map(([name, text]) => (
          <Fact key={name} name={name} text={text} />
        ))}
      </dl>
      <p class="actions">
        <button type="button" onClick={() => void saveModel('dense', 'grim')}>
          Save as .grim
        </button>
        {pruned.value && (
          <button type="button" onClick={() => void saveModel('pruned', 'grim')}>
            Save pruned .grim
          </button>
        )}
      </p>
    </section>
  );
}

function Fact({ name, text }: { readonly name: string; readonly text: string }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{text}</dd>
    </div>
  );
}

function RunPanel({ info }: { readonly info: ModelInfo }): VNode {
  const [answer, setAnswer] = useState<RunAnswer | undefined>(undefined);
  const [sample, setSample] = useState(0);
  const of = which.value;
  const run = async () => {
    const found = await work('Running', (options) => ask('run', { which: of, sample }, options));
    if (!found) return;
    setAnswer(found);
    setSample((sample + 1) % info.samples.count);
  };
  return (
    <section class="card" aria-labelledby="run">
      <h2 id="run">Run it</h2>
      <p class="muted">{SAMPLES[info.samples.kind]}</p>
      <p class="actions">
        <button type="button" class="main" disabled={job.value !== undefined} onClick={run}>
          Run once
        </button>
        {answer && (
          <span>
            {milliseconds(answer.ms)} on one thread, {answer.simd} SIMD
          </span>
        )}
      </p>
      {answer?.outputs.map(({ name, shape, top }) => (
        <div key={name} class="output" data-testid="output">
          <h3>
            {name} <span class="muted">[{shape.join(', ')}]</span>
          </h3>
          <ol>
            {top.map(([index, label, value]) => (
              <li key={index}>
                <span>{label || `#${index}`}</span> <span class="figure-text">{value.toPrecision(4)}</span>
              </li>
            ))}
          </ol>
        </div>
      ))}
      {answer?.wanted !== undefined && <p class="muted">The input was: {answer.wanted}</p>}
    </section>
  );
}

/** What the inputs are, as a sentence. */
export const SAMPLES: Readonly<Record<ModelInfo['samples']['kind'], string>> = {
  digits: 'Inputs: digits drawn from a seed, none of which the network was trained on.',
  sounds: 'Inputs: sounds made from a seed, none of which the network was trained on.',
  'made-up': 'Inputs: made up from a seed. Good for speed; they say little about accuracy.',
  dropped: 'Inputs: the files that were given.',
};

/** Rows at once: more are more than one task should draw. */
const STEP = 30;

function LayerTable({ layers }: { readonly layers: readonly LayerRow[] }): VNode {
  const [most, setMost] = useState(STEP);
  const { layer: selected } = settings.value;
  return (
    <section class="card wide" aria-labelledby="layers">
      <h2 id="layers">Layers as matrices</h2>
      <p class="muted">
        A layer is a product C[M, N] = A[M, K] · B[K, N]: A holds the weights, B the inputs. Blocks and density are
        those of A.
      </p>
      <Scroll label="Table of layers">
        <table>
          <thead>
            <tr>
              <th scope="col">Layer</th>
              <th scope="col">Op</th>
              <th scope="col" class="n">
                M
              </th>
              <th scope="col" class="n">
                K
              </th>
              <th scope="col" class="n">
                N
              </th>
              <th scope="col" class="n">
                Multiply-adds
              </th>
              <th scope="col" class="n">
                Density
              </th>
              <th scope="col">Block</th>
              <th scope="col">Kernel</th>
            </tr>
          </thead>
          <tbody>
            {layers.slice(0, most).map((row, index) => (
              <tr key={index} aria-selected={index === selected} class={index === selected ? 'selected' : ''}>
                <th scope="row">
                  <button type="button" class="link" onClick={() => set({ layer: index })}>
                    {row.name || '(no name)'}
                  </button>
                </th>
                <td>
                  {row.op}
                  {row.groups > 1 && <span class="muted"> /{row.groups}</span>}
                </td>
                <td class="n">{row.m}</td>
                <td class="n">{row.k}</td>
                <td class="n">{row.n ?? '–'}</td>
                <td class="n">{short(row.macs)}</td>
                <td class="n">
                  <span class="bar" style={{ '--share': row.density }}>
                    {percent(row.density)}
                  </span>
                </td>
                <td>
                  {row.block ? `${row.block[0]}×${row.block[1]}` : <span class="muted">{reason(row.exempt)}</span>}
                </td>
                <td>
                  <code>{row.kernel}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {layers.length > most && (
        <p>
          <button type="button" onClick={() => setMost(most + STEP)}>
            Show {Math.min(STEP, layers.length - most)} more of {layers.length}
          </button>
        </p>
      )}
    </section>
  );
}

function reason(exempt: string | undefined): string {
  return exempt === undefined ? 'dense' : exempt === 'no' ? 'stays dense' : `dense: ${exempt}`;
}
