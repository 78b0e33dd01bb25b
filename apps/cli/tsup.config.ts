import { copyFileSync, cpSync } from 'node:fs';
import { library } from '@grim/tsup';

// @grim/conformance, @grim/files and @grim/measure are private, so they are bundled, the lists of expected failures beside
// the program, and the pages that `grim dashboard` and `grim farm` serve; the published packages stay imports.
export default library({
  entry: { main: 'src/main.ts', 'reram-worker': 'src/reram/worker.ts', 'prune-worker': 'src/prune/worker.ts' },
  platform: 'node',
  dts: false,
  // node:sqlite has no other name.
  removeNodeProtocol: false,
  noExternal: ['@grim/conformance', '@grim/dashboard', '@grim/files', '@grim/measure'],
  onSuccess: async () => {
    for (const name of ['expected-failures.txt', 'expected-failures-wasm.txt'])
      copyFileSync(`../../conformance/${name}`, `dist/${name}`);
    cpSync('page', 'dist/page', { recursive: true });
    cpSync('farm-page', 'dist/farm-page', { recursive: true });
    cpSync('../dashboard/dist', 'dist/dashboard', { recursive: true });
  },
});
