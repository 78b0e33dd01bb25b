/** How near the layers of a network are to what this browser can do. */
import type { PlotOptions } from '@observablehq/plot';
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { Figure, type Library, type Palette } from '../charts/figure.tsx';
import type { BenchAnswer } from '../engine/bench.ts';
import { Legend } from './legend.tsx';

export function Roofline({ answer }: { readonly answer: BenchAnswer }): VNode {
  const { layers, roofs } = answer.profile;
  const rows = useMemo(
    () =>
      layers
        .filter(({ intensity, gflops }) => intensity !== undefined && intensity > 0 && gflops > 0)
        .map(({ name, which, gflops, intensity = 0, us }) => ({
          name,
          which,
          'operations per byte': intensity,
          gflops,
          us,
        })),
    [layers],
  );
  const draw = useMemo(
    () =>
      (plot: Library, palette: Palette, width: number): PlotOptions => {
        const xs = rows.map((row) => row['operations per byte']);
        const [low, high] = [Math.min(0.2, ...xs) / 1.5, Math.max(64, ...xs) * 1.5];
        const bottom =
          Math.min(low * Math.min(...roofs.bandwidth.map(([, rate]) => rate)), ...rows.map(({ gflops }) => gflops)) /
          1.3;
        const [height, left, right, top, foot] = [320, 52, 24, 28, 40];
        // Pixels of a factor ten upwards over those of one to the right: the slope of a bandwidth.
        const upwards = (height - top - foot) / Math.log10((1.3 * roofs.gflops) / bottom);
        const sideways = (width - left - right) / Math.log10(high / low);
        const roof = roofs.bandwidth.map(([size, rate], index) => {
          const knee = roofs.gflops / rate;
          return {
            ...{ size: memory(size), rate, index },
            points: [
              [low, low * rate],
              [Math.max(low, knee), roofs.gflops],
              [high, roofs.gflops],
            ] as const,
          };
        });
        return {
          ...{ height, marginLeft: left, marginRight: right, marginTop: top, marginBottom: foot },
          x: {
            type: 'log',
            domain: [low, high],
            label: 'operations for each byte',
            grid: true,
            ticks: width < 480 ? 4 : 8,
            tickFormat: '~g',
          },
          y: {
            type: 'log',
            domain: [bottom, 1.3 * roofs.gflops],
            label: 'GFLOP/s on weights that are not zero',
            grid: true,
            tickFormat: '~g',
          },
          marks: [
            ...roof.map(({ points }) => plot.line(points, { stroke: palette.muted, strokeWidth: 1.2 })),
            // The fastest memory is named above its line, the others below theirs: their lines may lie close together, and
            // too close on a phone, where the summary has to do.
            ...roof
              .filter(() => width >= 480)
              .map((one) =>
                plot.text([one], {
                  ...{ x: () => low * 1.1, y: () => low * 1.1 * one.rate, textAnchor: 'start' },
                  ...{ dy: one.index === 0 ? -8 : 10, rotate: (-180 / Math.PI) * Math.atan2(upwards, sideways) },
                  text: () => `${one.size}: ${one.rate.toFixed(0)} GB/s`,
                  ...{ fill: palette.muted, fontSize: 11 },
                }),
              ),
            plot.text([roofs.gflops], {
              ...{
                x: high,
                y: roofs.gflops,
                text: [`peak ${roofs.gflops.toFixed(0)} GFLOP/s`],
                textAnchor: 'end',
                dy: 10,
              },
              fill: palette.muted,
            }),
            plot.dot(rows, {
              ...{ x: 'operations per byte', y: 'gflops', r: 5, tip: true, fillOpacity: 0.75 },
              fill: (row: (typeof rows)[number]) => (row.which === 'dense' ? palette.dense : palette.pruned),
              title: (row: (typeof rows)[number]) =>
                `${row.name}, ${row.which}\n${row.gflops.toPrecision(3)} GFLOP/s\n${row.us.toPrecision(3)} µs`,
            }),
          ],
        };
      },
    [rows, roofs],
  );
  return (
    <Figure
      title="Roofline of this browser"
      summary={`Peak ${roofs.gflops.toFixed(0)} GFLOP/s on one thread, measured just now; each dot is a layer. Lines: what memory can bring, ${roofs.bandwidth.map(([size, rate]) => `${memory(size)} ${rate.toFixed(0)} GB/s`).join(', ')}.`}
      rows={rows}
      draw={draw}
    >
      <Legend />
    </Figure>
  );
}

function memory(size: number): string {
  return size >= 2 ** 20 ? `${size / 2 ** 20} MiB` : `${size / 1024} KiB`;
}
