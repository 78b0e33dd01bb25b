/**
 * Mono or mixed-down sound from WAV files: PCM of 16 bits and floats of 32, what speech data sets use. Samples are divided
 * by 2^15, so that they lie in [−1, 1).
 * @see Microsoft, Multimedia Programming Interface and Data Specifications 1.0
 */
import { quote } from '@grim/ir';
import { fail } from '../errors.ts';

export interface Sound {
  /** Samples per second. */
  readonly rate: number;
  readonly samples: Float32Array;
}

/** @throws {GrimError} GRIM_TRAIN_BAD_DATA, with the file's name */
export function decodeWav(name: string, bytes: Uint8Array): Sound {
  const bad = (why: string): never => fail('GRIM_TRAIN_BAD_DATA', `${quote(name)}: ${why}.`, { file: name });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = (at: number): string => Buffer.from(bytes.subarray(at, at + 4)).toString('latin1');
  if (tag(0) !== 'RIFF' || tag(8) !== 'WAVE') bad('it is no WAV file');
  let format:
    | { readonly codec: number; readonly channels: number; readonly rate: number; readonly bits: number }
    | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    const start = at + 8;
    if (start + length > bytes.length) bad(`its part ${quote(tag(at))} is cut short`);
    if (tag(at) === 'fmt ' && length >= 16)
      format = {
        codec: view.getUint16(start, true),
        channels: view.getUint16(start + 2, true),
        rate: view.getUint32(start + 4, true),
        bits: view.getUint16(start + 14, true),
      };
    if (tag(at) === 'data') {
      if (!format) return bad('it has samples before their format');
      const { codec, channels, rate, bits } = format;
      const known = (codec === 1 && bits === 16) || (codec === 3 && bits === 32);
      if (!known || channels < 1 || rate < 1)
        bad(`its samples are ${bits} bits of format ${codec}; PCM of 16 bits or floats of 32 are needed`);
      const read =
        bits === 16
          ? (i: number) => view.getInt16(start + 2 * i, true) / 2 ** 15
          : (i: number) => view.getFloat32(start + 4 * i, true);
      const frames = Math.floor(length / (channels * (bits / 8)));
      const samples = Float32Array.from({ length: frames }, (_, frame) => {
        let sum = 0;
        for (let channel = 0; channel < channels; channel++) sum += read(frame * channels + channel);
        return sum / channels;
      });
      return { rate, samples };
    }
    at = start + length + (length & 1);
  }
  return bad('it has no samples');
}
