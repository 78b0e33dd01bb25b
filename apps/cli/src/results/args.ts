/** The command line of `grim results`. */
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import {
  type CommonOptions,
  decimal,
  type Examples,
  jsonTarget,
  once,
  type Raw,
  subcommand,
  text,
  wholeNumber,
} from '../options.ts';
import { RUN_KINDS, type RunKind } from './run.ts';

interface ResultsOptions extends CommonOptions {
  /** Undefined: `GRIM_RESULTS`, or the user's. */
  readonly database: string | undefined;
}
export interface ListOptions extends ResultsOptions {
  readonly kind: RunKind | undefined;
  readonly model: string | undefined;
  readonly limit: number;
}
export interface ShowOptions extends ResultsOptions {
  readonly id: number | 'last';
}
export interface CompareOptions extends ResultsOptions {
  readonly before: number | 'last';
  readonly after: number | 'last';
}
export interface HistoryOptions extends ResultsOptions {
  /** A run of the line, or a part of the model's path. */
  readonly of: string;
  /** Of what `of` finds. */
  readonly kind: RunKind | undefined;
  /** What is shown point by point; undefined: the first that there is. */
  readonly what: string | undefined;
  readonly plot: string | undefined;
  /** Percent by which the newest run may be worse. */
  readonly failIfWorse: number | undefined;
}
export interface ExportOptions extends ResultsOptions {
  readonly format: 'json' | 'csv' | 'md';
  readonly output: string | undefined;
  readonly kind: RunKind | undefined;
  readonly model: string | undefined;
}
export interface RemoveOptions extends ResultsOptions {
  readonly ids: readonly number[];
}

export interface ResultsCommands {
  list(options: ListOptions): Promise<number>;
  show(options: ShowOptions): Promise<number>;
  compare(options: CompareOptions): Promise<number>;
  history(options: HistoryOptions): Promise<number>;
  export(options: ExportOptions): Promise<number>;
  remove(options: RemoveOptions): Promise<number>;
}

/** As in `EXAMPLES` of the main commands; tests run them on a database with two runs. */
export const RESULTS_EXAMPLES: Readonly<Record<string, Examples>> = {
  list: [
    ['results', 'the newest runs'],
    ['results list --kind bench --json', 'of one kind, for a program'],
  ],
  show: [
    ['results show last', 'the newest run'],
    ['results show 1 --json', 'the first one with its whole report, for a program'],
  ],
  compare: [
    ['results compare 1 2', 'what became better or worse'],
    ['results compare 1 last --json', 'with the newest run, for a program'],
  ],
  history: [
    ['results history model.onnx', 'a model over time, on this device'],
    ['results history last --fail-if-worse 50 --json', 'a gate, for a program'],
  ],
  export: [
    ['results export --format csv', 'a line for each number'],
    ['results export --format md', 'a table for a pull request'],
  ],
  remove: [
    ['results remove 1', 'forget a run'],
    ['results remove 2 --json', 'for a program'],
  ],
};

const FORMATS = ['json', 'csv', 'md'] as const;

