/** The command line of `grim reram`: its commands, options and their values. */
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { type CommonOptions, type Examples, filterOption, jsonTarget, type Raw, subcommand } from '../options.ts';

export interface ReramCheckOptions extends CommonOptions {
  readonly files: readonly string[];
  readonly filter: RegExp | undefined;
}

export interface ReramCommands {
  check(options: ReramCheckOptions): number;
}

/** As in `EXAMPLES` of the main commands; what is read lies in the data folder. */
export const RERAM_EXAMPLES: Readonly<Record<string, Examples>> = {
  check: [
    ['reram check apps/cli/demo/reram', 'every file of reference vectors in a folder'],
    ['reram check apps/cli/demo/reram/adc_bits.json --json', 'one file, for a program'],
  ],
};

/** Adds `reram` and its commands to the program. */
export function addReram(
  program: Command,
  commands: ReramCommands,
  done: (status: number | Promise<number>) => Promise<void>,
): void {
  const reram = program
    .command('reram')
    .description('map a network to ReRAM crossbars: arrays, accuracy, exact ADCs, cost')
    .usage('<command> [options]')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command');
  const command = (name: string, positionals: string, description: string) =>
    subcommand(reram, name, positionals, description, RERAM_EXAMPLES[name] ?? []);

  command('check', '<file|folder>...', 'run reference vectors of crossbars, and print the error of each case')
    .argument('[files...]', 'files of vectors, or folders of them')
    .addOption(filterOption())
    .action((files: readonly string[], o: Raw) => {
      const json = jsonTarget(o);
      // `--json file.json` before the only file has taken it.
      const swallowed = files.length === 0 && json !== undefined && json !== '-';
      const paths = swallowed ? [json] : files;
      if (paths.length === 0) throw new UsageError('<file|folder> is missing. See grim reram check --help.');
      return done(
        commands.check({
          files: paths,
          filter: o['filter'] as RegExp | undefined,
          json: swallowed ? '-' : json,
          force: o['force'] === true,
        }),
      );
    });
}
