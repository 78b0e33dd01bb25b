/**
 * `grim reproduce`: does what the record of a run says again and compares the bytes. What differs is named: an input, a
 * version, the machine, or the result alone. A search by measured times is not searched again: what it found is.
 */
import { quote, show } from '@grim/ir';
import { type Commands, runCommandLine } from '../args.ts';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { readRegularFile } from '../files.ts';
import { bytes, type Io } from '../output.ts';
import type { ReproduceOptions } from '../prune/args.ts';
import { sha256 } from '../prune/examples.ts';
import { checkReport, sendReport } from '../report.ts';
import { processor, type RecordedInput, type RunRecord, readRecord, versions } from '../run-record.ts';
import { version } from '../version.ts';
import { compiledBy } from './compile.ts';
import { prunedBy } from './prune.ts';
import { trainedBy } from './train.ts';
import { compiledAsTuned } from './tune.ts';

/** Records are small; a larger file is none. */
const MAX_BYTES = 2 ** 26;

/** What a run gave when it was done again. */
interface Again {
  readonly content: Uint8Array;
  readonly seconds: number;
  /** Of a run on labelled examples, which are known only when they are read. */
  readonly inputs?: readonly RecordedInput[];
  /** Besides those of the program and of Node. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** What the bytes are of, where it is not the whole of the run. */
const COMPARED: Readonly<Partial<Record<RunRecord['command'], string>>> = {
  tune: 'the model compiled with the schedules that were found; the search is of measured times and was not repeated',
};

export async function reproduceCommand(options: ReproduceOptions, io: Io): Promise<number> {
  const { record: path } = options;
  checkReport(options, [path]);
  const record = about(path, () => readRecord(readRegularFile(path, MAX_BYTES)));
  const differences = filesThatDiffer(record);
  for (const one of differences) io.err(`  ${one}; going on.\n`);
  const run = await repeatOf(record);
  const made = await run(io);
  for (const { path: own, sha256: was, examples } of record.inputs) {
    const now = made.inputs?.find((input) => input.path === own);
    if (examples === undefined || now?.sha256 === was) continue;
    const count = now?.examples === examples ? '' : `: ${examples} then, ${now?.examples ?? 'none'} now`;
    differences.push(`input ${quote(own)} holds other examples${count}`);
  }
  const here: Readonly<Record<string, string>> = { ...versions(), ...made.versions };
  for (const [name, was] of Object.entries(record.versions))
    if (here[name] !== undefined && here[name] !== was) differences.push(`${name} was ${was}, here ${here[name]}`);
  const cpu = processor();
  if (record.machine['cpu'] !== undefined && record.machine['cpu'] !== cpu)
    differences.push(`the processor was ${show(String(record.machine['cpu']))}, here ${show(cpu)}`);

  const found = sha256(made.content);
  const identical = found === record.output.sha256;
  const compared = COMPARED[record.command];
  const report = {
    schema: 'grim.reproduce/1',
    record: path,
    command: record.command,
    ...(compared !== undefined && { compared }),
    identical,
    differences,
    expected: record.output.sha256,
    found,
    bytes: made.content.length,
    seconds: made.seconds,
  };
  if (sendReport(report, options, [path], io)) {
    const list = differences.map((one) => `  ${one}\n`).join('');
    const what = compared === undefined ? '' : `  compared: ${compared}\n`;
    io.out(
      identical
        ? `identical: ${show(record.output.path)}, ${bytes(made.content.length)}, ${found}\n${what}${list}`
        : `different: ${show(record.output.path)} was ${record.output.sha256}, now ${found}\n${what}${list || '  inputs, versions and processor are the same: this should not be. Please report it.\n'}`,
    );
  }
  return identical ? EXIT.done : EXIT.gate;
}

function filesThatDiffer({ inputs }: RunRecord): string[] {
  return inputs.flatMap(({ path, sha256: was, examples }) => {
    if (examples !== undefined) return [];
    const now = sha256(about(path, () => readRegularFile(path)));
    return now === was ? [] : [`input ${quote(path)} is another file`];
  });
}

/**
 * The run, by the same parser as what people type: a record can ask for nothing that they could not. It writes no file and
 * keeps no state.
 */
async function repeatOf(record: RunRecord): Promise<(io: Io) => Promise<Again>> {
  const { argv, command, plan, recipe, schedules } = record;
  let found: ((io: Io) => Promise<Again>) | undefined;
  const refuse = (): never => {
    throw new UsageError(`the record names another command than ${command}.`);
  };
  const take = (run: (io: Io) => Promise<Again>): number => {
    found = run;
    return EXIT.done;
  };
  const refusals = new Proxy({} as Commands, { get: () => refuse });
  const commands: Commands = {
    inspect: refuse,
    conformance: refuse,
    verify: refuse,
    explain: refuse,
    types: refuse,
    run: refuse,
    bench: refuse,
    dashboard: refuse,
    farm: refuse,
    doctor: refuse,
    results: refusals.results,
    reram: refusals.reram,
    compile: (options) => take(async () => compiledBy(options)),
    tune: async (options) => take(async () => compiledAsTuned(options, schedules ?? {})),
    train: async (options) => take((io) => trainedBy(options, io, undefined)),
    prune: {
      prune: async (options) => {
        if (options.dryRun || (options.recipe !== undefined && recipe === undefined)) return refuse();
        const again = { ...options, ...(plan && { plan }), ...(recipe !== undefined && { recipeValue: recipe }) };
        return take((io) => prunedBy(again, io, undefined));
      },
      reproduce: refuse,
      whatif: refuse,
      diff: refuse,
    },
  };
  await runCommandLine(argv, version(), commands, () => {});
  return found ?? refuse();
}
