/** What happens to a finished sum: `activation(sum + residual)`. */
import { invariant } from '@grim/ir';
import type { Epilogue } from '../kernels/family.ts';
import { floatText } from './expression.ts';

/** Lines that finish the variable `sum`. NaN is no smaller than anything, so it stays. */
export function finishText({ activation }: Pick<Epilogue, 'activation'>, sum: string): string[] {
  invariant(activation !== 'bounds', 'bounds are constants of a shader');
  if (activation === 'none') return [];
  if (activation === 'relu') return [`${sum} = select(${sum}, 0.0, ${sum} < 0.0);`];
  const { min, max } = activation;
  const bound = (value: number, relation: string) =>
    Number.isFinite(value)
      ? [`${sum} = select(${sum}, ${floatText(value)}, ${sum} ${relation} ${floatText(value)});`]
      : [];
  return [...bound(min, '<'), ...bound(max, '>')];
}
