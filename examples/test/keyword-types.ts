/** Types of `keywords.grim`, for a place without the data that the model is made of. */

/** A program that prints them; the test of the page compares them with those of the model. */
export const KEYWORD_TYPES = `import { declarations } from '@grim/codegen';
const value = (name, ...shape) => ({ name, dtype: 'float32', shape, offset: 0 });
process.stdout.write(declarations({
  name: 'keywords',
  inputs: [value('mfcc', 1, 1, 10), value('before', 1, 1, 400)],
  outputs: [value('logits', 1, 12), value('after', 1, 1, 400)],
  states: [{ input: 'before', output: 'after' }],
}));`;
