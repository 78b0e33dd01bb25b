/** The command line of `grim reram`: its commands, options and their values. */
import {
  ADC_LAWS,
  type AdcLawName,
  type DesignSpace,
  HARDWARE,
  PRESETS,
  type PresetName,
  type Storage,
  type StorageChoice,
} from '@grim/reram';
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { UsageError } from '../errors.ts';
import {
  type Bindings,
  bindings,
  type CommonOptions,
  dimOption,
  type Examples,
  filterOption,
  jsonTarget,
  once,
  pairs,
  positional,
  type Raw,
  shapeOption,
  subcommand,
  text,
  wholeNumber,
} from '../options.ts';

export interface ReramCheckOptions extends CommonOptions {
  readonly files: readonly string[];
  readonly filter: RegExp | undefined;
}

export interface ModelOptions extends CommonOptions, Bindings {
  readonly model: string;
}

export interface ExampleOptions {
  /** Name of an input → the file that holds it, examples along its first axis. */
  readonly inputs: ReadonlyMap<string, string>;
  readonly labels: string | undefined;
  readonly limit: number | undefined;
}

export interface CrossbarOptions {
  readonly preset: PresetName;
  readonly rows: number | undefined;
  readonly cols: number | undefined;
  readonly cellBits: number | undefined;
  readonly weightBits: number | undefined;
  readonly inputBits: number | undefined;
  readonly adcBits: number | undefined;
  readonly storage: Storage | undefined;
  readonly subtract: 'analog' | 'digital' | undefined;
  /** What a weight of zero is stored as: two empty cells, or two full ones. */
  readonly zeroPair: 'low' | 'high' | undefined;
  readonly device: ReadonlyMap<string, number>;
  /** Integers are fitted to converters of this many bits. */
  readonly fit: number | undefined;
}

type ReramMapOptions = ModelOptions & ExampleOptions & CrossbarOptions;
export interface ReramMapCommandOptions extends ReramMapOptions {
  /** Where the map of the voltages in one array is drawn. */
  readonly plot: string | undefined;
  readonly layer: string | undefined;
  /** The circuit of one array is solved. */
  readonly wires: boolean;
  /** Of a wire's segment from cell to cell, and of a cell at its top level. */
  readonly wireOhm: number;
  readonly cellOhm: number;
}
/** Each layer its own converters, within a share of what the largest take. */
export interface BudgetOptions {
  readonly budget: number | undefined;
  readonly price: 'energy' | 'area';
}
export interface ReramCostOptions extends ReramMapOptions, BudgetOptions {
  readonly design: string;
  readonly law: AdcLawName | undefined;
  /** Converters as each block's certificate asks for. */
  readonly mixed: boolean;
  readonly spare: number;
}
export interface ReramCertifyOptions extends ReramMapOptions {
  readonly output: string | undefined;
  /** A certificate to verify instead of writing one. */
  readonly verify: string | undefined;
  readonly plot: string | undefined;
}
export interface ReramSimulateOptions extends ReramMapOptions, BudgetOptions {
  readonly seed: number;
  readonly trials: number;
  readonly threads: number | undefined;
  readonly attribute: boolean;
  /** Filters and inputs move around broken cells, beside the same cells without it. */
  readonly remap: boolean;
  readonly spareSlots: number;
  readonly everyConversion: boolean;
}

export interface ReramExploreOptions extends ModelOptions, ExampleOptions {
  readonly space: DesignSpace;
  /** Dense ISAAC arrays with mixed converters, at each of these shares of their energy. */
  readonly budgets: readonly number[];
  readonly design: string;
  readonly law: AdcLawName | undefined;
  readonly threads: number | undefined;
  readonly plot: string | undefined;
}

export interface ReramCommands {
  check(options: ReramCheckOptions): number;
  map(options: ReramMapCommandOptions): Promise<number>;
  cost(options: ReramCostOptions): Promise<number>;
  certify(options: ReramCertifyOptions): Promise<number>;
  simulate(options: ReramSimulateOptions): Promise<number>;
  explore(options: ReramExploreOptions): Promise<number>;
}

const TINY = 'apps/cli/demo/tiny-cnn/model.onnx';

