/**
 * Operators that read or write at tuples of run-time indices. An index from the end counts backwards; one outside is
 * brought inside, so that no other memory is touched.
 */
import { bytesPerElement, type DType, fromReals, type NodeOf } from '@grim/ir';
import { advance, countDown } from '../kernels/family.ts';
import { emitNest, nestCall, nestParameters, parameter } from '../kernels/nest.ts';
import type { LowerContext, Lowerings } from '../lower.ts';
import { isFloatRep, isUnsigned, repOf } from '../map/expression.ts';
import { dense, rowMajor, sizeOf, slice } from '../map/placement.ts';
import { loadScalar, storeScalar } from '../map/scalar.ts';
import type { Address, Kernel } from '../program.ts';
import type { FunctionBuilder, Local } from '../wasm/assembler.ts';
import { gatherTuplesTwin } from '../wgsl/gather.ts';
import { type Reduction, scatterElementsTwin, scatterTuplesTwin } from '../wgsl/scatter.ts';
import type { Twin } from '../wgsl/shader.ts';
import { copyBytes, loadIndex } from './gather.ts';
import { axisOf } from './rearrange.ts';

/** Stores at `to` what the reduction makes of the elements there and at `from`. */
function combine(f: FunctionBuilder, dtype: DType, reduction: Reduction, to: Local<'i32'>, from: Local<'i32'>): void {
  const rep = repOf(dtype);
  const type = rep === 'mask' ? 'i32' : rep;
  if (reduction === 'none') {
    f.get(to).get(from);
    const bytes = bytesPerElement(dtype);
    if (bytes === 1) f.memory('i32.load8_u').memory('i32.store8');
    else if (bytes === 2) f.memory('i32.load16_u').memory('i32.store16');
    else if (bytes === 4) f.memory('i32.load').memory('i32.store');
    else f.memory('i64.load').memory('i64.store');
    return;
  }
  f.get(to);
  loadScalar(f, dtype, to);
  loadScalar(f, dtype, from);
  if (isFloatRep(rep) || reduction === 'add' || reduction === 'mul') f.op(`${type}.${reduction}` as 'f32.max');
  else {
    const [a, b] = [f.local(type), f.local(type)];
    const than = `${reduction === 'max' ? 'gt' : 'lt'}_${isUnsigned(dtype) ? 'u' : 's'}`;
    f.set(b).set(a).get(a).get(b).get(a).get(b);
    f.op(`${type}.${than}` as 'i32.gt_s').op(`${type}.select` as 'i32.select');
  }
  storeScalar(f, dtype);
}

/** Adds to `at` what the next index tuple points to, and moves on behind it; `table` has a length and a byte stride each. */
function addTuple(
  f: FunctionBuilder,
  at: Local<'i32'>,
  indices: Local<'i32'>,
  tuple: Local<'i32'>,
  table: Local<'i32'>,
): void {
  const [left, entry, index, length] = f.locals('i32', 4) as [Local<'i32'>, Local<'i32'>, Local<'i32'>, Local<'i32'>];
  f.get(tuple).set(left).get(table).set(entry);
  countDown(f, left, () => {
    f.get(entry).memory('i32.load').set(length);
    loadIndex(f, indices, index, length, true);
    f.get(at).get(index).get(entry).memory('i32.load', 4).op('i32.mul').op('i32.add').set(at);
    advance(f, entry, 8);
    advance(f, indices, 8);
  });
}

const gatherTuples: Kernel = {
  name: 'gather_tuples',
  twin: gatherTuplesTwin,
  emit: (module, _family, exported) => {
    const parameters = {
      out: 'i32',
      data: 'i32',
      indices: 'i32',
      batches: 'i32',
      /** Bytes of a batch of data. */
      batch: 'i32',
      count: 'i32',
      bytes: 'i32',
      tuple: 'i32',
      table: 'i32',
    } as const;
    module.function({ export: exported, parameters }, (f, p) => {
      const [left, from] = [f.local('i32'), f.local('i32')];
      countDown(f, p.batches, () => {
        f.get(p.count).set(left);
        countDown(f, left, () => {
          f.get(p.data).set(from);
          addTuple(f, from, p.indices, p.tuple, p.table);
          copyBytes(f, p.out, from, p.bytes);
          advance(f, p.out, p.bytes);
        });
        advance(f, p.data, p.batch);
      });
    });
  },
};

/** `size` counts bytes of a piece without a reduction, and elements with one. */
function scatterTuples(dtype: DType, reduction: Reduction): Kernel {
  const plain = reduction === 'none';
  return {
    name: plain ? 'scatter_tuples' : `${dtype}_scatter_tuples_${reduction}`,
    twin: scatterTuplesTwin(dtype, reduction),
    emit: (module, _family, exported) => {
      const parameters = {
        out: 'i32',
        updates: 'i32',
        indices: 'i32',
        count: 'i32',
        size: 'i32',
        tuple: 'i32',
        table: 'i32',
      } as const;
      module.function({ export: exported, parameters }, (f, p) => {
        const [to, left] = [f.local('i32'), f.local('i32')];
        countDown(f, p.count, () => {
          f.get(p.out).set(to);
          addTuple(f, to, p.indices, p.tuple, p.table);
          if (plain) {
            copyBytes(f, to, p.updates, p.size);
            advance(f, p.updates, p.size);
            return;
          }
          f.get(p.size).set(left);
          countDown(f, left, () => {
            combine(f, dtype, reduction, to, p.updates);
            advance(f, to, bytesPerElement(dtype));
            advance(f, p.updates, bytesPerElement(dtype));
          });
        });
      });
    },
  };
}

