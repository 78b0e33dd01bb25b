/**
 * Speed of the simulator and of the circuit solver: medians after warm-up, in processor time of the one thread that works, as
 * others may use the machine; outputs are checked first.
 *
 *   node --conditions=@grim/source reram/speed.ts [--images 5] [--solves 20] [--out file]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { circuitSolver, PRESETS, quantiseNetwork, simulateDigital, simulateQuantised } from '@grim/reram';
import { DATA, feedsOf, network } from './networks.ts';

const { values: args } = parseArgs({
  options: {
    images: { type: 'string', default: '5' },
    solves: { type: 'string', default: '20' },
    out: { type: 'string' },
  },
});
const median = (times: readonly number[]) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;

/** Milliseconds that this thread has computed. */
const now = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

const own = network('resnet20_cifar10');
const images = feedsOf(own, own.test.data, 0, Number(args.images));
const quantised = quantiseNetwork(own.graph, feedsOf(own, own.calibration, 0, 4));
const [wanted] = simulateDigital(quantised, images.slice(0, 1));
const inference: Record<string, number> = {};
for (const everyConversion of [false, true]) {
  const times: number[] = [];
  let last = 0;
  const { outputs } = await simulateQuantised(quantised, [...images.slice(0, 1), ...images], PRESETS['isaac-8bit'], {
    everyConversion,
    onProgress: () => {
      if (last > 0) times.push(now() - last);
      last = now();
    },
  });
  const [logits = '', value] = Object.entries(wanted ?? {})[0] ?? [];
  if (JSON.stringify(outputs[0]?.[0]?.[logits]?.data) !== JSON.stringify(value?.data))
    throw new Error('the crossbars do not give the outputs of the integers');
  inference[everyConversion ? 'everyConversionMs' : 'provedConversionsMs'] = median(times);
}
console.log('ResNet-20 on isaac-8bit, one image, one thread', inference);

interface DropCase {
  readonly id: string;
  readonly settings: Readonly<Record<string, number>>;
  readonly conductance_S?: readonly (readonly number[])[];
  readonly cell_levels: readonly (readonly number[])[];
  readonly input_voltages_V: readonly (readonly number[])[];
}
const { cases } = JSON.parse(readFileSync(join(DATA, 'reram/ir_drop.json'), 'utf8')) as { cases: readonly DropCase[] };
const circuits = cases.map(({ id, settings: s, conductance_S, cell_levels, input_voltages_V }) => {
  const { Rmin_ohm = 1, Rmax_ohm = 1, R_input_segment_ohm = 0, R_output_segment_ohm = 0 } = s;
  const low = Rmin_ohm / Rmax_ohm;
  const cells =
    conductance_S ?? cell_levels.map((row) => row.map((level) => (low + ((1 - low) * level) / 3) / Rmin_ohm));
  const circuit = {
    inputs: cells[0]?.length ?? 0,
    outputs: cells.length,
    conductanceS: Float64Array.from(cells.flat()),
    inputSegmentOhm: R_input_segment_ohm,
    outputSegmentOhm: R_output_segment_ohm,
    inputTerminalOhm: s['R_input_terminal_ohm'] ?? 0,
    outputTerminalOhm: s['R_output_terminal_ohm'] ?? 0,
  };
  const volts = input_voltages_V[0] ?? [];
  const run = (method: 'auto' | 'direct') => circuitSolver(circuit, { method }).solve(volts);
  const largest = Math.max(...run('auto').currentsA);
  const apart = run('auto').currentsA.map((amps, o) => Math.abs(amps - (run('direct').currentsA[o] ?? 0)));
  if (Math.max(...apart) > 1e-9 * largest) throw new Error(`${id}: the two solvers disagree`);
  // Together, as the clock of a thread is coarse.
  const mean = (method: 'auto' | 'direct'): number => {
    const start = now();
    for (let i = 0; i < Number(args.solves); i++) run(method);
    return (now() - start) / Number(args.solves);
  };
  const found = { id, autoMs: mean('auto'), directMs: mean('direct') };
  console.log(`${id}: ${found.autoMs.toFixed(1)} ms, direct ${found.directMs.toFixed(1)} ms`);
  return found;
});

const report = {
  note: 'Processor time of one thread, ms; factors are made anew for each solve.',
  ...{ inference, circuits, load: loadavg() },
  ...{ cpu: cpus()[0]?.model, node: process.version, date: new Date().toISOString().slice(0, 10) },
};
if (args.out) writeFileSync(resolve(args.out), `${JSON.stringify(report, null, 1)}\n`);
