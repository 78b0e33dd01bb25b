/**
 * Runs conformance cases against a backend: loads the model, feeds the stored inputs, compares the outputs.
 *
 * A case of element types that the backend does not take is skipped with that reason; anything else that goes wrong, an
 * operator that is not supported included, is a failure, told in one line.
 */
import { GrimError, quote, show, type Tensor } from '@grim/ir';
import { fromOnnx, type ImportOptions, readTensorFile } from '@grim/ir/onnx';
import { evaluate } from '@grim/ir/reference';
import type { Case, DataSet, Model } from './cases.ts';
import { type Comparison, compareTensors, describeDifference } from './compare.ts';
import type { ExpectedFailures } from './expected.ts';

/** Where the bytes come from; the command reads more carefully than a test needs to. */
export interface Files {
  /** The whole file. */
  read(path: string): Uint8Array;
  /** Finds the external data of the model at `path`; absent: such a model is refused. */
  externalData?(path: string): ImportOptions['externalData'];
}

/** A model that is ready to run. */
export interface Loaded {
  /** Names in the model's order. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** @returns one entry per output */
  run(inputs: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> | Promise<ReadonlyMap<string, Tensor>>;
  /** Lets go of what it holds. */
  dispose?(): void;
}

/** Something that computes models. It throws GrimError; a code in {@link TYPE_CODES} means "not with these types". */
export interface Backend {
  readonly name: string;
  load(bytes: Uint8Array, options: ImportOptions): Loaded;
}

export const referenceBackend: Backend = {
  name: 'reference',
  load(bytes, options) {
    const graph = fromOnnx(bytes, options);
    return {
      inputs: [...graph.inputs.keys()],
      outputs: [...graph.outputs.keys()],
      run: (inputs) => new Map(Object.entries(evaluate(graph, Object.fromEntries(inputs)))),
    };
  },
};

/** Codes that say: the element type, or the kind of value, is not one that GRIM computes with. */
const TYPE_CODES: readonly string[] = ['GRIM_ONNX_UNSUPPORTED_TYPE', 'GRIM_IR_UNSUPPORTED_DTYPE'];

export interface CaseResult {
  readonly name: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  /** Why it failed or was skipped, in one line. */
  readonly reason?: string;
  /** Largest |found − expected| over all outputs, where that is a number. */
  readonly maxError?: number;
  /** It failed, and stands in the list of expected failures; the text is the list's reason. */
  readonly expected?: string;
}

export interface RunResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly cases: readonly CaseResult[];
  /** Names in the list of expected failures that passed: take them out. */
  readonly unexpectedPasses: readonly string[];
  /** No failure but expected ones, and no unexpected pass. */
  readonly ok: boolean;
}

/**
 * @param each  called after every case, so that a caller can report and yield
 */
export async function runCases(
  cases: readonly Case[],
  backend: Backend,
  files: Files,
  expectedFailures: ExpectedFailures = new Map(),
  each: (result: CaseResult) => void | Promise<void> = () => {},
): Promise<RunResult> {
  const results: CaseResult[] = [];
  for (const one of cases) {
    const found = await runCase(one, backend, files);
    const expected = found.status === 'failed' ? expectedFailures.get(one.name) : undefined;
    const result = expected === undefined ? found : { ...found, expected };
    results.push(result);
    await each(result);
  }
  return summarize(results, expectedFailures);
}

/** The totals of results that were made one by one. */
export function summarize(cases: readonly CaseResult[], expectedFailures: ExpectedFailures = new Map()): RunResult {
  const count = (status: CaseResult['status']): number => cases.filter((one) => one.status === status).length;
  const unexpectedPasses = cases
    .filter(({ name, status }) => status === 'passed' && expectedFailures.has(name))
    .map(({ name }) => name);
  return {
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    cases,
    unexpectedPasses,
    ok:
      unexpectedPasses.length === 0 &&
      cases.every(({ status, expected }) => status !== 'failed' || expected !== undefined),
  };
}

/**
 * Runs every data set of one case.
 * @param options  for the import, besides where external data are
 */
