import { library } from '@grim/tsup';

// @grim/conformance is private, so it is bundled; the published packages stay imports.
export default library({
  entry: ['src/main.ts'],
  platform: 'node',
  dts: false,
  noExternal: ['@grim/conformance'],
});
