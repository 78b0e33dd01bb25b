import type { VNode } from 'preact';
import { denseName } from '../store.ts';

/** Of the two colours that most pictures have. */
export function Legend(): VNode {
  return (
    <p class="legend">
      <span class="key dense">{denseName()}</span>
      <span class="key pruned">pruned</span>
    </p>
  );
}
