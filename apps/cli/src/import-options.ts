/** What the command line says about a model's open lengths, as the importer takes it. */
import type { ImportOptions } from '@grim/ir/onnx';
import { readExternalData } from './files.ts';
import type { Bindings } from './options.ts';

export function importOptions(path: string, { dims, shapes, constants }: Bindings): ImportOptions {
  return {
    externalData: (location) => readExternalData(path, location),
    ...(dims.size > 0 ? { dims: Object.fromEntries(dims) } : {}),
    ...(shapes.size > 0 ? { shapes: Object.fromEntries(shapes) } : {}),
    ...(constants.size > 0 ? { constants: Object.fromEntries(constants) } : {}),
  };
}
