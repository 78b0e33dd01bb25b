/** How wide an element is, as long as it is there. */
import { useEffect, useState } from 'preact/hooks';

/** @returns pixels of the page; 0 before the first layout */
export function useWidth(place: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(([entry]) => {
      const found = Math.floor(entry?.contentRect.width ?? 0);
      setWidth((before) => (Math.abs(before - found) > 4 ? found : before));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [place]);
  return width;
}
