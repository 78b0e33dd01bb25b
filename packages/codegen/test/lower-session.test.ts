import { type Graph, graph, type Node, type Tensor } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { link } from '../src/compile.ts';
import { elementwiseLowerings } from '../src/lower/elementwise.ts';
import { lowerGraph } from '../src/lower/session.ts';
import type { LowerContext, Lowerings } from '../src/lower.ts';
import { binary, load } from '../src/map/expression.ts';
import { view } from '../src/map/placement.ts';
import { callsOf, type Placement } from '../src/program.ts';
import { randomInputs } from './check.ts';
import { execute } from './execute.ts';

const PADDING = { before: [1, 2], after: [2, 1] };

/** What surrounds each element, 1 up and 2 to the left plus 2 down and 1 to the right, zeros outside. */
function around(of: Placement): readonly Placement[] {
  const [, , row = 0] = of.strides;
  const moved = (y: number, x: number) =>
    view(of, { shape: of.shape, strides: of.strides, offset: of.offset + 4 * (y * row + x) });
  return [moved(-1, -2), moved(2, 1)];
}

/** A stand-in for a convolution: `Sin` adds two neighbours, and absorbs what follows it. */
const table: Lowerings = {
  ...elementwiseLowerings,
  Sin: {
    wants: (node) => [{ value: node.inputs[0] ?? '', padding: PADDING }],
    lower: (node: Node, c: LowerContext) => {
      const [a, b] = around(c.padded(node.inputs[0] ?? '', PADDING)) as [Placement, Placement];
      const { activation, residual, output } = c.epilogue(node.outputs[0] ?? '');
      let sum = binary('add', load(a), load(b));
      if (residual !== undefined) sum = binary('add', sum, load(c.read(residual)));
      c.note(`activation ${JSON.stringify(activation)}`);
      const to = c.write(output);
      c.store(sum, to);
      if (activation !== 'none') c.store(binary('max', load(to), load(c.read('zero'))), to);
    },
  },
};

function wantedOf(x: Tensor): Float64Array {
  const [n = 0, channels = 0, h = 0, w = 0] = x.shape;
  const at = (plane: number, y: number, c: number) =>
    y >= 0 && y < h && c >= 0 && c < w ? Number(x.data[(plane * h + y) * w + c]) : 0;
  return Float64Array.from({ length: n * channels * h * w }, (_, e) => {
    const [plane, y, c] = [Math.floor(e / (h * w)), Math.floor(e / w) % h, e % w];
    return Math.fround(at(plane, y - 1, c - 2) + at(plane, y + 2, c + 1));
  });
}

function run(g: Graph, inputs: Record<string, Tensor>) {
  const program = lowerGraph(g, table);
  const model = link(program, g.name);
  return { program, outputs: execute(model, inputs, { poison: 0xff }) };
}

const zero = { dtype: 'float32', shape: [1], data: Float32Array.of(0) } as const;

describe('zeros around a value', () => {
  it('a producer writes where its consumer wants zeros, without a copy', () => {
    const g = graph('wanted', (b) => {
      const x = b.input('x', 'float32', [2, 3, 4, 5]);
      b.output('y', b.add('Sin', [b.add('Neg', [x])]));
    });
    const inputs = randomInputs(g, 1, false);
    const { program, outputs } = run(g, inputs);
    const negated = { ...inputs['x'], data: Float32Array.from(inputs['x']?.data as Float32Array, (v) => -v) } as Tensor;
    expect(Array.from(outputs['y']?.data as Float32Array)).toEqual(Array.from(wantedOf(negated)));
    expect(callsOf(program.steps).filter(({ kernel }) => kernel.name.includes('_copy__4d'))).toHaveLength(0);
    expect(callsOf(program.steps).filter(({ kernel }) => kernel.name.includes('neg'))).toHaveLength(1);
  });
  it('an input and an output lie without gaps: a copy gets the zeros', () => {
    const g = graph('copied', (b) => {
      const x = b.input('x', 'float32', [1, 2, 3, 3]);
      const y = b.add('Sin', [x]);
      b.output('y', y);
      b.output('z', b.add('Sin', [y]));
    });
    const inputs = randomInputs(g, 2, false);
    const { outputs } = run(g, inputs);
    expect(Array.from(outputs['y']?.data as Float32Array)).toEqual(Array.from(wantedOf(inputs['x'] as Tensor)));
    expect(Array.from(outputs['z']?.data as Float32Array)).toEqual(Array.from(wantedOf(outputs['y'] as Tensor)));
  });
});

describe('epilogues', () => {
  const inputsOf = (g: Graph) => randomInputs(g, 3, false);
  const build = (after: (b: Parameters<Parameters<typeof graph>[1]>[0], y: string, r: string) => string) =>
    graph('epilogue', (b) => {
      const x = b.input('x', 'float32', [1, 2, 3, 3]);
      const r = b.input('r', 'float32', [1, 2, 3, 3]);
      b.weight('zero', zero);
      b.output('y', after(b, b.add('Sin', [x]), r));
    });
  it('a residual and a Relu that only this node feeds are absorbed', () => {
    const g = build((b, y, r) => b.add('Relu', [b.add('Add', [r, y])]));
    const inputs = inputsOf(g);
    const { program, outputs } = run(g, inputs);
    const sums = wantedOf(inputs['x'] as Tensor);
    const wanted = Array.from(sums, (sum, i) => Math.max(Math.fround(sum + Number(inputs['r']?.data[i])), 0));
    expect(Array.from(outputs['y']?.data as Float32Array)).toEqual(wanted);
    expect([...program.notes.values()].flat()).toEqual(['activation "relu"']);
    expect(callsOf(program.steps).at(-1)?.nodes).toHaveLength(3);
  });
  it('what another node or an output needs as well is not absorbed', () => {
    const g = graph('shared', (b) => {
      const x = b.input('x', 'float32', [1, 2, 3, 3]);
      const y = b.add('Sin', [x]);
      b.output('y', b.add('Relu', [y]));
      b.output('z', y);
    });
    expect([...run(g, inputsOf(g)).program.notes.values()].flat()).toEqual(['activation "none"']);
  });
  it('a residual of another shape is no residual', () => {
    const g = graph('broadcast', (b) => {
      const x = b.input('x', 'float32', [1, 2, 3, 3]);
      const r = b.input('r', 'float32', [3]);
      b.output('y', b.add('Add', [b.add('Sin', [x]), r]));
    });
    const { program } = run(g, inputsOf(g));
    expect(callsOf(program.steps).at(-1)?.nodes).toHaveLength(1);
  });
});
