/** What the wires of one array cost: its circuit solved, its fast approximation judged, the lost voltage drawn. */
import { quote, show } from '@grim/ir';
import { approximateCircuit, arrayCircuit, circuitSolver, type MappedLayer } from '@grim/reram';
import { UsageError } from '../errors.ts';
import type { Io } from '../output.ts';
import type { ReramMapCommandOptions } from './args.ts';
import { dropPlot, type PlotTarget, writePlot } from './plots.ts';

export interface Wires {
  readonly layer: string;
  readonly inputs: number;
  readonly columns: number;
  readonly wireOhm: number;
  readonly cellOhm: number;
  /** Of the currents with every word line driven; mean and largest share that is lost. */
  readonly meanLoss: number;
  readonly largestLoss: number;
  /** Largest error of currents by one calibrated factor for each cell, and without any correction. */
  readonly approximation: { readonly maxError: number; readonly uncorrectedMaxError: number };
}

const READ_V = 0.2;

/** Solves the first array (positive weights) of a layer; draws what each cell loses where `target` says so. */
export async function solveWires(
  layers: readonly MappedLayer[],
  { layer, wireOhm, cellOhm }: ReramMapCommandOptions,
  target: PlotTarget | undefined,
  io: Io,
): Promise<Wires> {
  const size = ({ mapping }: MappedLayer) => mapping.inputs * mapping.outputs;
  const found =
    layer === undefined
      ? [...layers].sort((a, b) => size(b) - size(a))[0]
      : layers.find(({ part }) => part.name === layer);
  if (!found)
    throw new UsageError(
      `no layer is called ${quote(layer ?? '')}: ${layers.map(({ part }) => part.name).join(', ')}.`,
    );
  const circuit = arrayCircuit(found.mapping, { wireOhm, cellOhm });
  const { inputs, outputs: columns } = circuit;
  const on = new Float64Array(inputs).fill(READ_V);
  const { currentsA, idealCurrentsA, cellVoltageV } = circuitSolver(circuit).solve(on);
  const losses = Array.from(currentsA, (amps, o) => 1 - amps / (idealCurrentsA[o] as number)).filter(Number.isFinite);
  const halves = [0, 1].map((odd) => on.map((volts, i) => (i % 2 === odd ? volts : 0)));
  const { maxError, uncorrectedMaxError } = approximateCircuit(circuit, on, halves);
  if (target)
    await writePlot(
      `Voltage lost in the wires: ${show(found.part.name)}, ${wireOhm} ohm a segment`,
      target,
      dropPlot(
        cellVoltageV.map((volts) => 1 - volts / READ_V),
        inputs,
      ),
      io,
    );
  return {
    ...{ layer: found.part.name, inputs, columns, wireOhm, cellOhm },
    meanLoss: losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length),
    largestLoss: Math.max(0, ...losses),
    approximation: { maxError, uncorrectedMaxError },
  };
}

export function wiresText({
  layer,
  inputs,
  columns,
  wireOhm,
  cellOhm,
  meanLoss,
  largestLoss,
  approximation,
}: Wires): string {
  const percent = (share: number) => `${(100 * share).toPrecision(3)} %`;
  return `wires of the first array of ${show(layer)} (${inputs}×${columns}, ${wireOhm} ohm a segment, cells of ${cellOhm} ohm, all lines driven): currents lose ${percent(meanLoss)}, ${percent(largestLoss)} at most; one factor for each cell errs by ${percent(approximation.maxError)} on other inputs, no correction by ${percent(approximation.uncorrectedMaxError)}`;
}
