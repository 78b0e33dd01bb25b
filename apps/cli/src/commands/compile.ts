/**
 * `grim compile`: an ONNX model becomes a `.grim` file. The file is written whole or not at all, and nothing is written when
 * any operator has no kernels.
 */
import type { ValueInfo } from '@grim/ir';
import { show } from '@grim/ir';
import type { CompileCommandOptions } from '../args.ts';
import { type Compiled, compileModel, explainGraph } from '../compile-model.ts';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { approximate, bytes, count, type Io, percent, styled } from '../output.ts';
import type { FoundPattern } from '../patterns.ts';
import { checkReport, sendReport } from '../report.ts';
import { table, wrap } from '../table.ts';

export function compileCommand(options: CompileCommandOptions, io: Io): number {
  const { model, output, weights, sparse, force } = options;
  const file = { path: output, kind: 'model', force, inputs: [model] } as const;
  checkReport(options, [model]);
  about(output, () => checkTarget(output, file));
  const content = about(model, () => readRegularFile(model));
  const compiled = about(model, () => compileModel(content, importOptions(model, options), { weights, sparse }));
  const explained = options.explain ? about(model, () => explainGraph(compiled.graph)) : undefined;
  io.write({ ...file, content: compiled.bytes });
  const report = reportOf(compiled, content.length, explained, options);
  if (sendReport(report, options, [model], io)) io.out(textOf(report, options, io));
  return EXIT.done;
}

type Report = ReturnType<typeof reportOf>;

function reportOf(
  { model: { manifest, wasm }, bytes: file, patterns }: Compiled,
  modelBytes: number,
  explained: string | undefined,
  { model, output, weights }: CompileCommandOptions,
) {
  const typed = ({ name, dtype, shape }: ValueInfo) => ({ name, dtype, shape });
  return {
    schema: 'grim.compile/1',
    model,
    modelBytes,
    output,
    bytes: file.length,
    name: manifest.name,
    inputs: manifest.inputs.map(typed),
    outputs: manifest.outputs.map(typed),
    weights,
    constantBytes: manifest.constantBytes,
    arenaBytes: manifest.arenaBytes,
    kernels: manifest.kernels.length,
    wasmBytes: { relaxed: wasm.relaxed.length, plain: wasm.plain.length },
    patterns,
    layers: manifest.layers,
    ...(explained === undefined ? {} : { explained }),
  } as const;
}

function textOf(report: Report, { model }: CompileCommandOptions, io: Io): string {
  const { name, output, inputs, outputs, patterns } = report;
  const width = io.columns;
  const values = (title: string, list: Report['inputs']): string[] => {
    const rows = list.map(({ name, dtype, shape }) => [show(name), dtype, `[${shape.join(', ')}]`]);
    const [, ...body] = table(
      [{ title: '', flexible: true }, { title: '' }, { title: '', flexible: true }],
      rows,
      width,
    );
    return [styled(io, 'bold', title), ...body];
  };
  const sizes = [
    `constants ${bytes(report.constantBytes)}`,
    `activations ${bytes(report.arenaBytes)}`,
    `${count(report.kernels)} kernels in ${bytes(report.wasmBytes.relaxed)} of code`,
  ];
  const lines = [
    styled(
      io,
      'bold',
      `${show(name) || show(model)}: ${bytes(report.modelBytes)} → ${bytes(report.bytes)} in ${show(output)}`,
    ),
    ...wrap(`  ${sizes.join(', ')}, weights as ${report.weights}`, width, '  '),
    '',
    ...values('Inputs', inputs),
    ...values('Outputs', outputs),
    ...patternLines(patterns, io),
    ...(report.explained === undefined
      ? []
      : ['', ...report.explained.split('\n').flatMap((line) => wrap(line, width, '     '))]),
    '',
    `Next: grim run ${quoted(output)} ${inputs.map(({ name }) => quoted(`--input ${name}=FILE.npy`, '--input ')).join(' ')}`.trimEnd(),
  ];
  return `${lines.join('\n')}\n`;
}

/** The patterns as a table; nothing where there are none. */
export function patternLines(patterns: readonly FoundPattern[], io: Io): string[] {
  if (patterns.length === 0) return [];
  const columns = [
    { title: 'layer', flexible: true },
    { title: 'operator', flexible: true },
    { title: 'M × K', align: 'right' },
    { title: 'blocks', align: 'right' },
    { title: 'kept', align: 'right' },
    { title: 'weights', align: 'right' },
  ] as const;
  const rows = patterns.map(({ layer, op, m, k, block, density }) => [
    show(layer),
    op,
    `${m} × ${k}`,
    `${block.rows} × ${block.cols}`,
    percent(density, 1),
    approximate(Math.round(density * m * k)),
  ]);
  const [head = '', ...body] = table(columns, rows, io.columns);
  return ['', styled(io, 'bold', 'BCR patterns found among the zeros'), styled(io, 'dim', head), ...body];
}

/** As a shell takes it. */
function quoted(word: string, prefix = ''): string {
  const rest = word.slice(prefix.length);
  return /^[\w./=:-]+$/.test(rest) ? prefix + rest : `${prefix}'${show(rest)}'`;
}
