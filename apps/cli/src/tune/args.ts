/** The command line of `grim tune`. */
import type { WeightEncoding } from '@grim/ir';
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
  positional,
  type Raw,
  type Recorded,
  recorded,
  recordOption,
  shapeOption,
  subcommand,
  text,
  wholeFrom,
  wholeNumber,
} from '../options.ts';

export interface TuneCommandOptions extends CommonOptions, Bindings, Recorded {
  readonly model: string;
  readonly output: string;
  readonly target: 'wasm' | 'webgpu';
  readonly trials: number;
  readonly seed: number;
  /** A folder; undefined: the user's. */
  readonly cache: string | undefined;
  /** Measures anew what the cache holds. */
  readonly fresh: boolean;
  /** On which it is measured, and whose sharing is searched; undefined: one, and nothing of it. */
  readonly threads: number | undefined;
  readonly weights: WeightEncoding;
  readonly sparse: boolean;
  /** The words of the command line, for the record of the run. */
  readonly argv: readonly string[];
}

const WEIGHTS: readonly WeightEncoding[] = ['f32', 'f16', 'bf16', 'int8'];

export const TUNE_EXAMPLES: Examples = [
  ['tune apps/cli/demo/tiny-cnn/model.onnx --dim N=1 --trials 8 -o t.grim', 'a small search'],
  ['tune apps/cli/demo/tiny-cnn/model.onnx --dim N=1 --trials 4 -o t --json', 'for a program'],
];

export function addTune(
  program: Command,
  argv: readonly string[],
  tune: (options: TuneCommandOptions) => Promise<number>,
  done: (status: number | Promise<number>) => Promise<void>,
): void {
  subcommand(
    program,
    'tune',
    '<model> -o <file>',
    'compile a model with the kernels that are fastest on this device, found by measuring',
    TUNE_EXAMPLES,
  )
    .argument('[model]', 'the .onnx file')
    .addOption(once('-o, --output <file>', 'the .grim file to write', text))
    .addOption(once('--target <name>', 'what it is tuned for', text).choices(['wasm', 'webgpu']).default('wasm'))
    .addOption(once('--trials <n>', 'candidates for each layer', wholeNumber).default(64))
    .addOption(once('--seed <n>', 'of the search', wholeFrom(0)).default(0))
    .addOption(once('--cache <folder>', 'where measurements of this device are kept; by default your own', text))
    .option('--fresh', 'measure again what is known; the default goes on where an earlier search ended')
    .addOption(once('--threads <n>', 'measure on so many threads, and search how they share the work', wholeNumber))
    .addOption(once('--weights <encoding>', 'how weights are stored', text).choices(WEIGHTS).default('f32'))
    .option('--dense', 'multiply zeros too, instead of looking for BCR patterns')
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .addOption(recordOption())
    .action((model: string | undefined, o: Raw) => {
      const [path, json] = positional('model', model, o);
      const output = o['output'] as string | undefined;
      if (output === undefined) throw new UsageError('-o <file> is missing: where the .grim file is to be written.');
      if (o['target'] === 'webgpu' && o['threads'] !== undefined)
        throw new UsageError('--threads is of WebAssembly. Leave it out, or --target webgpu.');
      return done(
        tune({
          model: path,
          output,
          json,
          argv,
          target: o['target'] as 'wasm' | 'webgpu',
          trials: o['trials'] as number,
          seed: o['seed'] as number,
          cache: o['cache'] as string | undefined,
          fresh: o['fresh'] === true,
          threads: o['threads'] as number | undefined,
          weights: o['weights'] as WeightEncoding,
          sparse: o['dense'] !== true,
          force: o['force'] === true,
          ...bindings(o),
          ...recorded(o),
        }),
      );
    });
}
