/** Damage to a model's memory, by nature or by the code of its file. */
import { ModuleBuilder, pack, writeArtifact } from '@grim/codegen';
import { describe, expect, it } from 'vitest';
import { readArtifact } from '../src/read.ts';
import { loadModel } from '../src/verify.ts';
import { affine } from './models.ts';

const X = Float32Array.of(1, 2, 3, 4, 5, 6);
const Y = Float32Array.of(3, 5, 7, 9, 11, 13);

/** The model, and the bytes of its memory. */
async function opened(file: Uint8Array) {
  const { Memory } = WebAssembly;
  let bytes = new Uint8Array();
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      super(descriptor);
      bytes = new Uint8Array(this.buffer);
    }
  };
  const model = await loadModel(file).finally(() => {
    WebAssembly.Memory = Memory;
  });
  return { model, bytes };
}

/** y = 2x + 1, whose kernel also writes x[0] over the constant at `address`. */
function rogue(address: number) {
  const model = affine();
  const { manifest } = model;
  const builder = new ModuleBuilder({ minPages: 1, maxPages: 1 });
  const parameters = { x: 'i32', y: 'i32', weights: 'i32', n: 'i32' } as const;
  builder.function({ parameters, export: 'affine' }, (f, { x }) => {
    f.i32(address).get(x).memory('f32.load').memory('f32.store');
  });
  builder.function({ parameters, export: 'add' }, () => {});
  const wasm = builder.build();
  return { ...model, manifest, wasm: { relaxed: wasm, plain: wasm } };
}

describe('verify', () => {
  it('R17: every single bit that flips in weights or tables is found, and found to be well again', async () => {
    const { model, bytes } = await opened(pack(affine(40_000)));
    expect((await model.run({ x: X }))['y']).toEqual(Y);
    expect(model.verify()).toEqual([]);
    const { constants } = model.bytes;
    expect(constants).toBe(160_064);
    let flipped = 0;
    for (let bit = 0; bit < constants * 8; bit += 1009, flipped++) {
      const at = bit >> 3;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      const start = Math.floor(at / 65536) * 65536;
      expect(model.verify()).toEqual([{ offset: start, bytes: Math.min(65536, constants - start) }]);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
    }
    expect(flipped).toBeGreaterThan(1000);
    expect(model.verify()).toEqual([]);
    // What runs write is not looked at.
    bytes.fill(0xff, constants);
    expect(model.verify()).toEqual([]);
    model.dispose();
    expect(() => model.verify()).toThrow('disposed');
  });
  it('F9: a kernel that writes over the constants is found out, even if it did so in the self-test', async () => {
    const { model } = await opened(pack(rogue(8)));
    expect(model.verify()).toEqual([{ offset: 0, bytes: 64 }]);
    await model.run({ x: X });
    expect(model.verify()).toEqual([{ offset: 0, bytes: 64 }]);
  });
  it('F9: a kernel that writes outside of the memory stops, and the file is refused', async () => {
    const { manifest, sections } = readArtifact(pack(affine()));
    const { plain } = rogue(65536).wasm;
    const parts = sections.map((bytes, i) => {
      const head = manifest.sections[i] as never;
      return { head, bytes: manifest.sections[i]?.kind === 'wasm' ? plain : bytes };
    });
    await expect(loadModel(writeArtifact(manifest, parts))).rejects.toMatchObject({
      code: 'GRIM_RUNTIME_SELF_TEST',
      details: { failure: { trap: expect.stringContaining('out of bounds') } },
    });
  });
  it('keeps all of the model', async () => {
    using model = await loadModel(pack(affine()), { simd: 'plain' });
    expect(model).toMatchObject({ device: 'wasm', simd: 'plain', threads: 1, reasons: [] });
    model.reset();
    await model.warmup();
    expect((await model.run({ x: X }))['y']).toEqual(Y);
    await expect(loadModel(pack(affine()), { devise: 1 } as never)).rejects.toMatchObject({
      code: 'GRIM_RUNTIME_BAD_OPTION',
    });
  });
});
