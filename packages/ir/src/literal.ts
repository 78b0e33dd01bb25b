/**
 * The words of the text form: names, strings, numbers, elements and bytes, written so that they read back bit for bit.
 * `print.ts` and `parse.ts` meet here; the grammar is in `docs/ir-text.md`.
 */
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './numeric.ts';
import { allocate, bytesPerElement, type DType, isFloat, type Tensor, type TensorArray } from './types.ts';

const BARE_NAME = /^[A-Za-z0-9_./:-]+$/;
/** Words that stand where a name may follow. `_` is an absent value. */
const KEYWORDS: ReadonlySet<string> = new Set(['_', 'as', 'bcr']);
const BARE_WORD = /^[A-Za-z_]\w*$/;

/** A name as it stands in the text: bare where that is unmistakable, else quoted. */
export function nameText(name: string): string {
  return BARE_NAME.test(name) && !KEYWORDS.has(name) ? name : quotedText(name);
}

/** A string attribute, an element type or a symbolic dimension. */
export function wordText(text: string): string {
  return BARE_WORD.test(text) && text !== 'nan' && text !== 'inf' && text !== 'graph' ? text : quotedText(text);
}

/** Between quotes; what a terminal might obey or hide becomes `\u{…}`, lone surrogates included. */
function quotedText(text: string): string {
  let out = '"';
  for (const character of text) {
    if (character === '"' || character === '\\') out += `\\${character}`;
    else if (character === '\n') out += '\\n';
    else if (/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u.test(character))
      out += `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
    else out += character;
  }
  return `${out}"`;
}

export function numberText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;

/** The number that a word spells, or undefined. */
export function readNumber(word: string): number | undefined {
  switch (word) {
    case 'nan':
      return Number.NaN;
    case 'inf':
      return Infinity;
    case '-inf':
      return -Infinity;
    default:
      return NUMBER.test(word) ? Number(word) : undefined;
  }
}

/** How each float type is taken apart: its bits, the one NaN that is written `nan`, and rounding a double to it. */
const FLOATS = {
  float16: { nan: 0x7e00n, round: (v: number) => fromFloat16(toFloat16(v)), digits: 5 },
  bfloat16: { nan: 0x7fc0n, round: (v: number) => fromBfloat16(toBfloat16(v)), digits: 4 },
  float32: { nan: 0x7fc00000n, round: Math.fround, digits: 9 },
  float64: { nan: 0x7ff8000000000000n, round: (v: number) => v, digits: 17 },
} as const;
type FloatDType = keyof typeof FLOATS;

/** Writes elements of `tensor` as text. Floats: the shortest decimal that reads back to the same bits. */
export function elementTexts(tensor: Tensor): readonly string[] {
  const { dtype, data } = tensor;
  if (!isFloat(dtype)) return Array.from(data as ArrayLike<unknown>, String);
  const bytes = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const texts: string[] = [];
  for (let i = 0; i < data.length; i++) texts.push(floatText(bytes, i, dtype as FloatDType));
  return texts;
}

function floatText(bytes: DataView, index: number, dtype: FloatDType): string {
  const { nan, round, digits } = FLOATS[dtype];
  const value = readFloat(bytes, index, dtype);
  if (Number.isNaN(value)) {
    const width = bytesPerElement(dtype);
    let bits = 0n;
    for (let b = width - 1; b >= 0; b--) bits = (bits << 8n) | BigInt(bytes.getUint8(index * width + b));
    // A NaN carries a sign and a payload; only the plain one has a name.
    return bits === nan ? 'nan' : `0x${bits.toString(16).padStart(2 * width, '0')}`;
  }
  if (dtype === 'float64' || value === 0 || !Number.isFinite(value)) return numberText(value);
  for (let precision = 1; precision < digits; precision++) {
    const shorter = Number(value.toPrecision(precision));
    if (Object.is(round(shorter), value)) return numberText(shorter);
  }
  return numberText(Number(value.toPrecision(digits)));
}

function readFloat(bytes: DataView, index: number, dtype: FloatDType): number {
  switch (dtype) {
    case 'float16':
      return fromFloat16(bytes.getUint16(2 * index, true));
    case 'bfloat16':
      return fromBfloat16(bytes.getUint16(2 * index, true));
    case 'float32':
      return bytes.getFloat32(4 * index, true);
    case 'float64':
      return bytes.getFloat64(8 * index, true);
  }
}

const INTEGER = /^-?\d{1,20}$/;
const HEX = /^0x[0-9a-f]+$/;

/** Reads what {@link elementTexts} writes. @returns the position of the first word that is no element of `dtype`, else the data */
export function readElements(dtype: DType, words: readonly string[]): TensorArray | number {
  const data = allocate(dtype, words.length);
  const bytes = new DataView(data.buffer);
  const width = bytesPerElement(dtype);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (!isFloat(dtype)) {
      if (!INTEGER.test(word)) return i;
      const wanted = BigInt(word);
      if (dtype === 'int64' || dtype === 'uint64') (data as BigInt64Array)[i] = wanted;
      else (data as Int32Array)[i] = Number(wanted);
      // The array wraps what does not fit; so a difference is an element out of range.
      if (BigInt(data[i] ?? 0) !== wanted) return i;
    } else if (HEX.test(word)) {
      if (word.length !== 2 + 2 * width) return i;
      for (let b = 0; b < width; b++)
        bytes.setUint8(i * width + b, Number.parseInt(word.slice(word.length - 2 * b - 2, word.length - 2 * b), 16));
    } else {
      const value = readNumber(word);
      if (value === undefined) return i;
      writeFloat(bytes, i, dtype as FloatDType, value);
    }
  }
  return data;
}

