/**
 * The options that say which files a model reads and writes, and how a picture or a sound becomes a tensor: `run` takes all,
 * `compile` those that a compiled model can keep.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AudioOptions, FeatureOptions } from './inputs/audio.ts';
import type { PictureOptions } from './inputs/preprocess.ts';
import type { Size } from './inputs/resize.ts';
import { once, type Raw, text, wholeFrom } from './options.ts';

interface InputFlag {
  readonly flags: string;
  /** As the parser files it. */
  readonly key: string;
  readonly description: string;
  readonly parse: (value: string) => unknown;
  readonly choices?: readonly string[];
}

/** From samples to numbers; a compiled model can keep them. */
export const NORMALISE_FLAGS: readonly InputFlag[] = [
  {
    flags: '--layout <order>',
    key: 'layout',
    description: 'axes of a picture (default: what the model says, or NCHW)',
    parse: text,
    choices: ['NCHW', 'NHWC'],
  },
  {
    flags: '--channels <order>',
    key: 'channels',
    description: 'its colours (default: what the model says, or by its channels)',
    parse: text,
    choices: ['rgb', 'bgr', 'gray'],
  },
  {
    flags: '--scale <factor>',
    key: 'scale',
    description: 'samples times this, first of all (default: 1/255; uint8: 1)',
    parse: factor,
  },
  { flags: '--mean <list>', key: 'mean', description: 'then less this, one or one per channel', parse: numbers },
  {
    flags: '--std <list>',
    key: 'std',
    description: 'then divided by this, one or one per channel',
    parse: (value) => numbers(value).map((each) => (each > 0 ? each : fail('Numbers above 0 with commas are needed.'))),
  },
];

/** Before that. */
export const RESIZE_FLAGS: readonly InputFlag[] = [
  {
    flags: '--resize <side>',
    key: 'resize',
    description:
      'pictures to a shorter side of this length, or to HEIGHTxWIDTH; bilinear with antialias, as torchvision',
    parse: (value) => (value.includes('x') ? size(value) : side(value)),
  },
  {
    flags: '--center-crop <side>',
    key: 'centerCrop',
    description: 'then their middle: a square, or HEIGHTxWIDTH',
    parse: size,
  },
];

/** What a compiled model can keep of them. */
export const FEATURE_FLAGS: readonly InputFlag[] = [
  {
    flags: '--features <list>',
    key: 'features',
    description:
      'mfcc or logmel of sounds, with settings, as mfcc,rate=16000,window=40,step=20 or bands=40,lowest=20,highest=4000 (Hz, ms)',
    parse: features,
  },
];

export const SOUND_FLAGS: readonly InputFlag[] = [
  ...FEATURE_FLAGS,
  {
    flags: '--resample <hertz>',
    key: 'resample',
    description: 'sounds to so many samples per second',
    parse: wholeFrom(1, 1e6),
  },
];

export function pictureOptions(o: Raw): PictureOptions {
  const { resize, centerCrop: crop, layout, channels, scale, mean, std } = o;
  const given = Object.entries({ resize, crop, layout, channels, scale, mean, std });
  return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as PictureOptions;
}

export function audioOptions({ resample, features: how }: Raw): AudioOptions {
  return {
    ...(resample !== undefined && { resample: resample as number }),
    ...(how !== undefined && { features: how as FeatureOptions }),
  };
}

/** Those of `flags` that were given, as they are written. */
export function givenFlags(o: Raw, flags: readonly InputFlag[]): readonly string[] {
  return flags.filter(({ key }) => o[key] !== undefined).map((flag) => flag.flags.split(' ')[0] ?? '');
}

/** Adds them below a heading of their own. */
export function addFlags(to: Command, flags: readonly InputFlag[], heading: string): void {
  to.optionsGroup(heading);
  for (const { flags: words, description, parse, choices } of flags) {
    const option = once(words, description, parse);
    to.addOption(choices ? option.choices(choices) : option);
  }
}

export interface NamedFiles {
  readonly named: ReadonlyMap<string, string>;
  readonly unnamed: readonly string[];
}

export const NO_FILES: NamedFiles = { named: new Map(), unnamed: [] };

/** `name=file`, or a file alone; nothing else is known of it yet. */
function files(flags: string, description: string): Option {
  return new Option(flags, description).argParser<NamedFiles | undefined>((given, before = NO_FILES) => {
    const split = given.lastIndexOf('=');
    if (split < 0) return { ...before, unnamed: [...before.unnamed, text(given)] };
    const name = given.slice(0, split);
    if (name === '') fail('Write it as name=file.');
    if (before.named.has(name)) fail(`${name} is given twice.`);
    return { ...before, named: new Map([...before.named, [name, text(given.slice(split + 1))]]) };
  });
}

export const inputOption = (): Option =>
  files('-i, --input <name=file>', 'a file for the input of that name; may be repeated');
export const outputOption = (): Option =>
  files(
    '-o, --output <file>',
    'write the output: .npy, .pb or .json; name=file for one of several, a folder for all; may be repeated',
  );

function fail(what: string): never {
  throw new InvalidArgumentError(what);
}

const MAX_SIDE = 2 ** 16;

function side(value: string): number {
  const length = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  return length >= 1 && length <= MAX_SIDE
    ? length
    : fail(`A length from 1 to ${MAX_SIDE}, or HEIGHTxWIDTH, is needed.`);
}

function size(value: string): Size {
  const [height = '', width = height, more] = value.split('x');
  if (more !== undefined) fail('Write it as 224 or as 224x320: height, then width.');
  return { height: side(height), width: side(width) };
}

const NUMBER = /^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/;

function numbers(value: string): number[] {
  return value.split(',').map((part) => {
    const parsed = NUMBER.test(part) ? Number(part) : Number.NaN;
    return Number.isFinite(parsed) ? parsed : fail('Finite decimal numbers with commas are needed.');
  });
}

/** `0.5`, or `1/255`. */
function factor(value: string): number {
  const [over = '', under = '1', more] = value.split('/');
  const parsed = NUMBER.test(over) && NUMBER.test(under) && more === undefined ? Number(over) / Number(under) : 0;
  return Number.isFinite(parsed) && parsed > 0 ? parsed : fail('A number above 0, as 1/255, is needed.');
}

const FEATURE_KEYS = ['rate', 'window', 'step', 'bands', 'lowest', 'highest'] as const;

function features(value: string): FeatureOptions {
  const [kind, ...settings] = value.split(',');
  if (kind !== 'mfcc' && kind !== 'logmel')
    return fail('mfcc or logmel is needed, and then settings, as mfcc,bands=40.');
  const pairs = settings.map((setting) => {
    const [key = '', given = ''] = setting.split('=');
    const parsed = NUMBER.test(given) ? Number(given) : Number.NaN;
    if (!FEATURE_KEYS.some((one) => one === key) || !(parsed >= 0 && parsed <= 1e6))
      fail(`"${setting}" is no setting: ${FEATURE_KEYS.join(', ')} are, each with a number, as bands=40.`);
    return [key, parsed] as const;
  });
  return { kind, ...Object.fromEntries(pairs) };
}
