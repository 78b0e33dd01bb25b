/** Public names of `@grim/files`, and nothing else. */
export { readNpy, writeNpy } from './npy.ts';
export { readNpz } from './npz.ts';
export { badAudio, decodeWav, mixed, type Sound } from './wav.ts';
