import { library } from '@grim/tsup';

// @grim/files is private, so it is bundled.
export default library({
  entry: { index: 'src/index.ts', mfcc: 'src/data/mfcc.ts' },
  noExternal: ['@grim/files'],
});
