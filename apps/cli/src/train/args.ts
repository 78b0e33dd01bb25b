/** The command line of `grim train`. */
import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../errors.ts';
import {
  type CommonOptions,
  type Examples,
  once,
  positional,
  type Raw,
  type Recorded,
  recorded,
  recordOption,
  subcommand,
  text,
  wholeNumber,
} from '../options.ts';
import { endOf } from '../tensor-files.ts';

export interface TrainCommandOptions extends CommonOptions, Recorded {
  /** A network (.onnx, .ir) to go on with, or a description (.json) to begin from. */
  readonly model: string;
  readonly output: string;
  readonly data: string;
  readonly validation: string | undefined;
  readonly epochs: number;
  /** In place of epochs. */
  readonly steps: number | undefined;
  readonly batch: number;
  readonly rate: number;
  readonly schedule: 'cosine' | 'step' | 'constant';
  readonly warmup: number;
  readonly optimizer: 'sgd' | 'adam';
  readonly decay: number | undefined;
  readonly clipNorm: number | undefined;
  readonly labelSmoothing: number;
  readonly mix: number;
  readonly crop: number | undefined;
  readonly flip: boolean;
  readonly shift: number | undefined;
  readonly noise: number | undefined;
  readonly mean: readonly number[] | undefined;
  readonly std: readonly number[] | undefined;
  readonly teacher: string | undefined;
  readonly distill: number;
  readonly temperature: number;
  readonly limit: number | undefined;
  readonly seed: number;
  readonly threads: number;
  /** The words of the command line, for the record of the run. */
  readonly argv: readonly string[];
}

export const TRAIN_EXAMPLES: Readonly<Record<string, Examples>> = {
  train: [
    ['train arch.json --data images/ --epochs 20 -o net.onnx', 'from scratch'],
    ['train net.onnx --data images/ --rate 0.01 -o better.onnx --json', 'further, for a program'],
    ['train pruned.ir --data images/ --teacher net.onnx -o tuned.ir', 'what was pruned stays zero'],
  ],
};

const SCHEDULES = ['cosine', 'step', 'constant'] as const;
const OPTIMIZERS = ['sgd', 'adam'] as const;

export function addTrain(
  program: Command,
  argv: readonly string[],
  done: (options: TrainCommandOptions) => Promise<void>,
): void {
  subcommand(
    program,
    'train',
    '<network> --data <path> -o <file>',
    'train a network, or a description of one from scratch (needs npm install @grim/train)',
    TRAIN_EXAMPLES['train'] ?? [],
  )
    .argument('[network]', 'the .onnx or .ir file, or a .json description')
    .addOption(once('--data <path>', 'folder, archive or file of labelled examples', text))
    .addOption(once('--validation <path>', 'examples that are never trained on; default: beside, or a tenth', text))
    .addOption(once('-o, --output <file>', 'the file to write: .onnx, .ir', text))
    .addOption(once('--epochs <n>', 'passes over the examples', wholeNumber).default(10))
    .addOption(once('--steps <n>', 'steps, in place of --epochs', wholeNumber))
    .addOption(once('--batch <n>', 'examples of a step', wholeNumber).default(64))
    .addOption(once('--rate <x>', 'highest learning rate; default: 0.05, with adam 0.002', above(0)))
    .addOption(once('--schedule <name>', 'how the rate falls').choices(SCHEDULES).default('cosine'))
    .addOption(once('--warmup <n>', 'steps in which the rate rises', wholeNumber))
    .addOption(once('--optimizer <name>', 'how weights move').choices(OPTIMIZERS).default('sgd'))
    .addOption(once('--decay <x>', 'weight decay; default: 1e-4 with sgd', from(0)))
    .addOption(once('--clip-norm <x>', 'largest norm of all gradients', above(0)))
    .addOption(once('--label-smoothing <x>', 'share of a target spread over all classes', from(0)).default(0))
    .addOption(once('--mix <x>', 'mixes pairs of examples; 0.2 is usual', from(0)).default(0))
    .addOption(once('--crop <n>', 'pictures: cut out after padding with so many pixels', wholeNumber))
    .option('--flip', 'pictures: mirrored, half of them')
    .addOption(once('--shift <n>', 'recordings: moved by up to so many frames', wholeNumber))
    .addOption(once('--noise <x>', 'deviation of noise that is added', above(0)))
    .addOption(once('--mean <list>', 'is subtracted, by channel or feature, as 0.49,0.46,0.41', numbers))
    .addOption(once('--std <list>', 'is divided by', numbers))
    .addOption(once('--teacher <file>', 'a network whose answers are learned too', text))
    .addOption(once('--distill <x>', 'share of the teacher in the loss', above(0)).default(0.5))
    .addOption(once('--temperature <x>', 'how soft its answers are', above(0)).default(2))
    .addOption(once('--limit <n>', 'the most examples that are used', wholeNumber))
    .addOption(once('--seed <n>', 'of weights, order and changes', wholeNumber).default(1))
    .addOption(once('--threads <n>', 'of the engine', wholeNumber).default(2))
    .addOption(recordOption())
    .action((given: string | undefined, o: Raw) => {
      const [model, json] = positional('network', given, o);
      const need = (key: string, what: string): string => {
        const value = o[key];
        if (typeof value !== 'string') throw new UsageError(`${what} is missing. See grim train --help.`);
        return value;
      };
      const data = need('data', '--data <path>');
      const output = need('output', '-o <file>');
      if (!['.onnx', '.ir'].includes(endOf(output)))
        throw new UsageError(`-o ${output}: a name that ends in .onnx or .ir is needed.`);
      const optimizer = o['optimizer'] as TrainCommandOptions['optimizer'];
      return done({
        ...{ model, json, data, output, optimizer, argv },
        validation: o['validation'] as string | undefined,
        epochs: o['epochs'] as number,
        steps: o['steps'] as number | undefined,
        batch: o['batch'] as number,
        rate: (o['rate'] as number | undefined) ?? (optimizer === 'adam' ? 0.002 : 0.05),
        schedule: o['schedule'] as TrainCommandOptions['schedule'],
        warmup: (o['warmup'] as number | undefined) ?? 0,
        decay: o['decay'] as number | undefined,
        clipNorm: o['clipNorm'] as number | undefined,
        labelSmoothing: o['labelSmoothing'] as number,
        mix: o['mix'] as number,
        crop: o['crop'] as number | undefined,
        flip: o['flip'] === true,
        shift: o['shift'] as number | undefined,
        noise: o['noise'] as number | undefined,
        mean: o['mean'] as readonly number[] | undefined,
        std: o['std'] as readonly number[] | undefined,
        teacher: o['teacher'] as string | undefined,
        distill: o['distill'] as number,
        temperature: o['temperature'] as number,
        limit: o['limit'] as number | undefined,
        seed: o['seed'] as number,
        threads: o['threads'] as number,
        force: o['force'] === true,
        ...recorded(o),
      });
    });
}

function decimal(value: string): number {
  const parsed = /^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isFinite(parsed)) throw new InvalidArgumentError('A finite decimal number is needed.');
  return parsed;
}
const from = (least: number) => (value: string) => {
  const parsed = decimal(value);
  if (parsed < least) throw new InvalidArgumentError(`At least ${least} is needed.`);
  return parsed;
};
const above = (bound: number) => (value: string) => {
  const parsed = decimal(value);
  if (parsed <= bound) throw new InvalidArgumentError(`More than ${bound} is needed.`);
  return parsed;
};
const numbers = (value: string): readonly number[] => value.split(',').map(decimal);
