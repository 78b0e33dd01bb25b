/**
 * What a file is that is not an ONNX model: people save error pages, pointers and other formats under that name.
 * Consulted after decoding has failed, so a table entry may be as broad as `{`.
 */
export interface Recognised {
  readonly code: 'GRIM_ONNX_EMPTY' | 'GRIM_ONNX_NOT_ONNX';
  /** With its article: "an HTML page". */
  readonly what: string;
  /** What to do about it: one sentence. */
  readonly hint: string;
}

const CONVERT = 'Export the model to ONNX with the tool that made it.';
const DOWNLOAD = 'Download the model itself; the address may need a login or the raw file link.';

/** Text that the file begins with at `offset`, one character per byte; case is ignored where `text` is true. */
interface Magic {
  readonly what: string;
  readonly hint: string;
  readonly offset?: number;
  readonly begins: readonly string[];
}

const BINARY: readonly Magic[] = [
  {
    what: 'a PyTorch checkpoint or another zip archive',
    begins: ['PK\x03\x04', 'PK\x05\x06'],
    hint: 'Unpack the archive, or export the model with torch.onnx.export.',
  },
  { what: 'a gzip file', begins: ['\x1f\x8b'], hint: 'Unpack it with gunzip.' },
  { what: 'a zstd file', begins: ['\x28\xb5\x2f\xfd'], hint: 'Unpack it with zstd -d.' },
  { what: 'a bzip2 file', begins: ['BZh'], hint: 'Unpack it with bunzip2.' },
  { what: 'an xz file', begins: ['\xfd7zXZ\0'], hint: 'Unpack it with unxz.' },
  { what: 'a 7z archive', begins: ['7z\xbc\xaf\x27\x1c'], hint: 'Unpack the archive.' },
  { what: 'a tar archive', offset: 257, begins: ['ustar'], hint: 'Unpack the archive.' },
  { what: 'an HDF5 file, such as a Keras model', begins: ['\x89HDF\r\n\x1a\n'], hint: 'Convert it with tf2onnx.' },
  { what: 'a TFLite model', offset: 4, begins: ['TFL3'], hint: 'Convert it with tf2onnx --tflite.' },
  { what: 'an ONNX Runtime ORT model', offset: 4, begins: ['ORTM'], hint: 'Use the .onnx file that it was made from.' },
  { what: 'a GGUF model', begins: ['GGUF'], hint: CONVERT },
  { what: 'a NumPy array', begins: ['\x93NUMPY'], hint: CONVERT },
  { what: 'a WebAssembly module', begins: ['\0asm'], hint: CONVERT },
  { what: 'an ELF program', begins: ['\x7fELF'], hint: CONVERT },
  { what: 'a PNG image', begins: ['\x89PNG'], hint: 'Give the model file, not a picture of it.' },
  { what: 'a JPEG image', begins: ['\xff\xd8\xff'], hint: 'Give the model file, not a picture of it.' },
  { what: 'a GIF image', begins: ['GIF8'], hint: 'Give the model file, not a picture of it.' },
  { what: 'a PDF document', begins: ['%PDF-'], hint: DOWNLOAD },
  {
    what: 'a compiled GRIM model',
    begins: ['GRIM'],
    hint: 'Give the .onnx file that it was compiled from; a .grim file is for the runtime.',
  },
  {
    what: 'a Python pickle, such as an old PyTorch checkpoint',
    begins: ['\x80\x02', '\x80\x03', '\x80\x04', '\x80\x05'],
    hint: 'Export the model with torch.onnx.export.',
  },
];

const TEXT: readonly Magic[] = [
  {
    what: 'a Git LFS pointer',
    begins: ['version https://git-lfs'],
    hint: 'Run `git lfs pull` in the repository to fetch the model.',
  },
  { what: 'an HTML page', begins: ['<!doctype html', '<html', '<head', '<body'], hint: DOWNLOAD },
  { what: 'an SVG image', begins: ['<svg'], hint: 'Give the model file, not a picture of it.' },
  { what: 'an XML file', begins: ['<?xml', '<!--', '<'], hint: DOWNLOAD },
  { what: 'a JSON file', begins: ['{', '['], hint: CONVERT },
  { what: 'the textual form of a protobuf message', begins: ['ir_version'], hint: 'Save the model in binary form.' },
];

/** How much of a file decides whether it is text. */
const LOOK = 512;
/** Tab, line feed, form feed, carriage return. */
const WHITE = [9, 10, 12, 13];
const SAFETENSORS_HEADER_BYTES = 1e8;

/** The likely kind of `bytes`, or undefined when nothing fits. */
export function recognise(bytes: Uint8Array): Recognised | undefined {
  const head = latin1(bytes.subarray(0, LOOK));
  const found = (magic: Magic): Recognised => ({ code: 'GRIM_ONNX_NOT_ONNX', what: magic.what, hint: magic.hint });
  const binary = BINARY.find(({ begins, offset = 0 }) => begins.some((text) => head.startsWith(text, offset)));
  if (binary) return found(binary);
  if (isSafetensors(bytes))
    return found({ what: 'a safetensors file', begins: [], hint: `It holds weights without a graph. ${CONVERT}` });
  if (isPickleProtocol0(head)) return found({ what: 'a Python pickle', begins: [], hint: CONVERT });
  const utf16 = /^(\xff\xfe|\xfe\xff)/.test(head);
  const start = head
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()
    .toLowerCase();
  if (start === '' && bytes.length <= LOOK)
    return { code: 'GRIM_ONNX_EMPTY', what: 'a file of white space', hint: DOWNLOAD };
  const text = TEXT.find(({ begins }) => begins.some((beginning) => start.startsWith(beginning)));
  if (text && isText(bytes.subarray(0, LOOK))) return found(text);
  if (utf16 || (bytes.length >= 4 && isText(bytes.subarray(0, LOOK))))
    return found({ what: 'plain text', begins: [], hint: DOWNLOAD });
  return undefined;
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** An 8-byte little-endian length, then a JSON object of that length. */
function isSafetensors(bytes: Uint8Array): boolean {
  if (bytes.length < 10 || bytes[8] !== 0x7b) return false;
  const header = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return header >= 2 && header <= SAFETENSORS_HEADER_BYTES && header <= bytes.length - 8;
}

function isPickleProtocol0(head: string): boolean {
  return /^\(?(dp|lp|c[\w.]+\n\w+\n)/.test(head);
}

/** Only bytes that text in ASCII or UTF-8 has. */
function isText(bytes: Uint8Array): boolean {
  return bytes.every((byte) => (byte >= 0x20 && byte !== 0x7f) || WHITE.includes(byte));
}
