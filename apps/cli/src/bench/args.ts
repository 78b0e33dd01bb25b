/** The command line of `grim bench`. */
import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../errors.ts';
import {
  type Bindings,
  bindings,
  type CommonOptions,
  constOption,
  deviceOption,
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
import { block, share } from '../shares.ts';

const RIVALS = ['ort-web', 'ort-node', 'dense'] as const;
export type Rival = (typeof RIVALS)[number];

export interface BenchOptions extends CommonOptions, Bindings, Recorded {
  /** A .grim or .onnx file. */
  readonly model: string;
  readonly device: 'wasm' | 'webgpu';
  /** Undefined: all that are there. */
  readonly against: readonly Rival[] | undefined;
  /** Prunes by magnitude first. */
  readonly pruning: { readonly density: number; readonly rows: number; readonly cols: number } | undefined;
  readonly runs: number | undefined;
  readonly profile: boolean;
  readonly trace: string | undefined;
}

export const BENCH_EXAMPLES: Examples = [
  ['bench apps/cli/demo/tiny-cnn/model.onnx --dim N=1 --runs 20', 'against what is installed'],
  ['bench apps/cli/demo/tiny-cnn/model.onnx --dim N=1 --against dense --json', 'for a program'],
  ['bench apps/cli/demo/tiny-cnn/model.onnx --dim N=8 --runs 10 --profile', 'layer by layer'],
];

export function addBench(
  program: Command,
  bench: (options: BenchOptions) => Promise<number>,
  done: (status: number | Promise<number>) => Promise<void>,
): void {
  subcommand(program, 'bench', '<model>', 'time a model, in turn with onnxruntime and with itself', BENCH_EXAMPLES)
    .argument('[model]', 'the .onnx or .grim file')
    .addOption(once('--against <list>', `of ${RIVALS.join(',')}; default: all there are`, rivals))
    .addOption(once('--density <share>', 'prune by magnitude first: how much is kept, as 0.1', share))
    .addOption(once('--block <RxC>', 'blocks to prune in, as 32x128 or 4xK', block))
    .addOption(once('--runs <n>', 'rounds; default: until the ratios are known well', wholeNumber))
    .addOption(deviceOption())
    .option('--profile', 'time of every layer, and what limits it')
    .addOption(once('--trace <file>', 'write the profile as a trace for Perfetto or speedscope', text))
    .addOption(dimOption())
    .addOption(shapeOption())
    .addOption(constOption())
    .addOption(recordOption())
    .action((model: string | undefined, o: Raw) => {
      const [path, json] = positional('model', model, o);
      const kept = o['density'] as number | undefined;
      const blocks = o['block'] as { readonly rows: number; readonly cols: number } | undefined;
      if (blocks && kept === undefined) throw new UsageError('--block prunes nothing without --density <share>.');
      return done(
        bench({
          model: path,
          json,
          device: o['device'] as 'wasm' | 'webgpu',
          against: o['against'] as readonly Rival[] | undefined,
          pruning: kept === undefined ? undefined : { density: kept, ...(blocks ?? { rows: 4, cols: Infinity }) },
          runs: o['runs'] as number | undefined,
          profile: o['profile'] === true || o['trace'] !== undefined,
          trace: o['trace'] as string | undefined,
          force: o['force'] === true,
          ...bindings(o),
          ...recorded(o),
        }),
      );
    });
}

function rivals(value: string): readonly Rival[] {
  const names = value === 'none' ? [] : value.split(',');
  const wrong = names.find((name) => !RIVALS.includes(name as Rival));
  if (wrong !== undefined) throw new InvalidArgumentError(`Any of ${RIVALS.join(',')}, or none, is needed.`);
  return [...new Set(names)] as Rival[];
}
