/**
 * WAV files (RIFF): PCM of 8, 16, 24 and 32 bits and floats of 32 and 64. An own reader: models are fed with sample / 2^(bits − 1),
 * as torchaudio, soundfile and scipy's users do; the libraries at hand divide positive samples by another number or take
 * files that are cut short.
 * @see Microsoft, Multimedia Programming Interface and Data Specifications 1.0; WAVEFORMATEXTENSIBLE
 */
import { GrimError, quote } from '@grim/ir';

export interface Sound {
  /** Samples per second of each channel. */
  readonly rate: number;
  readonly channels: number;
  /** Interleaved; integers become −1 to 1. */
  readonly samples: Float32Array;
}

/** Of all channels together: half a gigabyte as floats. */
const MAX_SAMPLES = 2 ** 27;
const MAX_CHANNELS = 64;
const MAX_RATE = 1e6;

const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];

export function badAudio(what: string): never {
  throw new GrimError('GRIM_CLI_BAD_AUDIO', `${what}.`);
}

interface Format {
  readonly codec: number;
  readonly channels: number;
  readonly rate: number;
  readonly bits: number;
}

/** @throws {GrimError} GRIM_CLI_BAD_AUDIO when the bytes are damaged, cut short, or compressed */
export function decodeWav(bytes: Uint8Array): Sound {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at: number): string => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (name(0) !== 'RIFF' || name(8) !== 'WAVE') {
    const found = bytes.length === 0 ? 'it is empty' : `it begins with ${quote(name(0) + name(8))}`;
    return badAudio(`${found}; a WAV file begins with "RIFF" and "WAVE". Convert it to WAV (PCM)`);
  }
  let format: Format | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const [kind, length] = [name(at), view.getUint32(at + 4, true)];
    const start = at + 8;
    if (start + length > bytes.length) {
      const given =
        length >= 0xfffff000 ? 'a length that was never filled in (written through a pipe?)' : `${length} bytes`;
      return badAudio(`its chunk ${quote(kind)} has ${given}, the file ${bytes.length - start} more. Save it again`);
    }
    if (kind === 'fmt ') {
      if (format) badAudio('the WAV data are damaged: two formats');
      format = readFormat(new DataView(bytes.buffer, bytes.byteOffset + start, length));
    }
    if (kind === 'data') {
      if (!format) return badAudio('the WAV data are damaged: samples before their format');
      return readSamples(format, new DataView(bytes.buffer, bytes.byteOffset + start, length));
    }
    // Chunks begin at even offsets.
    at = start + length + (length & 1);
  }
  return badAudio('it is cut short: no samples. Get it again');
}

function readFormat(view: DataView): Format {
  if (view.byteLength < 16) badAudio('the WAV data are damaged: the format is cut short');
  const tag = view.getUint16(0, true);
  if (tag === EXTENSIBLE && view.byteLength < 40) badAudio('the WAV data are damaged: the format is cut short');
  const codec = tag === EXTENSIBLE ? view.getUint16(24, true) : tag;
  const channels = view.getUint16(2, true);
  const rate = view.getUint32(4, true);
  const bits = view.getUint16(14, true);
  const known = codec === PCM ? [8, 16, 24, 32] : codec === FLOAT ? [32, 64] : [];
  if (!known.includes(bits))
    badAudio(`its samples are ${bits} bits of format ${codec}; PCM (1) and floats (3) are read. Convert it to PCM`);
  if (channels < 1 || channels > MAX_CHANNELS || rate < 1 || rate > MAX_RATE)
    badAudio(`the WAV data are damaged: ${channels} channels at ${rate} Hz`);
  if (view.getUint16(12, true) !== (channels * bits) / 8)
    badAudio(`the WAV data are damaged: ${view.getUint16(12, true)} bytes hold no ${channels} × ${bits} bits`);
  return { codec, channels, rate, bits };
}

function readSamples({ codec, channels, rate, bits }: Format, view: DataView): Sound {
  const size = bits / 8;
  const count = view.byteLength / size;
  if (count % channels !== 0) badAudio('the WAV data are damaged: the last sample is cut short. Get it again');
  if (count > MAX_SAMPLES) badAudio(`it has ${count} samples; at most ${MAX_SAMPLES} are read. Cut it`);
  const reads: Readonly<Record<number, (at: number) => number>> = {
    8: (at) => (view.getUint8(at) - 128) / 2 ** 7,
    16: (at) => view.getInt16(at, true) / 2 ** 15,
    24: (at) => ((view.getUint8(at) << 8) | (view.getInt16(at + 1, true) << 16)) / 2 ** 31,
    32: (at) => view.getInt32(at, true) / 2 ** 31,
  };
  const floats = bits === 64 ? (at: number) => view.getFloat64(at, true) : (at: number) => view.getFloat32(at, true);
  const read = codec === FLOAT ? floats : (reads[bits] ?? floats);
  return { rate, channels, samples: Float32Array.from({ length: count }, (_, i) => read(i * size)) };
}

/** All channels as one. */
export function mixed(sound: Sound): Float32Array {
  const { samples, channels } = sound;
  if (channels === 1) return samples;
  return Float32Array.from({ length: samples.length / channels }, (_, i) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += samples[i * channels + c] ?? 0;
    return sum / channels;
  });
}
