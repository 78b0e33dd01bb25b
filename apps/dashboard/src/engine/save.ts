/** The network as a file. */
import { toOnnx } from '@grim/ir/onnx';
import type { SaveAnswer, SaveAsk } from './messages.ts';
import { graphOf, networkOf, theSession } from './session.ts';

export function save({ which, format }: SaveAsk): SaveAnswer {
  const network = networkOf(theSession(), which);
  const bytes = format === 'grim' ? network.compiled.file.slice() : toOnnx(graphOf(network));
  return { bytes: bytes as Uint8Array<ArrayBuffer> };
}
