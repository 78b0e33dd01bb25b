/** The command line of `grim dashboard`. */
import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../errors.ts';
import {
  type Bindings,
  bindings,
  type CommonOptions,
  constOption,
  dimOption,
  type Examples,
  jsonTarget,
  once,
  type Raw,
  shapeOption,
  subcommand,
  text,
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
    .addOption(once('--port <n>', 'of 127.0.0.1; 0: a free one', portNumber).default(PORT))
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .option('--open', 'start your browser')
    .addOption(once('--database <file>', 'recorded runs, of another file than GRIM_RESULTS names', text))
    .action((models: readonly string[], o: Raw) => {
      const json = jsonTarget(o);
      // `--json model.onnx` has taken what was meant as a model.
      const taken = json !== undefined && json !== '-' && !json.endsWith('.json') ? [json] : [];
      if (json !== undefined && json !== '-' && taken.length === 0)
        throw new UsageError('--json: the dashboard ends when it is told to; what it says goes to stdout.');
      if (models.includes('')) throw new UsageError('[models...]: a name is empty.');
      return done(
        dashboard({
          models: [...taken, ...models],
          port: o['port'] as number,
          open: o['open'] === true,
          database: o['database'] as string | undefined,
          json: taken.length > 0 ? '-' : json,
          force: o['force'] === true,
          ...bindings(o),
        }),
      );
    });
}

function portNumber(value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65535)
    throw new InvalidArgumentError('A port from 0 to 65535 is needed.');
  return Number(value);
}
