/**
 * Arrays of a .npz file (a zip of .npy files): bytes, 16 to 64-bit integers and floats, in C order.
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
import { quote } from '@grim/ir';
import { unzipSync } from 'fflate';
import { fail } from '../errors.ts';

export interface NumpyArray {
  readonly shape: readonly number[];
  readonly data:
    | Uint8Array
    | Int8Array
    | Int16Array
    | Uint16Array
    | Int32Array
    | Uint32Array
    | Float32Array
    | Float64Array
    | BigInt64Array;
}

const TYPES = {
  '|u1': Uint8Array,
  '|b1': Uint8Array,
  '|i1': Int8Array,
  '<i2': Int16Array,
  '<u2': Uint16Array,
  '<i4': Int32Array,
  '<u4': Uint32Array,
  '<i8': BigInt64Array,
  '<f4': Float32Array,
  '<f8': Float64Array,
} as const;
const MAX_BYTES = 2 ** 31 - 1;

/** By name, without the ending .npy. @throws {GrimError} GRIM_TRAIN_BAD_DATA */
export function readNpz(name: string, bytes: Uint8Array): ReadonlyMap<string, NumpyArray> {
  let total = 0;
  const files = (() => {
    try {
      return unzipSync(bytes, {
        filter: ({ originalSize }) => {
          total += originalSize;
          if (total > MAX_BYTES) throw new Error(`it unpacks to more than ${MAX_BYTES} bytes`);
          return true;
        },
      });
    } catch (error) {
      return fail(
        'GRIM_TRAIN_BAD_DATA',
        `${quote(name)}: it is no .npz file, or damaged (${error instanceof Error ? error.message : String(error)}).`,
        { file: name },
      );
    }
  })();
  return new Map(
    Object.entries(files)
      .filter(([file]) => file.endsWith('.npy'))
      .map(([file, content]) => [file.slice(0, -4), readNpy(`${name}: ${file}`, content)] as const),
  );
}

function readNpy(name: string, bytes: Uint8Array): NumpyArray {
  const bad = (why: string): never => fail('GRIM_TRAIN_BAD_DATA', `${quote(name)}: ${why}.`, { file: name });
  if (bytes.length < 12 || Buffer.from(bytes.subarray(0, 6)).toString('latin1') !== '\x93NUMPY')
    bad('it is no .npy file');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = (bytes[6] as number) > 1;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (long ? 12 : 10) + length;
  if (start > bytes.length) bad('its header is cut short');
  const header = Buffer.from(bytes.subarray(long ? 12 : 10, start)).toString('latin1');
  const [, type = ''] = /'descr':\s*'([^']*)'/.exec(header) ?? [];
  const [, order = ''] = /'fortran_order':\s*(\w+)/.exec(header) ?? [];
  const [, dims] = /'shape':\s*\(([\d,\s]*)\)/.exec(header) ?? [];
  if (!Object.hasOwn(TYPES, type)) bad(`its elements are ${quote(type)}; ${Object.keys(TYPES).join(', ')} are read`);
  if (order !== 'False' || dims === undefined) bad('its header is damaged, or it is in Fortran order');
  const shape = (dims as string)
    .split(',')
    .map((dim) => dim.trim())
    .filter((dim) => dim !== '')
    .map(Number);
  const Kind = TYPES[type as keyof typeof TYPES];
  const count = shape.reduce((all, dim) => all * dim, 1);
  if (count * Kind.BYTES_PER_ELEMENT !== bytes.length - start)
    bad(`its shape [${shape.join(', ')}] does not fit its ${bytes.length - start} bytes`);
  // A copy is aligned.
  return { shape, data: new Kind(bytes.slice(start).buffer) };
}
