/** Lengths that a file leaves open: what they are taken for, to be changed. */
import type { VNode } from 'preact';
import { useRef } from 'preact/hooks';
import { job, openLengths, openWithLengths } from '../store.ts';

export function Lengths(): VNode | null {
  const form = useRef<HTMLFormElement>(null);
  const { refused, lengths } = openLengths.value;
  if (lengths.length === 0) return null;
  const open = (event: Event) => {
    event.preventDefault();
    const inputs = [...(form.current?.querySelectorAll('input') ?? [])];
    void openWithLengths(inputs.map(({ value }) => Math.min(9_999_999, Math.max(1, Math.round(+value) || 1))));
  };
  return (
    <form class="card lengths" ref={form} aria-label="Open lengths" onSubmit={open}>
      <p>
        {refused
          ? 'The file leaves lengths open, and does not open with these:'
          : 'The file leaves lengths open. It was opened with these:'}
      </p>
      {lengths.map(({ name, length }, i) => (
        <label class="length" key={`${i} ${name} ${length}`}>
          <span>{name} =</span>
          <input type="number" min="1" max="9999999" required defaultValue={String(length)} />
        </label>
      ))}
      <button type="submit" disabled={job.value !== undefined}>
        Open with these
      </button>
    </form>
  );
}
