/** Parts of a view that are drawn one after the other, each in a task and a frame of its own, so that none holds the page up. */
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** A page in the background draws no frames. */
const NO_FRAME_MS = 100;

let last: Promise<void> = Promise.resolve();

/** Resolves in a task after the next frame, and after all that were asked for before. */
function turn(): Promise<void> {
  last = last.then(
    () =>
      new Promise((done) => {
        const timer = setTimeout(done, NO_FRAME_MS);
        requestAnimationFrame(() => {
          clearTimeout(timer);
          setTimeout(done, 0);
        });
      }),
  );
  return last;
}

export function Soon({ children }: { readonly children: ComponentChildren }): VNode | null {
  const [there, show] = useState(false);
  useEffect(() => {
    let stale = false;
    turn().then(() => stale || show(true));
    return () => {
      stale = true;
    };
  }, []);
  return there ? <>{children}</> : null;
}
