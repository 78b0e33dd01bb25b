/** The command line of what prunes: `grim prune` and `grim reproduce`. */
import type { BlockShape } from '@grim/prune';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import {
  addFlags,
  audioOptions,
  NORMALISE_FLAGS,
  pictureOptions,
  RESIZE_FLAGS,
  SOUND_FLAGS,
} from '../input-options.ts';
import {
  type Bindings,
  bindings,
  type CommonOptions,
  constOption,
  decimal,
  dimOption,
  type Examples,
  once,
  positional,
  type Raw,
  type Recorded,
  recorded,
  recordOption,
  shapeOption,
  subcommand,
  text,
  wholeNumber,
} from '../options.ts';
import { blocks, densities, share } from '../shares.ts';
import { endOf } from '../tensor-files.ts';
import type { ExampleOptions } from './examples.ts';
import type { FoundPlan } from './find-plan.ts';

export const METHODS = ['oneshot', 'magnitude', 'wanda', 'unstructured', 'structured', 'columns'] as const;
type Method = (typeof METHODS)[number];

/** What the search for densities is to reach. */
export interface Aim {
  readonly speedup: number | undefined;
  readonly maxBytes: number | undefined;
  /** Points of the answers on held-out examples that may change. */
  readonly maxDrop: number | undefined;
}

export interface PruneCommandOptions extends CommonOptions, Bindings, Recorded, ExampleOptions {
  readonly model: string;
  /** Undefined with `dryRun`. */
  readonly output: string | undefined;
  /** Of every layer; undefined: as the aim asks for. */
  readonly density: number | undefined;
  readonly aim: Aim;
  /** With one density for all: one block. None, for a search: as the network asks for. */
  readonly blocks: readonly BlockShape[];
  /** What was found before for this aim; times differ from run to run. */
  readonly plan?: Pick<FoundPlan, 'density' | 'block'>;
  /** A file that says all this too; what the command line says counts more. */
  readonly recipe: string | undefined;
  /** In place of what the file says: of a run that is done again. */
  readonly recipeValue?: unknown;
  /** Names of options that were typed, and are no default. */
  readonly given: ReadonlySet<string>;
  readonly method: Method;
  readonly seed: number;
  /** Without the step that knows of the activation. */
  readonly fast: boolean;
  readonly dryRun: boolean;
  /** For all the timing of a search. */
  readonly seconds: number;
  /** Candidates of a search that are tried at once; undefined: one for each core. */
  readonly threads: number | undefined;
  /** A picture of what the search found. */
  readonly curve: string | undefined;
  /** A page about the run, that needs nothing else. */
  readonly report: string | undefined;
  /** The words of the command line, for the record of the run. */
  readonly argv: readonly string[];
}
export interface ReproduceOptions extends CommonOptions {
  readonly record: string;
}

export interface WhatifOptions extends CommonOptions, Bindings {
  readonly model: string;
  readonly blocks: readonly BlockShape[];
  /** Ascending. */
  readonly densities: readonly number[];
  /** The network as it was pruned later, to compare with. */
  readonly check: string | undefined;
  /** For all of it. */
  readonly seconds: number;
  readonly seed: number;
}

/** As `speed<0.97`: the run fails where it holds. */
export interface Condition {
  readonly what: 'speed' | 'error' | 'top1' | 'bytes';
  readonly less: boolean;
  readonly than: number;
  readonly text: string;
}

export interface DiffOptions extends CommonOptions, Bindings, ExampleOptions {
  readonly before: string;
  readonly after: string;
  readonly failIf: readonly Condition[];
  /** For timing. */
  readonly seconds: number;
}

export interface PruneCommands {
  diff(options: DiffOptions): Promise<number>;
  whatif(options: WhatifOptions): Promise<number>;
  prune(options: PruneCommandOptions): Promise<number>;
  reproduce(options: ReproduceOptions): Promise<number>;
}

