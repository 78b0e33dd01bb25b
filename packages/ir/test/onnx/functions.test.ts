/** Model-local functions: expanded, refused when recursive, bounded. */
import { describe, expect, it } from 'vitest';
import { fromOnnx } from '../../src/onnx/index.ts';
import type { FunctionProto, NodeProto } from '../../src/onnx/model.ts';
import { evaluate } from '../../src/reference/index.ts';
import { verify } from '../../src/verify.ts';
import { reals, refusal, t } from '../run.ts';
import { body, float, functionProto, graphProto, modelFile, node, reference, value } from './model-file.ts';

const opsetImport = [
  { domain: '', version: 21 },
  { domain: 'local', version: 1 },
];
const local = (op: string, inputs: string[], outputs: string[], attributes: Parameters<typeof node>[3] = {}) =>
  node(op, inputs, outputs, attributes, { domain: 'local' });

function file(functions: readonly FunctionProto[], nodes: readonly NodeProto[], outputs: readonly string[] = ['y']) {
  return modelFile({ nodes, inputs: [value('x', [2])], outputs, functions, model: { opsetImport } });
}

function run(functions: readonly FunctionProto[], nodes: readonly NodeProto[]): number[] {
  return reals(evaluate(fromOnnx(file(functions, nodes)), { x: t('float32', [2], [-1, 4]) })['y']);
}

