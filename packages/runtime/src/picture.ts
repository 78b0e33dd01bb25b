/**
 * The entry `@grim/runtime/picture`: from a picture to the input of a model, as the model's file says (layout, order of channels,
 * mean, spread), with the arithmetic of `grim run`, which is that of torchvision on Pillow's pictures. Pixels go in as they are, so
 * the same pixels give the same numbers in a page, in a worker and in Node.
 */
import type { ImagePreprocess, InputInfo } from '@grim/ir';
import { bytesPerElement, elementCount, viewAs } from './dtypes.ts';
import { didYouMean, fail, quote } from './errors.ts';
import type { Model, Tensors } from './model.ts';
import { type Pixels, resizePixels } from './resize.ts';

export type { Pixels };
export { resizePixels };

/** What a canvas can draw (an `ImageBitmap`, `<img>`, `<video>`, `VideoFrame`, another canvas), or pixels. */
export type PictureSource = PixelSource | Drawable;

/** By its sides alone: Node has no names for these. */
export type Drawable =
  | { readonly width: number; readonly height: number }
  | { readonly displayWidth: number; readonly displayHeight: number };

/** `ImageData`, or what a decoder gives: row by row from the top, four samples each (RGBA) unless `channels` says 1 or 3. */
export interface PixelSource {
  readonly width: number;
  readonly height: number;
  readonly channels?: 1 | 3 | 4;
  readonly data: Uint8Array | Uint8ClampedArray;
}

export interface PictureOptions<K extends PropertyKey = string> {
  /** Which input, where the model has several. */
  readonly input?: K;
  /**
   * How the picture comes to the input's size. A number: the shorter side becomes so long, then the middle is cut out, as
   * torchvision's `Resize` and `CenterCrop` do. `stretch`: both sides alike. Without it: as much of the middle as has the input's shape.
   */
  readonly resize?: number | 'stretch';
}

/** Inputs that a run cannot do without: states it can. */
export type Needed<I> = { [P in keyof I]-?: undefined extends I[P] ? never : P }[keyof I];

/** What is taken at most, as in `grim run`. */
const MAX_PIXELS = 2 ** 26;

/**
 * The inputs of one run on a picture. Samples from 0 to 1 as [N, C, H, W] where the file says nothing else; gray by the weights of
 * ITU-R 601. What a canvas draws is drawn over black, in the colours of sRGB.
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_INPUT when the picture or the input is none, BAD_OPTION for another option
 * @example
 * const { probabilities } = await model.run(pictureInput(model, await createImageBitmap(file)));
 */
export function pictureInput<I extends Partial<Tensors>, O extends Partial<Tensors>, K extends keyof I = Needed<I>>(
  model: Pick<Model<I, O>, 'manifest' | 'run'>,
  picture: PictureSource,
  options: PictureOptions<K> = {},
): { [P in K]: NonNullable<I[P]> } {
  const info = inputOf(model.manifest, options.input);
  const { layout, channels, mean, std, height, width } = shapeOf(info);
  const pixels = fitted(pixelsOf(picture), height, width, options.resize);
  const count = channels === 'gray' ? 1 : 3;
  const plane = height * width;
  const buffer = new ArrayBuffer(plane * count * bytesPerElement(info.dtype));
  const values = viewAs(info.dtype, buffer, 0, plane * count) as Float32Array | Float64Array | Uint8Array;
  const isByte = info.dtype === 'uint8';
  const order = channels === 'bgr' ? [2, 1, 0] : [0, 1, 2];
  for (let at = 0; at < plane; at++)
    for (let channel = 0; channel < count; channel++) {
      const sample = count === 1 ? gray(pixels, at) : sampleOf(pixels, at, order[channel] ?? 0);
      const to = layout === 'NCHW' ? channel * plane + at : at * count + channel;
      values[to] = isByte
        ? sample
        : (sample * (1 / 255) - (mean[channel] ?? mean[0] ?? 0)) / (std[channel] ?? std[0] ?? 1);
    }
  return { [info.name]: values } as { [P in K]: NonNullable<I[P]> };
}

function inputOf({ inputs, states }: Model['manifest'], name: PropertyKey | undefined): InputInfo {
  const own = inputs.filter((one) => !states.some(({ input }) => input === one.name));
  const names = own.map((one) => one.name);
  const found = own.find((one) => one.name === name);
  if (found) return found;
  if (name !== undefined)
    fail(
      'BAD_OPTION',
      `pictureInput: the model has no input ${quote(String(name))}; it has ${names.map(quote).join(', ')}.${didYouMean(String(name), names)}`,
    );
  const [only] = own;
  if (only && own.length === 1) return only;
  fail(
    'BAD_OPTION',
    `pictureInput: the model has ${own.length} inputs (${names.map(quote).join(', ')}). Say which in { input }.`,
  );
}

interface Wanted extends ImagePreprocess {
  readonly height: number;
  readonly width: number;
}

function shapeOf({ name, dtype, shape, preprocess }: InputInfo & { preprocess?: ImagePreprocess }): Wanted {
  const inner = shape.slice(-3);
  const layout = preprocess?.layout ?? 'NCHW';
  const [depth = 0, height = 0, width = 0] = layout === 'NCHW' ? inner : [inner[2], inner[0], inner[1]];
  const channels = preprocess?.channels ?? (depth === 1 ? 'gray' : 'rgb');
  const is = `pictureInput: input ${quote(name)} is ${dtype} [${shape.join(', ')}]`;
  if (shape.length < 3 || shape.length > 4 || depth !== (channels === 'gray' ? 1 : 3))
    fail('BAD_INPUT', `${is}; a picture (${channels}, ${layout}) does not fit it. Fill the array yourself.`, { shape });
  if (elementCount(shape) !== elementCount(inner))
    fail('BAD_INPUT', `${is}; one picture is given at a time. Compile the model for one (--dim).`, { shape });
  if (dtype !== 'float32' && dtype !== 'float64' && (dtype !== 'uint8' || preprocess))
    fail('BAD_INPUT', `${is}; pictures become float32, float64, or uint8 as they are. Fill the array yourself.`, {
      dtype,
    });
  return { layout, channels, mean: preprocess?.mean ?? [], std: preprocess?.std ?? [], height, width };
}

