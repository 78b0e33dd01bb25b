/**
 * One run of the command line, from the words typed to the exit status. Runs in a worker thread and speaks to the outside
 * in messages only.
 */
import { runCommandLine } from './args.ts';
import { benchCommand } from './commands/bench.ts';
import { compileCommand } from './commands/compile.ts';
import { conformance } from './commands/conformance.ts';
import { diffCommand } from './commands/diff.ts';
import { doctor } from './commands/doctor.ts';
import { explainCommand } from './commands/explain.ts';
import { inspect } from './commands/inspect.ts';
import { pruneCommand } from './commands/prune.ts';
import { reproduceCommand } from './commands/reproduce.ts';
import { runCommand } from './commands/run.ts';
import { trainCommand } from './commands/train.ts';
import { tuneCommand } from './commands/tune.ts';
import { typesCommand } from './commands/types.ts';
import { verify } from './commands/verify.ts';
import { whatifCommand } from './commands/whatif.ts';
import { dashboardCommand } from './dashboard/command.ts';
import { describeFailure } from './errors.ts';
import { farmCommand } from './farm/command.ts';
import type { Io, OutputFile } from './output.ts';
import { certifyCommand } from './reram/certify.ts';
import { checkVectors } from './reram/check.ts';
import { costCommand } from './reram/cost.ts';
import { exploreCommand } from './reram/explore.ts';
import { mapCommand } from './reram/map.ts';
import { simulateCommand } from './reram/simulate.ts';
import { resultsCommands } from './results/commands.ts';
import type { Finished } from './results/run.ts';
import { version } from './version.ts';

/** What the session must know of the process around it. */
export interface Setting {
  readonly argv: readonly string[];
  readonly color: boolean;
  readonly columns: number;
  readonly verbose: boolean;
  /** stderr is a terminal: errors say where they are explained. */
  readonly hints?: boolean;
}

export type Message =
  | { readonly kind: 'out' | 'err'; readonly text: string }
  | { readonly kind: 'file'; readonly file: OutputFile }
  | { readonly kind: 'record'; readonly run: Finished }
  | { readonly kind: 'serving' }
  | { readonly kind: 'resumable'; readonly sentence: string }
  | { readonly kind: 'end'; readonly exitCode: number };

/** @param untilStopped  settles when the process is interrupted, for a command that goes on until then */
export async function runSession(
  setting: Setting,
  send: (message: Message) => void,
  untilStopped?: () => Promise<void>,
): Promise<void> {
  const io: Io = {
    out: (text) => send({ kind: 'out', text }),
    err: (text) => send({ kind: 'err', text }),
    write: (file) => send({ kind: 'file', file }),
    record: (run) => send({ kind: 'record', run }),
    resumable: (sentence) => send({ kind: 'resumable', sentence }),
    ...(untilStopped && {
      untilStopped: () => {
        send({ kind: 'serving' });
        return untilStopped();
      },
    }),
    color: setting.color,
    columns: setting.columns,
  };
  let exitCode: number;
  try {
    exitCode = await runCommandLine(
      setting.argv,
      version(),
      {
        inspect: (options) => inspect(options, io),
        compile: (options) => compileCommand(options, io),
        explain: (options) => explainCommand(options, io),
        train: (options) => trainCommand(options, io),
        types: (options) => typesCommand(options, io),
        run: (options) => runCommand(options, io),
        conformance: (options) => conformance(options, io),
        verify: (options) => verify(options, io),
        bench: (options) => benchCommand(options, io),
        tune: (options) => tuneCommand(options, io),
        dashboard: (options) => dashboardCommand(options, io),
        farm: (options) => farmCommand(options, io),
        doctor: (options) => doctor(options, io),
        prune: {
          prune: (options) => pruneCommand(options, io),
          reproduce: (options) => reproduceCommand(options, io),
          whatif: (options) => whatifCommand(options, io),
          diff: (options) => diffCommand(options, io),
        },
        results: resultsCommands(io),
        reram: {
          check: (options) => checkVectors(options, io),
          map: (options) => mapCommand(options, io),
          cost: (options) => costCommand(options, io),
          certify: (options) => certifyCommand(options, io),
          simulate: (options) => simulateCommand(options, io),
          explore: (options) => exploreCommand(options, io),
        },
      },
      io.out,
    );
  } catch (error) {
    const failure = describeFailure(error, setting.verbose);
    io.err(failure.text + (setting.hints === true ? failure.more : ''));
    exitCode = failure.exitCode;
  }
  send({ kind: 'end', exitCode });
}
