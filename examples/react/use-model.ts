/** A model for as long as a component stands; React's double mount in development loads once, and aborts once. */
import type { LoadOptions, Model, Tensors } from '@grim/runtime';
import { useEffect, useState } from 'react';

interface Loading<M> {
  readonly model?: M;
  readonly error?: Error;
  /** 0 to 1. */
  readonly progress: number;
}

/** @param load  `load` of an imported model */
export function useModel<I extends Partial<Tensors>, O extends Partial<Tensors>>(
  load: (options: LoadOptions) => Promise<Model<I, O>>,
): Loading<Model<I, O>> {
  const [state, setState] = useState<Loading<Model<I, O>>>({ progress: 0 });
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    const loading = load({ signal, onProgress: ({ loaded, total }) => setState({ progress: loaded / total }) });
    loading.then(
      (model) => (signal.aborted ? model.dispose() : setState({ model, progress: 1 })),
      (error) => signal.aborted || setState({ error, progress: 0 }),
    );
    return () => {
      stop.abort();
      loading.then((model) => model.dispose()).catch(() => {});
    };
  }, [load]);
  return state;
}