function writeFloat(bytes: DataView, index: number, dtype: FloatDType, value: number): void {
  switch (dtype) {
    case 'float16':
      bytes.setUint16(2 * index, toFloat16(value), true);
      break;
    case 'bfloat16':
      bytes.setUint16(2 * index, toBfloat16(value), true);
      break;
    case 'float32':
      // Which NaN a conversion gives is the machine's choice; `nan` is one for certain.
      if (Number.isNaN(value)) bytes.setUint32(4 * index, Number(FLOATS.float32.nan), true);
      else bytes.setFloat32(4 * index, value, true);
      break;
    case 'float64':
      if (Number.isNaN(value)) bytes.setBigUint64(8 * index, FLOATS.float64.nan, true);
      else bytes.setFloat64(8 * index, value, true);
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const ENCODE = Uint8Array.from(ALPHABET, (c) => c.charCodeAt(0));
const DECODE = new Int8Array(128).fill(-1);
ENCODE.forEach((code, value) => {
  DECODE[code] = value;
});

/** Base64 with padding (RFC 4648 §4). */
export function base64(bytes: Uint8Array): string {
  const codes = new Uint8Array(Math.ceil(bytes.length / 3) * 4).fill(0x3d);
  let out = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const three = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    codes[out] = ENCODE[three >> 18] ?? 0;
    codes[out + 1] = ENCODE[(three >> 12) & 63] ?? 0;
    if (left > 1) codes[out + 2] = ENCODE[(three >> 6) & 63] ?? 0;
    if (left > 2) codes[out + 3] = ENCODE[three & 63] ?? 0;
    out += 4;
  }
  return new TextDecoder().decode(codes);
}

/** Fills `bytes` from base64 text. @returns false when the text is not exactly that many bytes in canonical base64 */
export function readBase64(text: string, bytes: Uint8Array): boolean {
  if (text.length !== Math.ceil(bytes.length / 3) * 4) return false;
  for (let i = 0, at = 0; i < bytes.length; i += 3, at += 4) {
    const count = Math.min(3, bytes.length - i);
    let three = 0;
    for (let c = 0; c < 4; c++) {
      const code = text.charCodeAt(at + c);
      const value = c <= count ? (DECODE[code] ?? -1) : code === 0x3d ? 0 : -1;
      if (value < 0) return false;
      three = (three << 6) | value;
    }
    bytes[i] = three >> 16;
    if (count > 1) bytes[i + 1] = three >> 8;
    if (count > 2) bytes[i + 2] = three;
    // The bits that padding leaves over are zero, so that bytes have one spelling.
    if (count < 3 && (three & (count === 1 ? 0xffff : 0xff)) !== 0) return false;
  }
  return true;
}

/** The bytes of a tensor's elements, little-endian. A view. */
export function bytesOfTensor({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * 16 hexadecimal digits that change when the elements do: MurmurHash3 x86_32 (A. Appleby, public domain) under two
 * seeds. It tells weights that were mixed up or retrained, not weights that somebody forged.
 */
export function contentHash(tensor: Tensor): string {
  const { data } = tensor;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const words = view.byteLength >>> 2;
  let a = 0;
  let b = 0x9747b28c;
  for (let i = 0; i < words; i++) {
    const k = scramble(view.getUint32(4 * i, true));
    a ^= k;
    a = (Math.imul((a << 13) | (a >>> 19), 5) + 0xe6546b64) | 0;
    b ^= k;
    b = (Math.imul((b << 13) | (b >>> 19), 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let i = view.byteLength - 1; i >= 4 * words; i--) tail = (tail << 8) | view.getUint8(i);
  if (view.byteLength & 3) {
    a ^= scramble(tail);
    b ^= scramble(tail);
  }
  return finish(a, view.byteLength) + finish(b, view.byteLength);
}

function scramble(word: number): number {
  const k = Math.imul(word, 0xcc9e2d51);
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593);
}

function finish(hash: number, length: number): string {
  let h = hash ^ length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0).toString(16).padStart(8, '0');
}

/** Bytes of `text` in UTF-8; a lone surrogate counts three. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) bytes += code < 0x800 ? 1 : 2;
    // The two halves of a pair make four bytes together.
    if (code >= 0xd800 && code < 0xdc00) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) i++;
    }
  }
  return bytes;
}