/** As in `EXAMPLES` of the main commands. */
export const RERAM_EXAMPLES: Readonly<Record<string, Examples>> = {
  check: [
    ['reram check apps/cli/demo/reram', 'every file of reference vectors in a folder'],
    ['reram check apps/cli/demo/reram/adc_bits.json --json', 'one file, for a program'],
  ],
  map: [
    [`reram map ${TINY}`, 'arrays, columns and exact bits of each layer'],
    [`reram map ${TINY} --preset isaac-8bit --json`, 'on biased storage, for a program'],
  ],
  cost: [
    [`reram cost ${TINY} --fit 5`, 'with the integers fitted to 5-bit converters'],
    [`reram cost ${TINY} --design puma-like --json`, 'by another table, for a program'],
  ],
  certify: [
    [`reram certify ${TINY} --fit 4 -o adc.json`, 'a proof for every column, written down'],
    [`reram certify ${TINY} --json`, 'for a program'],
  ],
  explore: [
    [`reram explore ${TINY} --adc-bits 4,6`, 'try it out'],
    [`reram explore ${TINY} --cp none,4 --json`, 'pruned too, for a program'],
  ],
  simulate: [
    [`reram simulate ${TINY} --device stuckHrs=0.01`, 'a hundredth of the cells broken'],
    [`reram simulate ${TINY} --json`, 'for a program'],
  ],
};

const STORAGES: readonly Storage[] = ['differential', 'sign-separated', 'offset'];
const DEVICE = ['onOffRatio', 'programming', 'lognormal', 'readNoise', 'drift', 'stuckHrs', 'stuckLrs'];

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
  const onModel = (name: string, description: string, more: readonly Option[] = []) => {
    const made = command(name, '<model>', description).argument('[model]', 'the .onnx file');
    for (const option of [...crossbarOptions(), ...more, ...exampleOptions()]) made.addOption(option);
    return made;
  };

  onModel('map', 'show the arrays, columns and exact ADC bits of each layer', [
    plotOption('the voltage that the wires of one array lose'),
    once('--layer <name>', 'whose first array is drawn; default: the largest', text),
    once('--wire-ohm <ohm>', 'solve the circuit of one array: a wire from cell to cell (1)', real),
    once('--cell-ohm <ohm>', 'the same: a cell at its top level (10000)', real),
  ]).action((model: string | undefined, o: Raw) =>
    done(
      commands.map({
        ...mapOptions(model, o),
        plot: o['plot'] as string | undefined,
        layer: o['layer'] as string | undefined,
        wires: ['plot', 'layer', 'wireOhm', 'cellOhm'].some((name) => o[name] !== undefined),
        wireOhm: (o['wireOhm'] as number | undefined) ?? 1,
        cellOhm: (o['cellOhm'] as number | undefined) ?? 10_000,
      }),
    ),
  );

  onModel('cost', 'show what a network on crossbars takes: energy, area, time, by part', [
    once('--design <name>', 'the component table', text)
      .choices([...HARDWARE.keys()])
      .default('isaac-ce'),
    once('--adc-law <name>', 'how the cost of a converter grows with its bits', text).choices([...ADC_LAWS.keys()]),
    once('--spare <arrays>', 'arrays that copies of slow layers may take', wholeNumber),
    ...budgetOptions(),
  ])
    .option('--mixed', 'each block of word lines has the converters that its certificate asks for')
    .action((model: string | undefined, o: Raw) =>
      done(
        commands.cost({
          ...mapOptions(model, o),
          design: o['design'] as string,
          law: o['adcLaw'] as AdcLawName | undefined,
          mixed: o['mixed'] === true,
          ...budgets(o),
          spare: (o['spare'] as number | undefined) ?? 0,
        }),
      ),
    );

  onModel('certify', 'prove for every column that its converter is exact, and write the proof down', [
    once('-o, --output <file>', 'where the certificates are written', text),
    once('--verify <file>', 'verify certificates against the model instead', text),
    plotOption('how large the sums of columns can be'),
  ]).action((model: string | undefined, o: Raw) =>
    done(
      commands.certify({
        ...mapOptions(model, o),
        output: o['output'] as string | undefined,
        verify: o['verify'] as string | undefined,
        plot: o['plot'] as string | undefined,
      }),
    ),
  );

  onModel('simulate', 'run a network on crossbars and compare it with exact arithmetic', [
    once('--seed <n>', 'of everything that is drawn', wholeNumber).default(1),
    once('--trials <n>', 'independent arrays to program', wholeNumber).default(1),
    once('--threads <n>', 'workers; default: one for each core', wholeNumber),
    once('--spare-slots <n>', 'with --remap: spare places for filters in each layer', wholeNumber),
    ...budgetOptions(),
  ])
    .option('--remap', 'move filters and inputs around broken cells, and say what it saves')
    .option('--attribute', 'turn each non-ideality off in turn, and on alone')
    .option('--every-conversion', 'convert even where it is proved to change nothing')
    .action((model: string | undefined, o: Raw) => {
      const common = mapOptions(model, o);
      const remap = o['remap'] === true;
      if (o['spareSlots'] !== undefined && !remap) throw new UsageError('--spare-slots needs --remap.');
      if (remap && !(common.device.get('stuckHrs') || common.device.get('stuckLrs')))
        throw new UsageError('--remap needs broken cells: --device stuckHrs=… or stuckLrs=….');
      return done(
        commands.simulate({
          ...common,
          ...{ ...budgets(o), remap, spareSlots: (o['spareSlots'] as number | undefined) ?? 0 },
          seed: o['seed'] as number,
          trials: o['trials'] as number,
          threads: o['threads'] as number | undefined,
          attribute: o['attribute'] === true,
          everyConversion: o['everyConversion'] === true,
        }),
      );
    });

  const explore = command(
    'explore',
    '<model>',
    'search designs: accuracy, energy and area of each, and the best of them',
  ).argument('[model]', 'the .onnx file');
  for (const option of [...spaceOptions(), plotOption('energy against accuracy'), ...exampleOptions()])
    explore.addOption(option);
  explore.action((model: string | undefined, o: Raw) => {
    const [path, json] = positional('model', model, o);
    return done(
      commands.explore({
        ...{ model: path, json, force: o['force'] === true, ...bindings(o), ...examples(o) },
        space: {
          nonZeros: o['cp'] as readonly (number | undefined)[],
          inputsKept: o['keep'] as readonly (number | undefined)[],
          weightBits: o['weightBits'] as readonly number[],
          rows: o['rows'] as readonly number[],
          cols: o['cols'] as readonly number[],
          cellBits: o['cellBits'] as readonly number[],
          adcBits: o['adcBits'] as readonly number[],
          storage: o['storage'] as readonly StorageChoice[],
        },
        budgets: (o['budget'] as readonly number[] | undefined) ?? [],
        design: o['design'] as string,
        law: o['adcLaw'] as AdcLawName | undefined,
        threads: o['threads'] as number | undefined,
        plot: o['plot'] as string | undefined,
      }),
    );
  });

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