/** As in `EXAMPLES` of the main commands; tests put files in the place of these. */
export const PRUNE_EXAMPLES: Readonly<Record<string, Examples>> = {
  prune: [
    ['prune net.onnx --data images/ --density 0.25 -o sparse.onnx', 'a quarter of the weights'],
    ['prune net.onnx --data x.npy --density 0.5 --block 4x16 --dry-run', 'what it takes'],
  ],
  whatif: [
    ['whatif net.onnx --blocks 4x16..16x64 --density 0.05..0.4', 'before pruning'],
    ['whatif net.onnx --blocks 2xK --density 0.25 --seconds 2 --json', 'for a program'],
  ],
  diff: [
    ['diff net.onnx sparse.onnx --data images/', 'structure, zeros, answers, bytes, speed'],
    ['diff net.onnx sparse.onnx --fail-if speed<1,top1>0.5 --json', 'a gate, for a program'],
  ],
  reproduce: [
    ['reproduce sparse.onnx.run.json', 'run it again, compare the bytes'],
    ['reproduce sparse.onnx.run.json --json', 'the same, for a program'],
  ],
};

/** Ends of file names that can be written. */
const MODEL_ENDS = ['.onnx', '.ir', '.grim'] as const;

export function addPrune(
  program: Command,
  commands: PruneCommands,
  argv: readonly string[],
  done: (status: number | Promise<number>) => Promise<void>,
): void {
  const prune = subcommand(
    program,
    'prune',
    '<model> --data <path> --density <share> -o <file>',
    'make a network sparse from some hundred unlabelled examples',
    PRUNE_EXAMPLES['prune'] ?? [],
  )
    .argument('[model]', 'the .onnx or .ir file')
    .addOption(dataOption())
    .addOption(once('--density <share>', 'how much of each layer is kept, as 0.25', share))
    .addOption(once('--block <RxC>', 'blocks that lose whole rows and columns; several to choose from', blocks))
    .addOption(once('--target-speedup <times>', 'find densities: as 4x faster than dense', times))
    .addOption(once('--max-bytes <size>', 'find densities: a compiled model of at most, as 1MB', size))
    .addOption(once('--max-drop <points>', 'find densities: answers that may change, in percent', points))
    .addOption(once('--seconds <n>', 'for timing, in a search', wholeNumber).default(20))
    .addOption(once('--threads <n>', 'candidates tried at once; default: one for each core', wholeNumber))
    .addOption(once('--curve <file>', 'write speed against loss as .svg, with what is found', text))
    .addOption(once('--report <file>', 'write a page about the run, as report.html', text))
    .addOption(once('--recipe <file>', 'density, block, layers, method, … from a .json or .ts file', text))
    .addOption(once('--method <name>', 'how weights are chosen').choices(METHODS).default('oneshot'))
    .addOption(once('-o, --output <file>', `the file to write: ${MODEL_ENDS.join(', ')}`, text))
    .addOption(once('--examples <n>', 'the most examples that are used', wholeNumber).default(512))
    .addOption(once('--batch <n>', 'the most that run at once', wholeNumber).default(64))
    .addOption(once('--seed <n>', 'of the positions that are looked at', wholeNumber).default(1))
    .option('--fast', 'leave out the step that knows of activations: half the time')
    .option('--sheet', 'each row of pixels of a picture is a square picture')
    .option('--dry-run', 'show the steps, the minutes and the memory, and do nothing')
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .addOption(recordOption());
  addFlags(prune, [...RESIZE_FLAGS, ...NORMALISE_FLAGS], 'Pictures:');
  addFlags(prune, SOUND_FLAGS, 'Sounds:');
  prune.action((model: string | undefined, o: Raw, command: Command) => {
    const [path, json] = positional('model', model, o);
    const data = (o['data'] as readonly string[] | undefined) ?? [];
    const density = o['density'] as number | undefined;
    const output = o['output'] as string | undefined;
    const dryRun = o['dryRun'] === true;
    if (data.length === 0) throw new UsageError('--data <path> is missing: some hundred inputs of the network.');
    const aim: Aim = {
      speedup: o['targetSpeedup'] as number | undefined,
      maxBytes: o['maxBytes'] as number | undefined,
      maxDrop: o['maxDrop'] as number | undefined,
    };
    const aimed = Object.values(aim).some((one) => one !== undefined);
    const recipe = o['recipe'] as string | undefined;
    if (density === undefined && !aimed && recipe === undefined)
      throw new UsageError(
        '--density <share> is missing: how much is kept, as 0.25; or --target-speedup, --max-bytes, --max-drop.',
      );
    if (density !== undefined && aimed) throw new UsageError('--density leaves nothing to find: give it, or an aim.');
    if (aim.maxDrop !== undefined && (aim.speedup ?? aim.maxBytes) !== undefined)
      throw new UsageError('--max-drop finds the fastest network by itself. Give it alone.');
    if (o['curve'] !== undefined && !aimed)
      throw new UsageError('--curve shows what a search found: give an aim, as --target-speedup 4x.');
    if (output === undefined && !dryRun)
      throw new UsageError('-o <file> is missing: where the pruned network is to be written.');
    if (output !== undefined && !MODEL_ENDS.some((end) => end === endOf(output)))
      throw new UsageError(`-o ${output}: a name that ends in ${MODEL_ENDS.join(', ')} is needed.`);
    const shapes = (o['block'] as readonly BlockShape[] | undefined) ?? (aimed ? [] : blocks('2xK'));
    if (!aimed && shapes.length > 1)
      throw new UsageError(
        'several blocks are for a search to choose from: give --target-speedup, --max-bytes or --max-drop.',
      );
    return done(
      commands.prune({
        ...{ model: path, json, output, data, density, dryRun, argv, recipe },
        given: new Set(Object.keys(o).filter((name) => command.getOptionValueSource(name) === 'cli')),
        seconds: o['seconds'] as number,
        threads: o['threads'] as number | undefined,
        ...{ aim, blocks: shapes, curve: o['curve'] as string | undefined, report: o['report'] as string | undefined },
        method: o['method'] as Method,
        examples: o['examples'] as number,
        batch: o['batch'] as number,
        seed: o['seed'] as number,
        fast: o['fast'] === true,
        sheet: o['sheet'] === true,
        how: { picture: pictureOptions(o), audio: audioOptions(o) },
        force: o['force'] === true,
        ...bindings(o),
        ...recorded(o),
      }),
    );
  });

  subcommand(
    program,
    'whatif',
    '<model>',
    'how fast a network would be if it were pruned, by random masks',
    PRUNE_EXAMPLES['whatif'] ?? [],
  )
    .argument('[model]', 'the .onnx or .ir file')
    .addOption(once('--blocks <list>', 'as 2xK,4x16..16x64: each side doubles from one to the other', blocks))
    .addOption(once('--density <list>', 'as 0.1,0.25 or 0.05..0.4: doubled from one to the other', densities))
    .addOption(once('--check <file>', 'the network as it was really pruned, to compare with', text))
    .addOption(once('--seconds <n>', 'for all the timing', wholeNumber).default(30))
    .addOption(once('--seed <n>', 'of the masks', wholeNumber).default(1))
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .action((model: string | undefined, o: Raw) => {
      const [path, json] = positional('model', model, o);
      return done(
        commands.whatif({
          ...{ model: path, json },
          blocks: (o['blocks'] as readonly BlockShape[] | undefined) ?? blocks('2xK,4x16..16x64'),
          densities: (o['density'] as readonly number[] | undefined) ?? densities('0.05..0.4'),
          check: o['check'] as string | undefined,
          seconds: o['seconds'] as number,
          seed: o['seed'] as number,
          force: o['force'] === true,
          ...bindings(o),
        }),
      );
    });

  const diff = subcommand(
    program,
    'diff',
    '<before> <after>',
    'what two networks differ in: structure, weights, answers, bytes, speed',
    PRUNE_EXAMPLES['diff'] ?? [],
  )
    .argument('[before]', 'an .onnx or .ir file')
    .argument('[after]', 'another one')
    .addOption(dataOption())
    .addOption(
      once('--fail-if <list>', `as speed<0.97,error>0.1,top1>0.5,bytes>1; exits with ${EXIT.gate}`, conditions),
    )
    .addOption(once('--examples <n>', 'the most examples that are used', wholeNumber).default(128))
    .addOption(once('--batch <n>', 'the most that run at once', wholeNumber).default(64))
    .addOption(once('--seconds <n>', 'for timing', wholeNumber).default(4))
    .option('--sheet', 'each row of pixels of a picture is a square picture')
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption());
  addFlags(diff, [...RESIZE_FLAGS, ...NORMALISE_FLAGS], 'Pictures:');
  addFlags(diff, SOUND_FLAGS, 'Sounds:');
  diff.action((before: string | undefined, after: string | undefined, o: Raw) => {
    const json = o['json'] === true ? '-' : (o['json'] as string | undefined);
    if (!before || !after) throw new UsageError('two files are needed: <before> <after>. See grim --help.');
    return done(
      commands.diff({
        ...{ before, after, json },
        data: (o['data'] as readonly string[] | undefined) ?? [],
        failIf: (o['failIf'] as readonly Condition[] | undefined) ?? [],
        examples: o['examples'] as number,
        batch: o['batch'] as number,
        seconds: o['seconds'] as number,
        sheet: o['sheet'] === true,
        how: { picture: pictureOptions(o), audio: audioOptions(o) },
        force: o['force'] === true,
        ...bindings(o),
      }),
    );
  });

  subcommand(
    program,
    'reproduce',
    '<record>',
    'do again what the record of a run says, and compare the results byte by byte',
    PRUNE_EXAMPLES['reproduce'] ?? [],
  )
    .argument('[record]', 'the .run.json file that prune, train, tune or compile wrote beside its output')
    .action((given: string | undefined, o: Raw) => {
      const json = o['json'] === true ? '-' : (o['json'] as string | undefined);
      if (given === undefined || given === '') throw new UsageError('<record> is missing. See grim --help.');
      return done(commands.reproduce({ record: given, json, force: o['force'] === true }));
    });
}