describe('model-local functions', () => {
  it('a call becomes the nodes of the body; its inner names do not meet those of the model or of another call', () => {
    const fn = functionProto('F', { nodes: [node('Neg', ['a'], ['x']), node('Add', ['x', 'x'], ['b'])] });
    expect(run([fn], [local('F', ['x'], ['m']), local('F', ['m'], ['y'])])).toEqual([-4, 16]);
  });

  it('attributes are given by the call, by the default of the function, or not at all', () => {
    const nodes = [node('LeakyRelu', ['a'], ['b'], { alpha: reference('slope', 1) })];
    const call = (given: Parameters<typeof node>[3]) => [local('F', ['x'], ['y'], given)];
    const withDefault = functionProto('F', { nodes, attributeProtos: [{ name: 'slope', kind: 'float', value: 0.5 }] });
    const without = functionProto('F', { nodes, attributes: ['slope'] });
    expect(run([withDefault], call({ slope: float(0.25) }))).toEqual([-0.25, 4]);
    expect(run([withDefault], call({}))).toEqual([-0.5, 4]);
    expect(run([without], call({}))[0]).toBeCloseTo(-0.01, 6);
  });

  it('functions call functions, in any order of definition; overloads are told apart', () => {
    const outer = functionProto('Outer', { nodes: [local('Inner', ['a'], ['m']), node('Neg', ['m'], ['b'])] });
    const inner = functionProto('Inner', { nodes: [node('Relu', ['a'], ['b'])] });
    const other = functionProto('Inner', { overload: 'abs', nodes: [node('Abs', ['a'], ['b'])] });
    expect(run([outer, inner, other], [local('Outer', ['x'], ['y'])])).toEqual([-0, -4]);
    const overloaded = node('Inner', ['x'], ['y'], {}, { domain: 'local', overload: 'abs' });
    expect(run([outer, inner, other], [overloaded])).toEqual([1, 4]);
  });

  it('a body of a function may hold bodies that see its values, and has its own opset', () => {
    const branch = (op: string, name: string) =>
      body(graphProto({ nodes: [node(op, ['twice'], [name])], outputs: [name] }));
    const fn = functionProto('F', {
      opsetImport: [{ domain: '', version: 11 }],
      nodes: [
        node('Add', ['a', 'a'], ['twice']),
        // Axes are an attribute in opset 11.
        node('ReduceSum', ['a'], ['sum'], { axes: [0], keepdims: 0 }),
        node('Less', ['sum', 'sum'], ['cond']),
        node('If', ['cond'], ['b'], { then_branch: branch('Neg', 'p'), else_branch: branch('Abs', 'q') }),
      ],
    });
    expect(run([fn], [local('F', ['x'], ['m']), local('F', ['m'], ['y'])])).toEqual([4, 16]);
  });

  it('an output that is an input, one that nobody wants, and an input left out are right', () => {
    const fn = functionProto('F', {
      inputs: ['a', 'low'],
      outputs: ['a', 'b', 'c'],
      nodes: [node('Neg', ['a'], ['b']), node('Clip', ['a', 'low'], ['c'])],
    });
    expect(run([fn], [local('F', ['x'], ['p', '', 'q']), node('Add', ['p', 'q'], ['y'])])).toEqual([-2, 8]);
  });

  it('G5: a function that calls itself, directly, over others, or from a body, is refused', () => {
    const call = (name: string, op: string) => functionProto(name, { nodes: [local(op, ['a'], ['b'])] });
    const inner = graphProto({ nodes: [local('F', ['a'], ['i'])], outputs: ['i'] });
    const hidden = functionProto('F', {
      inputs: ['a', 'cond'],
      nodes: [node('If', ['cond'], ['b'], { then_branch: body(inner), else_branch: body(inner) })],
    });
    const use = [local('F', ['x'], ['y'])];
    const rings = [[call('F', 'F')], [call('F', 'G'), call('G', 'H'), call('H', 'F')], [hidden]];
    for (const ring of rings) {
      const { code, message } = refusal(() => fromOnnx(file(ring, use)));
      expect(code).toBe('GRIM_ONNX_BAD_FUNCTION');
      expect(message).toContain('calls itself');
    }
    expect(
      run([call('F', 'G'), call('G', 'H'), functionProto('H', { nodes: [node('Abs', ['a'], ['b'])] })], use),
    ).toEqual([1, 4]);
  });

  it('G5: forty functions that each call the next one twice are refused, also when nothing comes of it', () => {
    const chain = (last: readonly NodeProto[]) =>
      Array.from({ length: 40 }, (_, i) => {
        const calls = [local(`F${i + 1}`, ['a'], ['m']), local(`F${i + 1}`, ['m'], ['b'])];
        return functionProto(
          `F${i}`,
          i === 39 ? { nodes: last, outputs: last.length ? ['b'] : ['a'] } : { nodes: calls },
        );
      });
    for (const last of [[node('Neg', ['a'], ['b'])], []]) {
      const { code, message } = refusal(() => fromOnnx(file(chain(last), [local('F0', ['x'], ['y'])])));
      expect(code).toBe('GRIM_ONNX_LIMIT');
      expect(message).toContain('functionNodes');
    }
  });

  it('G5: expansion stops one node past the limit, which counts nodes and calls', () => {
    const fn = functionProto('F', { nodes: [node('Neg', ['a'], ['m']), node('Abs', ['m'], ['b'])] });
    const bytes = file([fn], [local('F', ['x'], ['y'])]);
    expect(fromOnnx(bytes, { limits: { functionNodes: 3 } }).nodes).toHaveLength(2);
    expect(refusal(() => fromOnnx(bytes, { limits: { functionNodes: 2 } })).code).toBe('GRIM_ONNX_LIMIT');
  });

  it('G5: nodes in the bodies that a call copies count, and so do names', () => {
    const many = Array.from({ length: 100 }, (_, i) => node('Neg', ['a'], [`n${i}`]));
    const bodies = functionProto('F', {
      nodes: [
        node('If', ['a'], ['b'], {
          then_branch: body(graphProto({ nodes: many, outputs: ['n0'] })),
          else_branch: body(graphProto({ nodes: [], outputs: ['a'] })),
        }),
      ],
    });
    const wide = functionProto('F', { nodes: [node('Sum', new Array(100).fill('a'), ['b'])] });
    const read = (fn: FunctionProto, limits: object) =>
      refusal(() => fromOnnx(file([fn], [local('F', ['x'], ['y'])]), { limits }));
    expect(read(bodies, { functionNodes: 101 }).message).toContain('limit functionNodes');
    // The call, the node, and 100 in its body.
    expect(read(bodies, { functionNodes: 102 }).message).not.toContain('limit');
    const calls = Array.from({ length: 10_000 }, (_, i) => local('F', ['x'], [i ? `y${i}` : 'y']));
    const { code, message } = refusal(() => fromOnnx(file([wide], calls)));
    expect(code).toBe('GRIM_ONNX_LIMIT');
    expect(message).toContain('limit entries');
  });

  it('G5: names of nested calls do not grow with every level', () => {
    const chain = Array.from({ length: 200 }, (_, i) =>
      functionProto(`F${i}`, {
        nodes: [i === 199 ? node('Abs', ['a'], ['m']) : local(`F${i + 1}`, ['a'], ['m']), node('Neg', ['m'], ['b'])],
      }),
    );
    const graph = fromOnnx(file(chain, [local('F0', ['x'], ['y'])]));
    const names = graph.nodes.flatMap(({ name, outputs }) => [name, ...outputs]);
    expect(graph.nodes).toHaveLength(201);
    expect(Math.max(...names.map((name) => name.length))).toBeLessThan(600);
    expect(verify(graph)).toEqual([]);
  });

  it('a chain of 20 000 functions needs no call stack', () => {
    const chain = Array.from({ length: 20_000 }, (_, i) =>
      functionProto(`F${i}`, {
        nodes: i === 19_999 ? [node('Abs', ['a'], ['b'])] : [local(`F${i + 1}`, ['a'], ['b'])],
      }),
    );
    expect(run(chain, [local('F0', ['x'], ['y'])])).toEqual([1, 4]);
  });

  it('two functions of one name, and a call with too many inputs, are refused', () => {
    const fn = functionProto('F', { nodes: [node('Neg', ['a'], ['b'])] });
    expect(refusal(() => fromOnnx(file([fn, fn], [local('F', ['x'], ['y'])]))).code).toBe('GRIM_ONNX_BAD_FUNCTION');
    expect(refusal(() => fromOnnx(file([fn], [local('F', ['x', 'x'], ['y'])]))).code).toBe('GRIM_ONNX_BAD_FUNCTION');
  });
});
