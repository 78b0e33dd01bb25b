/**
 * `grim inspect`: what is in a model and what is wrong with it. For people: a page that ends with what to type next. For
 * programs: one object with everything. Problems are news, not failures: the exit status is 0 unless `--strict` is given.
 */
import { type Graph, GrimError, macs, quote, show, type TensorType } from '@grim/ir';
import { type DeclaredValue, type OnnxSummary, scanOnnx } from '@grim/ir/onnx';
import type { InspectOptions } from '../args.ts';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import type { Bindings } from '../options.ts';
import { approximate, bytes, count, type Io, percent, printable, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { fit, table, wrap } from '../table.ts';
import { type Parameters, parametersOf, type WeightReport, weightsOf } from '../weights.ts';

interface Value {
  readonly name: string;
  readonly dtype: string;
  /** A number, a name, or null for a length that is left open without one. Null: the rank is not known. */
  readonly shape: readonly (number | string | null)[] | null;
}

interface Problem {
  readonly code: string;
  readonly message: string;
  /** For operators that are not supported. */
  readonly op?: string;
  readonly count?: number;
  readonly nodes?: readonly string[];
  readonly macs?: number;
  /** Of the MACs of the whole model; null: unknown. */
  readonly macsShare?: number | null;
  readonly remedy: string;
}

interface Report {
  readonly schema: 'grim.inspect/1';
  readonly file: string;
  readonly fileBytes: number;
  readonly name: string;
  readonly producer: string;
  readonly producerVersion: string;
  readonly irVersion: number;
  readonly opsets: readonly { readonly domain: string; readonly version: number }[];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** Of the file: nodes as written, bodies and functions included. */
  readonly operators: readonly { readonly op: string; readonly domain: string; readonly count: number }[];
  readonly parameters: Parameters | null;
  /** Lengths that were taken to be 1 to count. */
  readonly assumed: Readonly<Record<string, number>>;
  /** Multiply-accumulates of one run; null: unknown, and why. */
  readonly macs: number | null;
  readonly macsUnknown?: string;
  readonly weights: readonly WeightReport[];
  readonly problems: readonly Problem[];
}

export function inspect(options: InspectOptions, io: Io): number {
  const { model } = options;
  checkReport(options, [model]);
  const report = about(model, () => examine(model, options));
  if (sendReport(report, options, [model], io)) io.out(pageOf(report, options, io));
  return options.strict && report.problems.length > 0 ? EXIT.gate : EXIT.done;
}

function examine(path: string, bindings: Bindings): Report {
  const content = readRegularFile(path);
  const given = importOptions(path, bindings);
  const summary = scanOnnx(content, given);
  const { graph } = summary;
  const wrongBinding = summary.problems.find(({ code }) => code === 'GRIM_IR_BAD_BINDING');
  if (wrongBinding) throw wrongBinding;
  const counted = graph ? countIn(graph, content, path, bindings) : undefined;
  const total = counted ? counted.total : summary.macs;
  return {
    schema: 'grim.inspect/1',
    file: path,
    fileBytes: content.length,
    name: summary.graphName,
    producer: summary.producer,
    producerVersion: summary.producerVersion,
    irVersion: summary.irVersion,
    opsets: summary.opsets.map(({ domain, version }) => ({ domain, version })),
    inputs: graph ? Array.from(graph.inputs, ([name, type]) => typed(name, type)) : summary.inputs.map(declared),
    outputs: summary.outputs.map(declared),
    operators: summary.operators.map(({ op, domain, count }) => ({ op, domain, count })),
    parameters: graph ? parametersOf(graph) : null,
    assumed: Object.fromEntries(counted?.assumed ?? []),
    macs: total ?? null,
    ...(total === undefined ? { macsUnknown: counted?.why ?? 'the model cannot be imported' } : {}),
    weights: counted?.weights ?? [],
    problems: problemsOf(summary),
  };
}

const typed = (name: string, { dtype, shape }: TensorType): Value => ({ name, dtype, shape });
const declared = ({ name, dtype, dims }: DeclaredValue): Value => ({
  name,
  dtype,
  shape: dims?.map((dim) => dim ?? null) ?? null,
});

interface Counted {
  readonly weights: readonly WeightReport[];
  readonly assumed: ReadonlyMap<string, number>;
  readonly total?: number;
  readonly why?: string;
}

/** MACs and the matrices' N depend on all lengths: those that are still open are taken to be 1, where the model allows it. */
function countIn(graph: Graph, content: Uint8Array, path: string, bindings: Bindings): Counted {
  const open = new Set(
    [...graph.inputs.values()].flatMap(({ shape }) => (shape ?? []).filter((dim) => typeof dim === 'string')),
  );
  const unknownRank = [...graph.inputs].find(([, { shape }]) => shape === null);
  const assumed = new Map(Array.from(open, (name) => [name, 1]));
  let bound = graph;
  let why = unknownRank && `the rank of input ${quote(unknownRank[0])} is not known; give --shape`;
  if (open.size > 0 && why === undefined) {
    const dims = new Map([...bindings.dims, ...assumed]);
    try {
      const { graph: again, problems } = scanOnnx(content, importOptions(path, { ...bindings, dims }));
      if (again) bound = again;
      else why = whyNot(open, problems[0]);
    } catch (error) {
      if (!(error instanceof GrimError)) throw error;
      why = whyNot(open, error);
    }
  }
  if (why !== undefined) return { weights: weightsOf(bound), assumed: new Map(), why };
  const { total, nodes } = macs(bound);
  const hidden = [...nodes].filter(([, own]) => own === undefined).map(([node]) => node);
  const weights = weightsOf(bound);
  if (hidden.length === 0) return { weights, assumed, total };
  const [first] = hidden;
  const more = hidden.length > 1 ? ` and of ${hidden.length - 1} more nodes` : '';
  return {
    weights,
    assumed,
    why: `the work of ${quote(first?.name ?? '')} (${first?.op})${more} depends on values of a run`,
  };
}

function whyNot(open: ReadonlySet<string>, error: GrimError | undefined): string {
  return `lengths are open and cannot all be 1 (${error?.code}); give lengths that suit in ${[...open].map((name) => optionFor(name)).join(' ')}`;
}

/** `--dim N=1`, quoted where a shell would take the name apart. */
function optionFor(name: string): string {
  const shown = show(name);
  return /^[\w.-]+$/.test(name) ? `--dim ${shown}=1` : `--dim '${shown}=1'`;
}

function problemsOf({ unsupported, problems, macs: total }: OnnxSummary): readonly Problem[] {
  const operators = unsupported.map(({ op, domain, count: nodeCount, nodes, macs: own }): Problem => {
    const name = domain === '' ? op : `${domain}.${op}`;
    return {
      code: 'GRIM_IR_UNSUPPORTED_OP',
      message: `operator ${quote(name)} is not supported`,
      op: name,
      count: nodeCount,
      nodes,
      ...(own === undefined ? {} : { macs: own }),
      macsShare: own === undefined || !total ? null : own / total,
      remedy:
        domain === ''
          ? 'Replace it before the export, or express it with other operators of the ONNX standard.'
          : 'It is no operator of the ONNX standard: export without the optimisations of a single runtime, or inline it.',
    };
  });
  const others = problems
    .filter(({ code }) => code !== 'GRIM_IR_UNSUPPORTED_OP' || unsupported.length === 0)
    .map(({ code, message }): Problem => ({ code, message, remedy: '' }));
  return [...operators, ...others];
}

function pageOf(report: Report, options: InspectOptions, io: Io): string {
  const width = io.columns;
  const title = report.name === '' ? show(report.file) : `${show(report.name)}`;
  const maker =
    report.producer === '' ? '' : `, made by ${show(report.producer)} ${show(report.producerVersion)}`.trimEnd();
  const opsets = report.opsets.map(({ domain, version }) =>
    domain === '' ? `opset ${version}` : `${show(domain)} ${version}`,
  );
  const lines = [
    styled(io, 'bold', fit(title, width)),
    ...wrap(`  ${bytes(report.fileBytes)}, ONNX IR ${report.irVersion}, ${opsets.join(', ')}${maker}`, width, '  '),
    '',
    ...values('Inputs', report.inputs, io),
    ...values('Outputs', report.outputs, io),
    ...openText(report, width),
    '',
    ...operatorsText(report, width),
    ...totalsText(report, width),
    ...weightsText(report, options, io),
    ...problemsText(report.problems, io),
    ...nextText(report, options),
  ];
  return `${lines.join('\n')}\n`;
}

function values(title: string, list: readonly Value[], io: Io): string[] {
  const rows = list.map(({ name, dtype, shape }) => [
    show(name),
    show(dtype),
    shape === null
      ? 'any shape'
      : `[${shape.map((dim) => (typeof dim === 'string' ? show(dim) : (dim ?? '?'))).join(', ')}]`,
  ]);
  const columns = [{ title: '', flexible: true }, { title: '' }, { title: '', flexible: true }];
  const [, ...body] = table(columns, rows, io.columns);
  return [styled(io, 'bold', title), ...body];
}

/** How to bind what is open. */
function openText(report: Report, width: number): string[] {
  const open = [
    ...new Set(report.inputs.flatMap(({ shape }) => (shape ?? []).filter((dim) => typeof dim === 'string'))),
  ];
  if (open.length === 0) return [];
  const one = open.length === 1;
  return wrap(
    `  ${open.map((name) => quote(name)).join(', ')} ${one ? 'is an open length' : 'are open lengths'}: bind ${one ? 'it' : 'them'} with ${open.map(optionFor).join(' ')}`,
    width,
    '  ',
  );
}

function operatorsText({ operators }: Report, width: number): string[] {
  const total = operators.reduce((sum, one) => sum + one.count, 0);
  const list = operators.map(
    ({ op, domain, count: n }) => `${domain === '' ? '' : `${show(domain)}.`}${show(op)} ${count(n)}`,
  );
  return wrap(`${count(total)} ${total === 1 ? 'node' : 'nodes'}: ${list.join(', ')}`, width, '  ');
}

function totalsText(report: Report, width: number): string[] {
  const { parameters, macs: total, assumed } = report;
  if (!parameters) return total === null ? [] : [`${approximate(total)} MACs (${count(total)}) per run`];
  const lines = wrap(
    `${count(parameters.count)} parameters in ${count(parameters.weights)} weights (${bytes(parameters.bytes)}), ${percent(parameters.zeros, parameters.count)} of them zero`,
    width,
    '  ',
  );
  const taken = Object.keys(assumed).map((name) => `${show(name)} = 1`);
  const where = taken.length > 0 ? ` per run, with ${taken.join(', ')}` : ' per run';
  lines.push(
    ...(total === null
      ? wrap(`MACs unknown: ${printable(report.macsUnknown ?? '')}`, width, '  ')
      : wrap(`${approximate(total)} MACs (${count(total)})${where}`, width, '  ')),
  );
  return lines;
}

function weightsText(report: Report, options: InspectOptions, io: Io): string[] {
  const { weights, macs: total } = report;
  if (weights.length === 0) return [];
  const shown = new Set([...weights].sort((a, b) => b.m * b.k - a.m * a.k).slice(0, options.top));
  const rows = weights
    .filter((one) => shown.has(one))
    .map((one) => [
      show(one.layer),
      one.op,
      `${one.m} × ${one.k}`,
      one.n === undefined ? '?' : String(one.n),
      total === null || one.macs === undefined ? '?' : percent(one.macs, total),
      percent(one.zeros, one.m * one.k),
      formOf(one),
    ]);
  const columns = [
    { title: 'layer', flexible: true },
    { title: 'operator', flexible: true },
    { title: 'M × K', align: 'right' },
    { title: 'N', align: 'right' },
    { title: 'MACs', align: 'right' },
    { title: 'zeros', align: 'right' },
    { title: 'their form', flexible: true },
  ] as const;
  const [head = '', ...body] = table(columns, rows, io.columns);
  const hidden = weights.length - rows.length;
  const heading = 'Weights as matrices A[M × K], multiplied with B[K × N]';
  const more = hidden > 0 ? [`  and ${hidden} smaller ones: --all shows them`] : [];
  return ['', styled(io, 'bold', heading), styled(io, 'dim', head), ...body, ...more];
}

function formOf({ form, block, explained = 0, m, k }: WeightReport): string {
  switch (form) {
    case 'none':
      return '–';
    case 'all':
      return 'all zero';
    case 'scattered':
      return 'scattered';
    case 'blocks': {
      const { rows = m, cols = k } = block ?? {};
      const what = rows === m && cols === k ? 'whole rows, columns' : `${rows} × ${cols} blocks`;
      return explained > 0.9995 ? what : `${what}, ${percent(explained, 1)}`;
    }
  }
}

function problemsText(problems: readonly Problem[], io: Io): string[] {
  if (problems.length === 0) return [];
  const indent = '    ';
  const lines = ['', styled(io, 'red', problems.length === 1 ? '1 problem' : `${problems.length} problems`)];
  for (const { code, message, count: n, nodes, macs: own, macsShare, remedy } of problems) {
    lines.push(...wrap(`  ${printable(message)} [${code}]`, io.columns, indent));
    if (nodes !== undefined) {
      const rest = (n ?? 0) > nodes.length ? ', …' : '';
      lines.push(
        ...wrap(
          `${indent}${n === 1 ? '1 node' : `${n} nodes`}: ${nodes.map(show).join(', ')}${rest}`,
          io.columns,
          indent,
        ),
      );
      const known = own === undefined ? 'unknown' : `${approximate(own)} MACs of an unknown total`;
      lines.push(`${indent}share of the MACs: ${typeof macsShare === 'number' ? percent(macsShare, 1) : known}`);
    }
    if (remedy !== '') lines.push(...wrap(`${indent}${remedy}`, io.columns, indent));
  }
  return lines;
}

function nextText({ problems }: Report, { model }: InspectOptions): string[] {
  const path = /^[\w./-]+$/.test(model) ? model : `'${show(model)}'`;
  return problems.length > 0 ? [] : ['', `Next: grim verify ${path}`];
}
