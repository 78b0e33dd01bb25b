/**
 * Einstein summation: reading the equation, and the length of every index. Follows the ONNX text of Einsum-12: letters,
 * an ellipsis per term that stands for the same number of axes everywhere, an output that may be left out, spaces.
 */
import type { GrimErrorCode } from '../errors.ts';
import { quote } from '../errors.ts';
import type { Dim, Shape } from '../types.ts';
import { formatShape } from '../types.ts';

type Fail = (message: string, code?: GrimErrorCode) => never;

/** What the axes of the operands and of the output are called; the axes of an ellipsis are `0`, `1`, … */
export interface Summation {
  readonly operands: readonly (readonly string[])[];
  readonly output: readonly string[];
  readonly lengths: ReadonlyMap<string, Dim>;
}

const ELLIPSIS = '...';

/** The labels of one term: letters and at most one ellipsis. */
function readTerm(fail: Fail, term: string, equation: string): string[] {
  const labels: string[] = [];
  for (let i = 0; i < term.length; i++) {
    const character = term.charAt(i);
    if (/[A-Za-z]/.test(character)) labels.push(character);
    else if (term.startsWith(ELLIPSIS, i) && !labels.includes(ELLIPSIS)) {
      labels.push(ELLIPSIS);
      i += 2;
    } else
      fail(
        `equation ${quote(equation)}: ${quote(character)} is out of place. Terms are letters with at most one "...", ` +
          'set apart by commas, with "->" before the output.',
        'GRIM_IR_BAD_ATTRIBUTE',
      );
    // A tensor has few axes; a term past any rank need not be read on, and stays linear to check.
    if (labels.length > 64)
      fail(`equation ${quote(equation)}: a term has more than 64 labels.`, 'GRIM_IR_BAD_ATTRIBUTE');
  }
  return labels;
}

function repeated(labels: readonly string[]): string | undefined {
  return labels.find((label, i) => labels.indexOf(label) !== i);
}

/** What the output is when the equation leaves it out: the ellipsis, then the letters that occur once, by code. */
function implicitOutput(terms: readonly (readonly string[])[]): string[] {
  const counts = new Map<string, number>();
  for (const label of terms.flat()) counts.set(label, (counts.get(label) ?? 0) + 1);
  const once = Array.from(counts.keys()).filter((label) => label !== ELLIPSIS && counts.get(label) === 1);
  return [...(counts.has(ELLIPSIS) ? [ELLIPSIS] : []), ...once.sort()];
}

/**
 * Reads `equation` for operands of these shapes.
 *
 * @returns null when a shape is not known
 * @throws by `fail`: GRIM_IR_BAD_ATTRIBUTE for a malformed equation, GRIM_IR_SHAPE_MISMATCH when it does not fit the shapes
 */
export function readEquation(fail: Fail, equation: string, shapes: readonly (Shape | null)[]): Summation | null {
  const malformed = (problem: string): never =>
    fail(`equation ${quote(equation)}: ${problem}`, 'GRIM_IR_BAD_ATTRIBUTE');
  const [left = '', right, ...more] = equation.replaceAll(' ', '').split('->');
  if (more.length > 0) malformed('"->" stands in it more than once.');
  const written = left.split(',');
  if (written.length !== shapes.length)
    fail(`equation ${quote(equation)} has ${written.length} terms; the node has ${shapes.length} inputs.`);
  const terms = written.map((term) => readTerm(fail, term, equation));
  const output = right === undefined ? implicitOutput(terms) : readTerm(fail, right, equation);
  const known = new Set(terms.flat());
  const twice = repeated(output);
  if (twice !== undefined) malformed(`${quote(twice)} stands twice in the output.`);
  for (const label of output)
    if (!known.has(label) && label !== ELLIPSIS) malformed(`the output has ${quote(label)}, no input has.`);
  if (shapes.includes(null)) return null;

  let hidden: number | undefined;
  terms.forEach((labels, i) => {
    const rank = shapes[i]?.length ?? 0;
    const letters = labels.filter((label) => label !== ELLIPSIS).length;
    const rest = rank - letters;
    if (rest < 0 || (rest > 0 && letters === labels.length))
      fail(
        `equation ${quote(equation)}: term ${i} names ${letters} axes, input ${i} has shape ${formatShape(shapes[i] ?? null)}.`,
      );
    if (letters === labels.length) return;
    if (hidden !== undefined && hidden !== rest)
      fail(`equation ${quote(equation)}: "..." stands for ${hidden} axes in one term and ${rest} in term ${i}.`);
    hidden = rest;
  });
  const axes = Array.from({ length: hidden ?? 0 }, (_, i) => String(i));
  const spell = (labels: readonly string[]) => labels.flatMap((label) => (label === ELLIPSIS ? axes : [label]));
  const operands = terms.map(spell);
  return { operands, output: spell(output), lengths: measure(fail, equation, operands, shapes) };
}

/** Length of every index; lengths of one index are equal, or 1 and repeated. */
function measure(
  fail: Fail,
  equation: string,
  operands: readonly (readonly string[])[],
  shapes: readonly (Shape | null)[],
): ReadonlyMap<string, Dim> {
  const lengths = new Map<string, Dim>();
  operands.forEach((labels, i) => {
    labels.forEach((label, axis) => {
      const length = shapes[i]?.[axis] ?? 1;
      const earlier = lengths.get(label) ?? 1;
      if (
        typeof length === 'number' &&
        typeof earlier === 'number' &&
        length !== earlier &&
        length !== 1 &&
        earlier !== 1
      )
        fail(
          `equation ${quote(equation)}: index ${quote(label)} has length ${length} in input ${i}, ${earlier} in an earlier axis.`,
        );
      // A known length beats a name, and both beat the 1 that is repeated.
      if (earlier === 1 || (typeof earlier === 'string' && typeof length === 'number' && length !== 1))
        lengths.set(label, length);
    });
  });
  return lengths;
}
