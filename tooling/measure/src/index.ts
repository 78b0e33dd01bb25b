/** Public names of `@grim/measure`, and nothing else. */
export { peak, RoofSampler, type Roofs } from './roofs.ts';
export { type Comparison, compare, median, medianAbsoluteDeviation } from './statistics.ts';
