import { copyFileSync } from 'node:fs';
import { library } from '@grim/tsup';

// @grim/conformance is private, so it is bundled, its lists of expected failures beside the program; the published packages
// stay imports.
export default library({
  entry: { main: 'src/main.ts', 'reram-worker': 'src/reram/worker.ts' },
  platform: 'node',
  dts: false,
  noExternal: ['@grim/conformance'],
  onSuccess: async () => {
    for (const name of ['expected-failures.txt', 'expected-failures-wasm.txt'])
      copyFileSync(`../../conformance/${name}`, `dist/${name}`);
  },
});
