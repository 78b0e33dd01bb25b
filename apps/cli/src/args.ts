/**
 * The command line: commands, options and their values, checked before anything is read.
 */
import type { Target } from '@grim/codegen';
import type { WasmFamily, WeightEncoding } from '@grim/ir';
import { Command } from 'commander';
import { addBench, BENCH_EXAMPLES, type BenchOptions } from './bench/args.ts';
import { addCompletion } from './completion.ts';
import { addDashboard, DASHBOARD_EXAMPLES, type DashboardOptions } from './dashboard/args.ts';
import { explainCode } from './error-codes.ts';
import { UsageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { addFarm, type FarmOptions } from './farm/args.ts';
import {
  addFlags,
  audioOptions,
  FEATURE_FLAGS,
  givenFlags,
  inputOption,
  type NamedFiles,
  NO_FILES,
  NORMALISE_FLAGS,
  outputOption,
  pictureOptions,
  RESIZE_FLAGS,
  SOUND_FLAGS,
} from './input-options.ts';
import type { FeatureOptions } from './inputs/audio.ts';
import type { PictureOptions } from './inputs/preprocess.ts';
import type { InputOptions } from './inputs/read.ts';
import {
  type Bindings,
  backendOption,
  bindings,
  type CommonOptions,
  constOption,
  deviceOption,
  dimOption,
  type Examples,
  filterOption,
  jsonTarget,
  once,
  positional,
  type Raw,
  schedulesOption,
  shapeOption,
  subcommand,
  targetOption,
  text,
  threadsOption,
  wholeNumber,
} from './options.ts';
import { addPrune, PRUNE_EXAMPLES, type PruneCommands } from './prune/args.ts';
import { addReram, type ReramCommands } from './reram/args.ts';
import { addResults, type ResultsCommands } from './results/args.ts';
import { addTrain, TRAIN_EXAMPLES, type TrainCommandOptions } from './train/args.ts';
import { addTune, TUNE_EXAMPLES, type TuneCommandOptions } from './tune/args.ts';

export interface InspectOptions extends CommonOptions, Bindings {
  readonly model: string;
  readonly strict: boolean;
  readonly top: number;
}
export interface ConformanceOptions extends CommonOptions {
  readonly folder: string;
  readonly backend: string;
  /** Of the backend wasm; undefined: one, as the runtime chooses. */
  readonly threads: number | undefined;
  readonly simd: WasmFamily | undefined;
  readonly filter: RegExp | undefined;
  readonly expected: string | undefined;
}
export interface VerifyOptions extends CommonOptions, Bindings {
  readonly path: string;
  readonly backend: string;
  readonly filter: RegExp | undefined;
  /** A .grim file made of the model, whose first layer that is off is to be found. */
  readonly bisect: string | undefined;
}
export interface CompileCommandOptions extends CommonOptions, Bindings {
  readonly model: string;
  readonly output: string;
  readonly weights: WeightEncoding;
  /** Looks for BCR patterns among the zeros of the weights. */
  readonly sparse: boolean;
  readonly explain: boolean;
  /** Keeps the modules beside the file. */
  readonly split: boolean;
  /** That calls are cut for; undefined: as the compiler does. */
  readonly threads: number | undefined;
  readonly targets: readonly Target[] | undefined;
  /** A file of {@link readSchedules}. */
  readonly schedules: string | undefined;
  /** Adds a module for 256-bit instructions. */
  readonly wide: boolean;
  /** How pictures become the model's input, for the file to say; undefined: it says nothing. */
  readonly preprocess: InputOptions['picture'] | undefined;
  /** How sounds do. */
  readonly sound: (FeatureOptions & Partial<Pick<PictureOptions, 'mean' | 'std'>>) | undefined;
  /** A file with the name of each index, for the file to say. */
  readonly labels: string | undefined;
  /** Writes a record of the run beside the file. */
  readonly runJson: boolean;
  /** The words of the command line, for that record. */
  readonly argv: readonly string[];
}
export interface ExplainOptions extends CommonOptions, Bindings {
  readonly model: string;
  readonly sparse: boolean;
  readonly targets: readonly Target[] | undefined;
  readonly threads: number | undefined;
  readonly schedules: string | undefined;
}
export interface TypesOptions extends CommonOptions {
  /** A .grim file. */
  readonly model: string;
  readonly output: string;
}
export interface RunCommandOptions extends CommonOptions, Bindings {
  /** A .grim file, or an .onnx file to compile first. */
  readonly model: string;
  readonly device: 'wasm' | 'webgpu';
  /** Name of an input → the file that holds it. */
  readonly inputs: ReadonlyMap<string, string>;
  /** For the one input that has no name here, one run for each. */
  readonly files: readonly string[];
  readonly how: InputOptions;
  /** Options that mean something for pictures alone, or for sounds, as they were written. */
  readonly only: { readonly picture: readonly string[]; readonly sound: readonly string[] };
  /** Makes up the inputs that are not given. */
  readonly random: boolean;
  /** Name of an output → the file to write. */
  readonly outputs: ReadonlyMap<string, string>;
  /** For the only output, or a folder for all. */
  readonly output: string | undefined;
  /** Shows the largest values of each row instead of a summary. */
  readonly top: number | undefined;
  /** A file with the name of each index, line by line, for `top`. */
  readonly labels: string | undefined;
}
export type DoctorOptions = CommonOptions;

/** What the commands do; `main.ts` fills it in. */
export interface Commands {
  inspect(options: InspectOptions): number;
  conformance(options: ConformanceOptions): Promise<number>;
  verify(options: VerifyOptions): Promise<number>;
  compile(options: CompileCommandOptions): number;
  explain(options: ExplainOptions): number;
  types(options: TypesOptions): number;
  run(options: RunCommandOptions): Promise<number>;
  bench(options: BenchOptions): Promise<number>;
  tune(options: TuneCommandOptions): Promise<number>;
  dashboard(options: DashboardOptions): Promise<number>;
  farm(options: FarmOptions): Promise<number>;
  doctor(options: DoctorOptions): Promise<number>;
  train(options: TrainCommandOptions): Promise<number>;
  readonly prune: PruneCommands;
  readonly results: ResultsCommands;
  readonly reram: ReramCommands;
}

const WEIGHTS: readonly WeightEncoding[] = ['f32', 'f16', 'bf16', 'int8'];
const DEFAULT_TOP = 30;

/** Examples of `--help`, by command, as they follow `grim`; tests run them. The model is the small one of the repository. */
export const EXAMPLES: Readonly<Record<string, Examples>> = {
  inspect: [
    ['inspect apps/cli/demo/tiny-cnn/model.onnx', 'what is in the model'],
    ['inspect apps/cli/demo/tiny-cnn/model.onnx --dim N=8 --json', 'a batch of 8, for a program'],
  ],
  compile: [
    ['compile apps/cli/demo/tiny-cnn/model.onnx --dim N=1 -o tiny.grim', 'for one picture'],
    ['compile apps/cli/demo/tiny-cnn/model.onnx --dim N=8 -o t.grim --json', 'for a program'],
    ['compile apps/cli/demo/tiny-cnn/model.onnx --dim N=1 --split -o t.grim', 'its code beside the file'],
  ],
  explain: [
    ['explain apps/cli/demo/tiny-cnn/model.onnx --dim N=1', 'which kernels, and why'],
    ['explain apps/cli/demo/tiny-cnn/model.onnx --dim N=1 --json', 'for a program'],
  ],
  types: [
    ['types tiny.grim', 'tiny.grim.d.ts, for `import model from "./tiny.grim"`'],
    ['types tiny.grim -o tiny.d.grim.ts --json', 'the name that "moduleResolution": "nodenext" wants'],
  ],
  run: [
    ['run apps/cli/demo/tiny-cnn/model.onnx apps/cli/demo/digits/3.png --top 3', 'a picture'],
    ['run apps/cli/demo/tiny-cnn/model.onnx --dim N=1 --random --json', 'a try, for a program'],
  ],
  conformance: [
    ['conformance apps/cli/demo', 'every case of a folder'],
    ['conformance apps/cli/demo --filter tiny --json -', 'some of them, for a program'],
  ],
  verify: [
    ['verify apps/cli/demo/tiny-cnn/model.onnx', 'one model and its test data'],
    ['verify apps/cli/demo --json', 'every model of a folder, for a program'],
    ['verify apps/cli/demo --backend wasm', 'what compiled models compute'],
  ],
  bench: BENCH_EXAMPLES,
  tune: TUNE_EXAMPLES,
  dashboard: DASHBOARD_EXAMPLES,
  doctor: [
    ['doctor', 'what this machine offers'],
    ['doctor --json', 'the same, for a program'],
  ],
};

/**
 * Reads the command line and runs the command it names.
 * @param argv  without the program's own name
 * @returns the exit status
 * @throws {UsageError}
 */
export async function runCommandLine(
  argv: readonly string[],
  version: string,
  commands: Commands,
  print: (text: string) => void,
): Promise<number> {
  let status = EXIT.done;
  const done = async (result: number | Promise<number>): Promise<void> => {
    status = await result;
  };
  const program = new Command('grim')
    .description('Inspects, verifies, compiles and runs ONNX networks, pruned ones above all.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureHelp({ helpWidth: 80 })
    .configureOutput({ writeOut: print, writeErr: () => {}, outputError: () => {} })
    .addHelpText('after', `\n${exitStatusText()}`)
    .helpCommand('help [command]', 'print the help of a command, or what an error code means');

  const command = (name: string, positionals: string, description: string) =>
    subcommand(program, name, positionals, description, EXAMPLES[name] ?? []);

  command('inspect', '<model>', 'show what is in an ONNX model: types, operators, weights, problems')
    .argument('[model]', 'the .onnx file')
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .addOption(once('--top <n>', `list the <n> largest weights`, wholeNumber).default(DEFAULT_TOP))
    .option('--all', 'list all weights')
    .option('--strict', `exit with ${EXIT.gate} when the model has a problem`)
    .action((model: string | undefined, o: Raw) => {
      const [path, json] = positional('model', model, o);
      const top = o['all'] === true ? Infinity : (o['top'] as number);
      return done(
        commands.inspect({
          model: path,
          json,
          top,
          strict: o['strict'] === true,
          force: o['force'] === true,
          ...bindings(o),
        }),
      );
    });

  const compile = command(
    'compile',
    '<model> -o <file>',
    'compile an ONNX model to a .grim file that @grim/runtime loads',
  )
    .argument('[model]', 'the .onnx file')
    .addOption(once('-o, --output <file>', 'the .grim file to write', text))
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .addOption(once('--weights <encoding>', 'how weights are stored', text).choices(WEIGHTS).default('f32'))
    .option('--dense', 'multiply zeros too, instead of looking for BCR patterns')
    .addOption(targetOption())
    .addOption(threadsOption())
    .addOption(schedulesOption())
    .option('--split', 'keep the WebAssembly modules beside the file, as x.relaxed.wasm and x.plain.wasm')
    .option('--wide', 'add code for servers whose Node joins instructions to AVX2 ones')
    .option('--explain', 'show every step and why it is as it is')
    .option('--run-json', 'write how it was made beside the file, as x.grim.run.json, for grim reproduce')
    .addOption(
      once('--labels <file>', 'what the indices of the output mean, one name per line; kept in the file', text),
    );
  addFlags(compile, NORMALISE_FLAGS, 'Pictures, kept in the file:');
  addFlags(compile, FEATURE_FLAGS, 'Sounds, kept in the file, with --mean and --std:');
  compile.action((model: string | undefined, o: Raw) => {
    const [path, json] = positional('model', model, o);
    const output = o['output'] as string | undefined;
    if (output === undefined) throw new UsageError('-o <file> is missing: where the .grim file is to be written.');
    return done(
      commands.compile({
        model: path,
        output,
        json,
        argv,
        runJson: o['runJson'] === true,
        weights: o['weights'] as WeightEncoding,
        sparse: o['dense'] !== true,
        explain: o['explain'] === true,
        split: o['split'] === true,
        threads: o['threads'] as number | undefined,
        targets: o['target'] as readonly Target[] | undefined,
        schedules: o['schedules'] as string | undefined,
        wide: o['wide'] === true,
        ...preparation(o),
        labels: o['labels'] as string | undefined,
        force: o['force'] === true,
        ...bindings(o),
      }),
    );
  });

  command('explain', '<model>', 'show what an ONNX model is compiled to: every step, its kernel, and why')
    .argument('[model]', 'the .onnx file')
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .option('--dense', 'multiply zeros too, instead of looking for BCR patterns')
    .addOption(targetOption())
    .addOption(threadsOption())
    .addOption(schedulesOption())
    .action((model: string | undefined, o: Raw) => {
      const [path, json] = positional('model', model, o);
      return done(
        commands.explain({
          model: path,
          json,
          sparse: o['dense'] !== true,
          threads: o['threads'] as number | undefined,
          targets: o['target'] as readonly Target[] | undefined,
          schedules: o['schedules'] as string | undefined,
          force: o['force'] === true,
          ...bindings(o),
        }),
      );
    });

  command('types', '<model>', 'write the TypeScript types of a .grim file: names, element types, lengths')
    .argument('[model]', 'the .grim file')
    .addOption(once('-o, --output <file>', 'the file to write; by default the name of the model and ".d.ts"', text))
    .action((model: string | undefined, o: Raw) => {
      const [path, json] = positional('model', model, o);
      const output = (o['output'] as string | undefined) ?? `${path}.d.ts`;
      return done(commands.types({ model: path, output, json, force: o['force'] === true }));
    });

  const run = command(
    'run',
    '<model> [files...]',
    'run a .grim file, or an ONNX model that is compiled first: once, or once for each file',
  )
    .argument('[model]', 'the .grim or .onnx file')
    .argument('[files...]', 'for its one input: .npy, .npz, .pb, .json, .png, .jpg or .wav')
    .addOption(inputOption())
    .option('--random', 'make up the inputs that are not given (seeded)')
    .addOption(outputOption())
    .addOption(deviceOption())
    .addOption(once('--top <k>', 'show the <k> largest values of each row', wholeNumber))
    .addOption(once('--labels <file>', 'what the indices mean, one name per line, for --top', text))
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption());
  addFlags(run, [...RESIZE_FLAGS, ...NORMALISE_FLAGS], 'Pictures:');
  addFlags(run, SOUND_FLAGS, 'Sounds:');
  run.action((model: string | undefined, files: readonly string[], o: Raw) => {
    const [path, json] = positional('model', model, o);
    const inputs = (o['input'] as NamedFiles | undefined) ?? NO_FILES;
    const outputs = (o['output'] as NamedFiles | undefined) ?? NO_FILES;
    if (outputs.unnamed.length > 1)
      throw new UsageError('--output stands twice without a name. Write it as name=file.');
    return done(
      commands.run({
        model: path,
        device: o['device'] as 'wasm' | 'webgpu',
        json,
        inputs: inputs.named,
        files: [...files, ...inputs.unnamed],
        how: { picture: pictureOptions(o), audio: audioOptions(o) },
        only: { picture: givenFlags(o, [...RESIZE_FLAGS, ...NORMALISE_FLAGS]), sound: givenFlags(o, SOUND_FLAGS) },
        outputs: outputs.named,
        output: outputs.unnamed[0],
        random: o['random'] === true,
        top: o['top'] as number | undefined,
        labels: o['labels'] as string | undefined,
        force: o['force'] === true,
        ...bindings(o),
      }),
    );
  });

  command('conformance', '<folder>', 'run every model.onnx with test_data_set_* folders below a folder')
    .argument('[folder]', 'where to look')
    .addOption(backendOption())
    .addOption(once('--threads <n>', 'of wasm: everything that can be shared is, however small', wholeNumber))
    .addOption(once('--simd <family>', 'of wasm: its instructions', text).choices(['relaxed', 'plain', 'wide']))
    .addOption(filterOption())
    .addOption(once('--expected <file>', 'failures that are known, one "path: reason" per line', text))
    .action((folder: string | undefined, o: Raw) => {
      const [path, json] = positional('folder', folder, o);
      return done(
        commands.conformance({
          folder: path,
          json,
          force: o['force'] === true,
          backend: o['backend'] as string,
          threads: o['threads'] as number | undefined,
          simd: o['simd'] as WasmFamily | undefined,
          filter: o['filter'] as RegExp | undefined,
          expected: o['expected'] as string | undefined,
        }),
      );
    });

  command('verify', '<model|folder>', 'check a model, and its outputs against the test data beside it')
    .argument('[path]', 'an .onnx file, or a folder of them')
    .addOption(backendOption())
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(filterOption())
    .addOption(once('--bisect <file>', 'a .grim file of the model: the first layer that leaves the reference', text))
    .action((path: string | undefined, o: Raw) => {
      const [model, json] = positional('model|folder', path, o);
      const filter = o['filter'] as RegExp | undefined;
      const backend = o['backend'] as string;
      const file = o['bisect'] as string | undefined;
      if (file !== undefined && filter)
        throw new UsageError('--bisect looks at one model: --filter means nothing to it.');
      const force = o['force'] === true;
      return done(commands.verify({ path: model, json, backend, filter, bisect: file, force, ...bindings(o) }));
    });

  addPrune(program, commands.prune, argv, done);
  addTrain(program, argv, (options) => done(commands.train(options)));
  addBench(program, (options) => commands.bench(options), done);
  addTune(program, argv, (options) => commands.tune(options), done);

  command('doctor', '', 'show what this machine offers and what is missing').action((o: Raw) =>
    done(commands.doctor({ json: jsonTarget(o), force: o['force'] === true })),
  );

  addReram(program, commands.reram, done);
  addResults(program, commands.results, done);
  addDashboard(program, (options) => commands.dashboard(options), done);
  addFarm(program, (options) => commands.farm(options), done);
  addCompletion(program, print);

  refuseOddDashes(argv);
  const [first, code = ''] = argv;
  if (first === 'help' && /^GRIM_/i.test(code)) {
    explainCode(code, { out: print, columns: 80 });
    return EXIT.done;
  }
  if (argv.length === 0)
    throw new UsageError(
      `a command is missing: ${[...Object.keys({ ...EXAMPLES, ...PRUNE_EXAMPLES, ...TRAIN_EXAMPLES }), 'reram', 'results', 'completion'].join(', ')}. See grim --help.`,
    );
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (!isCommanderError(error)) throw error;
    if (error.exitCode === 0) return EXIT.done;
    // A group of commands without one of them.
    if (error.code === 'commander.help') throw new UsageError(`a command is missing.${usageOf(program, argv)}`);
    throw new UsageError(`${sentence(error.message)}${usageOf(program, argv)}`);
  }
  return status;
}

