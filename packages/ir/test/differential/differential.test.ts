/**
 * Every operator, in the opsets where its form changed, on random inputs: GRIM against onnxruntime.
 *
 * onnxruntime is no authority: where the ONNX text says otherwise, the case stands in `DISAGREEMENTS` with the reason.
 */
import { describe, expect, it } from 'vitest';
import { OPS } from '../../src/ops.ts';
import { attentionForms } from './attention-forms.ts';
import { difference, type Form, feedsOf, modelOf, ours, type Parts } from './case.ts';
import { controlForms } from './control-forms.ts';
import { DISAGREEMENTS } from './disagreements.ts';
import { elementwiseForms } from './elementwise-forms.ts';
import { Generator } from './generator.ts';
import { networkForms } from './network-forms.ts';
import { oldestForms } from './oldest-forms.ts';
import { resampleForms } from './resample-forms.ts';
import { shapeForms } from './shape-forms.ts';

const SEED = 20261123;
/** Cases of each form in each opset. */
const CASES = 4;

const forms: readonly Form[] = [
  ...elementwiseForms,
  ...shapeForms,
  ...networkForms,
  ...resampleForms,
  ...attentionForms,
  ...controlForms,
  ...oldestForms,
];
const judge = await import('../onnx/runtime.ts').catch((error: unknown) => String(error));

/** Operators that no form is written for, and what tests them instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  BitCast: 'test/ops/elementwise-cast.test.ts',
  CumProd: 'test/ops/reduce.test.ts',
};

interface Tally {
  /** Cases in which both gave results. */
  compared: number;
  readonly wrong: string[];
}

async function compare(form: Form, opset: number, index: number, tally: Tally): Promise<void> {
  if (typeof judge === 'string') return;
  const parts = form.make(new Generator(SEED, opset * 1000 + index), opset);
  if (DISAGREEMENTS.some((known) => known.op === form.op && known.applies(parts, opset))) return;
  const other: Parts & { readonly opset: number } = parts.same ?? { ...parts, opset };
  const name = `${form.op} of opset ${opset}, case ${index} ${describeParts(parts)}`;
  const theirs = await judge
    .runtime(modelOf(form.op, other.opset, other), feedsOf(other))
    // No kernel for the element type or the opset: nothing to compare with.
    .catch((error: unknown) => String(error));
  let found: ReturnType<typeof ours>;
  try {
    found = ours(form.op, opset, parts);
  } catch (error) {
    tally.wrong.push(`${name}: ${(error as Error).message}`);
    return;
  }
  if (typeof theirs === 'string') return;
  tally.compared++;
  for (const [output, wanted] of theirs) {
    const problem = difference(found[output], wanted);
    if (problem) tally.wrong.push(`${name}: ${output} ${problem}`);
  }
}

function describeParts({ inputs, attributes }: Parts): string {
  const types = inputs.map((t) => (t ? `${t.dtype}[${t.shape}]` : 'none')).join(' ');
  return `(${types} ${JSON.stringify(attributes ?? {})})`;
}

describe('onnxruntime gives the same', () => {
  for (const op of new Set(forms.map((form) => form.op)))
    it(op, async (context) => {
      if (typeof judge === 'string') return context.skip(`onnxruntime-node cannot be loaded: ${judge}`);
      const tally: Tally = { compared: 0, wrong: [] };
      for (const form of forms.filter((candidate) => candidate.op === op))
        for (const opset of form.opsets)
          for (let index = 0; index < CASES; index++) await compare(form, opset, index, tally);
      expect(tally.wrong).toEqual([]);
      expect(tally.compared).toBeGreaterThan(0);
    });
});

describe('the list of forms', () => {
  // Otherwise a row of the table could be wrong, or out of date, without anyone seeing it.
  it.each(DISAGREEMENTS)('holds cases of the known disagreement: $op, $reason', (known) => {
    const cases = forms
      .filter((form) => form.op === known.op)
      .flatMap(({ make, opsets }) =>
        opsets.flatMap((opset) =>
          Array.from({ length: 500 }, (_, i) =>
            known.applies(make(new Generator(SEED, opset * 1000 + i), opset), opset),
          ),
        ),
      );
    expect(cases).toContain(true);
    expect(cases).toContain(false);
  });

  it('has every operator of the table, or says what tests it instead', () => {
    const covered = new Set([...forms.map((form) => form.op), ...Object.keys(ELSEWHERE)]);
    expect(Object.keys(OPS).filter((op) => !covered.has(op))).toEqual([]);
  });
});
