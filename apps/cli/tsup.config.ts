import { copyFileSync } from 'node:fs';
import { library } from '@grim/tsup';

// @grim/conformance is private, so it is bundled, its list of expected failures beside the program; the published packages
// stay imports.
export default library({
  entry: ['src/main.ts'],
  platform: 'node',
  dts: false,
  noExternal: ['@grim/conformance'],
  onSuccess: async () => copyFileSync('../../conformance/expected-failures.txt', 'dist/expected-failures.txt'),
});
