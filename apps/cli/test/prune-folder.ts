/** A small network in a folder, with inputs to prune it on: what the tests of `grim prune` and its relatives start from. */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeNpy } from '@grim/files';
import { graph, type Tensor } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { type Ended, grim, temporaryFolder } from './grim.ts';

const SHAPE: readonly number[] = [1, 12, 12];

function randoms(count: number, seed: number, change: (value: number, i: number) => number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return change(state / 2 ** 32, i);
  });
}

/** Seeded, of the shape that the network takes. */
export function examples(count: number, change: (value: number, i: number) => number = (value) => value): Uint8Array {
  return writeNpy({ dtype: 'float32', shape: [count, ...SHAPE], data: randoms(count * 144, 7, change) } as Tensor);
}

/** Five layers, of which the three in the middle are pruned. */
export function network(): Uint8Array {
  let seed = 1;
  const weight = (...shape: number[]) => {
    const count = shape.reduce((all, length) => all * length, 1);
    const spread = Math.sqrt(3 / (count / (shape[0] ?? 1)));
    return { dtype: 'float32' as const, shape, data: randoms(count, seed++, (v) => (2 * v - 1) * spread) };
  };
  const net = graph('net', (b) => {
    let x = b.input('x', 'float32', ['N', ...SHAPE]);
    const conv = (name: string, outs: number, ins: number, strides: number[]) => {
      x = b.add('Conv', [x, b.weight(`${name}.w`, weight(outs, ins, 3, 3))], { pads: [1, 1, 1, 1], strides }, { name });
      x = b.add('Relu', [x], {}, { name: `${name}.relu` });
    };
    conv('conv1', 8, 1, [1, 1]);
    conv('conv2', 16, 8, [2, 2]);
    conv('conv3', 16, 16, [2, 2]);
    x = b.add('Flatten', [x], {}, { name: 'flatten' });
    x = b.add('MatMul', [x, b.weight('fc1.w', weight(144, 32))], {}, { name: 'fc1' });
    x = b.add('Relu', [x], {}, { name: 'fc1.relu' });
    b.output('y', b.add('MatMul', [x, b.weight('fc2.w', weight(32, 10))], {}, { name: 'fc2' }));
  });
  return toOnnx(net);
}

/** A folder with a network and calibration inputs. */
export function folderWith(content: Uint8Array = examples(48)): {
  readonly folder: string;
  readonly data: string;
  readonly model: string;
} {
  const folder = temporaryFolder();
  const [data, model] = [join(folder, 'inputs.npy'), join(folder, 'net.onnx')];
  writeFileSync(data, content);
  writeFileSync(model, network());
  return { folder, data, model };
}

export const prune = (data: string, output: string, ...more: string[]): Promise<Ended> =>
  grim(['prune', join(dirname(output), 'net.onnx'), '--data', data, '--density', '0.5', '-o', output, ...more]);

export const outputOf = (
  files: readonly { readonly path: string; readonly content: string | Uint8Array }[],
  end: string,
): Uint8Array => {
  const found = files.find(({ path }) => path.endsWith(end))?.content;
  return typeof found === 'string' ? new TextEncoder().encode(found) : (found ?? new Uint8Array());
};
