/** Operators that read at places which another input names. */
import { bytesPerElement, invariant, type NodeOf } from '@grim/ir';
import type { LowerContext, Lowerings } from '../lower.ts';
import { advanceOf, planLoops } from '../map/loops.ts';
import { reshape, sizeOf, slice } from '../map/placement.ts';
import type { Kernel, Placement } from '../program.ts';
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import { gatherElementsTwin, gatherTwin } from '../wgsl/gather.ts';
import type { Twin } from '../wgsl/shader.ts';
import { axisOf, copyRuns, runsOf } from './rearrange.ts';

/** More pieces than this are one kernel with a table. */
const MOST_PIECES = 16;

/** A piece of this many bytes and more is copied with vectors. */
const VECTOR_BYTES = 16;

/**
 * `gather(out, data, indices, outer, length, count, bytes)`: for each of `outer` blocks and each index, a piece of `bytes`.
 * An index from the end counts backwards; one outside is brought inside, so that no other memory is read.
 */
export function gatherKernel(wide: boolean): Kernel {
  return {
    name: `gather_i${wide ? 64 : 32}`,
    twin: gatherTwin(wide),
    emit: (module, _family, exported) => {
      const parameters = {
        out: 'i32',
        data: 'i32',
        indices: 'i32',
        outer: 'i32',
        length: 'i32',
        count: 'i32',
        bytes: 'i32',
      } as const;
      module.function({ export: exported, parameters }, (f, p) => {
        const left = f.local('i32');
        const at = f.local('i32');
        const index = f.local('i32');
        const from = f.local('i32');
        f.loop((nextBlock) => {
          f.get(p.count).set(left).get(p.indices).set(at);
          f.loop((nextIndex) => {
            loadIndex(f, at, index, p.length, wide);
            f.get(index).get(p.bytes).op('i32.mul').get(p.data).op('i32.add').set(from);
            copyBytes(f, p.out, from, p.bytes);
            f.get(p.out).get(p.bytes).op('i32.add').set(p.out);
            f.get(at)
              .i32(wide ? 8 : 4)
              .op('i32.add')
              .set(at);
            f.get(left).i32(1).op('i32.sub').tee(left).brIf(nextIndex);
          });
          f.get(p.length).get(p.bytes).op('i32.mul').get(p.data).op('i32.add').set(p.data);
          f.get(p.outer).i32(1).op('i32.sub').tee(p.outer).brIf(nextBlock);
        });
      });
    },
  };
}

/** Loads an index, adds `length` to a negative one and clamps it to [0, length). */
export function loadIndex(
  f: FunctionBuilder,
  at: Local<'i32'>,
  index: Local<'i32'>,
  length: Local<'i32'>,
  wide: boolean,
): void {
  if (wide) {
    const value = f.local('i64');
    f.get(at).memory('i64.load').set(value);
    // What 32 bits cannot hold is far outside on the same side.
    const bound = (limit: number, name: 'i64.lt_s' | 'i64.gt_s') => {
      f.i32(limit).op('i64.extend_i32_s').get(value);
      f.i32(limit).op('i64.extend_i32_s').get(value).op(name).op('i64.select').set(value);
    };
    bound(2 ** 31 - 1, 'i64.lt_s');
    bound(-(2 ** 31), 'i64.gt_s');
    f.get(value).op('i32.wrap_i64').set(index);
  } else f.get(at).memory('i32.load').set(index);
  f.get(index).get(length).op('i32.add').get(index).get(index).i32(0).op('i32.lt_s').op('i32.select').set(index);
  f.i32(0).get(index).get(index).i32(0).op('i32.lt_s').op('i32.select').set(index);
  f.get(length).i32(1).op('i32.sub').get(index).get(index).get(length).op('i32.ge_s').op('i32.select').set(index);
}

export function copyBytes(f: FunctionBuilder, to: Local<'i32'>, from: Local<'i32'>, bytes: Local<'i32'>): void {
  const left = f.local('i32');
  const [target, source] = [f.local('i32'), f.local('i32')];
  f.get(to).set(target).get(from).set(source).get(bytes).set(left);
  const loop = (size: number, move: () => void) =>
    f.block((done) => {
      f.loop((again) => {
        f.get(left).i32(size).op('i32.lt_u').brIf(done);
        f.get(target).get(source);
        move();
        for (const pointer of [target, source]) f.get(pointer).i32(size).op('i32.add').set(pointer);
        f.get(left).i32(size).op('i32.sub').set(left).br(again);
      });
    });
  loop(VECTOR_BYTES, () => f.memory('v128.load').memory('v128.store'));
  loop(4, () => f.memory('i32.load').memory('i32.store'));
  loop(1, () => f.memory('i32.load8_u').memory('i32.store8'));
}

