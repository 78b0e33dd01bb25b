/**
 * A chart with its title, what it says in words, and its two exports. Observable Plot draws it when it is on the page, in the
 * colours of the page; it comes in a file of its own, loaded when the first chart is wanted.
 */
import type { PlotOptions } from '@observablehq/plot';
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { theme } from '../theme.ts';
import { useWidth } from '../use-width.ts';
import { csvOf, type Table } from './csv.ts';
import { download } from './download.ts';
import { svgText } from './svg.ts';

export type Library = typeof import('@observablehq/plot');

/** Colours by meaning. */
export interface Palette {
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly surface: string;
  readonly dense: string;
  readonly pruned: string;
  readonly third: string;
  readonly fourth: string;
}

interface FigureProps {
  readonly title: string;
  /** What the chart shows, for those who do not see it. */
  readonly summary: string;
  readonly rows: Table;
  readonly draw: (plot: Library, palette: Palette, width: number) => PlotOptions;
  readonly children?: ComponentChildren;
}

export function Figure({ title, summary, rows, draw, children }: FigureProps): VNode {
  const place = useRef<HTMLDivElement>(null);
  const width = useWidth(place);
  const shade = theme.value;
  // The shade decides the colours that are read from the page.
  useEffect(() => {
    let stale = false;
    // After the frame in which the page itself changed, so that one task is not both.
    const timer = setTimeout(async () => {
      const plot = await import('@observablehq/plot');
      const into = place.current;
      if (stale || !into || width < 80) return;
      const palette = paletteOf(into);
      const drawn = plot.plot({
        width,
        // Room for a label below the ticks.
        marginBottom: 44,
        marginTop: 30,
        style: { background: 'transparent', color: palette.text, fontFamily: 'inherit', fontSize: '12px' },
        ...draw(plot, palette, width),
      });
      const svg = drawn.tagName.toLowerCase() === 'svg' ? drawn : drawn.querySelector('svg');
      // The figure says what it is; the marks inside have nothing to add.
      svg?.setAttribute('aria-hidden', 'true');
      into.replaceChildren(drawn);
    }, 0);
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  }, [draw, width, shade]);
  const exportSvg = () => {
    const svg = place.current?.querySelector('svg');
    if (svg && place.current)
      download(title, 'svg', new Blob([svgText(svg, title, paletteOf(place.current))], { type: 'image/svg+xml' }));
  };
  return (
    <figure class="figure card">
      <figcaption>
        <h3>{title}</h3>
        <span class="exports">
          <button type="button" class="quiet" onClick={exportSvg} aria-label={`Save "${title}" as SVG`}>
            SVG
          </button>
          <button
            type="button"
            class="quiet"
            onClick={() => download(title, 'csv', new Blob([csvOf(rows)], { type: 'text/csv' }))}
            aria-label={`Save the data of "${title}" as CSV`}
          >
            CSV
          </button>
        </span>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={`${title}. ${summary}`} />
      <p class="summary">{summary}</p>
      {children}
    </figure>
  );
}

function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    ...{ text: of('text'), muted: of('muted'), line: of('line'), surface: of('surface') },
    ...{ dense: of('dense'), pruned: of('pruned'), third: of('third'), fourth: of('fourth') },
  };
}
