/** A network from a file: ONNX, or the text form of GRIM's own graphs, which says which weights are zero by pattern. */
import { bind, type Graph, GrimError, parse } from '@grim/ir';
import { fromOnnx, type ImportOptions } from '@grim/ir/onnx';

/** @throws {GrimError} what the importer or the parser says */
export function readGraph(content: Uint8Array, given: ImportOptions): Graph {
  const begins = new TextDecoder('latin1').decode(content.subarray(0, 8));
  if (begins.startsWith('GRIM'))
    throw new GrimError(
      'GRIM_CLI_BAD_MODEL',
      'this is a compiled model; the network that it was made from is needed. Give the .onnx or .ir file.',
    );
  if (!begins.startsWith('grim-ir ')) return fromOnnx(content, given);
  const graph = parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  const { dims, shapes, constants } = given;
  if (!dims && !shapes && !constants) return graph;
  return bind(graph, { ...(dims && { dims }), ...(shapes && { shapes }), ...(constants && { constants }) });
}
