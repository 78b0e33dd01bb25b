import { unit } from '@grim/vitest';

// Tests of the page share one Chromium and one build: one after the other, so that times on two cores mean something.
export default unit({ include: ['src/**/*.test.ts', 'test/**/*.test.ts'], fileParallelism: false });
