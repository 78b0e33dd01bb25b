/** Binding of lengths and inputs. */
import { describe, expect, it } from 'vitest';
import { type Binding, bind, requireStatic } from '../../src/bind.ts';
import { graph } from '../../src/graph.ts';
import { fromOnnx } from '../../src/onnx/index.ts';
import { evaluate } from '../../src/reference/index.ts';
import type { DType } from '../../src/types.ts';
import { reals, refusal, t } from '../run.ts';
import { modelFile, node, value } from './model-file.ts';

const open = graph('open', (b) => {
  const x = b.input('x', 'float32', ['batch', 3]);
  const y = b.input('y', 'float32', ['batch', 'width']);
  b.input('rate', 'float32', []);
  const scaled = b.add('Mul', [b.add('Concat', [x, y], { axis: 1 }), 'rate']);
  b.output('out', scaled);
});

const wrong = (binding: Binding) => refusal(() => bind(open, binding));

describe('binding', () => {
  it('a named length is replaced everywhere it stands', () => {
    const bound = bind(open, { dims: { batch: 2, width: 4 } });
    expect(bound.inputs.get('x')?.shape).toEqual([2, 3]);
    expect(bound.inputs.get('y')?.shape).toEqual([2, 4]);
  });

  it('the shape of one input binds the names it shares with others', () => {
    expect(bind(open, { shapes: { x: [5, 3] } }).inputs.get('y')?.shape).toEqual([5, 'width']);
  });

  it('an input bound to a constant is a weight, and an input no more', () => {
    const bound = bind(open, { dims: { batch: 1, width: 1 }, constants: { rate: 2 } });
    expect([...bound.inputs.keys()]).toEqual(['x', 'y']);
    const given = { x: t('float32', [1, 3], [1, 2, 3]), y: t('float32', [1, 1], [4]) };
    expect(reals(evaluate(bound, given)['out'])).toEqual([2, 4, 6, 8]);
  });

  it('G15: two values for one name are refused, naming both sources', () => {
    const { code, message } = wrong({ shapes: { x: [3, 3], y: [4, 1] } });
    expect(code).toBe('GRIM_IR_BAD_BINDING');
    expect(message).toMatch(/"batch" is 4 by shapes\.y and 3 by shapes\.x/);
    expect(wrong({ dims: { batch: 1 }, shapes: { x: [2, 3] } }).message).toMatch(/shapes\.x.*dims\.batch/);
  });

  it('G16: an unknown name is refused with the nearest one and what is open', () => {
    const { code, message } = wrong({ dims: { bach: 1 } });
    expect(code).toBe('GRIM_IR_BAD_BINDING');
    expect(message).toMatch(/Did you mean "batch"\?.*"width"/);
    expect(wrong({ shapes: { z: [1] } }).message).toContain('Inputs: "x": float32 [batch, 3]');
    expect(wrong({ constants: { rat: 1 } }).message).toContain('Did you mean "rate"?');
    expect(wrong({ dims: { ['__proto__']: 1, constructor: 1 } }).code).toBe('GRIM_IR_BAD_BINDING');
  });

  it('G16: lengths that are no lengths, ranks and values that do not fit are refused', () => {
    for (const length of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      expect(wrong({ dims: { batch: length } }).code).toBe('GRIM_IR_BAD_BINDING');
      expect(wrong({ shapes: { y: [1, length] } }).code).toBe('GRIM_IR_BAD_BINDING');
    }
    expect(wrong({ shapes: { x: [1] } }).code).toBe('GRIM_IR_BAD_BINDING');
    expect(wrong({ shapes: { x: [1, 4] } }).code).toBe('GRIM_IR_BAD_BINDING');
    expect(wrong({ constants: { rate: t('float64', [], [1]) } }).code).toBe('GRIM_IR_BAD_BINDING');
    expect(wrong({ constants: { rate: t('float32', [1], [1]) } }).code).toBe('GRIM_IR_BAD_BINDING');
    expect(wrong({ dims: { batch: 2 ** 30, width: 2 ** 30 } }).code).toBe('GRIM_IR_SHAPE_OVERFLOW');
  });

  it('G16: a constant that its input cannot hold is refused, never rounded or wrapped', () => {
    const file = (dtype: DType) =>
      modelFile({ nodes: [node('Identity', ['x'], ['y'])], inputs: [value('x', [], dtype)], outputs: ['y'] });
    const given = (dtype: DType, x: unknown) =>
      refusal(() => fromOnnx(file(dtype), { constants: { x: x as number } })).code;
    for (const x of [1.5, Number.NaN, Infinity, '1.5', null, {}, { shape: [] }, [1]])
      expect(given('int64', x), String(x)).toBe('GRIM_IR_BAD_BINDING');
    expect(given('uint8', -1)).toBe('GRIM_IR_BAD_BINDING');
    expect(given('uint8', 256)).toBe('GRIM_IR_BAD_BINDING');
    expect(given('bool', 2)).toBe('GRIM_IR_BAD_BINDING');
    const held = fromOnnx(file('uint8'), { constants: { x: 255 } });
    expect(held.weights.get('x')?.data).toEqual(Uint8Array.of(255));
  });

  it('G16: where all lengths must be known, those that are not are listed', () => {
    const { code, message } = refusal(() => requireStatic(bind(open, { dims: { width: 2 } })));
    expect(code).toBe('GRIM_IR_UNBOUND_DIM');
    expect(message).toContain('"batch"');
    requireStatic(bind(open, { dims: { batch: 1, width: 2 } }));
  });

  it('the importer binds the same way, lengths without a name by the shape of their input', () => {
    const file = modelFile({
      nodes: [node('Relu', ['x'], ['y'])],
      inputs: [value('x', [undefined, 'n'])],
      outputs: ['y'],
    });
    const graph = fromOnnx(file, { dims: { n: 2 }, shapes: { x: [7, 2] } });
    expect(graph.inputs.get('x')?.shape).toEqual([7, 2]);
    expect(refusal(() => fromOnnx(file, { dims: { m: 2 } })).code).toBe('GRIM_IR_BAD_BINDING');
  });
});