function pixelsOf(picture: PictureSource): Pixels {
  const { data } = picture as Partial<PixelSource>;
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) {
    const { width, height, channels = 4 } = picture as PixelSource;
    checkSize(width, height);
    if (![1, 3, 4].includes(channels) || data.length !== width * height * channels)
      fail(
        'BAD_INPUT',
        `pictureInput: ${width} × ${height} pixels of ${channels} samples are ${width * height * channels}, ${data.length} were given.`,
      );
    return { width, height, channels, data };
  }
  const { width, height } = drawnSize(picture);
  checkSize(width, height);
  if (typeof OffscreenCanvas === 'undefined')
    fail('BAD_INPUT', 'pictureInput: nothing draws here. Give pixels: { width, height, channels, data }.');
  const canvas = new OffscreenCanvas(width, height).getContext('2d', { alpha: false, willReadFrequently: true });
  if (!canvas) fail('OUT_OF_MEMORY', `pictureInput: no canvas of ${width} × ${height} pixels is to be had.`);
  try {
    canvas.drawImage(picture as CanvasImageSource, 0, 0);
    return { width, height, channels: 4, data: canvas.getImageData(0, 0, width, height).data };
  } catch (error) {
    fail('BAD_INPUT', `pictureInput: it cannot be drawn and read (${String(error)}).`, {}, error);
  }
}

/** Pictures and videos have a size of their own besides that on the page. */
function drawnSize(picture: unknown): { readonly width: number; readonly height: number } {
  const of = picture as Readonly<Record<string, number>> | null | undefined;
  const side = (...names: readonly string[]) => names.map((name) => of?.[name]).find((n) => typeof n === 'number') ?? 0;
  return {
    width: side('naturalWidth', 'videoWidth', 'displayWidth', 'width'),
    height: side('naturalHeight', 'videoHeight', 'displayHeight', 'height'),
  };
}

function checkSize(width: number, height: number): void {
  const isSide = (side: unknown) => Number.isInteger(side) && (side as number) > 0;
  if (!isSide(width) || !isSide(height) || width * height > MAX_PIXELS)
    fail(
      'BAD_INPUT',
      `pictureInput: ${width} × ${height} pixels; 1 to ${MAX_PIXELS} are taken. ` +
        'Give pixels, or what a canvas can draw once it is loaded: createImageBitmap(file) waits for that.',
      { width, height },
    );
}

/** Resized so that the input is covered, then its middle. */
function fitted(pixels: Pixels, height: number, width: number, resize: PictureOptions['resize']): Pixels {
  if (resize === 'stretch') return resizePixels(pixels, width, height);
  if (resize !== undefined && !(Number.isInteger(resize) && resize > 0))
    fail('BAD_OPTION', `pictureInput: resize is ${quote(resize)}; a length of the shorter side, or 'stretch'.`);
  const shorter = Math.min(pixels.width, pixels.height);
  const [by, of] =
    resize !== undefined
      ? [resize, shorter]
      : width * pixels.height > height * pixels.width
        ? [width, pixels.width]
        : [height, pixels.height];
  // One side is exact, as (by * of) / of is; the other one is rounded down, as torchvision does.
  const side = (length: number) => Math.max(1, Math.trunc((by * length) / of));
  const size = { width: side(pixels.width), height: side(pixels.height) };
  checkSize(size.width, pixels.height);
  checkSize(size.width, size.height);
  const large = resizePixels(pixels, size.width, size.height);
  if (large.width < width || large.height < height)
    fail(
      'BAD_OPTION',
      `pictureInput: with resize ${by} the picture is ${large.width} × ${large.height}, the input ${width} × ${height}. Take at least ${Math.max(width, height)}.`,
    );
  return middle(large, height, width);
}

function middle({ width: from, height: rows, channels, data }: Pixels, height: number, width: number): Pixels {
  if (from === width && rows === height) return { width, height, channels, data };
  const [top, left] = [halfEven(rows - height), halfEven(from - width)];
  const row = width * channels;
  const cut = new Uint8Array(height * row);
  for (let y = 0; y < height; y++) {
    const at = ((top + y) * from + left) * channels;
    cut.set(data.subarray(at, at + row), y * row);
  }
  return { width, height, channels, data: cut };
}

/** Half of it, a half rounded to even, as torchvision's Python does. */
function halfEven(value: number): number {
  const down = Math.floor(value / 2);
  return value % 2 === 0 || down % 2 === 0 ? down : down + 1;
}

function sampleOf({ channels, data }: Pixels, at: number, channel: number): number {
  return data[channels === 1 ? at : at * channels + channel] ?? 0;
}

/** Pillow's weights: ITU-R 601 in 16 bits. */
function gray(pixels: Pixels, at: number): number {
  if (pixels.channels === 1) return sampleOf(pixels, at, 0);
  const [r, g, b] = [sampleOf(pixels, at, 0), sampleOf(pixels, at, 1), sampleOf(pixels, at, 2)];
  return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
}