/** Lengths and byte strides of the axes that a tuple indexes. */
function tableOf(c: LowerContext, shape: readonly number[], first: number, tuple: number, bytes: number): Address {
  const strides = rowMajor(shape);
  const axes = Array.from({ length: tuple }, (_, i) => first + i);
  return c.data(Int32Array.from(axes.flatMap((axis) => [shape[axis] ?? 0, (strides[axis] ?? 0) * bytes])));
}

function gatherND(node: NodeOf<'GatherND'>, c: LowerContext): void {
  const [input = '', indices = ''] = node.inputs;
  const { batch_dims: batch } = node.attributes;
  const data = c.contiguous(input);
  const at = c.contiguous(indices);
  const to = c.writeContiguous(node.outputs[0] ?? '');
  // Of no elements there is nothing that an index could point to.
  if (sizeOf(to.shape) === 0 || sizeOf(data.shape) === 0) return;
  const bytes = bytesPerElement(data.dtype);
  const tuple = at.shape.at(-1) ?? 0;
  const batches = sizeOf(data.shape.slice(0, batch));
  const piece = sizeOf(data.shape.slice(batch + tuple)) * bytes;
  const count = sizeOf(at.shape.slice(batch, -1));
  const table = tableOf(c, data.shape, batch, tuple, bytes);
  c.call(gatherTuples, to, data, at, batches, sizeOf(data.shape.slice(batch)) * bytes, count, piece, tuple, table);
}

function checkReduction(c: LowerContext, dtype: DType, reduction: Reduction): void {
  if (dtype === 'bool' && reduction !== 'none') c.unsupported(`${reduction} of bool`, 'numbers');
}

function scatterND(node: NodeOf<'ScatterND'>, c: LowerContext): void {
  const [input = '', indices = '', updatesName = ''] = node.inputs;
  const { reduction } = node.attributes;
  const { dtype, shape } = c.type(input);
  checkReduction(c, dtype, reduction);
  const [at, updates] = [c.contiguous(indices), c.contiguous(updatesName)];
  const data = c.operand(input);
  const to = c.writeContiguous(node.outputs[0] ?? '');
  c.store(data, to);
  if (sizeOf(updates.shape) === 0 || sizeOf(shape) === 0) return;
  const bytes = bytesPerElement(dtype);
  const tuple = at.shape.at(-1) ?? 0;
  const size = sizeOf(shape.slice(tuple)) * (reduction === 'none' ? bytes : 1);
  const count = sizeOf(at.shape.slice(0, -1));
  c.call(scatterTuples(dtype, reduction), to, updates, at, count, size, tuple, tableOf(c, shape, 0, tuple, bytes));
}

const ELEMENT_POINTERS = ['out', 'indices', 'updates'];

function scatterKernel(dtype: DType, reduction: Reduction, wide: boolean, levels: number, twin: Twin): Kernel {
  const type = reduction === 'none' ? `b${8 * bytesPerElement(dtype)}` : dtype;
  return {
    name: `${type}_scatter_elements_${reduction}_i${wide ? 64 : 32}__${levels}d`,
    twin,
    emit: (module, _family, exported) => {
      const parameters = nestParameters([...ELEMENT_POINTERS, 'length', 'step'], ELEMENT_POINTERS, levels);
      module.function({ export: exported, parameters }, (f, all) => {
        const p = (name: string) => parameter(all, name);
        const [index, to] = [f.local('i32'), f.local('i32')];
        emitNest(f, all, ELEMENT_POINTERS, levels, () => {
          loadIndex(f, p('indices'), index, p('length'), wide);
          f.get(p('out')).get(index).get(p('step')).op('i32.mul').op('i32.add').set(to);
          combine(f, dtype, reduction, to, p('updates'));
        });
      });
    },
  };
}