function crossbarOptions(): readonly Option[] {
  return [
    once('--preset <name>', 'the crossbar to begin with', text).choices(Object.keys(PRESETS)).default('tinyadc'),
    once('--rows <n>', 'word lines of an array', integer),
    once('--cols <n>', 'bit lines of an array', integer),
    once('--cell-bits <n>', 'bits of a cell', integer),
    once('--weight-bits <n>', 'bits of a weight, sign included', integer),
    once('--input-bits <n>', 'bits of an input, sign included', integer),
    once('--adc-bits <n>', 'bits of the converters, one code per cell level', integer),
    once('--storage <name>', 'how signs are stored', text).choices(STORAGES),
    once('--subtract <how>', 'a pair: currents, side by side, before one conversion; or numbers', text).choices([
      'analog',
      'digital',
    ]),
    once('--zero-pair <how>', 'a weight of zero: two empty cells (low) or two full ones', text).choices([
      'low',
      'high',
    ]),
    once('--fit <bits>', 'move the integers until converters of so many bits are exact', integer),
    pairs('--device <name=number>', `${DEVICE.join(', ')}; may be repeated`, real),
  ];
}

const budgetOptions = (): readonly Option[] => [
  once('--budget <share>', 'each layer its own converters, in this share of what the largest take', share),
  once('--price <what>', 'with --budget: what is shared out', text).choices(['energy', 'area']).default('energy'),
];

function budgets(o: Raw): BudgetOptions {
  return { budget: o['budget'] as number | undefined, price: o['price'] as 'energy' | 'area' };
}

function share(value: string): number {
  const parsed = positive(value);
  if (parsed > 1) throw new InvalidArgumentError('A number above 0, up to 1, is needed.');
  return parsed;
}

const plotOption = (what: string): Option => once('--plot <file>', `draw ${what}: .svg or .png`, text);

