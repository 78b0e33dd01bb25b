/** A picture from a file: PNG or JPEG, told by its first bytes. */
import { decodeJpeg } from './jpeg.ts';
import { badImage, type Picture } from './picture.ts';
import { decodePng } from './png.ts';

/** @throws {GrimError} GRIM_CLI_BAD_IMAGE when the bytes are damaged, or of a kind that no model takes as it is */
export async function decodePicture(bytes: Uint8Array): Promise<Picture> {
  const begins = (...start: number[]): boolean => start.every((byte, i) => bytes[i] === byte);
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return decodePng(bytes);
  if (begins(0xff, 0xd8)) return decodeJpeg(bytes);
  const kind =
    bytes.length === 0
      ? 'it is empty'
      : begins(0x47, 0x49, 0x46)
        ? 'this is a GIF'
        : begins(0x52, 0x49, 0x46, 0x46)
          ? 'this is a RIFF file (WebP?)'
          : begins(0x76, 0x65, 0x72, 0x73)
            ? 'this is a Git LFS pointer, not the picture'
            : 'it begins like neither';
  return badImage(`${kind}; a PNG or JPEG file is needed. Convert it, or save it again`);
}
