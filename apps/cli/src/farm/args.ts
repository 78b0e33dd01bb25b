/** The command line of `grim farm`. */
import type { Command } from 'commander';
import {
  type Bindings,
  bindings,
  type CommonOptions,
  constOption,
  dimOption,
  type Examples,
  once,
  positionals,
  type Raw,
  type Recorded,
  recorded,
  recordOption,
  shapeOption,
  subcommand,
  wholeFrom,
} from '../options.ts';

export interface FarmOptions extends CommonOptions, Bindings, Recorded {
  readonly models: readonly string[];
  /** From how many devices each model is wanted. */
  readonly devices: number;
  /** Reachable from the network that this machine is in. */
  readonly lan: boolean;
  /** 0: a free one. */
  readonly port: number;
}

/** As in `EXAMPLES` of the main commands; not run by tests as they stand: they wait for devices. */
const FARM_EXAMPLES: Examples = [
  ['farm net.grim --lan', 'scan the code with a phone in the same network'],
  ['farm dense.grim pruned.grim --lan --devices 3', 'both, from three devices each'],
];

export function addFarm(
  program: Command,
  farm: (options: FarmOptions) => Promise<number>,
  done: (status: number | Promise<number>) => Promise<void>,
): void {
  subcommand(program, 'farm', '<models...>', 'measure models on phones: they open a page by its QR code', FARM_EXAMPLES)
    .argument('[models...]', '.grim or .onnx files')
    .addOption(once('--devices <n>', 'from how many each model is wanted', wholeFrom(1, 100)).default(1))
    .option('--lan', 'let devices of this network in; otherwise this machine alone (for adb reverse)')
    .addOption(once('--port <n>', 'default: a free one', wholeFrom(0, 65535)).default(0))
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .addOption(recordOption())
    .action((models: readonly string[], o: Raw) => {
      const [paths, json] = positionals('models', models, o);
      return done(
        farm({
          models: paths,
          devices: o['devices'] as number,
          lan: o['lan'] === true,
          port: o['port'] as number,
          json,
          force: o['force'] === true,
          ...bindings(o),
          ...recorded(o),
        }),
      );
    });
}
