/** Entry `@grim/ir/reference`. */
export { type EvaluateOptions, evaluate } from './evaluate.ts';
