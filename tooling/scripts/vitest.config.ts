import { unit } from '@grim/vitest';

export default unit({ include: ['*.test.mjs'] });
