/** Public names of `@grim/demo-data`, and nothing else. */
export { drawDigit, randomSource, SIDE } from './digits.ts';
export { RATE, sayWord, WORDS, wavOf } from './words.ts';
