/** What `--backend` may name. */
import { type Backend, referenceBackend, type WasmOptions, wasmBackend, wasmBackendWith } from '@grim/conformance';
import { invariant } from '@grim/ir';

const ALL: readonly Backend[] = [referenceBackend, wasmBackend];

export const BACKENDS: readonly string[] = ALL.map(({ name }) => name);

/** @param name  one of {@link BACKENDS}: the command line has been checked */
export function backendNamed(name: string, options: WasmOptions = {}): Backend {
  if (name === 'wasm' && (options.threads ?? options.simd)) return wasmBackendWith(options);
  const found = ALL.find((one) => one.name === name);
  invariant(found, `no backend ${name}`);
  return found;
}