function exitStatusText(): string {
  return [
    'Exit status:',
    `  ${EXIT.done}    done`,
    `  ${EXIT.failed}    failed: a file, a case, or a bug`,
    `  ${EXIT.usage}    wrong usage`,
    `  ${EXIT.gate}    a condition that was asked for does not hold (--strict)`,
    `  ${EXIT.interrupted}  interrupted`,
  ].join('\n');
}

/** What a compiled file is to say of its input. */
function preparation(o: Raw): Pick<CompileCommandOptions, 'preprocess' | 'sound'> {
  const { features } = audioOptions(o);
  const { mean, std, ...picture } = pictureOptions(o);
  if (!features)
    return { preprocess: givenFlags(o, NORMALISE_FLAGS).length > 0 ? pictureOptions(o) : undefined, sound: undefined };
  const [first] = Object.keys(picture);
  if (first !== undefined) throw new UsageError(`--${first} is for pictures, --features for sounds. Give one of them.`);
  return { preprocess: undefined, sound: { ...features, ...(mean && { mean }), ...(std && { std }) } };
}

/** A dash that an editor made longer is no option; without this it would be taken for a file. */
function refuseOddDashes(argv: readonly string[]): void {
  const end = argv.indexOf('--');
  const odd = (end < 0 ? argv : argv.slice(0, end)).find((word) =>
    /^[\u2010-\u2015\u2212\uFE58\uFE63\uFF0D]/u.test(word),
  );
  if (odd === undefined) return;
  const plain = odd.replace(/^[\u2010-\u2015\u2212\uFE58\uFE63\uFF0D-]+/u, '--');
  throw new UsageError(`"${odd}" begins with a dash that is not "-". Write ${plain}.`);
}

function isCommanderError(error: unknown): error is Error & { code: string; exitCode: number } {
  return error instanceof Error && 'exitCode' in error && 'code' in error;
}

/** Commander's two lines, as one sentence. */
function sentence(message: string): string {
  const [first = '', ...rest] = message.replace(/^error: /, '').split('\n');
  const hint = rest
    .join(' ')
    .replace(/^\((.*)\)$/, ' $1')
    .trimEnd();
  return `${first.replace(/\.$/, '')}.${hint === '' ? '' : ` ${hint.trim()}`}`;
}

function usageOf(program: Command, argv: readonly string[]): string {
  // From the program down to the innermost command that is named.
  const names: string[] = [];
  let one = program;
  for (const word of argv) {
    const next = one.commands.find((candidate) => candidate.name() === word);
    if (!next) continue;
    names.push(word);
    one = next;
  }
  return ` Usage: grim ${names.length > 0 ? `${names.join(' ')} ${one.usage()}` : '<command> [options]'}.`;
}