function positive(value: string): number {
  const parsed = /^(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (!(parsed > 0 && Number.isFinite(parsed))) throw new InvalidArgumentError('A number above 0 is needed.');
  return parsed;
}

function spaceOptions(): readonly Option[] {
  const list = <T>(flags: string, what: string, parse: (word: string) => T, fallback: readonly T[]) =>
    once(flags, `${what}, with commas`, (value) => value.split(',').map((word) => parse(word.trim()))).default(
      fallback,
      fallback.map((one) => one ?? 'none').join(','),
    );
  const storages: readonly StorageChoice[] = ['analog', ...STORAGES];
  const storage = (word: string): StorageChoice => {
    const found = storages.find((one) => one === word);
    if (!found) throw new InvalidArgumentError(`There are ${storages.join(', ')}.`);
    return found;
  };
  const shareOrNone = (word: string): number | undefined => (word === 'none' ? undefined : share(word));
  const orNone = (word: string): number | undefined => (word === 'none' ? undefined : integer(word));
  return [
    list('--cp <counts>', 'most non-zeros of either sign in a column, or none', orNone, [undefined]),
    list('--keep <shares>', 'share of the inputs that structured pruning keeps, whole arrays, or none', shareOrNone, [
      undefined,
    ]),
    list('--weight-bits <counts>', 'bits of a weight, sign included', integer, [8]),
    list('--rows <counts>', 'word lines of an array', integer, [128]),
    list('--cols <counts>', 'bit lines of an array', integer, [128]),
    list('--cell-bits <counts>', 'bits of a cell', integer, [2]),
    list('--adc-bits <counts>', 'bits of the converters', integer, [5, 6, 8]),
    list('--storage <names>', storages.join(', '), storage, ['analog', 'offset']),
    once('--budget <shares>', 'ISAAC arrays with mixed converters too, at these shares of their energy', (value) =>
      value.split(',').map((word) => share(word.trim())),
    ),
    once('--design <name>', 'the component table', text)
      .choices([...HARDWARE.keys()])
      .default('isaac-ce'),
    once('--adc-law <name>', 'how the cost of a converter grows with its bits', text).choices([...ADC_LAWS.keys()]),
    once('--threads <n>', 'workers; default: one for each core', wholeNumber),
  ];
}

function examples(o: Raw): ExampleOptions {
  return {
    inputs: (o['input'] as ReadonlyMap<string, string> | undefined) ?? new Map(),
    labels: o['labels'] as string | undefined,
    limit: o['limit'] as number | undefined,
  };
}

function exampleOptions(): readonly Option[] {
  return [
    pairs('--input <name=file>', 'examples along the first axis: .npy, .pb or .json; may be repeated', text),
    once('--labels <file>', 'the class of each example, one per line (the last field of a CSV)', text),
    once('--limit <n>', 'use the first <n> examples', wholeNumber),
    dimOption(),
    shapeOption(),
  ];
}

/** What is out of range is for the library to refuse, which knows why. */
function integer(value: string): number {
  if (!/^-?\d{1,9}$/.test(value)) throw new InvalidArgumentError('A whole number is needed.');
  return Number(value);
}

/** As above. */
function real(value: string): number {
  if (!/^(-?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|NaN)$/.test(value))
    throw new InvalidArgumentError('A number is needed.');
  return Number(value);
}

function mapOptions(model: string | undefined, o: Raw): ReramMapOptions {
  const [path, json] = positional('model', model, o);
  const number = (name: string) => o[name] as number | undefined;
  const device = (o['device'] as ReadonlyMap<string, number> | undefined) ?? new Map<string, number>();
  for (const name of device.keys())
    if (!DEVICE.includes(name)) throw new UsageError(`--device ${name}: there are ${DEVICE.join(', ')}.`);
  return {
    model: path,
    json,
    force: o['force'] === true,
    ...bindings(o),
    ...examples(o),
    preset: o['preset'] as PresetName,
    rows: number('rows'),
    cols: number('cols'),
    cellBits: number('cellBits'),
    weightBits: number('weightBits'),
    inputBits: number('inputBits'),
    adcBits: number('adcBits'),
    storage: o['storage'] as Storage | undefined,
    subtract: o['subtract'] as 'analog' | 'digital' | undefined,
    zeroPair: o['zeroPair'] as 'low' | 'high' | undefined,
    fit: number('fit'),
    device,
  };
}
