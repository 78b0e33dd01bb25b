/**
 * `grim verify`: is the model well formed, and does it compute what the test data beside it say? For a folder: every model
 * in it. Without test data, a small model is run once on made-up inputs, so that at least something has been computed.
 */
import {
  type Backend,
  type CaseResult,
  findModels,
  type Model,
  runCase,
  summarize,
  typeProblem,
} from '@grim/conformance';
import {
  verify as check,
  type Diagnostic,
  elementCount,
  type Graph,
  GrimError,
  isStatic,
  macs,
  quote,
  requireStatic,
  show,
  type Tensor,
} from '@grim/ir';
import { fromOnnx, type ImportOptions } from '@grim/ir/onnx';
import type { VerifyOptions } from '../args.ts';
import { backendNamed } from '../backends.ts';
import { bisect } from '../bisect.ts';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { kindOfPath, modelFiles, readingFolders, readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { madeUpInputs } from '../made-up-inputs.ts';
import { type Io, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { wrap } from '../table.ts';
import { failureLine, summaryText } from './conformance.ts';

/** A model is run without test data when one run makes no more multiply-accumulates than this: about a second. */
const SMALL_MACS = 3e7;

interface Checked extends CaseResult {
  /** What was done, for the line that says that it passed. */
  readonly done: string;
}

export async function verify(options: VerifyOptions, io: Io): Promise<number> {
  if (options.bisect !== undefined) return verifyFile(options, options.bisect, io);
  const { path, filter, json } = options;
  const single = about(path, () => kindOfPath(path)) === 'file';
  checkReport(options, single ? [path] : []);
  const models = about(path, () => {
    const found = readingFolders(() => findModels(path)).filter(({ name }) => filter?.test(name) ?? true);
    if (found.length > 0) return found;
    throw new GrimError(
      'GRIM_CLI_NO_CASES',
      `there is no .onnx file${filter ? ` whose path matches ${filter}` : ''} in it.`,
    );
  });
  const results: CaseResult[] = [];
  for (const model of models) {
    // A single file that cannot be imported is an error of its own rather than a case that failed.
    const { done, ...result } = await (single
      ? about(path, () => checkModel(model, options))
      : checkOrTell(model, options));
    results.push(result);
    if (json === '-') continue;
    if (result.status === 'failed') io.out(`${failureLine(result, io)}\n`);
    else if (result.status === 'passed' && models.length <= LISTED) {
      const word = 'passed';
      const lines = wrap(`${word} ${show(result.name)}: ${done}`, io.columns, '  ').join('\n');
      io.out(`${styled(io, 'green', word)}${lines.slice(word.length)}\n`);
    }
  }
  const result = summarize(results);
  const report = {
    schema: 'grim.verify/1',
    backend: options.backend,
    passed: result.passed,
    failed: result.failed,
    skipped: result.skipped,
    cases: results,
  };
  if (sendReport(report, options, single ? [path] : [], io)) io.out(summaryText(result, io));
  return result.ok ? EXIT.done : EXIT.failed;
}

/** `--bisect`: a compiled file against the reference, and where it is off, the first node that is. */
async function verifyFile(options: VerifyOptions, file: string, io: Io): Promise<number> {
  const { path } = options;
  checkReport(options, [path, file]);
  const graph = about(path, () => fromOnnx(readRegularFile(path), importOptions(path, options)));
  const bytes = about(file, () => readRegularFile(file));
  about(path, () => requireStatic(graph));
  const result = await about(file, () => bisect(bytes, graph, madeUpInputs(graph.inputs)));
  const { error, tolerance, first, compiled } = result;
  const ok = error <= tolerance;
  const report = { schema: 'grim.verify-bisect/1', model: path, file, passed: ok, ...result };
  if (sendReport(report, options, [path, file], io)) {
    const share = (value: number) => (value === 0 ? '0' : value.toExponential(1));
    const whole = `${show(file)} is ${share(error)} off the reference (of its norm; ${share(tolerance)} is let pass, weights ${result.weights}).`;
    const where = first
      ? `The first layer that is off: ${quote(first.node)} (${show(first.op)}), by ${share(first.error)}; what it reads is not. Found by compiling ${compiled} parts of the network as the file was.`
      : `The network itself compiles well, up to its last node: the file was made of other weights, or by another compiler. Compile it again, or see grim diff.`;
    const text = ok ? `${whole} No layer leaves it.` : `${whole} ${where}`;
    io.out(`${wrap(`${ok ? 'passed' : 'failed'}: ${text}`, io.columns, '  ').join('\n')}\n`);
  }
  return ok ? EXIT.done : EXIT.failed;
}

/** Up to this many models, those that passed are named too. */
const LISTED = 20;

async function checkOrTell(model: Model, options: VerifyOptions): Promise<Checked> {
  try {
    return await checkModel(model, options);
  } catch (error) {
    if (!(error instanceof GrimError)) throw error;
    const types = typeProblem(error);
    const reason = types ?? `${error.message} [${error.code}]`;
    return { name: model.name, status: types ? 'skipped' : 'failed', reason, done: '' };
  }
}

async function checkModel(model: Model, given: VerifyOptions): Promise<Checked> {
  const { name, path, dataSets } = model;
  const options = importOptions(path, given);
  const backend = backendNamed(given.backend);
  const graph = fromOnnx(modelFiles.read(path), options);
  const problems = check(graph).filter(({ severity }) => severity === 'error');
  if (problems.length > 0) return { name, status: 'failed', reason: problemText(problems), done: '' };
  if (dataSets.length === 0)
    return { name, status: 'passed', done: await tryOut(graph, backend, modelFiles.read(path), options) };
  const result = await runCase(model, backend, modelFiles, options);
  const sets = dataSets.length === 1 ? 'test data' : `${dataSets.length} sets of test data`;
  return { ...result, done: `fits its ${sets}, error at most ${errorText(result.maxError)}` };
}

function problemText(problems: readonly Diagnostic[]): string {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more problems)` : '';
  return `${first?.message ?? ''} [${first?.code ?? ''}]${more}`;
}

function errorText(error: number | undefined): string {
  return error === undefined || error === 0 ? '0' : error.toExponential(1);
}

/** Runs a model that has no test data, if it is small. @returns what was done */
async function tryOut(graph: Graph, backend: Backend, bytes: Uint8Array, options: ImportOptions): Promise<string> {
  const open = [...graph.inputs].filter(([, { shape }]) => !isStatic(shape)).map(([name]) => quote(name));
  if (open.length > 0) return `well formed; not run, as lengths of ${open.join(', ')} are open (--dim, --shape)`;
  const { total, nodes } = macs(graph);
  if (total > SMALL_MACS || [...nodes.values()].includes(undefined))
    return 'well formed; no test data, and too large to run here';
  const loaded = await backend.load(bytes, options);
  const outputs = await loaded.run(new Map(Object.entries(madeUpInputs(graph.inputs))));
  const elements = [...outputs.values()].reduce(
    (sum: number, { shape, dtype }: Tensor) => sum + elementCount(shape, dtype),
    0,
  );
  return `well formed; no test data, runs on made-up inputs (${elements} numbers)`;
}
