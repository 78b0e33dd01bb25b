/**
 * Speed against loss: each kind of block at one density for all, unstructured and structured pruning among them, and the
 * candidates that were tried. Lines are losses of layers alone, added up, scaled to what the candidates lost in fact.
 */

import type { Io } from '../output.ts';
import { type Draw, type PlotTarget, writePlot } from '../reram/plots.ts';
import type { FoundPlan } from './find-plan.ts';

interface CurvePlotPoint {
  readonly series: string;
  readonly speedup: number;
  readonly loss: number;
}

/** Points of the lines, those of the candidates' range of loss alone. */
function curvePoints({ candidates, curve }: Pick<FoundPlan, 'candidates' | 'curve'>): readonly CurvePlotPoint[] {
  const most = 4 * Math.max(...candidates.map(({ loss }) => loss));
  const ratios = candidates.flatMap(({ kind, block, speedup, loss }) => {
    const series = curve.find((one) => kind === 'uniform' && one.series === block);
    const said = series && lossAt(series.points, speedup);
    return said !== undefined && said > 0 && loss > 0 ? [Math.log(loss / said)] : [];
  });
  const scale = ratios.length > 0 ? Math.exp(ratios.reduce((sum, one) => sum + one, 0) / ratios.length) : 1;
  return curve.flatMap(({ series, points }) =>
    points
      .map(({ speedup, loss }) => ({ series: seriesName(series), speedup, loss: loss * scale }))
      .filter(({ loss }) => candidates.length === 0 || loss <= most),
  );
}

function lossAt(points: FoundPlan['curve'][number]['points'], speedup: number): number | undefined {
  const sorted = points.toSorted((a, b) => a.speedup - b.speedup);
  const above = sorted.findIndex((point) => point.speedup >= speedup);
  const [low, high] = [sorted[above - 1], sorted[above]];
  if (!low || !high || !(low.loss > 0) || !(high.loss > 0)) return undefined;
  const share = (speedup - low.speedup) / (high.speedup - low.speedup);
  return low.loss ** (1 - share) * high.loss ** share;
}

function seriesName(series: string): string {
  return series === '1xK' ? '1xK, unstructured' : series === 'KxK' ? 'KxK, structured' : series;
}

/** What to draw of a search. */
export function curvePlot(found: FoundPlan): Draw {
  const lines = curvePoints(found);
  const tried = found.candidates.map((one) => ({
    ...one,
    name: one.kind === 'uniform' ? `all ${one.block}` : one.kind,
  }));
  const taken = tried.filter(({ loss, speedup }) => loss === found.loss && speedup === found.speedup);
  return (plot) => ({
    x: { label: 'times as fast as dense', grid: true, nice: true },
    y: { label: null, grid: true, nice: true, type: 'log' as const, tickFormat: '~g' },
    upLabel: 'difference of the outputs',
    marginRight: 130,
    marks: [
      plot.line(lines, { x: 'speedup', y: 'loss', stroke: 'series', strokeOpacity: 0.6 }),
      plot.dot(lines, { x: 'speedup', y: 'loss', fill: 'series', r: 2 }),
      plot.text(
        lines,
        plot.selectMaxX({
          x: 'speedup',
          y: 'loss',
          z: 'series',
          text: 'series',
          fill: 'series',
          dx: 6,
          textAnchor: 'start',
        }),
      ),
      plot.dot(tried, { x: 'speedup', y: 'loss', stroke: '#333', r: 4 }),
      plot.dot(taken, { x: 'speedup', y: 'loss', fill: '#c33', r: 6 }),
      plot.text(taken, {
        x: 'speedup',
        y: 'loss',
        text: 'name',
        dx: 10,
        dy: 12,
        textAnchor: 'start',
        fontWeight: 'bold',
      }),
    ],
  });
}

export function drawCurve(found: FoundPlan, model: string, target: PlotTarget, io: Io): Promise<void> {
  return writePlot(`${model}: what speed costs`, target, curvePlot(found), io);
}
