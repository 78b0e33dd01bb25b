import { library } from '@grim/tsup';

export default library({ platform: 'node' });
