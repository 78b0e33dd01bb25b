/** Public names of `@grim/vite-plugin`, and nothing else. */
export { type GrimOptions, grim as default } from './plugin.ts';