export async function runCase(
  one: Model,
  backend: Backend,
  files: Files,
  options: ImportOptions = {},
): Promise<CaseResult> {
  const { name } = one;
  if (one.dataSets.length === 0)
    return { name, status: 'skipped', reason: 'no test_data_set_* folder beside the model' };
  let maxError = 0;
  let loaded: Loaded | undefined;
  try {
    const external = files.externalData?.(one.path);
    loaded = backend.load(files.read(one.path), { ...options, ...(external ? { externalData: external } : {}) });
    for (const dataSet of one.dataSets) {
      const { differences, error } = await runDataSet(dataSet, loaded, files);
      maxError = Math.max(maxError, error);
      if (differences.length > 0) {
        const where = one.dataSets.length > 1 ? `${dataSet.name}: ` : '';
        return { name, status: 'failed', reason: `${where}${differences.join('; ')}`, ...finite(maxError) };
      }
    }
    return { name, status: 'passed', ...finite(maxError) };
  } catch (error) {
    const types = typeProblem(error);
    return { name, status: types ? 'skipped' : 'failed', reason: types ?? oneLine(error) };
  } finally {
    loaded?.dispose?.();
  }
}

/** What is said about an element type, first or among other problems of the model: then the case is not for this backend. */
export function typeProblem(error: unknown): string | undefined {
  if (!(error instanceof GrimError)) return undefined;
  if (TYPE_CODES.includes(error.code)) return oneLine(error);
  const { problems } = error.details;
  const others = Array.isArray(problems) ? (problems as { code: string; message: string }[]) : [];
  const found = others.find(({ code }) => TYPE_CODES.includes(code));
  return found && `${found.message} [${found.code}]`;
}

const finite = (maxError: number): { maxError?: number } => (Number.isFinite(maxError) ? { maxError } : {});

async function runDataSet(
  dataSet: DataSet,
  loaded: Loaded,
  files: Files,
): Promise<{ readonly differences: readonly string[]; readonly error: number }> {
  const inputs = assign(readTensors(dataSet.inputs, dataSet, 'input', files), loaded.inputs, 'input');
  const expected = assign(readTensors(dataSet.outputs, dataSet, 'output', files), loaded.outputs, 'output');
  if (expected.size === 0)
    throw new GrimError('GRIM_CONFORMANCE_BAD_DATA', `${dataSet.name} has no output_*.pb to compare with.`);
  const found = await loaded.run(inputs);
  const differences: string[] = [];
  let error = 0;
  for (const [name, tensor] of expected) {
    const value = found.get(name);
    const result: Comparison | undefined = value && compareTensors(value, tensor);
    error = Math.max(error, result ? result.maxAbsolute : Infinity);
    if (!result) differences.push(`output ${quote(name)} was not computed`);
    else if (!result.equal) differences.push(`output ${quote(name)} ${describeDifference(result)}`);
  }
  return { differences, error };
}

interface Stored {
  readonly position: number;
  readonly name: string;
  readonly tensor: Tensor;
}

function readTensors(
  paths: readonly (string | undefined)[],
  dataSet: DataSet,
  kind: string,
  files: Files,
): readonly Stored[] {
  return paths.flatMap((path, position) => {
    if (path === undefined) return [];
    try {
      return [{ position, ...readTensorFile(files.read(path)) }];
    } catch (error) {
      if (!(error instanceof GrimError)) throw error;
      throw new GrimError(error.code, `${dataSet.name}/${kind}_${position}.pb: ${error.message}`, error.details);
    }
  });
}

/**
 * Which tensor belongs to which input or output: by the name inside the file where that is one of the model's and no other
 * file has it, else by position.
 */
function assign(stored: readonly Stored[], names: readonly string[], kind: string): ReadonlyMap<string, Tensor> {
  const byName = stored.length > 0 && stored.every(({ name }) => names.includes(name));
  const distinct = new Set(stored.map(({ name }) => name)).size === stored.length;
  const result = new Map<string, Tensor>();
  for (const { position, name, tensor } of stored) {
    const target = byName && distinct ? name : names[position];
    if (target === undefined)
      throw new GrimError(
        'GRIM_CONFORMANCE_BAD_DATA',
        `${kind}_${position}.pb has no counterpart: the model has ${names.length} ${kind}s (${names.map(show).join(', ')}).`,
      );
    result.set(target, tensor);
  }
  return result;
}

/** The first line of an error, with its code; a bug of ours is told apart. */
function oneLine(error: unknown): string {
  // The runtime has an error class of its own.
  const { code } = error as { code?: unknown };
  if (error instanceof Error && typeof code === 'string' && code.startsWith('GRIM_'))
    return `${error.message.split('\n')[0]} [${code}]`;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `${show(message.split('\n')[0] ?? '')} [internal: this is a bug of GRIM]`;
}
