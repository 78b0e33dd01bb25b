/** The command line of `grim dashboard`. */
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
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
  shapeOption,
  subcommand,
  text,
  wholeFrom,
} from '../options.ts';

export interface DashboardOptions extends CommonOptions, Bindings {
  /** Files that the page may load. */
  readonly models: readonly string[];
  /** 0: a free one. */
  readonly port: number;
  /** Starts the browser. */
  readonly open: boolean;
  readonly database: string | undefined;
}

/** As in `EXAMPLES` of the main commands; tests start them and end them. */
export const DASHBOARD_EXAMPLES: Examples = [
  ['dashboard --port 0', 'the page, and what was measured before'],
  ['dashboard apps/cli/demo/tiny-cnn/model.onnx --dim N=1 --port 0 --json', 'with a model, for a program'],
];

/** Always the same one, so that what the browser keeps for a page is found again. */
const PORT = 4747;

export function addDashboard(
  program: Command,
  dashboard: (options: DashboardOptions) => Promise<number>,
  done: (status: number | Promise<number>) => Promise<void>,
): void {
  subcommand(
    program,
    'dashboard',
    '[models...]',
    'a page on this machine: models in your browser, and recorded runs',
    DASHBOARD_EXAMPLES,
  )
    .argument('[models...]', '.grim or .onnx files that the page may load')
    .addOption(once('--port <n>', 'of 127.0.0.1; 0: a free one', wholeFrom(0, 65535)).default(PORT))
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .option('--open', 'start your browser')
    .addOption(once('--database <file>', 'recorded runs, of another file than GRIM_RESULTS names', text))
    .action((models: readonly string[], o: Raw) => {
      const [paths, json] = positionals('models', models, o);
      if (json !== undefined && json !== '-')
        throw new UsageError('--json: the dashboard ends when it is told to; what it says goes to stdout.');
      return done(
        dashboard({
          models: paths,
          port: o['port'] as number,
          open: o['open'] === true,
          database: o['database'] as string | undefined,
          json,
          force: o['force'] === true,
          ...bindings(o),
        }),
      );
    });
}
