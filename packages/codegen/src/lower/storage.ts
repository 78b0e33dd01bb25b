/** The buffers of a program: places for values, and its constants, each once. */
import { bytesPerElement, elementCount, type TensorArray, type Weight } from '@grim/ir';
import type { StaticType } from '../lower.ts';
import { dense, gappedStrides, paddedIn, paddedLayout, SLACK } from '../map/placement.ts';
import type { Address, Buffer, Padding, Placement } from '../program.ts';

export class Storage {
  readonly buffers: Buffer[] = [];
  readonly #placedWeights = new Map<Weight, Placement>();
  /** Constants by the bytes they were made of. */
  readonly #tables = new Map<string, Buffer[]>();

  allocate(bytes: number, constant?: Pick<Buffer, 'constant' | 'weights' | 'stream' | 'lanes'>): Buffer {
    const buffer: Buffer = { id: this.buffers.length, bytes, ...constant };
    this.buffers.push(buffer);
    return buffer;
  }

  dense({ dtype, shape }: StaticType): Placement {
    const buffer = this.allocate(elementCount(shape, dtype) * bytesPerElement(dtype) + SLACK);
    return dense({ buffer, offset: 0 }, dtype, shape);
  }

  /** What surrounds the values is not written. */
  padded({ dtype, shape }: StaticType, padding: Padding): Placement {
    const { elements } = paddedLayout(shape, padding);
    return paddedIn(this.allocate(elements * bytesPerElement(dtype) + SLACK), dtype, shape, padding);
  }

  gapped({ dtype, shape }: StaticType, gap: number): Placement {
    const strides = gappedStrides(shape, gap);
    const bytes = (shape[0] ?? 1) * (strides[0] ?? 0) * bytesPerElement(dtype);
    return { buffer: this.allocate(bytes + SLACK), offset: 0, dtype, shape, strides };
  }

  weight(weight: Weight): Placement {
    let placement = this.#placedWeights.get(weight);
    if (!placement) {
      const { data, dtype, shape } = weight;
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      placement = dense(
        {
          buffer: this.allocate(bytes.length, { constant: bytes, weights: dtype === 'float32' && shape.length > 1 }),
          offset: 0,
        },
        dtype,
        shape,
      );
      this.#placedWeights.set(weight, placement);
    }
    return placement;
  }

  constant(values: TensorArray, facts: Pick<Buffer, 'weights' | 'stream' | 'lanes'>): Address {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const kind = facts.stream?.kind ?? (facts.lanes ? 'lane weights' : facts.weights);
    const key = `${kind} ${bytes.length} ${hashOf(bytes)}`;
    const same = this.#tables.get(key) ?? [];
    this.#tables.set(key, same);
    let buffer = same.find(({ constant }) => constant && equalBytes(constant, bytes));
    if (!buffer) {
      buffer = this.allocate(bytes.length, { constant: bytes.slice(), ...facts });
      same.push(buffer);
    }
    return { buffer, offset: 0 };
  }
}

/** FNV-1a, 32 bits. */
function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