function scatterElements(node: NodeOf<'ScatterElements'>, c: LowerContext): void {
  const [input = '', indices = '', updatesName = ''] = node.inputs;
  const { reduction } = node.attributes;
  const { dtype, shape } = c.type(input);
  checkReduction(c, dtype, reduction);
  const [at, updates] = [c.read(indices), c.read(updatesName)];
  const data = c.operand(input);
  const to = c.writeContiguous(node.outputs[0] ?? '');
  c.store(data, to);
  if (sizeOf(updates.shape) === 0 || sizeOf(shape) === 0) return;
  const axis = axisOf(node.attributes.axis, shape.length);
  const bytes = bytesPerElement(dtype);
  const wide = at.dtype === 'int64';
  const walked = (strides: readonly number[], size: number) => ({ bytes: size, strides: strides.map((s) => s * size) });
  const operands = [
    walked(to.strides.with(axis, 0), bytes),
    walked(at.strides, wide ? 8 : 4),
    walked(updates.strides, bytes),
  ];
  const nest = nestCall(at.shape, operands);
  const twin = scatterElementsTwin(dtype, reduction, {
    ...{ bytes, wide, count: at.shape[axis] ?? 1 },
    lengths: at.shape.toSpliced(axis, 1),
    strides: operands.map(({ strides }) => strides.toSpliced(axis, 1)),
    along: [operands[1]?.strides[axis] ?? 0, operands[2]?.strides[axis] ?? 0],
  });
  const kernel = scatterKernel(dtype, reduction, wide, nest.levels, twin);
  c.call(kernel, to, at, updates, shape[axis] ?? 1, (to.strides[axis] ?? 0) * bytes, ...nest.args);
}

/** Every element goes to its place in an output of zeros; the places count in the shape that was pooled. */
function maxUnpool(node: NodeOf<'MaxUnpool'>, c: LowerContext): void {
  const [input = '', indices = ''] = node.inputs;
  const { kernel_shape: kernel, strides, pads } = node.attributes;
  const [x, at] = [c.contiguous(input), c.contiguous(indices)];
  const to = c.writeContiguous(node.outputs[0] ?? '');
  const spatial = x.shape.length - 2;
  const pooled = Array.from({ length: spatial }, (_, i) => {
    const around = (pads?.[i] ?? 0) + (pads?.[i + spatial] ?? 0);
    return ((x.shape[2 + i] ?? 1) - 1) * (strides?.[i] ?? 1) + (kernel[i] ?? 1) - around;
  });
  const natural = [...x.shape.slice(0, 2), ...pooled];
  c.fill(to, fromReals(to.dtype, [], [0]));
  if (sizeOf(x.shape) === 0 || sizeOf(natural) === 0) return;
  const bytes = bytesPerElement(to.dtype);
  const same = natural.join() === to.shape.join();
  if (!same && natural.some((dim, axis) => dim > (to.shape[axis] ?? 0)))
    c.unsupported(`output_shape [${to.shape.join()}]`, `[${natural.join()}] or more`);
  const target = same ? to : dense(c.scratch(sizeOf(natural) * bytes), to.dtype, natural);
  if (!same) c.fill(target, fromReals(to.dtype, [], [0]));
  const table = c.data(Int32Array.of(sizeOf(natural), bytes));
  c.call(scatterTuples(to.dtype, 'none'), target, x, at, sizeOf(x.shape), bytes, 1, table);
  // A larger output has zeros behind it.
  if (!same)
    c.copy(
      target,
      slice(
        to,
        natural.map(() => 0),
        natural,
      ),
    );
}

/** Rows of the update go to places counted from an index of each batch: tuples of batch, place before the axis, and row. */
function tensorScatter(node: NodeOf<'TensorScatter'>, c: LowerContext): void {
  const [cacheName = '', updateName = '', startsName = ''] = node.inputs;
  const { shape } = c.type(cacheName);
  const { mode } = node.attributes;
  const axis = axisOf(node.attributes.axis, shape.length);
  const [most = 1, count = 1] = [shape[axis], c.type(updateName).shape[axis]];
  const batch = shape[0] ?? 1;
  const before = sizeOf(shape.slice(1, axis));
  const row = sizeOf(shape.slice(axis + 1));
  c.compose((g) => {
    if (sizeOf(shape) === 0 || count === 0) return [g.reshape(cacheName, shape)];
    const tuples = [batch, before, count, 1];
    const numbers = (of: (b: number, p: number) => number) =>
      g.reals(
        'int64',
        Array.from({ length: batch * before * count }, (_, i) =>
          of(Math.floor(i / (before * count)), Math.floor(i / count) % before),
        ),
        tuples,
      );
    let rows = g.reals(
      'int64',
      Array.from({ length: count }, (_, i) => i),
      [1, 1, count, 1],
    );
    if (startsName !== '') {
      rows = g.add('Add', [g.reshape(startsName, [batch, 1, 1, 1]), rows]);
      if (mode === 'circular') rows = g.add('Mod', [rows, g.reals('int64', [most], [])]);
    }
    const places = g.concat([numbers((b) => b), numbers((_, p) => p), g.add('Expand', [rows, g.integers(tuples)])], 3);
    const cache = g.reshape(cacheName, [batch, before, most, row]);
    const update = g.reshape(updateName, [batch, before, count, row]);
    return [g.reshape(g.add('ScatterND', [cache, places, update]), shape)];
  });
}

export const scatterLowerings: Lowerings = {
  TensorScatter: { lower: tensorScatter },
  MaxUnpool: { lower: maxUnpool },
  GatherND: { lower: gatherND },
  ScatterElements: { lower: scatterElements },
  ScatterND: { lower: scatterND },
};
