/** `grim verify --bisect`: files that are well, a layer that storage spoils, and a file of another network. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Graph, graph } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { grim, TINY, temporaryFolder } from './grim.ts';

/** Two branches that meet; one weight of `spoilt` is so large that eight bits leave nothing of its neighbours. */
function network(spoilt: string, scale = 1): Graph {
  return graph('net', (b) => {
    const x = b.input('x', 'float32', [4, 32]);
    const layer = (name: string, from: string) => {
      const data = Float32Array.from({ length: 1024 }, (_, i) => scale * Math.sin(1 + i * i));
      // Its row of the input is 0 after the layer before, so the sums are those of the neighbours.
      if (name === spoilt) data.fill(1e6, 0, 32);
      return b.add('MatMul', [from, b.weight(`${name}.w`, { dtype: 'float32', shape: [32, 32], data })], {}, { name });
    };
    const mask = Float32Array.from({ length: 32 }, (_, i) => (i === 0 ? 0 : 1));
    const masked = (from: string, name: string) =>
      b.add('Mul', [from, b.weight(`${name}.w`, { dtype: 'float32', shape: [32], data: mask })], {}, { name });
    const left = layer('left2', masked(layer('left1', x), 'left.mask'));
    const right = layer('right2', masked(layer('right1', x), 'right.mask'));
    b.output('y', b.add('Add', [left, right], {}, { name: 'sum' }));
  });
}

async function bisected(net: Graph, other = net, ...how: readonly string[]) {
  const folder = temporaryFolder();
  const [model, made, file] = ['net.onnx', 'made.onnx', 'net.grim'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(model, toOnnx(net));
  writeFileSync(made, toOnnx(other));
  const { files } = await grim(['compile', made, ...how, '-o', file]);
  writeFileSync(file, files[0]?.content ?? '');
  const { code, out } = await grim(['verify', model, '--bisect', file, '--json']);
  const text = (await grim(['verify', model, '--bisect', file])).out;
  return { code, report: JSON.parse(out), text };
}

describe('grim verify --bisect', () => {
  it.for(['left2', 'right2'])(
    'names %s, which storage in eight bits spoils, and not what follows from it',
    async (name) => {
      const { code, report, text } = await bisected(network(name), undefined, '--weights', 'int8');
      expect(report.first).toMatchObject({ node: name, op: 'MatMul' });
      expect([code, report.passed, report.error > report.tolerance]).toEqual([1, false, true]);
      expect(text.replaceAll(/\s+/g, ' ')).toContain(`The first layer that is off: "${name}" (MatMul)`);
    },
  );

  it('finds nothing in files that are well, in any storage', async () => {
    for (const weights of ['f32', 'f16', 'int8'])
      expect(await bisected(network(''), undefined, '--weights', weights)).toMatchObject({
        code: 0,
        report: { schema: 'grim.verify-bisect/1', passed: true, weights, compiled: 0 },
      });
  });

  it('says of a file of another network that no layer is at fault', async () => {
    const { code, report, text } = await bisected(network(''), network('', 0.5));
    expect([code, report.passed, report.first]).toEqual([1, false, undefined]);
    expect(text).toContain('made of other weights');
  });

  it('says what is wrong with the command line', async () => {
    expect(await grim(['verify', TINY, '--bisect', 'none.grim', '--dim', 'N=1'])).toMatchObject({ code: 1 });
    expect(await grim(['verify', TINY, '--bisect', 'x.grim', '--filter', 'x'])).toMatchObject({ code: 2 });
  });
});
