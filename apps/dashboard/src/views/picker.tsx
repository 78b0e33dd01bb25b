/** A button that opens the chooser of files. */
import type { VNode } from 'preact';
import { useRef } from 'preact/hooks';

interface PickerProps {
  readonly label: string;
  readonly testId: string;
  readonly onFiles: (files: readonly File[]) => void;
  readonly strong?: boolean;
  readonly many?: boolean;
}

export function Picker({ label, testId, onFiles, strong = false, many = false }: PickerProps): VNode {
  const input = useRef<HTMLInputElement>(null);
  return (
    <span class="picker">
      <button type="button" class={strong ? 'main' : 'quiet'} onClick={() => input.current?.click()}>
        {label}
      </button>
      <input
        ref={input}
        type="file"
        hidden
        multiple={many}
        data-testid={testId}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          // The same file may be chosen again.
          currentTarget.value = '';
          if (files.length > 0) onFiles(files);
        }}
      />
    </span>
  );
}
