/** Before anything is open: what to do first. */
import type { VNode } from 'preact';
import { runs, servedModels } from '../runs.ts';
import { set, settings } from '../settings.ts';
import { openBuiltIn, openFile, openServed } from '../store.ts';
import { bytes } from '../text.ts';
import { Picker } from './picker.tsx';

const BUILT_IN = [
  {
    model: 'small-cnn',
    title: 'Small CNN',
    text: 'Reads the digits of a pocket calculator. Four convolutions, 11 kB.',
  },
  {
    model: 'tiny-gru',
    title: 'Sound GRU',
    text: 'Tells four sounds apart by their course in time. One recurrent layer, 11 kB.',
  },
] as const;

export function Start(): VNode {
  const { file } = settings.value;
  return (
    <section class="start">
      <h2>
        Networks, <em>pruned by blocks</em>, on your own device.
      </h2>
      <p class="lead">
        Drop an ONNX or a .grim file anywhere on this page. See its layers as matrices, prune them, and measure what
        that is worth in this browser. Nothing is uploaded.
      </p>
      <p class="actions">
        <Picker label="Choose a file" testId="model-file" strong onFiles={([file]) => file && void openFile(file)} />
        <span class="muted">or drop one anywhere</span>
      </p>
      {file !== '' && (
        <p class="card note">
          This link was made with the file <strong>{file}</strong>. Drop that file to see what was shared; its settings
          are already set.
        </p>
      )}
      {servedModels.value.length > 0 && (
        <>
          <h3>From the command line</h3>
          <ul class="cards">
            {servedModels.value.map((one) => (
              <li key={one.url}>
                <button type="button" class="card pick" onClick={() => void openServed(one)}>
                  <strong>{one.name}</strong>
                  <span>{bytes(one.bytes)}</span>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
      {runs.value !== undefined && (
        <p>
          <button type="button" class="quiet" onClick={() => set({ tab: 'history' })}>
            Recorded runs of this machine
          </button>
        </p>
      )}
      <h3>Or take one that is here</h3>
      <ul class="cards">
        {BUILT_IN.map(({ model, title, text }) => (
          <li key={model}>
            <button type="button" class="card pick" onClick={() => void openBuiltIn(model)}>
              <strong>{title}</strong>
              <span>{text}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
