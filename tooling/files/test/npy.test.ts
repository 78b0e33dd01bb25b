/** .npy files as NumPy writes them. */
import type { Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { readNpy, writeNpy } from '../src/index.ts';

/** A file of version 1.0, as `numpy.save` writes it. */
function file(head: string, data: readonly number[], version = 1): Uint8Array {
  const padded = `${head}\n`;
  const size =
    version === 1 ? [padded.length & 255, padded.length >> 8] : [padded.length & 255, padded.length >> 8, 0, 0];
  return Uint8Array.from([
    0x93,
    ...Array.from('NUMPY', (c) => c.charCodeAt(0)),
    version,
    0,
    ...size,
    ...Array.from(padded, (c) => c.charCodeAt(0)),
    ...data,
  ]);
}
const head = (descr: string, shape: string, fortran = 'False'): string =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`;

describe('readNpy', () => {
  it('reads either byte order, either axis order, every version and rank', () => {
    const six = Uint8Array.of(1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0);
    expect(readNpy(file(head('<i2', '(2, 3)'), [...six]))).toEqual({
      dtype: 'int16',
      shape: [2, 3],
      data: Int16Array.of(1, 2, 3, 4, 5, 6),
    });
    expect(readNpy(file(head('>i2', '(6,)'), [...six], 3)).data).toEqual(
      Int16Array.of(256, 512, 768, 1024, 1280, 1536),
    );
    expect(readNpy(file(head('<i2', '(2, 3)', 'True'), [...six], 2)).data).toEqual(Int16Array.of(1, 3, 5, 2, 4, 6));
    expect(readNpy(file(head('|b1', '()'), [1]))).toEqual({ dtype: 'bool', shape: [], data: Uint8Array.of(1) });
    expect(readNpy(file(head('<f4', '(0, 3)'), []))).toMatchObject({ shape: [0, 3] });
  });

  it('gives back what writeNpy wrote, its elements at a multiple of 64', () => {
    const tensors: Tensor[] = [
      { dtype: 'float32', shape: [1, 2], data: Float32Array.of(Number.NaN, -0) },
      { dtype: 'int64', shape: [1], data: BigInt64Array.of(-(2n ** 63n)) },
      { dtype: 'bool', shape: [], data: Uint8Array.of(1) },
      { dtype: 'float16', shape: [3], data: Uint16Array.of(0x3c00, 0, 1) },
    ];
    for (const tensor of tensors) {
      const bytes = writeNpy(tensor);
      expect((bytes.length - tensor.data.byteLength) % 64).toBe(0);
      expect(readNpy(bytes)).toEqual(tensor);
    }
    expect(() => writeNpy({ dtype: 'bfloat16', shape: [1], data: Uint16Array.of(1) })).toThrowError(/no bfloat16/);
  });

  it.for<readonly [what: string, bytes: Uint8Array, says: RegExp]>([
    ['nothing', new Uint8Array(), /does not begin/],
    ['too few elements', file(head('<f4', '(2,)'), [0, 0, 0, 0]), /has 8 bytes, the file holds 4/],
    ['too many elements', file(head('<f4', '(1,)'), [0, 0, 0, 0, 0]), /holds 5/],
    ['objects', file(head('|O8', '(1,)'), [0]), /"\|O8" are not known/],
    ['records', file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", [0]), /type and shape/],
    ['no shape', file("{'descr': '<f4', 'fortran_order': False}", [0]), /type and shape/],
    ['a negative length', file(head('<f4', '(-1,)'), []), /type and shape/],
    ['a huge shape', file(head('<f4', '(4294967296, 4294967296)'), []), /./],
    ['a huge rank', file(head('<f4', `(${'1, '.repeat(300)})`), [0, 0, 0, 0]), /rank/],
    ['version 9', file(head('<f4', '(1,)'), [0, 0, 0, 0], 9), /version 9/],
  ])('R7: refuses %s', ([, bytes, says]) => {
    expect(() => readNpy(bytes)).toThrowError(says);
    expect(() => readNpy(bytes)).toThrowError(expect.objectContaining({ name: 'GrimError' }));
  });
});
