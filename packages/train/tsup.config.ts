import { library } from '@grim/tsup';

export default library({ entry: { index: 'src/index.ts', mfcc: 'src/data/mfcc.ts' } });
