/**
 * JPEG files, decoded by MozJPEG as WebAssembly: libjpeg's arithmetic, so the pixels are those of Pillow and OpenCV. Read as
 * they are meant to be seen: turned by their EXIF orientation. What the decoder warns of is an error here: libjpeg fills
 * what is missing with gray and goes on.
 * @see ITU-T T.81, annex B
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { quote } from '@grim/ir';
import decode, { init } from '@jsquash/jpeg/decode.js';
import { badImage, checkSize, type Picture } from './picture.ts';

/** Progressive files have about ten; each walks over the whole picture, so a small file could ask for hours. */
const MAX_SCANS = 100;

export async function decodeJpeg(bytes: Uint8Array): Promise<Picture> {
  const components = checkHeader(bytes);
  const said: string[] = [];
  // A decoder of its own: one that has failed cannot be used again.
  await init({ ...OPTIONS, ...{ printErr: (line: string) => said.push(line) } });
  const found = await decode(new Uint8Array(bytes).buffer, { preserveOrientation: true }).catch(() => undefined);
  if (found === undefined || said.length > 0)
    return badImage(`the JPEG data are damaged or cut short (${quote(said.join('; ') || 'no picture')}). Get it again`);
  const { width, height, data } = found;
  const channels = components === 1 ? 1 : 3;
  const samples = new Uint8Array(width * height * channels);
  for (let from = 0, to = 0; to < samples.length; from += 4)
    for (let channel = 0; channel < channels; channel++) samples[to++] = data[from + channel] ?? 0;
  return { width, height, channels, data: samples };
}

let compiled: WebAssembly.Module | undefined;

/** The package would fetch its module, as in a page. */
const OPTIONS = {
  instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
    const path = (): string => createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm');
    compiled ??= new WebAssembly.Module(readFileSync(path()));
    const instance = new WebAssembly.Instance(compiled, imports);
    done(instance);
    return instance.exports;
  },
};

/** What must be known before the decoder allocates: size and components. Returns the number of components. */
function checkHeader(bytes: Uint8Array): number {
  let components = 0;
  let scans = 0;
  let at = 2;
  for (;;) {
    // Entropy-coded data: up to a marker that is neither a stuffed zero nor a restart.
    while (at < bytes.length && !(bytes[at] === 0xff && isMarker(bytes[at + 1] ?? 0))) at++;
    const marker = bytes[at + 1];
    if (marker === undefined || marker === 0xd9) break;
    const length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      if (components > 0) badImage('the JPEG data are damaged: two frames');
      const [precision = 0, h1 = 0, h0 = 0, w1 = 0, w0 = 0, count = 0] = bytes.subarray(at + 4, at + 10);
      if (precision !== 8) badImage(`its samples have ${precision} bits; JPEG files with 8 are decoded. Convert it`);
      if (count !== 1 && count !== 3)
        badImage(`it has ${count} components${count === 4 ? ' (CMYK, for printing)' : ''}. Convert it to RGB or gray`);
      checkSize((w1 << 8) | w0, (h1 << 8) | h0);
      components = count;
    } else if (marker === 0xda && ++scans > MAX_SCANS) badImage(`it has more than ${MAX_SCANS} scans`);
    at += 2 + Math.max(2, length);
  }
  if (components === 0) badImage('the JPEG data are damaged or cut short: no frame. Get it again');
  return components;
}

/** Markers that a length follows, and the end of the image. */
function isMarker(byte: number): boolean {
  return byte >= 0xc0 && byte <= 0xfe && !(byte >= 0xd0 && byte <= 0xd8);
}
