/**
 * `import model from './model.grim'` in Vite: a small module that loads the file, which Vite serves and hashes like any other
 * asset. The model is read when it is imported: a damaged file is an error of the build, and its types stand beside it,
 * as `model.grim.d.ts`, for the editor.
 */
import { readFileSync } from 'node:fs';
import { declarations, modelModule } from '@grim/codegen';
import { readArtifact } from '@grim/runtime/artifact';
import type { Plugin } from 'vite';
import { writeTypes } from './types.ts';

export interface GrimOptions {
  /** Whether `model.grim.d.ts` is written beside each model that is imported. Default true. */
  readonly types?: boolean;
}

/**
 * The plugin: `plugins: [grim()]` in `vite.config.ts`.
 *
 * `./model.grim?url` and other queries stay Vite's own. When a model changes while the server runs, the page reloads.
 */
export function grim({ types = true }: GrimOptions = {}): Plugin {
  return {
    name: 'grim',
    enforce: 'pre',
    config: ({ worker }) => ({
      // Its workers find their scripts beside their own file; the copy that Vite would make of a dependency has none.
      optimizeDeps: { exclude: ['@grim/runtime'] },
      // Workers are built by plugins of their own.
      ...(worker?.plugins ? {} : { worker: { plugins: () => [grim({ types })] } }),
    }),
    load: {
      filter: { id: /\.grim$/ },
      handler(id) {
        const manifest = manifestOf(id, (sentence) => this.error(sentence));
        if (types) writeTypes(`${id}.d.ts`, declarations(manifest), (sentence) => this.warn(sentence));
        // Never as a data: URL, which a content security policy may refuse.
        const source = JSON.stringify(`${id}?url&no-inline`);
        return { code: modelModule(manifest, 'file', `import file from ${source};`), map: null };
      },
    },
  };
}

function manifestOf(path: string, refuse: (sentence: string) => never): ReturnType<typeof readArtifact>['manifest'] {
  try {
    return readArtifact(readFileSync(path)).manifest;
  } catch (error) {
    return refuse(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
