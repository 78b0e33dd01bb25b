/**
 * NumPy's .npy files: one array, its type and shape as a Python literal in front.
 * @see NEP 1; versions 1.0 to 3.0
 */
import {
  bytesPerElement,
  type DType,
  elementCount,
  GrimError,
  LIMITS,
  quote,
  show,
  type Tensor,
  viewAs,
} from '@grim/ir';

const MAGIC = '\x93NUMPY';
const DESCRIPTIONS: ReadonlyMap<string, DType> = new Map([
  ['f2', 'float16'],
  ['f4', 'float32'],
  ['f8', 'float64'],
  ['i1', 'int8'],
  ['i2', 'int16'],
  ['i4', 'int32'],
  ['i8', 'int64'],
  ['u1', 'uint8'],
  ['u2', 'uint16'],
  ['u4', 'uint32'],
  ['u8', 'uint64'],
  ['b1', 'bool'],
]);

/** @throws {GrimError} GRIM_CLI_BAD_TENSOR */
export function readNpy(bytes: Uint8Array): Tensor {
  const bad = (what: string): never => {
    throw new GrimError('GRIM_CLI_BAD_TENSOR', `this is no .npy file that can be read: ${what}.`);
  };
  if (latin1(bytes.subarray(0, MAGIC.length)) !== MAGIC || bytes.length < 12) bad('it does not begin with \\x93NUMPY');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [major = 0, start] = bytes[6] === 1 ? [1, 10] : [bytes[6], 12];
  if (major < 1 || major > 3) bad(`it is of version ${major}; 1 to 3 are known`);
  const end: number = start + (major === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (end > bytes.length) bad('it is cut short');
  const head = latin1(bytes.subarray(start, end));
  const [, order = '', code = ''] = /'descr'\s*:\s*'([<>|=]?)([a-zA-Z]\d+)'/.exec(head) ?? [];
  const [, fortran] = /'fortran_order'\s*:\s*(True|False)/.exec(head) ?? [];
  const [, list] = /'shape'\s*:\s*\(([\d,\sL]{0,1000})\)/.exec(head) ?? [];
  if (code === '' || fortran === undefined || list === undefined) return bad('its head does not say type and shape');
  const dtype = DESCRIPTIONS.get(code) ?? bad(`elements of type ${quote(order + code)} are not known`);
  const shape = list.split(',').flatMap((part) => (part.trim() === '' ? [] : [Number.parseInt(part, 10)]));
  if (shape.length > LIMITS.rank) bad(`its rank is ${shape.length}; at most ${LIMITS.rank} is supported`);
  const count = elementCount(shape, dtype, 'the array');
  const size = bytesPerElement(dtype);
  if (bytes.length - end !== count * size)
    bad(`${show(dtype)} [${shape.join(', ')}] has ${count * size} bytes, the file holds ${bytes.length - end}`);
  // A copy: elements stand anywhere in the file, typed arrays do not.
  const content = bytes.slice(end);
  if (order === '>') for (let at = 0; at < content.length; at += size) content.subarray(at, at + size).reverse();
  const ordered = fortran === 'True' ? rowMajor(content, shape, size) : content;
  return { dtype, shape, data: viewAs(dtype, ordered.buffer, 0, count) } as Tensor;
}

/** Elements that lie with the first axis running fastest, put so that the last one does. */
function rowMajor(from: Uint8Array<ArrayBuffer>, shape: readonly number[], size: number): Uint8Array<ArrayBuffer> {
  const to = new Uint8Array(from.length);
  const index = shape.map(() => 0);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((a, b) => a * b, size));
  for (let at = 0; at < to.length; at += size) {
    const source = index.reduce((sum, i, axis) => sum + i * (strides[axis] ?? 0), 0);
    to.set(from.subarray(source, source + size), at);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] ?? 0) + 1;
      if ((index[axis] ?? 0) < (shape[axis] ?? 0)) break;
      index[axis] = 0;
    }
  }
  return to;
}

/** @throws {GrimError} GRIM_CLI_BAD_TENSOR for bfloat16, which NumPy does not have */
export function writeNpy({ dtype, shape, data }: Tensor): Uint8Array {
  const [code] = Array.from(DESCRIPTIONS).find(([, type]) => type === dtype) ?? [];
  if (code === undefined) throw new GrimError('GRIM_CLI_BAD_TENSOR', `.npy files hold no ${dtype}. Write a .pb file.`);
  const order = bytesPerElement(dtype) === 1 ? '|' : '<';
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const head = `{'descr': '${order}${code}', 'fortran_order': False, 'shape': (${dims}), }`;
  // Padded so that the elements begin at a multiple of 64.
  const length = Math.ceil((10 + head.length + 1) / 64) * 64 - 10;
  const bytes = new Uint8Array(10 + length + data.byteLength);
  bytes.set(Array.from(`${MAGIC}\x01\x00`, (c) => c.charCodeAt(0)));
  new DataView(bytes.buffer).setUint16(8, length, true);
  bytes.set(new TextEncoder().encode(`${head.padEnd(length - 1)}\n`), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + length);
  return bytes;
}

/** TextDecoder's latin1 is windows-1252, in which 0x93 is another character. */
function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}
