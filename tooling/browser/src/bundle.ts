/** One script from a TypeScript file and all it imports, packages as they are published (their `dist`). */
import { build } from 'esbuild';

interface BundleOptions {
  /** `iife` for a classic worker. Default `esm`. */
  readonly format?: 'esm' | 'iife';
  /** Import specifier → URL from which the browser itself shall import it. */
  readonly external?: Readonly<Record<string, string>>;
}

export async function bundle(entry: string, { format = 'esm', external = {} }: BundleOptions = {}): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format,
    // Neither Node's names nor a bundler's replacements: an import of node:* is an error here.
    platform: 'browser',
    target: 'es2023',
    logLevel: 'silent',
    plugins: [
      {
        name: 'external',
        setup({ onResolve }) {
          onResolve({ filter: /^@/ }, ({ path }) =>
            external[path] === undefined ? undefined : { path: external[path], external: true },
          );
        },
      },
    ],
  });
  return outputFiles[0]?.text ?? '';
}
