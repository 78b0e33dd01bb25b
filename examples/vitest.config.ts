import { unit } from '@grim/vitest';

export default unit({ globalSetup: 'test/setup.ts', include: ['test/**/*.test.{ts,mjs}'] });
