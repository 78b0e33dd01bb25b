/** `grim types`: what TypeScript is to know of a `.grim` file, written beside it. The same file gives the same bytes. */
import { declarations } from '@grim/codegen';
import { show, type ValueInfo } from '@grim/ir';
import { readArtifact } from '@grim/runtime/artifact';
import type { TypesOptions } from '../args.ts';
import { about } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { checkTarget, readRegularFile } from '../files.ts';
import type { Io } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';

export function typesCommand(options: TypesOptions, io: Io): number {
  const { model, output, force } = options;
  const inputs = [model];
  const file = { path: output, kind: 'types', force, inputs } as const;
  checkReport(options, inputs);
  about(output, () => checkTarget(output, file));
  const { manifest } = about(model, () => readArtifact(readRegularFile(model)));
  io.write({ ...file, content: declarations(manifest) });
  const typed = ({ name, dtype, shape }: ValueInfo) => ({ name, dtype, shape });
  const report = {
    schema: 'grim.types/1',
    model,
    output,
    inputs: manifest.inputs.map(typed),
    outputs: manifest.outputs.map(typed),
  };
  if (sendReport(report, options, inputs, io)) {
    const names = (values: readonly ValueInfo[]) => values.map(({ name }) => show(name)).join(', ');
    io.out(`${show(output)}: ${names(manifest.inputs)} → ${names(manifest.outputs)}\n`);
  }
  return EXIT.done;
}
