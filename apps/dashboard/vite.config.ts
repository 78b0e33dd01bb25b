import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

const isolation = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

/** The models that the repository carries lie beside the page, as files. */
const models: Plugin = {
  name: 'grim:models',
  configureServer({ middlewares }) {
    middlewares.use((request, response, next) => {
      const [, name] = /^\/models\/([a-z-]+)\.onnx$/.exec(request.url ?? '') ?? [];
      if (name === undefined) next();
      else response.end(model(name));
    });
  },
  generateBundle() {
    for (const name of ['small-cnn', 'tiny-gru'])
      this.emitFile({ type: 'asset', fileName: `models/${name}.onnx`, source: model(name) });
  },
};

function model(name: string): Uint8Array {
  return readFileSync(join(import.meta.dirname, `../cli/demo/${name}/model.onnx`));
}

export default defineConfig({
  // Whoever serves the page decides where it lies.
  base: './',
  plugins: [models],
  server: { headers: isolation },
  preview: { headers: isolation },
  worker: { format: 'es' },
  // A data: URL would be refused by the policy of the page where it is a script.
  build: { target: 'es2023', assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 1000 },
});
