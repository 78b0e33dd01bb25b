import { describe, expect, it } from 'vitest';
import { decodeModel, decodeTensorFile } from '../../src/onnx/decode.ts';
import { encodeModel } from '../../src/onnx/encode.ts';
import { recognise } from '../../src/onnx/recognise.ts';
import { KITCHEN_SINK } from '../fuzz/corpus.ts';
import { codeOf, errorOf, join } from './wire-bytes.ts';

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const utf16 = (text: string) => join([0xff, 0xfe], Buffer.from(text, 'utf16le'));
const at = (offset: number, text: string) => join(new Uint8Array(offset).fill(1), latin1(text), new Uint8Array(64));

const LFS = `version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345
`;

const KINDS: readonly (readonly [what: RegExp, bytes: Uint8Array, hint: RegExp])[] = [
  [/Git LFS pointer/, latin1(LFS), /git lfs pull/],
  [/HTML page/, latin1('<!DOCTYPE html>\n<html><head><title>404</title></head></html>'), /Download/],
  [/HTML page/, latin1('\n\n  <HTML>Not found'), /Download/],
  [/HTML page/, latin1('\xef\xbb\xbf<!doctype html>'), /Download/],
  [/XML file/, latin1('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), /Download/],
  [/SVG image/, latin1('<svg xmlns="http://www.w3.org/2000/svg"/>'), /picture/],
  [/JSON file/, latin1('{"error": "Repository not found"}'), /Export/],
  [/JSON file/, latin1('[1, 2, 3]'), /Export/],
  [/zip archive/, latin1('PK\x03\x04\x14\0\0\0archive/data.pkl'), /torch\.onnx\.export/],
  [/gzip/, latin1('\x1f\x8b\x08\0\0\0\0\0'), /gunzip/],
  [/zstd/, latin1('\x28\xb5\x2f\xfd\0\0'), /zstd/],
  [/safetensors/, join([14, 0, 0, 0, 0, 0, 0, 0], latin1('{"w":{"a":"b"}}'), new Uint8Array(8)), /without a graph/],
  [/pickle/, latin1('\x80\x02}q\0X\x05\0\0\0model'), /torch/],
  [/pickle/, latin1('\x80\x04\x95\x10\0\0\0\0\0\0\0'), /torch/],
  [/HDF5/, latin1('\x89HDF\r\n\x1a\n\0\0'), /tf2onnx/],
  [/TFLite/, at(4, 'TFL3'), /tf2onnx/],
  [/ORT model/, at(4, 'ORTM'), /\.onnx/],
  [/GGUF/, latin1('GGUF\x03\0\0\0'), /Export/],
  [/NumPy/, latin1('\x93NUMPY\x01\0v\0'), /Export/],
  [/PNG/, latin1('\x89PNG\r\n\x1a\n'), /picture/],
  [/JPEG/, latin1('\xff\xd8\xff\xe0\0\x10JFIF'), /picture/],
  [/ELF/, latin1('\x7fELF\x02\x01\x01'), /Export/],
  [/WebAssembly/, latin1('\0asm\x01\0\0\0'), /Export/],
  [/tar archive/, at(257, 'ustar\0'), /Unpack/],
  [/PDF/, latin1('%PDF-1.7\n'), /Download/],
  [/GRIM model/, latin1('GRIM\x01\0\0\0'), /runtime/],
  [/plain text/, latin1('Entry not found'), /Download/],
  [/plain text/, utf16('Entry not found'), /Download/],
  [/textual form/, latin1('ir_version: 8\ngraph {\n}'), /binary/],
];

describe('P1: a file that is no ONNX model', () => {
  it.each(KINDS)('P1: %s is named, with what to do', (what, bytes, hint) => {
    for (const decode of [decodeModel, decodeTensorFile]) {
      const error = errorOf(() => decode(bytes));
      expect(error.code).toBe('GRIM_ONNX_NOT_ONNX');
      expect(error.details['looksLike']).toMatch(what);
      expect(error.message).toMatch(what);
      expect(error.message).toMatch(hint);
    }
  });

  it('P1: an empty file, and white space, are called empty', () => {
    expect(codeOf(() => decodeModel(new Uint8Array(0)))).toBe('GRIM_ONNX_EMPTY');
    for (const text of [' ', '\n\n\n', '\r\n\t  '])
      expect(codeOf(() => decodeModel(latin1(text)))).toBe('GRIM_ONNX_EMPTY');
  });

  it('P1: every file of one byte is refused', () => {
    for (let byte = 0; byte < 256; byte++)
      expect(codeOf(() => decodeModel(Uint8Array.of(byte)))).toMatch(/^GRIM_ONNX_/);
  });

  it('P1: each kind cut to any length is refused', () => {
    for (const [, bytes] of KINDS)
      for (let length = 0; length <= bytes.length; length++)
        expect(codeOf(() => decodeModel(bytes.subarray(0, length)))).toMatch(/^GRIM_ONNX_/);
  });

  it('does not take a damaged ONNX model for something else', () => {
    const bytes = encodeModel(KITCHEN_SINK);
    expect(recognise(bytes)).toBeUndefined();
    expect(codeOf(() => decodeModel(bytes.subarray(0, -3)))).toBe('GRIM_ONNX_TRUNCATED');
  });
});
