/** A part of the page that scrolls on its own, and so must be reachable by keyboard and have a name. */
import type { ComponentChildren, CSSProperties, VNode } from 'preact';

interface ScrollProps {
  readonly label: string;
  readonly kind?: string;
  readonly style?: CSSProperties;
  readonly onScroll?: (top: number) => void;
  readonly children: ComponentChildren;
}

export function Scroll({ label, kind = '', style = {}, onScroll, children }: ScrollProps): VNode {
  return (
    <section
      class={`scroll ${kind}`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: without it nobody scrolls here by keyboard
      tabIndex={0}
      aria-label={label}
      style={style}
      onScroll={({ currentTarget }) => onScroll?.(currentTarget.scrollTop)}
    >
      {children}
    </section>
  );
}
