/** The weights of one layer as a picture: how large they are, which survived, and where blocks end. */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { csvOf } from '../charts/csv.ts';
import { download } from '../charts/download.ts';
import type { HeatAnswer, Region } from '../engine/heat-map.ts';
import { ask } from '../engine-client.ts';
import { settings } from '../settings.ts';
import { denseName, model, pruned, showWeights, which } from '../store.ts';
import { percent, whole } from '../text.ts';
import { theme } from '../theme.ts';
import { useWidth } from '../use-width.ts';
import { paint } from './paint.ts';

/** Cells along a side; the picture is scaled up, so fewer are not seen. */
const CELLS = 320;

export function WeightMap(): VNode {
  const { layer } = settings.value;
  const shown = which.value;
  const info = model.value?.layers[layer];
  const made = pruned.value;
  const [view, setView] = useState<Region | undefined>(undefined);
  const [heat, setHeat] = useState<HeatAnswer | undefined>(undefined);
  const canvas = useRef<HTMLCanvasElement>(null);
  const place = useRef<HTMLDivElement>(null);
  const width = useWidth(place);
  const shade = theme.value;
  // Another layer is seen as a whole at first.
  useEffect(() => setView(undefined), [layer]);
  // Another pruning has other weights under the same name.
  useEffect(() => {
    if (layer < 0) return undefined;
    let stale = false;
    ask('heat', { layer, which: shown, region: view, cells: CELLS }).then(
      (answer) => stale || setHeat(answer),
      () => stale || setHeat(undefined),
    );
    return () => {
      stale = true;
    };
  }, [layer, shown, made, view, info]);
  useEffect(() => {
    if (canvas.current && heat && width > 0) paint(canvas.current, heat, shade, width);
  }, [heat, shade, width]);
  const zoom = (factor: number, across = 0, down = 0) => heat && setView(moved(heat, factor, across, down));
  const keys = (event: KeyboardEvent) => {
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    zoom(...act);
  };
  const summary =
    heat && info
      ? `${info.name}: ${heat.m} rows, ${heat.k} columns, ${percent(heat.density)} kept, rows ${heat.region.top} to ${heat.region.bottom - 1} and columns ${heat.region.left} to ${heat.region.right - 1} shown`
      : 'No layer is chosen';
  return (
    <section class="card" aria-labelledby="weights">
      <div class="head">
        <h2 id="weights">
          Weights <span class="muted">{info?.name}</span>
        </h2>
        {made && (
          <fieldset class="switch">
            <legend class="hidden">Which weights</legend>
            {(['dense', 'pruned'] as const).map((one) => (
              <label key={one}>
                <input type="radio" name="which" checked={shown === one} onChange={() => showWeights(one)} />
                {one === 'dense' ? denseName() : one}
              </label>
            ))}
          </fieldset>
        )}
      </div>
      <div
        class="map"
        ref={place}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the picture is zoomed and moved by keys
        tabIndex={0}
        role="img"
        aria-label={summary}
        aria-describedby="map-keys"
        onKeyDown={keys}
      >
        <canvas ref={canvas} width={10} height={10} />
      </div>
      <p class="summary">
        {heat
          ? `${heat.m} × ${heat.k} = ${whole(heat.m * heat.k)} weights, ${percent(heat.density, 1)} kept${heat.block ? `, blocks of ${heat.block[0]} × ${heat.block[1]}` : ''}`
          : 'Choose a layer in the list.'}
      </p>
      <div class="actions">
        <button type="button" onClick={() => zoom(0.5)} aria-label="Zoom in">
          +
        </button>
        <button type="button" onClick={() => zoom(2)} aria-label="Zoom out">
          −
        </button>
        <button type="button" onClick={() => setView(undefined)}>
          Whole
        </button>
        <button type="button" class="quiet" disabled={!heat} onClick={() => heat && saveCells(heat, info?.name ?? '')}>
          CSV
        </button>
        <button
          type="button"
          class="quiet"
          disabled={!heat}
          onClick={() => heat && savePicture(heat, info?.name ?? '', shade)}
        >
          SVG
        </button>
        <span class="muted" id="map-keys">
          Arrow keys move, + and − zoom
        </span>
      </div>
    </section>
  );
}

const KEYS: Readonly<Record<string, readonly [factor: number, across: number, down: number]>> = {
  '+': [0.5, 0, 0],
  '=': [0.5, 0, 0],
  '-': [2, 0, 0],
  ArrowLeft: [1, -0.25, 0],
  ArrowRight: [1, 0.25, 0],
  ArrowUp: [1, 0, -0.25],
  ArrowDown: [1, 0, 0.25],
};

function moved({ region, m, k }: HeatAnswer, factor: number, across: number, down: number): Region {
  const along = (low: number, high: number, most: number, step: number): readonly [number, number] => {
    const size = Math.min(most, Math.max(4, (high - low) * factor));
    const start = (low + high - size) / 2 + step * size;
    const from = Math.round(Math.max(0, Math.min(most - size, start)));
    return [from, Math.min(most, from + Math.round(size))];
  };
  const [top, bottom] = along(region.top, region.bottom, m, down);
  const [left, right] = along(region.left, region.right, k, across);
  return { top, bottom, left, right };
}

function saveCells({ rows, cols, region, magnitude, kept, most }: HeatAnswer, name: string): void {
  const [high, wide] = [region.bottom - region.top, region.right - region.left];
  const table = Array.from(magnitude, (value, cell) => ({
    row: region.top + (Math.floor(cell / cols) * high) / rows,
    column: region.left + ((cell % cols) * wide) / cols,
    'mean magnitude': (value * most) / 255,
    'share kept': (kept[cell] ?? 0) / 255,
  }));
  download(`weights ${name}`, 'csv', new Blob([csvOf(table)], { type: 'text/csv' }));
}

/** The picture, embedded: one rectangle for each of a hundred thousand cells would open nowhere. */
function savePicture(heat: HeatAnswer, name: string, shade: 'light' | 'dark'): void {
  const canvas = document.createElement('canvas');
  paint(canvas, heat, shade, 720);
  const { width, height } = canvas;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"><image width="${width}" height="${height}" style="image-rendering:pixelated" href="${canvas.toDataURL('image/png')}"/></svg>\n`;
  download(`weights ${name}`, 'svg', new Blob([svg], { type: 'image/svg+xml' }));
}
