/** Numbers on their way into a module or a manifest: as they were, or refused. */
import type { CompiledModel } from '@grim/ir';
import { graph } from '@grim/ir';
import { expect, it } from 'vitest';
import { compile, ModuleBuilder, pack } from '../src/index.ts';
import { random } from './check.ts';

/** What stands in the manifest of the packed file. */
function manifestOf(file: Uint8Array): { producer: { options: Record<string, number> } } {
  const bytes = new DataView(file.buffer, file.byteOffset).getUint32(8, true);
  return JSON.parse(new TextDecoder().decode(file.subarray(16, 16 + bytes)));
}

const relu = (): CompiledModel =>
  compile(graph('relu', (b) => b.output('y', b.add('Relu', [b.input('x', 'float32', [3])]))));

const withOptions = (options: Record<string, number>): CompiledModel => {
  const model = relu();
  return { ...model, manifest: { ...model.manifest, producer: { ...model.manifest.producer, options } } };
};

it('C14: 40,000 random doubles in a manifest are read as they were written', () => {
  const next = random(14);
  const bits = new DataView(new ArrayBuffer(8));
  const options: Record<string, number> = {};
  for (let i = 0; i < 40_000; i++) {
    bits.setUint32(0, next() * 2 ** 32);
    bits.setUint32(4, next() * 2 ** 32);
    const value = bits.getFloat64(0);
    if (Number.isFinite(value)) options[`o${i}`] = value;
  }
  for (const value of [5e-324, 2 ** -1022, Number.MAX_VALUE, 2 ** 53 + 2, 0.1]) options[`edge ${value}`] = value;
  expect(Object.keys(options).length).toBeGreaterThan(39_000);
  expect(manifestOf(pack(withOptions(options))).producer.options).toEqual(options);
});

it('C14: NaN and infinities, which JSON makes null, are refused', () => {
  for (const value of [Number.NaN, Infinity, -Infinity])
    expect(() => pack(withOptions({ value }))).toThrow(/value of the manifest is|manifest/);
});

it('C14: 20,000 random float32 patterns as constants of a module are returned bit by bit', () => {
  const next = random(15);
  const patterns = Uint32Array.from({ length: 20_000 }, () => next() * 2 ** 32);
  patterns.set([0, 0x8000_0000, 1, 0x7f80_0000, 0xff80_0000, 0x7f7f_ffff]);
  const values = new Float32Array(patterns.buffer);
  const builder = new ModuleBuilder({ minPages: 2, maxPages: 2 });
  builder.function({ parameters: { to: 'i32' }, export: 'write' }, (f, { to }) => {
    for (const [i, value] of values.entries())
      f.get(to)
        .f32(value)
        .memory('f32.store', 4 * i);
  });
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(builder.build()), { env: { memory } });
  (exports['write'] as (to: number) => void)(0);
  const found = new Uint32Array(memory.buffer, 0, patterns.length);
  // A NaN of this language has no payload to keep.
  const wrong = found.findIndex((word, i) => word !== patterns[i] && !Number.isNaN(values[i]));
  expect(wrong).toBe(-1);
  expect(found.filter((_, i) => Number.isNaN(values[i])).every((word) => (word & 0x7f80_0000) === 0x7f80_0000)).toBe(
    true,
  );
});
