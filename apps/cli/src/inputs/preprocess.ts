/**
 * From a picture to a tensor: resize, crop, order of channels, scale, mean and spread, layout; each as torchvision does it
 * on Pillow images, to the last bit where it is integer arithmetic.
 */
import {
  type Dim,
  formatType,
  fromReals,
  GrimError,
  type ImagePreprocess,
  type Tensor,
  type TensorType,
} from '@grim/ir';
import { UsageError } from '../errors.ts';
import type { Picture } from './picture.ts';
import { centreCropped, resized, type Size } from './resize.ts';

/** What the command line says of pictures; undefined where it says nothing. */
export interface PictureOptions {
  /** A number is the length of the shorter side. */
  readonly resize?: number | Size;
  readonly crop?: Size;
  readonly layout?: ImagePreprocess['layout'];
  readonly channels?: ImagePreprocess['channels'];
  /** Each sample times this, before mean and spread. */
  readonly scale?: number;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

/** What was done, for the report. */
export interface Prepared {
  readonly tensor: Tensor;
  readonly note: string;
}

/** How samples become numbers: out[c] = (sample[c] · scale − mean[c]) / std[c]. */
export interface Normalisation {
  readonly layout: ImagePreprocess['layout'];
  readonly channels: ImagePreprocess['channels'];
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * The options over what the model itself says over the defaults: NCHW, the model's channels as RGB or gray, samples from
 * 0 to 1.
 * @throws {GrimError} GRIM_CLI_BAD_TENSOR when no picture fits the input, {@link UsageError} for options that do not
 */
export function normalisation(
  type: TensorType,
  own: ImagePreprocess | undefined,
  options: PictureOptions,
): Normalisation {
  const layout = options.layout ?? own?.layout ?? 'NCHW';
  const { depth } = axes(type, layout);
  const given = options.channels ?? own?.channels;
  const channels = given ?? (depth === 1 ? 'gray' : 'rgb');
  const count = channels === 'gray' ? 1 : 3;
  if (typeof depth === 'number' && depth !== count) {
    const other = layout === 'NCHW' ? 'NHWC' : 'NCHW';
    const turned = [1, 3].includes(axes(type, other).depth as number);
    throw new UsageError(
      `the input is ${formatType(type)}, ${layout} with ${depth} channels; ${given ?? 'a picture'} has ${given ? count : '1 or 3'}. ${
        turned ? `Add --layout ${other}.` : 'Choose with --channels rgb, bgr or gray.'
      }`,
    );
  }
  const perChannel = (option: string, values: readonly number[] | undefined, otherwise: number): number[] => {
    const list = values ?? [otherwise];
    if (list.length !== 1 && list.length !== count)
      throw new UsageError(`${option} has ${list.length} values; ${channels} takes 1 or ${count}.`);
    return Array.from({ length: count }, (_, i) => list[i] ?? list[0] ?? otherwise);
  };
  // What the file says is one whole: a mean in other units would be no mean.
  const isOwn = own && options.scale === undefined && options.mean === undefined && options.std === undefined;
  return {
    layout,
    channels,
    scale: isOwn ? 1 / 255 : (options.scale ?? (type.dtype === 'uint8' ? 1 : 1 / 255)),
    mean: perChannel('--mean', isOwn ? own.mean : options.mean, 0),
    std: perChannel('--std', isOwn ? own.std : options.std, 1),
  };
}

/** In the units of the file format, whose samples are divided by 255. */
export function asPreprocess({ layout, channels, scale, mean, std }: Normalisation): ImagePreprocess {
  const units = 255 * scale;
  return { layout, channels, mean: mean.map((m) => m / units), std: std.map((s) => s / units) };
}

/**
 * @param type  of the input: [N, C, H, W] or [N, H, W, C], or without N; open lengths take those of the picture
 * @throws {GrimError} GRIM_CLI_BAD_TENSOR when the picture does not fit the input
 */
export function prepare(picture: Picture, type: TensorType, n: Normalisation, options: PictureOptions): Prepared {
  let current = picture;
  if (options.resize !== undefined) current = resized(current, options.resize);
  if (options.crop) current = centreCropped(current, options.crop);
  const { height, width, batch } = axes(type, n.layout);
  const fits = (dim: Dim | undefined, length: number): boolean => typeof dim === 'string' || dim === length;
  if (!fits(height, current.height) || !fits(width, current.width))
    throw new GrimError(
      'GRIM_CLI_BAD_TENSOR',
      `the picture is ${current.width} wide and ${current.height} high${current === picture ? '' : ' after resizing and cropping'}, ` +
        `the input ${width} wide and ${height} high. Add --resize ${height}x${width}, or ${advice(height, width)} for its middle.`,
    );
  if (!fits(batch, 1))
    throw new GrimError(
      'GRIM_CLI_BAD_TENSOR',
      `the input takes ${batch} pictures at once (${formatType(type)}), and one is given at a time. Compile the model for one.`,
    );
  const values = normalised(inChannels(current, n.channels), n);
  const count = n.mean.length;
  const plane = [current.height, current.width];
  const inner = n.layout === 'NCHW' ? [count, ...plane] : [...plane, count];
  const shape = type.shape?.length === 3 ? inner : [1, ...inner];
  if (!type.dtype.includes('float') && !values.every((value) => value === Math.round(value)))
    throw new GrimError(
      'GRIM_CLI_BAD_TENSOR',
      `the input is ${type.dtype}, and the samples become fractions. Add --scale 1 for samples from 0 to 255.`,
    );
  return {
    tensor: fromReals(type.dtype, shape, values),
    note: `${current.width} × ${current.height} ${n.channels}, ${n.layout}, ${formula(n)}`,
  };
}

function advice(height: Dim | undefined, width: Dim | undefined): string {
  const shorter = Math.min(Number(height), Number(width));
  const crop = height === width ? String(height) : `${height}x${width}`;
  return Number.isFinite(shorter) ? `--resize ${Math.round(shorter * 1.143)} --center-crop ${crop}` : '--center-crop';
}

/** `(sample/255 − mean) / std`, as far as it does anything. */
function formula({ scale, mean, std }: Normalisation): string {
  const inverse = 1 / scale;
  const whole = Math.abs(inverse - Math.round(inverse)) < 1e-9 * inverse;
  const short = (value: number): number => Number(value.toPrecision(6));
  const scaled = scale === 1 ? 'sample' : whole ? `sample/${Math.round(inverse)}` : `sample · ${short(scale)}`;
  const list = (values: readonly number[]): string =>
    (new Set(values).size === 1 ? values.slice(0, 1) : values).map(short).join(',');
  const centred = mean.every((m) => m === 0) ? scaled : `${scaled} − ${list(mean)}`;
  if (std.every((s) => s === 1)) return centred;
  return `${centred === scaled ? scaled : `(${centred})`} / ${list(std)}`;
}

interface Axes {
  readonly batch: Dim;
  readonly depth: Dim;
  readonly height: Dim;
  readonly width: Dim;
}

function axes({ dtype, shape }: TensorType, layout: ImagePreprocess['layout']): Axes {
  if (shape !== null && shape.length !== 3 && shape.length !== 4)
    throw new GrimError(
      'GRIM_CLI_BAD_TENSOR',
      `the input is ${formatType({ dtype, shape })}; a picture needs [N, C, H, W] or [N, H, W, C]. Give a .npy file.`,
    );
  const inner = shape === null ? ['C', 'H', 'W'] : shape.slice(-3);
  const [depth = 'C', height = 'H', width = 'W'] =
    layout === 'NCHW' ? inner : [inner[2] as Dim, inner[0] as Dim, inner[1] as Dim];
  return { batch: shape?.length === 4 ? (shape[0] as Dim) : 1, depth, height, width };
}

/** Pillow's weights for gray: ITU-R 601 in 16 bits. */
function inChannels({ width, height, channels, data }: Picture, wanted: Normalisation['channels']): Picture {
  const count = width * height;
  if (wanted === 'gray') {
    if (channels === 1) return { width, height, channels, data };
    const gray = Uint8Array.from({ length: count }, (_, i) => {
      const [r = 0, g = 0, b = 0] = data.subarray(3 * i, 3 * i + 3);
      return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
    });
    return { width, height, channels: 1, data: gray };
  }
  const order = channels === 1 ? [0, 0, 0] : wanted === 'rgb' ? [0, 1, 2] : [2, 1, 0];
  const colors = new Uint8Array(3 * count);
  for (let pixel = 0; pixel < count; pixel++)
    order.forEach((from, to) => {
      colors[3 * pixel + to] = data[channels * pixel + from] ?? 0;
    });
  return { width, height, channels: 3, data: colors };
}

/** In the order of the layout. */
function normalised({ width, height, channels, data }: Picture, n: Normalisation): Float64Array {
  const count = width * height;
  const values = new Float64Array(data.length);
  for (let pixel = 0; pixel < count; pixel++)
    for (let channel = 0; channel < channels; channel++) {
      const sample = (data[pixel * channels + channel] ?? 0) * n.scale;
      const at = n.layout === 'NCHW' ? channel * count + pixel : pixel * channels + channel;
      values[at] = (sample - (n.mean[channel] ?? 0)) / (n.std[channel] ?? 1);
    }
  return values;
}
