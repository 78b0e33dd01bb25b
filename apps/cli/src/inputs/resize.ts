/** Sizes of pictures as torchvision's `Resize` and `CenterCrop` have them; pixels are computed by the runtime, as in a page. */
import { resizePixels } from '@grim/runtime/picture';
import { badImage, checkSize, type Picture } from './picture.ts';

export interface Size {
  readonly height: number;
  readonly width: number;
}

/** @param to  the size, or the length of the shorter side: the other follows, rounded down */
export function resized(picture: Picture, to: number | Size): Picture {
  const { height, channels } = picture;
  const size = typeof to === 'number' ? shorterSide(picture, to) : to;
  checkSize(size.width, height);
  checkSize(size.width, size.height);
  const { data } = resizePixels(picture, size.width, size.height);
  return { ...size, channels, data: data as Uint8Array };
}

function shorterSide({ width, height }: Size, side: number): Size {
  return width <= height
    ? { width: side, height: Math.trunc((side * height) / width) }
    : { width: Math.trunc((side * width) / height), height: side };
}

/** @throws {GrimError} GRIM_CLI_BAD_IMAGE when the picture is smaller */
export function centreCropped({ width, height, channels, data }: Picture, to: Size): Picture {
  if (to.width > width || to.height > height)
    badImage(
      `the middle ${to.width} × ${to.height} of ${width} × ${height} pixels is larger than the picture. Add --resize first`,
    );
  const [top, left] = [halfEven(height - to.height), halfEven(width - to.width)];
  const row = to.width * channels;
  const cropped = new Uint8Array(to.height * row);
  for (let y = 0; y < to.height; y++) {
    const from = ((top + y) * width + left) * channels;
    cropped.set(data.subarray(from, from + row), y * row);
  }
  return { ...to, channels, data: cropped };
}

/** Half of it, a half rounded to even, as Python does. */
function halfEven(value: number): number {
  const down = Math.floor(value / 2);
  return value % 2 === 0 || down % 2 === 0 ? down : down + 1;
}
