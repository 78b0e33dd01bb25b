/** Right answers against speed, one line for each block shape: what `search.ts --curve` measured, as an SVG that stands alone. */
import { svgOf } from '../../apps/cli/src/reram/plots.ts';

interface Point {
  readonly block: string;
  readonly density: number;
  readonly speedup: number;
  readonly correct: number;
}

const WHAT: Readonly<Record<string, string>> = { '1xK': '1×K, unstructured', KxK: 'K×K, structured' };

/** @param dense  right answers of the dense network, `of` in all */
export function curveSvg(
  title: string,
  points: readonly Point[],
  { dense, of }: { readonly dense: number; readonly of: number },
): Promise<string> {
  const named = points.map((one) => ({ ...one, shape: WHAT[one.block] ?? one.block.replace('x', '×') }));
  const rows = named.toSorted((a, b) => a.shape.localeCompare(b.shape) || b.density - a.density);
  // Far below the dense network lines only cross: a floor keeps what people would use apart.
  const floor = 0.7 * dense;
  const shown = rows.filter(({ correct }) => correct >= floor);
  return svgOf(title, (plot) => ({
    x: { label: 'times as fast as dense', grid: true, nice: true },
    y: { label: null, grid: true, domain: [floor, Math.max(dense, ...shown.map(({ correct }) => correct)) * 1.01] },
    upLabel: `right answers of ${of}`,
    marginRight: 140,
    marks: [
      plot.ruleY([dense], { stroke: '#777', strokeDasharray: '4 3' }),
      plot.text([dense], {
        y: (value: number) => value,
        text: () => 'dense',
        frameAnchor: 'right',
        dx: 44,
        fill: '#777',
      }),
      plot.line(shown, { x: 'speedup', y: 'correct', stroke: 'shape', strokeWidth: 1.6 }),
      plot.dot(shown, { x: 'speedup', y: 'correct', fill: 'shape', r: 2.8 }),
      plot.text(
        shown,
        plot.selectMaxX({
          x: 'speedup',
          y: 'correct',
          z: 'shape',
          text: 'shape',
          fill: 'shape',
          dx: 6,
          textAnchor: 'start',
        }),
      ),
    ],
  }));
}
