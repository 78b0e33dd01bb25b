/** The frame: title, tabs, what is open, what is under way, what went wrong. */
import type { FunctionComponent, VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { runs } from './runs.ts';
import { set, settings, type Tab } from './settings.ts';
import { dismiss, job, model, openFile, openLengths, problem } from './store.ts';
import { bytes, short } from './text.ts';
import { theme, toggleTheme } from './theme.ts';
import { BenchView } from './views/bench.tsx';
import { CrossbarView } from './views/crossbar.tsx';
import { HistoryView } from './views/history.tsx';
import { Lengths } from './views/lengths.tsx';
import { ModelView } from './views/model.tsx';
import { Picker } from './views/picker.tsx';
import { PruneView } from './views/prune.tsx';
import { Start } from './views/start.tsx';
import { TryView } from './views/try.tsx';

const VIEWS: readonly { readonly tab: Tab; readonly name: string; readonly view: FunctionComponent }[] = [
  { tab: 'model', name: 'Model', view: ModelView },
  { tab: 'prune', name: 'Prune', view: PruneView },
  { tab: 'bench', name: 'Bench', view: BenchView },
  { tab: 'crossbar', name: 'Crossbar', view: CrossbarView },
  { tab: 'try', name: 'Try it', view: TryView },
  { tab: 'history', name: 'History', view: HistoryView },
];

/** Runs are recorded by a server that is not always there. */
function viewsNow(): typeof VIEWS {
  return VIEWS.filter(({ tab }) => tab !== 'history' || runs.value !== undefined);
}

export function App(): VNode {
  const dragging = useDrop();
  const views = viewsNow();
  const shown = views.find(({ tab }) => tab === settings.value.tab) ?? (VIEWS[0] as (typeof VIEWS)[number]);
  const { view: View } = shown;
  /** Recorded runs need no network. */
  const open = model.value !== undefined || (shown.tab === 'history' && runs.value !== undefined);
  const other = theme.value === 'dark' ? 'Light' : 'Dark';
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('panel')?.focus()}>
        Skip to content
      </button>
      <header class="top">
        <h1>
          <Mark /> GRIM <span class="sub">dashboard</span>
        </h1>
        {open && <Tabs shown={shown.tab} />}
        <div class="tools">
          {open && <Share />}
          <button type="button" class="quiet" onClick={toggleTheme} aria-label={`${other} colours`}>
            {other}
          </button>
        </div>
      </header>
      {open && <Opened />}
      <div aria-live="polite" class="status">
        <Busy />
        <Trouble />
        {(openLengths.value.refused || (open && shown.tab === 'model')) && <Lengths />}
      </div>
      <main>
        {open ? (
          <div id="panel" tabIndex={-1} role="tabpanel" aria-labelledby={`tab-${shown.tab}`}>
            <View />
          </div>
        ) : (
          <div id="panel" tabIndex={-1}>
            <Start />
          </div>
        )}
      </main>
      <footer>
        <p>
          Everything happens on this device: files are read by this page and sent nowhere. Times are of this browser, in
          this hour.
        </p>
      </footer>
      {dragging && (
        <div class="drop-veil" aria-hidden="true">
          <p>Drop it to open it</p>
        </div>
      )}
    </>
  );
}

/** A block of weights of which two rows and one column are left out. */
function Mark(): VNode {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
      {[0, 1, 2].flatMap((row) =>
        [0, 1, 2].map((col) => (
          <rect
            x={2 + 7 * col}
            y={2 + 7 * row}
            width="6"
            height="6"
            rx="1.4"
            class={row === 2 || col === 1 ? 'gone' : 'kept'}
          />
        )),
      )}
    </svg>
  );
}

function Tabs({ shown }: { readonly shown: Tab }): VNode {
  const views = viewsNow();
  const list = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent) => {
    const at = views.findIndex(({ tab }) => tab === shown);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: views.length - 1 }[event.key];
    const next = to === undefined ? undefined : views[(to + views.length) % views.length];
    if (!next) return;
    event.preventDefault();
    set({ tab: next.tab });
    list.current?.querySelector<HTMLElement>(`#tab-${next.tab}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Views" ref={list} onKeyDown={move}>
      {views.map(({ tab, name }) => (
        <button
          type="button"
          role="tab"
          id={`tab-${tab}`}
          key={tab}
          aria-selected={tab === shown}
          aria-controls="panel"
          tabIndex={tab === shown ? 0 : -1}
          onClick={() => set({ tab })}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

function Share(): VNode {
  const [said, say] = useState('Copy link');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      say('Copied');
    } catch {
      say('See address bar');
    }
    setTimeout(() => say('Copy link'), 2000);
  };
  return (
    <button type="button" class="quiet" onClick={copy}>
      {said}
    </button>
  );
}

function Opened(): VNode | null {
  const info = model.value;
  if (!info) return null;
  return (
    <section class="opened" aria-label="Open network">
      <strong class="name">{info.name}</strong>
      <span>{bytes(info.fileBytes)}</span>
      {info.parameters !== undefined && <span>{short(info.parameters)} weights</span>}
      <span>{short(info.macs)} multiply-adds</span>
      <Picker label="Open another" testId="model-file" onFiles={([file]) => file && void openFile(file)} />
    </section>
  );
}

function Busy(): VNode | null {
  const now = job.value;
  if (!now) return null;
  const { title, stage, cancel } = now;
  const share = stage.done === undefined ? undefined : Math.min(1, Math.max(0, stage.done));
  return (
    <div class="busy card" role="status">
      <div>
        <strong>{title}</strong>
        <span class="muted">{stage.text}</span>
      </div>
      <progress max={1} {...(share !== undefined && { value: share })} aria-label={title} />
      <button type="button" onClick={cancel}>
        Cancel
      </button>
    </div>
  );
}

function Trouble(): VNode | null {
  const now = problem.value;
  if (!now) return null;
  return (
    <div class="trouble card" role="alert">
      <div>
        <strong>{now.title}</strong>
        <p>{now.message}</p>
        {now.more.length > 0 && (
          <details>
            <summary>
              {now.more.length} more {now.more.length === 1 ? 'problem' : 'problems'}
            </summary>
            <ul>
              {now.more.map((one) => (
                <li key={one}>{one}</li>
              ))}
            </ul>
          </details>
        )}
        {now.code !== '' && <code>{now.code}</code>}
      </div>
      <button type="button" class="quiet" onClick={dismiss} aria-label="Dismiss">
        Close
      </button>
    </div>
  );
}

/** Files dropped anywhere on the page; true while something hovers. */
function useDrop(): boolean {
  const [over, setOver] = useState(false);
  useLayoutEffect(() => {
    let depth = 0;
    const control = new AbortController();
    const on = (type: 'dragenter' | 'dragleave' | 'dragover' | 'drop', act: (event: DragEvent) => void) =>
      addEventListener(
        type,
        (event) => {
          event.preventDefault();
          act(event);
        },
        { signal: control.signal },
      );
    on('dragenter', () => setOver(++depth > 0));
    on('dragleave', () => setOver(--depth > 0));
    on('dragover', () => {});
    on('drop', ({ dataTransfer }) => {
      depth = 0;
      setOver(false);
      const [file] = dataTransfer?.files ?? [];
      if (file) void openFile(file);
    });
    return () => control.abort();
  }, []);
  return over;
}
