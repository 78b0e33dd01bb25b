/** Entry `@grim/ir/reference`. */
export { evaluate, type EvaluateOptions } from './evaluate.ts';
