import type { CompiledModel, Manifest, WeightEncoding } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { ModuleBuilder } from '../src/index.ts';
import { pack } from '../src/pack.ts';

/** y[0] = x[0] · w[0], by hand: constants are 128 weights and 6 bytes of table. */
function model(change: Partial<Manifest> = {}, weight = (i: number) => Math.fround(Math.sin(i + 1))): CompiledModel {
  const builder = new ModuleBuilder({ minPages: 1, maxPages: 1 });
  builder.function({ parameters: { x: 'i32', w: 'i32', y: 'i32' }, export: 'k0' }, (f, { x, w, y }) => {
    f.get(y).get(x).memory('f32.load').get(w).memory('f32.load').op('f32.mul').memory('f32.store');
  });
  const wasm = builder.build();
  const constants = new Uint8Array(518);
  constants.set(new Uint8Array(Float32Array.from({ length: 128 }, (_, i) => weight(i)).buffer));
  constants.set([1, 2, 3, 4, 5, 6], 512);
  return {
    manifest: {
      name: 'product',
      producer: { name: 'test', version: '1', options: {} },
      inputs: [{ name: 'x', dtype: 'float32', shape: [1], offset: 1024 }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [1], offset: 1028 }],
      states: [],
      constantBytes: 518,
      arenaBytes: 65536 - 518,
      kernels: [{ name: 'k0', parameters: 3 }],
      steps: [0, 1024, 0, 1028],
      layers: [],
      ...change,
    },
    wasm: { relaxed: wasm, plain: wasm },
    constants,
    segments: [
      { kind: 'weights', bytes: 512 },
      { kind: 'tables', bytes: 6 },
    ],
  };
}

const manifestOf = (file: Uint8Array) => {
  const bytes = new DataView(file.buffer, file.byteOffset).getUint32(8, true);
  return JSON.parse(new TextDecoder().decode(file.subarray(16, 16 + bytes)));
};

describe('pack', () => {
  it('DET1: gives the same bytes for the same model, whatever the order of keys and the place of the constants', () => {
    const a = model();
    const shifted = new Uint8Array(600);
    shifted.set(a.constants, 3);
    const { steps, kernels, name, ...rest } = a.manifest;
    const b = { ...a, constants: shifted.subarray(3, 521), manifest: { kernels, ...rest, steps, name } };
    expect(pack(b)).toEqual(pack(a));
  });

  it('puts header, manifest and sections where docs/formats.md says', () => {
    const file = pack(model());
    const view = new DataView(file.buffer);
    expect(new TextDecoder().decode(file.subarray(0, 4))).toBe('GRIM');
    expect([view.getUint16(4, true), view.getUint16(6, true)]).toEqual([1, 0]);
    const { sections, totalBytes } = manifestOf(file);
    expect(totalBytes).toBe(file.length);
    let end = 16 + view.getUint32(8, true);
    for (const { offset, bytes } of sections) {
      expect(offset).toBe(Math.ceil(end / 64) * 64);
      expect(file.subarray(end, offset).every((byte) => byte === 0)).toBe(true);
      end = offset + bytes;
    }
    expect(end).toBe(file.length);
    expect(sections.map(({ kind }: { kind: string }) => kind)).toEqual(['wasm', 'wasm', 'weights', 'tables']);
  });

  it.each<[WeightEncoding, number]>([
    ['f32', 512],
    ['f16', 256],
    ['bf16', 256],
    ['int8', 128 + 8],
  ])('stores weights as %s in %i bytes, tables as they are', (weights, bytes) => {
    const file = pack(model(), { weights });
    const [, , stored, tables] = manifestOf(file).sections;
    expect(stored).toMatchObject({ kind: 'weights', encoding: weights, elements: 128, bytes });
    expect(Array.from(file.subarray(tables.offset, tables.offset + tables.bytes))).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('expects of the self-test what the stored weights give, and other values for another seed', () => {
    const expected = (weights: WeightEncoding, seed = 1) =>
      manifestOf(
        pack(
          model({}, () => 0.3),
          { weights, seed },
        ),
      ).selfTest.expected[0].values[0];
    const x = expected('f32') / Math.fround(0.3);
    expect(expected('bf16') / x).toBeCloseTo(0.30078125, 5);
    expect(expected('f32', 2)).not.toBe(expected('f32'));
  });

  it.each<[string, number, WeightEncoding]>([
    ['65520', 65520, 'f16'],
    ['the largest float32', 3.4028234663852886e38, 'bf16'],
    ['infinity', Infinity, 'int8'],
    ['NaN', Number.NaN, 'int8'],
  ])('refuses the weight %s that the encoding cannot hold', (_, value, weights) => {
    const make = () =>
      pack(
        model({}, (i) => (i === 77 ? value : 1)),
        { weights },
      );
    expect(make).toThrow(expect.objectContaining({ code: 'GRIM_CODEGEN_WEIGHT_RANGE' }));
    expect(pack(model({}, (i) => (i === 77 ? value : 1)))).toBeInstanceOf(Uint8Array);
  });

  it('holds 65504 as f16', () =>
    expect(() =>
      pack(
        model({}, () => 65504),
        { weights: 'f16' },
      ),
    ).not.toThrow());

  it('refuses what no reader accepts: long names, broken Unicode, too many entries', () => {
    for (const change of [{ name: 'n'.repeat(1025) }, { name: '\ud800' }, { layers: new Array(20_000).fill(layer) }])
      expect(() => pack(model(change))).toThrow(expect.objectContaining({ code: 'GRIM_CODEGEN_LIMIT' }));
  });

  it('F12: splits code and file so that each names the other', () => {
    const { grim, modules } = pack(model(), { split: true });
    const { modules: infos, sections } = manifestOf(grim);
    expect(sections.map(({ kind }: { kind: string }) => kind)).toEqual(['weights', 'tables']);
    for (const { family, crc32 } of infos) {
      const module = new WebAssembly.Module(new Uint8Array(modules[family as 'plain']));
      const [mark] = WebAssembly.Module.customSections(module, 'grim');
      expect(new TextDecoder().decode(mark)).toBe(`${family} ${crc32}`);
    }
  });

  it('leaves values that are not finite out of the self-test', () => {
    expect(manifestOf(pack(model({}, () => Infinity))).selfTest.expected).toEqual([]);
  });
});

const layer = { node: 'n', op: 'Conv', m: 1, k: 1, n: 1, density: 1, kernel: 'k', macs: 1 };
