/** `grim explain`: what a model is compiled to, without writing it: patterns, then every step, its kernel, and why. */
import type { ExplainOptions } from '../args.ts';
import { compileModel, explainGraph } from '../compile-model.ts';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import type { Io } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { wrap } from '../table.ts';
import { checkUsed, readSchedules } from '../tune/schedules.ts';
import { patternLines } from './compile.ts';

export function explainCommand(options: ExplainOptions, io: Io): number {
  const { model, sparse, threads, targets } = options;
  checkReport(options, [model]);
  const schedules = options.schedules === undefined ? undefined : readSchedules(options.schedules);
  const how = { ...(targets && { targets }), ...(threads && { threads }), ...(schedules && { schedules }) };
  const { steps, patterns, layers } = about(model, () => {
    const compiled = compileModel(readRegularFile(model), importOptions(model, options), { sparse, options: how });
    if (schedules) checkUsed(options.schedules ?? '', schedules, compiled.model);
    return {
      steps: explainGraph(compiled.graph, how).split('\n'),
      patterns: compiled.patterns,
      layers: compiled.model.manifest.layers,
    };
  });
  const report = { schema: 'grim.explain/1', model, patterns, layers, steps };
  if (sendReport(report, options, [model], io)) {
    const lines = [...steps.flatMap((line) => wrap(line, io.columns, '     ')), ...patternLines(patterns, io)];
    io.out(`${lines.join('\n')}\n`);
  }
  return EXIT.done;
}