export function addResults(
  program: Command,
  commands: ResultsCommands,
  done: (status: number | Promise<number>) => Promise<void>,
): void {
  const results = program
    .command('results')
    .description('what grim bench, tune, prune and train found before: list, compare, follow over time')
    .usage('<command> [options]')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText(
      'after',
      '\nRuns are kept in one SQLite file, results.sqlite, in $XDG_DATA_HOME/grim or\n~/.local/share/grim. GRIM_RESULTS names another file, or is off.',
    );
  const command = (name: string, positionals: string, description: string) =>
    subcommand(results, name, positionals, description, RESULTS_EXAMPLES[name] ?? [], name === 'list').addOption(
      once('--database <file>', 'another one than GRIM_RESULTS names', text),
    );
  const common = (o: Raw): ResultsOptions => ({
    json: jsonTarget(o),
    force: o['force'] === true,
    database: o['database'] as string | undefined,
  });
  const chosen = (o: Raw) => ({ kind: o['kind'] as RunKind | undefined, model: o['model'] as string | undefined });

  command('list', '[model]', 'the newest runs')
    .argument('[model]', 'a part of the path of a model')
    .addOption(kindOption())
    .addOption(once('--limit <n>', 'how many', wholeNumber).default(20))
    .action((model: string | undefined, o: Raw) =>
      done(commands.list({ ...common(o), ...chosen(o), model, limit: o['limit'] as number })),
    );

  command('show', '<run>', 'one run: where, with what, what came out')
    .argument('[run]', 'its number, or last')
    .action((id: string | undefined, o: Raw) => done(commands.show({ ...common(o), id: runNumber(id) })));

  command('compare', '<before> <after>', 'two runs: what became better or worse, and what else differs')
    .argument('[before]', 'the number of a run, or last')
    .argument('[after]', 'another one')
    .action((before: string | undefined, after: string | undefined, o: Raw) =>
      done(commands.compare({ ...common(o), before: runNumber(before), after: runNumber(after) })),
    );

  command('history', '<run|model>', 'the same measurement over time, on this device')
    .argument('[of]', 'a number, last, or a part of the path of a model')
    .addOption(kindOption())
    .addOption(once('--what <name>', 'what is shown, as "ms of grim"', text))
    .addOption(once('--plot <file>', 'draw it as .svg or .png', text))
    .addOption(once('--fail-if-worse <percent>', `exit with ${EXIT.gate} if the newest run surely is`, percent))
    .action((of: string | undefined, o: Raw) => {
      if (!of) throw new UsageError('<run|model> is missing: a number, last, or a part of the path of a model.');
      return done(
        commands.history({
          ...{
            ...common(o),
            ...chosen(o),
            of,
            what: o['what'] as string | undefined,
            plot: o['plot'] as string | undefined,
          },
          failIfWorse: o['failIfWorse'] as number | undefined,
        }),
      );
    });

  command('export', '', 'all runs as JSON, CSV or a Markdown table')
    .addOption(once('--format <name>', 'how').choices(FORMATS).default('json'))
    .addOption(once('-o, --output <file>', 'where to; default: stdout', text))
    .addOption(kindOption())
    .addOption(modelOption())
    .action((o: Raw) => {
      if (o['json'] !== undefined) throw new UsageError('--json prints no other format: use --format json.');
      const [format, output] = [o['format'] as ExportOptions['format'], o['output'] as string | undefined];
      return done(commands.export({ ...common(o), ...chosen(o), format, output }));
    });

  command('remove', '<runs...>', 'forget runs')
    .argument('[runs...]', 'their numbers')
    .action((ids: readonly string[], o: Raw) => {
      if (ids.length === 0) throw new UsageError('<runs...> are missing: the numbers of runs.');
      const numbers = ids.map((one) => {
        const id = runNumber(one);
        if (id === 'last') throw new UsageError('last: a run is removed by its number.');
        return id;
      });
      return done(commands.remove({ ...common(o), ids: numbers }));
    });
}

const kindOption = (): Option => once('--kind <name>', 'of one command').choices(RUN_KINDS);
const modelOption = (): Option => once('--model <text>', 'whose path holds this', text);

function runNumber(given: string | undefined): number | 'last' {
  if (given === undefined) throw new UsageError('the number of a run is missing. See grim results list.');
  if (given === 'last') return given;
  if (!/^[1-9]\d{0,14}$/.test(given))
    throw new UsageError(`${given} is not the number of a run. See grim results list.`);
  return Number(given);
}

function percent(value: string): number {
  const parsed = decimal(value);
  if (!(parsed >= 0 && parsed <= 1000)) throw new InvalidArgumentError('A number from 0 to 1000 is needed, as 5.');
  return parsed;
}
