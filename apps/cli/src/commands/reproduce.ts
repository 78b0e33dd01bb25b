/**
 * `grim reproduce`: does what the record of a run says again and compares the bytes. What differs is named: an input, a
 * version, the machine, or the result alone.
 */
import { cpus } from 'node:os';
import { GrimError, quote, show } from '@grim/ir';
import { type Commands, runCommandLine } from '../args.ts';
import { about, UsageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { readRegularFile } from '../files.ts';
import { bytes, type Io } from '../output.ts';
import type { PruneCommandOptions, ReproduceOptions } from '../prune/args.ts';
import { sha256 } from '../prune/examples.ts';
import { checkReport, sendReport } from '../report.ts';
import { version } from '../version.ts';
import { prunedBy } from './prune.ts';

interface RunRecord {
  readonly argv: readonly string[];
  /** What a search found then: it is not searched again, as times differ. */
  readonly plan?: {
    readonly density: Readonly<Record<string, number>>;
    readonly block: Readonly<Record<string, string>>;
  };
  /** What its recipe said: a module of that name is not run. */
  readonly recipe?: unknown;
  readonly inputs: readonly { readonly path: string; readonly sha256: string }[];
  readonly output: { readonly path: string; readonly sha256: string };
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string | number>>;
}

/** Records are small; a larger file is none. */
const MAX_BYTES = 2 ** 26;

export async function reproduceCommand(options: ReproduceOptions, io: Io): Promise<number> {
  const { record: path } = options;
  checkReport(options, [path]);
  const record = about(path, () => readRecord(readRegularFile(path, MAX_BYTES)));
  const differences: string[] = [];
  for (const input of record.inputs) {
    const now = sha256(about(input.path, () => readRegularFile(input.path)));
    if (now !== input.sha256) differences.push(`input ${quote(input.path)} is another file`);
  }
  const here: Readonly<Record<string, string>> = { grim: version(), node: process.version, v8: process.versions.v8 };
  for (const [name, was] of Object.entries(record.versions))
    if (here[name] !== undefined && here[name] !== was) differences.push(`${name} was ${was}, here ${here[name]}`);
  const cpu = cpus()[0]?.model ?? '';
  if (record.machine['cpu'] !== undefined && record.machine['cpu'] !== cpu)
    differences.push(`the processor was ${show(String(record.machine['cpu']))}, here ${show(cpu)}`);

  const made = await prunedBy(await optionsOf(record), io, undefined);
  const found = sha256(made.content);
  const identical = found === record.output.sha256;
  const report = {
    schema: 'grim.reproduce/1',
    record: path,
    identical,
    differences,
    expected: record.output.sha256,
    found,
    bytes: made.content.length,
    seconds: made.seconds,
  };
  if (sendReport(report, options, [path], io)) {
    const list = differences.map((one) => `  ${one}\n`).join('');
    io.out(
      identical
        ? `identical: ${show(record.output.path)}, ${bytes(made.content.length)}, ${found}\n${list}`
        : `different: ${show(record.output.path)} was ${record.output.sha256}, now ${found}\n${list || '  inputs, versions and processor are the same: this should not be. Please report it.\n'}`,
    );
  }
  return identical ? EXIT.done : EXIT.gate;
}

function readRecord(content: Uint8Array): RunRecord {
  const bad = (): never => {
    throw new GrimError(
      'GRIM_CLI_BAD_RECORD',
      'this is no record of a run. grim prune writes one beside each network: x.onnx.run.json.',
    );
  };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    return bad();
  }
  const isObject = (one: unknown): one is Record<string, unknown> => typeof one === 'object' && one !== null;
  if (!isObject(value) || value['schema'] !== 'grim.prune-run/1') return bad();
  const { argv, inputs, output, versions, machine, plan } = value;
  const isFile = (one: unknown) =>
    isObject(one) && typeof one['path'] === 'string' && typeof one['sha256'] === 'string';
  if (!Array.isArray(argv) || !argv.every((word) => typeof word === 'string') || argv[0] !== 'prune') return bad();
  if (!Array.isArray(inputs) || !inputs.every(isFile) || !isFile(output)) return bad();
  if (!isObject(versions) || !isObject(machine)) return bad();
  if (plan !== undefined) {
    const { density, block } = isObject(plan) ? plan : {};
    const isBlock = (one: unknown) => typeof one === 'string' && /^(\d{1,5}|K)x(\d{1,5}|K)$/.test(one);
    if (!isObject(density) || !Object.values(density).every((one) => typeof one === 'number')) return bad();
    if (!isObject(block) || !Object.values(block).every(isBlock)) return bad();
  }
  return value as unknown as RunRecord;
}

/** Through the same parser as what people type: a record can ask for nothing that they could not. */
async function optionsOf({ argv, plan, recipe }: RunRecord): Promise<PruneCommandOptions> {
  let found: PruneCommandOptions | undefined;
  const refuse = (): never => {
    throw new UsageError('the record names another command than prune.');
  };
  const others = new Proxy({} as Commands, { get: () => refuse });
  const commands: Commands = {
    ...others,
    inspect: refuse,
    conformance: refuse,
    verify: refuse,
    compile: refuse,
    explain: refuse,
    run: refuse,
    bench: refuse,
    doctor: refuse,
    reram: others.reram,
    prune: {
      prune: async (options) => {
        found = options;
        return EXIT.done;
      },
      reproduce: refuse,
      whatif: refuse,
      diff: refuse,
    },
  };
  await runCommandLine(argv, version(), commands, () => {});
  if (!found || found.dryRun) return refuse();
  if (found.recipe !== undefined && recipe === undefined) return refuse();
  return { ...found, ...(plan && { plan }), ...(recipe !== undefined && { recipeValue: recipe }) };
}