function gather(node: NodeOf<'Gather'>, c: LowerContext): void {
  const [input = '', indices = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { shape, dtype } = c.type(input);
  const axis = axisOf(node.attributes.axis, shape.length);
  const length = shape[axis] ?? 0;
  const type = c.type(output);
  const known = c.constant(indices);
  if (sizeOf(type.shape) === 0) {
    c.write(output);
    return;
  }
  if (known) {
    const places = Array.from(known.data as BigInt64Array, (index) => axisOf(Number(index), length));
    const runs = runsOf(places);
    const flat = shape.with(axis, places.length);
    const [only] = runs;
    if (runs.length === 1 && only) {
      const zeros = shape.map(() => 0);
      const part = slice(c.read(input), zeros.with(axis, only.first), flat, shape.map(() => 1).with(axis, only.step));
      const view = reshape(part, type.shape);
      if (view) {
        c.view(output, view);
        return;
      }
    }
    const target = reshape(c.writeContiguous(output), flat);
    if (target && runs.length <= MOST_PIECES) {
      copyRuns(
        c,
        c.read(input),
        target,
        shape.map((dim, i) => (i === axis ? runs : [{ first: 0, step: 1, count: dim }])),
      );
      return;
    }
  }
  const [data, at] = [c.contiguous(input), c.contiguous(indices)];
  const bytes = sizeOf(shape.slice(axis + 1)) * bytesPerElement(dtype);
  const outer = sizeOf(shape.slice(0, axis));
  const to = c.writeContiguous(output);
  c.call(gatherKernel(at.dtype === 'int64'), to, data, at, outer, length, sizeOf(at.shape), bytes);
}

/** `gather_elements(out, indices, data, length, step, …)`: one element for each index, the other axes at its own position. */
function elementsKernel(wide: boolean, bytes: number, levels: number, twin: Twin): Kernel {
  return {
    name: `b${8 * bytes}_gather_elements_i${wide ? 64 : 32}__${levels}d`,
    twin,
    emit: (module, _family, exported) => {
      const names = ['out', 'indices', 'data', 'length', 'step'];
      for (let level = 0; level < levels; level++) names.push(`n${level}`, `a${level}`, `b${level}`, `c${level}`);
      const parameters = Object.fromEntries(names.map((name) => [name, 'i32' as const]));
      module.function({ export: exported, parameters }, (f, all) => {
        const local = (name: string): Local<'i32'> => {
          const found = all[name];
          invariant(found, `parameter ${name}`);
          return found;
        };
        const index = f.local('i32');
        const nest = (level: number): void => {
          if (level === levels) {
            loadIndex(f, local('indices'), index, local('length'), wide);
            f.get(local('out')).get(index).get(local('step')).op('i32.mul').get(local('data')).op('i32.add');
            if (bytes === 1) f.memory('i32.load8_u').memory('i32.store8');
            else if (bytes === 2) f.memory('i32.load16_u').memory('i32.store16');
            else if (bytes === 4) f.memory('i32.load').memory('i32.store');
            else f.memory('i64.load').memory('i64.store');
            return;
          }
          const left = f.local('i32');
          f.get(local(`n${level}`)).set(left);
          f.loop((again) => {
            nest(level + 1);
            for (const [pointer, by] of [
              ['out', 'a'],
              ['indices', 'b'],
              ['data', 'c'],
            ] as const)
              f.get(local(pointer))
                .get(local(`${by}${level}`))
                .op('i32.add')
                .set(local(pointer));
            f.get(left).i32(1).op('i32.sub').tee(left).brIf(again);
          });
        };
        nest(0);
      });
    },
  };
}

function gatherElements(node: NodeOf<'GatherElements'>, c: LowerContext): void {
  const [input = '', indices = ''] = node.inputs;
  const [data, at] = [c.read(input), c.read(indices)];
  const to = c.write(node.outputs[0] ?? '');
  if (sizeOf(to.shape) === 0) return;
  const axis = axisOf(node.attributes.axis, data.shape.length);
  const bytes = bytesPerElement(data.dtype);
  const inBytes = ({ strides }: Placement, size: number) => strides.map((stride) => stride * size);
  const wide = at.dtype === 'int64';
  const loops = planLoops(to.shape, [
    { bytes, strides: inBytes(to, bytes) },
    { bytes: wide ? 8 : 4, strides: inBytes(at, wide ? 8 : 4) },
    { bytes, strides: inBytes(data, bytes).with(axis, 0) },
  ]);
  const nest = loops.lengths.flatMap((length, level) => [
    length,
    ...loops.operands.map((walked) => advanceOf(loops, walked, level)),
  ]);
  const walk = { lengths: loops.lengths, strides: loops.operands.map(({ strides }) => strides), bytes, wide };
  const kernel = elementsKernel(wide, bytes, loops.lengths.length, gatherElementsTwin(walk));
  c.call(kernel, to, at, data, data.shape[axis] ?? 1, (data.strides[axis] ?? 0) * bytes, ...nest);
}

export const gatherLowerings: Lowerings = {
  Gather: { lower: gather },
  GatherElements: { lower: gatherElements },
};