function dataOption(): Option {
  return new Option('--data <path>', 'a file or a folder of examples; may be repeated').argParser<readonly string[]>(
    (value, before = []) => [...before, text(value)],
  );
}

function conditions(value: string): readonly Condition[] {
  return value.split(',').map((part) => {
    const [, what, sign, than] = /^\s*(speed|error|top1|bytes)\s*([<>])\s*(\d*\.?\d+)\s*$/.exec(part) ?? [];
    if (what === undefined)
      throw new InvalidArgumentError('speed, error, top1 or bytes, < or >, and a number are needed, as speed<0.97.');
    return { what: what as Condition['what'], less: sign === '<', than: Number(than), text: part.trim() };
  });
}

/** `4x`, `2.5`. */
function times(value: string): number {
  const parsed = /^\d+(\.\d+)?x?$/.test(value) ? Number(value.replace('x', '')) : Number.NaN;
  if (!(parsed >= 1 && parsed <= 1000)) throw new InvalidArgumentError('A number from 1 on is needed, as 4x.');
  return parsed;
}

/** `1MB`, `300kB`, `123456`. */
function size(value: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(k|K|M|G)?B?$/.exec(value) ?? [];
  const parsed = Number(number) * 1000 ** ['', 'K', 'M', 'G'].indexOf(unit.toUpperCase());
  if (!(parsed > 0)) throw new InvalidArgumentError('A size is needed, as 1MB or 300kB.');
  return parsed;
}

function points(value: string): number {
  const parsed = decimal(value);
  if (!(parsed >= 0 && parsed <= 100)) throw new InvalidArgumentError('A number from 0 to 100 is needed, as 0.5.');
  return parsed;
}
