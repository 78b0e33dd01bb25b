/**
 * `grim reram certify`: a proof for every column of every layer, written down, and verified by a second checker that shares
 * no code with the first. With `--verify` the file is read and verified against the model.
 */
import { GrimError, gemmView, inferTypes, show, toReals, weightIndex } from '@grim/ir';
import { certifyNetwork, checkNetworkCertificate, type NetworkCertificate } from '@grim/reram';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile } from '../files.ts';
import { bytes, count, type Io, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { table, wrap } from '../table.ts';
import type { ReramCertifyOptions } from './args.ts';
import { byNode, mostOf, sumOf } from './groups.ts';
import { heading, mapModel, notes } from './map.ts';
import { readExamples } from './model.ts';
import { checkPlot, sumsPlot, writePlot } from './plots.ts';

export async function certifyCommand(options: ReramCertifyOptions, io: Io): Promise<number> {
  if (options.verify !== undefined) return verifyCommand(options, options.verify, io);
  const { output, force, plot } = options;
  const target = plot === undefined ? undefined : { path: plot, force, inputs: [options.model] };
  checkPlot(target);
  checkReport(options, [options.model]);
  if (output !== undefined)
    about(output, () => checkTarget(output, { kind: 'report', force, inputs: [options.model] }));
  const { examples, crossbar, network } = mapModel(options, io);
  const bits = options.adcBits ?? options.fit;
  const certificate = about(options.model, () => certifyNetwork(network, crossbar, bits));
  const content = `${JSON.stringify(certificate)}\n`;
  // What is written is what is verified: through JSON, by code of its own.
  const problems = checkNetworkCertificate(JSON.parse(content) as unknown);
  const layers = certificate.layers.map(({ name, rows, cols, certificate: own }) => {
    const needed = own.columns.reduce((most, column) => Math.max(most, column.bits), 0);
    const worst = own.columns.find((column) => column.bits === needed);
    return {
      ...{ name, rows, cols, columns: own.columns.length, bits: needed, lossless: own.lossless },
      histogram: histogram(own.columns.map((column) => column.bits)),
      worst: worst && {
        output: worst.output,
        rowBlock: worst.rowBlock,
        slice: worst.slice,
        high: worst.high,
        low: worst.low,
      },
      clippedByOneBitLess: worst?.clippedByOneBitLess ?? 0,
    };
  });
  const needed = layers.reduce((most, layer) => Math.max(most, layer.bits), 0);
  const report = {
    schema: 'grim.reram.certify/1',
    ...{ model: options.model, adcBits: bits ?? needed, needed, lossless: certificate.lossless },
    ...{ columns: certificate.columns, verified: problems.length === 0, problems, layers },
  };
  if (output !== undefined) io.write({ path: output, content, kind: 'report', force, inputs: examples.read });
  if (target) {
    const sums = certificate.layers.flatMap(({ certificate: own }) =>
      own.columns.map(({ high, low }) => ({ sum: Math.max(high, -low) })),
    );
    await writePlot(
      'Largest sums of columns',
      { ...target, inputs: examples.read },
      sumsPlot(sums, bits ?? needed),
      io,
    );
  }
  if (sendReport(report, options, examples.read, io)) {
    const columns = [
      { title: 'layer', flexible: true },
      { title: 'columns', align: 'right' },
      { title: 'bits', align: 'right' },
      { title: 'largest sum', align: 'right' },
      { title: 'one bit less clips', align: 'right' },
    ] as const;
    const rows = byNode(layers).map(({ title, rows: own }) => {
      const bits = mostOf(own, (layer) => layer.bits);
      return [
        title,
        count(sumOf(own, (layer) => layer.columns)),
        String(bits),
        String(mostOf(own, ({ worst }) => Math.max(worst?.high ?? 0, -(worst?.low ?? 0)))),
        String(
          mostOf(
            own.filter((layer) => layer.bits === bits),
            (layer) => layer.clippedByOneBitLess,
          ),
        ),
      ];
    });
    const [head = '', ...lines] = table(columns, rows, io.columns);
    const all = histogram(certificate.layers.flatMap(({ certificate: own }) => own.columns.map((one) => one.bits)));
    const byBits = all.flatMap((n, b) => (n > 0 ? [`${b} bits: ${count(n)}`] : [])).join(', ');
    const verdict = certificate.lossless
      ? `lossless: converters of ${report.adcBits} bits read every one of ${count(certificate.columns)} columns without loss`
      : `not lossless: ${report.adcBits} bits clip some of ${count(certificate.columns)} columns; ${needed} are needed. Fit the integers (--fit ${report.adcBits}), or prune`;
    const second =
      problems.length === 0 ? 'the second checker agrees' : `the second checker finds: ${problems[0]?.problem}`;
    const text = [
      ...heading(options.preset, crossbar, io),
      styled(io, 'dim', head),
      ...lines,
      ...wrap(`columns that need ${byBits}`, io.columns, '  '),
      ...wrap(styled(io, certificate.lossless ? 'green' : 'yellow', `${verdict}; ${second}`), io.columns, '  '),
      ...(output === undefined ? [] : [`wrote ${show(output)}, ${bytes(content.length)}; verify it with --verify`]),
      ...notes(examples, network, io),
    ];
    io.out(`${text.join('\n')}\n`);
  }
  if (problems.length > 0) return EXIT.failed;
  return bits !== undefined && !certificate.lossless ? EXIT.gate : EXIT.done;
}

/** How many columns need 0, 1, 2 … bits. */
function histogram(all: readonly number[]): readonly number[] {
  const counts: number[] = new Array<number>(Math.max(...all, 0) + 1).fill(0);
  for (const b of all) counts[b] = (counts[b] ?? 0) + 1;
  return counts;
}

function verifyCommand(options: ReramCertifyOptions, file: string, io: Io): number {
  checkReport(options, [options.model, file]);
  const { graph } = readExamples(options);
  const weights = realWeights(graph);
  const { value, problems } = about(file, () => {
    const parsed = parse(readRegularFile(file));
    // Fitted integers lie further from their weights than rounding does; that they are the file's own is what counts.
    const tolerance = options.fit === undefined ? 0.5 : Infinity;
    return {
      value: parsed as NetworkCertificate,
      problems: checkNetworkCertificate(parsed, (name) => weights.get(name), tolerance),
    };
  });
  const ok = problems.length === 0;
  const report = {
    schema: 'grim.reram.certify/1',
    ...{
      model: options.model,
      certificate: file,
      verified: ok,
      lossless: value.lossless,
      adcBits: value.adcBits,
      problems,
    },
  };
  if (sendReport(report, options, [options.model, file], io)) {
    const lines = ok
      ? [
          styled(
            io,
            'green',
            `verified: ${count(value.layers.length)} layers, ${value.adcBits} bits, ${value.lossless ? 'lossless' : 'not lossless'}`,
          ),
        ]
      : problems
          .slice(0, 10)
          .map(({ layer, column, problem }) => `${show(layer)}${column < 0 ? '' : `, column ${column}`}: ${problem}`);
    const hint = 'the integers of a fitted network lie further from its weights: verify them with the same --fit';
    const more = !ok && options.fit === undefined ? [hint] : [];
    io.out(`${[...lines, ...more].flatMap((line) => wrap(line, io.columns, '  ')).join('\n')}\n`);
  }
  return ok ? EXIT.done : EXIT.failed;
}

function parse(content: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch (error) {
    throw new GrimError('GRIM_RERAM_BAD_CERTIFICATE', `this is no JSON: ${(error as Error).message}.`);
  }
}

/** The matrices of a graph by the names that parts of the quantised network have, read from the graph itself. */
function realWeights(graph: ReturnType<typeof readExamples>['graph']): ReadonlyMap<string, Float64Array> {
  const types = inferTypes(graph);
  const found = new Map<string, Float64Array>();
  for (const node of graph.nodes)
    for (const input of [1, 2]) {
      const weight = graph.weights.get(node.inputs[input] ?? '');
      const view = weight && gemmView(node, input, types);
      if (!weight || !view) continue;
      const reals = toReals(weight);
      const rows = (first: number, count: number) =>
        Float64Array.from({ length: count * view.k }, (_, i) => {
          return Number(reals[weightIndex(view, first + Math.floor(i / view.k), i % view.k)] ?? Number.NaN);
        });
      if (node.op === 'GRU' || node.op === 'LSTM') {
        const directions = weight.shape[0] ?? 1;
        const each = view.m / directions;
        for (let d = 0; d < directions; d++) {
          const split = node.op === 'GRU' && input === 2 ? (each / 3) * 2 : each;
          found.set(`${node.name}/${input === 1 ? 'W' : 'R'}${d}`, rows(d * each, split));
          if (split < each) found.set(`${node.name}/Rh${d}`, rows(d * each + split, each - split));
        }
      } else if (node.op === 'Conv' && view.groups > 1) {
        const each = view.m / view.groups;
        for (let g = 0; g < view.groups; g++) found.set(`${node.name}/${g}`, rows(g * each, each));
      } else if (input === 1) found.set(node.name, rows(0, view.m));
    }
  return found;
}
