/** What a lowering cannot do: said for every node of a graph at once. */
import { GrimError, quote } from '@grim/ir';

/** Thrown while one node is lowered. */
export class Unsupported extends Error {
  readonly found: string;
  readonly supported: string;
  constructor(found: string, supported: string) {
    super(found);
    this.found = found;
    this.supported = supported;
  }
}

export interface Problem {
  readonly node: string;
  readonly op: string;
  readonly found: string;
  readonly supported: string;
}

/** @throws {GrimError} GRIM_CODEGEN_UNSUPPORTED_OP, if there are any */
export function reportProblems(problems: readonly Problem[]): void {
  if (problems.length === 0) return;
  const lines = problems
    .slice(0, 20)
    .map(({ node, op, found, supported }) => `${quote(node)} (${op}): ${found}; supported: ${supported}`);
  if (problems.length > lines.length) lines.push(`… and ${problems.length - lines.length} more`);
  throw new GrimError('GRIM_CODEGEN_UNSUPPORTED_OP', `Not everything can be compiled. ${lines.join('. ')}.`, {
    nodes: problems,
  });
}
