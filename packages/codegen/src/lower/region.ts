/** Regions of interest, deformed convolutions and determinants. */
import type { NodeOf } from '@grim/ir';
import { addDeterminant, addMaxRoiPool, addRoiAlign } from '../kernels/region.ts';
import type { LowerContext, Lowerings } from '../lower.ts';
import { convert, load, repOf } from '../map/expression.ts';
import { dense, sizeOf } from '../map/placement.ts';
import type { Kernel, Placement } from '../program.ts';
import { determinantTwin, maxRoiPoolTwin, roiAlignTwin } from '../wgsl/region.ts';
import { type Composition, workType } from './composition.ts';
import { loadIndex } from './gather.ts';

type Work = 'float32' | 'float64';

/** The elements row-major in the type that is computed in. */
function inType(c: LowerContext, name: string, dtype: Work): Placement {
  const from = c.read(name);
  if (from.dtype === dtype) return c.contiguous(name);
  const to = dense(c.scratch(sizeOf(from.shape) * (dtype === 'float64' ? 8 : 4)), dtype, from.shape);
  c.store(convert(load(from), repOf(dtype), true), to);
  return to;
}

/** Room for the output in the type that is computed in, and what takes it to the output's own. */
function outputIn(c: LowerContext, name: string, dtype: Work): { readonly to: Placement; finish(): void } {
  const type = c.type(name);
  if (type.dtype === dtype) return { to: c.writeContiguous(name), finish: () => {} };
  const to = dense(c.scratch(sizeOf(type.shape) * (dtype === 'float64' ? 8 : 4)), dtype, type.shape);
  return { to, finish: () => c.store(convert(load(to), repOf(type.dtype), true), c.write(name)) };
}

/** True when there is nothing to compute: no output, or nothing to read. */
function isTrivial(c: LowerContext, xName: string, output: string): boolean {
  const { shape, dtype } = c.type(output);
  if (sizeOf(shape) === 0) c.write(output);
  else if (sizeOf(c.type(xName).shape) === 0) {
    const zero = c.data(new Uint8Array(8));
    c.copy({ ...zero, dtype, shape: [], strides: [] }, c.write(output));
  } else return false;
  return true;
}

function checkType(c: LowerContext, name: string): void {
  if (c.type(name).dtype === 'float64') c.unsupported('float64', 'float32, float16, bfloat16');
}

function lowerRoiAlign(node: NodeOf<'RoiAlign'>, c: LowerContext): void {
  const [xName = '', roisName = '', batchName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const {
    mode,
    sampling_ratio: ratio,
    spatial_scale: scale,
    coordinate_transformation_mode: coordinates,
  } = node.attributes;
  checkType(c, xName);
  if (isTrivial(c, xName, output)) return;
  const [count = 1, channels = 1, rows = 1, cols = 1] = c.type(output).shape;
  const [batch = 1, , height = 1, width = 1] = c.type(xName).shape;
  const halfPixel = coordinates === 'half_pixel';
  const kernel: Kernel = {
    name: `f32_roi_align_${mode}`,
    twin: roiAlignTwin(mode),
    emit: (module, _family, exported) =>
      addRoiAlign(module, {
        mode,
        exported,
        loadIndex: (f, at, index, length) => loadIndex(f, at, index, length, true),
      }),
  };
  const [x, rois, batches] = [inType(c, xName, 'float32'), inType(c, roisName, 'float32'), c.contiguous(batchName)];
  // The older mode gives no box less than one element.
  const table = c.data(Float64Array.of(scale, halfPixel ? 0.5 : 0, halfPixel ? Number.NEGATIVE_INFINITY : 1));
  const { to, finish } = outputIn(c, output, 'float32');
  c.call(kernel, to, x, rois, batches, table, count, batch, channels, height, width, rows, cols, ratio);
  finish();
}

const maxRoiPool: Kernel = {
  name: 'f32_max_roi_pool',
  twin: maxRoiPoolTwin,
  emit: (module, _family, exported) => addMaxRoiPool(module, exported),
};

function lowerMaxRoiPool(node: NodeOf<'MaxRoiPool'>, c: LowerContext): void {
  const [xName = '', roisName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  checkType(c, xName);
  if (isTrivial(c, xName, output)) return;
  const [count = 1, channels = 1, rows = 1, cols = 1] = c.type(output).shape;
  const [batch = 1, , height = 1, width = 1] = c.type(xName).shape;
  const [x, rois] = [inType(c, xName, 'float32'), inType(c, roisName, 'float32')];
  const table = c.data(Float64Array.of(node.attributes.spatial_scale));
  const { to, finish } = outputIn(c, output, 'float32');
  c.call(maxRoiPool, to, x, rois, table, count, batch, channels, height, width, rows, cols);
  finish();
}

const determinant: Kernel = {
  name: 'f64_determinant',
  twin: determinantTwin,
  emit: (module, _family, exported) => addDeterminant(module, exported),
};

function lowerDet(node: NodeOf<'Det'>, c: LowerContext): void {
  const [xName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { shape, dtype } = c.type(xName);
  const count = sizeOf(shape.slice(0, -2));
  const n = shape.at(-1) ?? 0;
  if (count === 0) {
    c.write(output);
    return;
  }
  const bytes = 8 * count;
  const results = dense(c.scratch(bytes), 'float64', shape.slice(0, -2));
  if (n === 0) c.fill(results, { dtype: 'float64', shape: [], data: Float64Array.of(1) });
  else {
    // The kernel uses its matrices up.
    const matrices = dense(c.scratch(8 * sizeOf(shape)), 'float64', shape);
    c.store(convert(load(c.read(xName)), 'f64', true), matrices);
    c.call(determinant, results, matrices, count, n);
  }
  c.define(output, convert(load(results), repOf(dtype), true));
}

/** A corner of the square between elements: its index as a whole float, and its share, 0 outside. */
interface Corner {
  readonly index: string;
  readonly share: string;
}

/** The two elements around a place along an axis. */
function around(g: Composition, place: string, length: number, work: Work): readonly Corner[] {
  const scalar = (value: number) => g.reals(work, [value], []);
  // Whatever lies farther out than the zeros next to the input, NaN included, is zero.
  const within = g.add('And', [g.add('Greater', [place, scalar(-1)]), g.add('Less', [place, scalar(length)])]);
  const x = g.add('Where', [within, place, scalar(-2)]);
  const floor = g.add('Floor', [x]);
  const part = g.add('Sub', [x, floor]);
  return [floor, g.add('Add', [floor, scalar(1)])].map((index, i) => {
    const share = i === 0 ? g.add('Sub', [scalar(1), part]) : part;
    const inside = g.add('And', [g.add('GreaterOrEqual', [index, scalar(0)]), g.add('Less', [index, scalar(length)])]);
    return {
      index: g.add('Min', [g.add('Max', [index, scalar(0)]), scalar(length - 1)]),
      share: g.add('Where', [inside, share, scalar(0)]),
    };
  });
}

/** The input under every element of the kernel, moved and masked, is gathered; then it is a product with the weights. */
function lowerDeformConv(node: NodeOf<'DeformConv'>, c: LowerContext): void {
  const [xName = '', wName = '', offsetName = '', biasName = '', maskName = ''] = node.inputs;
  const [output = ''] = node.outputs;
  const { group, offset_group: movers } = node.attributes;
  const { dtype, shape } = c.type(xName);
  const result = c.type(output).shape;
  const [batch = 1, outputs = 1, rows = 1, cols = 1] = result;
  const [, channels = 1, height = 1, width = 1] = shape;
  const [, perGroup = 1, kernelHeight = 1, kernelWidth = 1] = c.type(wName).shape;
  const [top = 0, left = 0] = node.attributes.pads ?? [];
  const [down = 1, across = 1] = node.attributes.strides ?? [];
  const [downwards = 1, sidewards = 1] = node.attributes.dilations ?? [];
  const taps = kernelHeight * kernelWidth;
  const points = rows * cols;
  const work = workType(dtype) as Work;
  if (sizeOf(result) === 0) {
    c.write(output);
    return;
  }
  c.compose((g) => {
    const wide = (name: string) => g.cast(name, dtype, work);
    const bias = () => g.reshape(wide(biasName), [outputs, 1, 1]);
    if (sizeOf(shape) === 0) {
      const zeros = g.add('Expand', [g.reals(work, [0], []), g.integers(result)]);
      return [g.cast(biasName === '' ? zeros : g.add('Add', [zeros, bias()]), work, dtype)];
    }
    const moved = g.reshape(wide(offsetName), [batch, movers, taps, 2, points]);
    const base = (of: (tap: number, point: number) => number) =>
      g.reals(
        work,
        Array.from({ length: taps * points }, (_, i) => of(Math.floor(i / points), i % points)),
        [taps, points],
      );
    const place = (axis: 0 | 1, start: string) =>
      g.add('Add', [start, g.reshape(g.slice(moved, 3, axis, axis + 1), [batch, movers, taps, points])]);
    const y = place(
      0,
      base((tap, at) => Math.floor(at / cols) * down - top + Math.floor(tap / kernelWidth) * downwards),
    );
    const x = place(
      1,
      base((tap, at) => (at % cols) * across - left + (tap % kernelWidth) * sidewards),
    );
    const perMover = channels / movers;
    const elements = g.reshape(xName, [batch, movers, perMover, height * width]);
    const spread = g.integers([batch, movers, perMover, taps * points]);
    const flat = [batch, movers, 1, taps * points];
    const columns = around(g, x, width, work);
    const corners = around(g, y, height, work).flatMap((row) =>
      columns.map((column) => {
        const scaled = g.add('Mul', [row.index, g.reals(work, [width], [])]);
        const index = g.cast(g.add('Add', [scaled, column.index]), work, 'int32');
        let share = g.add('Mul', [row.share, column.share]);
        if (maskName !== '') share = g.add('Mul', [share, g.reshape(wide(maskName), [batch, movers, taps, points])]);
        const read = g.add('GatherElements', [elements, g.add('Expand', [g.reshape(index, flat), spread])], {
          axis: 3,
        });
        return g.add('Mul', [wide(read), g.reshape(share, flat)]);
      }),
    );
    const patches = g.reshape(g.sum(corners), [batch, group, perGroup * taps, points]);
    const weights = g.reshape(wide(wName), [group, outputs / group, perGroup * taps]);
    const sums = g.reshape(g.add('MatMul', [weights, patches]), result);
    return [g.cast(biasName === '' ? sums : g.add('Add', [sums, bias()]), work, dtype)];
  });
}

export const regionLowerings: Lowerings = {
  DeformConv: { lower: lowerDeformConv },
  Det: { lower: lowerDet },
  MaxRoiPool: { lower: lowerMaxRoiPool },
  RoiAlign: { lower: lowerRoiAlign },
};
